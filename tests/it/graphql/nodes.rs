//! Everything that has an id is found by it.

use super::*;

#[tokio::test]
async fn everything_is_found_by_its_id_alone() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let board = acme.board().await;
    let item = acme.item(&board).await;
    let member = acme.member(BuiltInRole::Viewer).await;
    let membership = acme.id.membership(member.id).0;
    let nodes = [
        ("User", acme.owner.id.0),
        ("Session", acme.owner.session.0),
        ("Workspace", acme.id.0),
        ("Member", membership),
        ("Role", acme.role_by(&acme.owner).await),
        ("Pipeline", board.id),
        ("PipelineItem", item),
    ];
    for (kind, id) in nodes {
        let query = "query ($id: ID!) { node(id: $id) { id __typename } }";
        let found = acme.owner.client.get(query, json!({ "id": id })).await;
        assert_eq!(found["node"], json!({ "id": id, "__typename": kind }));
        // Upper case names the same.
        let found = acme.owner.client.get(query, json!({ "id": id.to_string().to_uppercase() })).await;
        assert_eq!(found["node"]["id"], json!(id));
    }
    // What is somebody's own needs no workspace, and the rest does.
    let nowhere = Client { workspace: None, ..acme.owner.client.clone() };
    for (kind, id) in nodes {
        let reply = nowhere.ask("query ($id: ID!) { node(id: $id) { __typename } }", json!({ "id": id })).await;
        let own = ["User", "Session", "Workspace"].contains(&kind);
        assert_eq!(reply.code(), if own { "" } else { "NOT_FOUND" }, "{kind}: {}", reply.text);
    }
    for rubbish in ["", "1", "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", "'; drop table events; --"] {
        let reply = acme.owner.client.ask("query ($id: ID!) { node(id: $id) { __typename } }", json!({ "id": rubbish })).await;
        assert_eq!(reply.code(), "VALIDATION_ERROR", "{}", reply.text);
    }
    let deleted = format!("itemId: \"{item}\"");
    acme.owner.client.run("deleteItem", &deleted, "deletedAt").await;
    let found = acme.owner.client.get("query ($id: ID!) { node(id: $id) { ... on PipelineItem { status } } }", json!({ "id": item })).await;
    assert_eq!(found["node"]["status"], "DELETED", "what is deleted is still there for who asks by id");
}
