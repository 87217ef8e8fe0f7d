//! Who may do what, seen from outside: viewers change nothing, members only what is their own.

use super::schema::Schema;
use super::*;
use std::collections::BTreeSet;

/// What everybody does to nobody but themselves, whatever their role.
const PERSONAL: [&str; 7] =
    ["changePassword", "createWorkspace", "leaveWorkspace", "revokeSession", "setDefaultWorkspace", "switchWorkspace", "updateProfile"];

#[tokio::test]
async fn a_viewer_changes_nothing_in_the_workspace() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (ids, viewer) = (acme.things_of(&acme.owner).await, acme.member(BuiltInRole::Viewer).await);
    let schema = Schema::read();
    let names: BTreeSet<String> = schema.mutations().into_iter().map(|root| root.name).collect();
    assert!(PERSONAL.iter().all(|name| names.contains(*name)), "a personal mutation is no more");
    let before = heads(&world).await;
    for root in schema.mutations().into_iter().filter(|root| !PERSONAL.contains(&root.name.as_str())) {
        let document = schema.document(&root, None, &|_| ids.clone());
        let reply = viewer.client.ask(&document, json!({})).await;
        let error = &reply.body["errors"][0];
        assert_eq!(
            (&error["extensions"]["code"], &reply.body["data"][&root.name]),
            (&json!("FORBIDDEN"), &Value::Null),
            "{document}: {}",
            reply.text
        );
        assert!(error["message"].as_str().unwrap().contains('`'), "names the permission: {}", reply.text);
    }
    assert_eq!(heads(&world).await, before);
    // They do see it.
    viewer
        .client
        .get(
            &format!(
                "{{ pipelineItem(id: \"{}\") {{ title }} pipelines {{ nodes {{ key }} }} members {{ nodes {{ userId }} }} }}",
                ids.item
            ),
            json!({}),
        )
        .await;
}

#[tokio::test]
async fn a_member_changes_and_moves_own_items_alone() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (board, member) = (acme.board().await, acme.member(BuiltInRole::Member).await);
    let (own, others, assigned) = (item_by(&member, &board, "Mine").await, acme.item(&board).await, acme.item(&board).await);
    let assign = format!("itemId: \"{assigned}\", userId: \"{}\"", member.id);
    acme.owner.client.run("assignItem", &assign, "assignedTo").await;
    let changes = |item: Uuid| {
        let to = board.stages[1];
        [
            ("updateItem", format!("itemId: \"{item}\", input: {{ title: \"Changed\" }}")),
            ("moveItem", format!("itemId: \"{item}\", input: {{ toStageId: \"{to}\" }}")),
            ("addItemTag", format!("itemId: \"{item}\", tag: \"t\"")),
            ("removeItemTag", format!("itemId: \"{item}\", tag: \"t\"")),
            ("recordItemActivity", format!("itemId: \"{item}\", input: {{ name: \"Called\" }}")),
        ]
    };
    for item in [own, assigned] {
        for (mutation, arguments) in changes(item) {
            member.client.run(mutation, &arguments, "id").await;
        }
    }
    let before = heads(&world).await;
    for (mutation, arguments) in changes(others) {
        assert_eq!(member.client.mutate(mutation, &arguments, "id").await.code(), "FORBIDDEN", "{mutation}");
    }
    for (mutation, arguments) in [
        ("deleteItem", format!("itemId: \"{own}\"")),
        ("assignItem", format!("itemId: \"{own}\", userId: \"{}\"", member.id)),
        ("updatePipeline", format!("pipelineId: \"{}\", input: {{ name: \"x\" }}", board.id)),
        ("assignRole", format!("userId: \"{}\", role: \"admin\"", member.id)),
        ("renameWorkspace", "name: \"x\"".to_owned()),
    ] {
        assert_eq!(member.client.mutate(mutation, &arguments, "id").await.code(), "FORBIDDEN", "{mutation}");
    }
    assert_eq!(heads(&world).await, before);
    let seen = member.client.get("{ pipelineItems { nodes { id } totalCount } }", json!({})).await;
    assert_eq!(seen["pipelineItems"]["totalCount"], 3, "all may be read");
}

#[tokio::test]
async fn what_is_taken_from_a_member_counts_at_once() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (board, operator) = (acme.board().await, acme.member(BuiltInRole::Operator).await);
    let item = item_by(&operator, &board, "Mine").await;
    let user = format!("userId: \"{}\"", operator.id);
    acme.owner.client.run("assignRole", &format!("{user}, role: \"viewer\""), "roleKeys").await;
    acme.owner.client.run("revokeRole", &format!("{user}, role: \"operator\""), "roleKeys").await;
    let title = format!("itemId: \"{item}\", input: {{ title: \"Changed\" }}");
    assert_eq!(operator.client.mutate("updateItem", &title, "id").await.code(), "FORBIDDEN");
    acme.owner.client.run("removeMember", &user, "status").await;
    for reply in
        [operator.client.mutate("updateItem", &title, "id").await, operator.client.ask("{ pipelines { nodes { id } } }", json!({})).await]
    {
        assert_eq!(reply.code(), "NOT_FOUND", "the workspace is there no more for who is no member: {}", reply.text);
    }
}
