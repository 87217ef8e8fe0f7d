//! Roles of the workspace's own, overrides, custom permissions, suspension and deletion, through HTTP: what is given or
//! taken counts with the next request.

use super::*;
use api::accounts::{Standing, set_standing};

/// A role of the workspace's own with these permissions, and its id.
async fn role(acme: &Acme, name: &str, permissions: &str) -> Uuid {
    let input = format!("input: {{ name: \"{name}\", permissions: [{permissions}] }}");
    uuid(&acme.owner.client.run("createRole", &input, "id").await["entity"]["id"])
}

async fn creates(person: &Person, board: &Board) -> String {
    let input = format!("input: {{ pipelineId: \"{}\", title: \"An item\" }}", board.id);
    person.client.mutate("createItem", &input, "id").await.code()
}

async fn run(person: &Person, mutation: &str, arguments: String) -> Value {
    person.client.run(mutation, &arguments, "id").await
}

async fn code(person: &Person, mutation: &str, arguments: String) -> String {
    person.client.mutate(mutation, &arguments, "id").await.code()
}

#[tokio::test]
async fn a_role_of_the_workspace_gives_and_takes_at_once() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (board, viewer) = (acme.board().await, acme.member(BuiltInRole::Viewer).await);
    assert_eq!(creates(&viewer, &board).await, "FORBIDDEN");
    let desk = role(&acme, "Desk", "\"pipeline_items.create\"").await;
    let assign = format!("userId: \"{}\", role: \"{desk}\"", viewer.id);
    let assigned = acme
        .owner
        .client
        .run("assignRole", &assign, "roleKeys roleIds roles { key name isSystem } effectivePermissions { name scope }")
        .await;
    assert_eq!(assigned["entity"]["roleIds"], json!([desk]));
    assert_eq!(assigned["entity"]["roles"][1], json!({ "key": desk, "name": "Desk", "isSystem": false }));
    assert!(
        assigned["entity"]["effectivePermissions"]
            .as_array()
            .unwrap()
            .contains(&json!({ "name": "pipeline_items.create", "scope": "ANY" }))
    );
    assert_eq!(creates(&viewer, &board).await, "");

    run(&acme.owner, "revokePermission", format!("roleId: \"{desk}\", permission: \"pipeline_items.create\"")).await;
    assert_eq!(creates(&viewer, &board).await, "FORBIDDEN");
    run(&acme.owner, "grantPermission", format!("roleId: \"{desk}\", permission: \"pipeline_items.create@own\"")).await;
    assert_eq!(creates(&viewer, &board).await, "");
    run(&acme.owner, "revokeRole", assign.clone()).await;
    assert_eq!(creates(&viewer, &board).await, "FORBIDDEN");
    assert_eq!(code(&acme.owner, "deleteRole", format!("roleId: \"{desk}\"")).await, "");
    assert_eq!(code(&acme.owner, "assignRole", assign).await, "ROLE_NOT_FOUND");
    assert_eq!(acme.owner.client.ask(&format!("{{ role(id: \"{desk}\") {{ name }} }}"), json!({})).await.code(), "NOT_FOUND");
    world.audit().await;
}

#[tokio::test]
async fn roles_are_listed_described_renamed_and_kept_while_somebody_has_them() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let member = acme.member(BuiltInRole::Member).await;
    let desk = role(&acme, "Desk", "\"posts.read\", \"posts.update@own\"").await;
    run(&acme.owner, "describeRole", format!("roleId: \"{desk}\", description: \"The front desk\"")).await;
    run(&acme.owner, "renameRole", format!("roleId: \"{desk}\", name: \"Front desk\"")).await;
    run(&acme.owner, "assignRole", format!("userId: \"{}\", role: \"{desk}\"", member.id)).await;
    let listed = acme
        .owner
        .client
        .get("{ roles { id key name description isSystem memberCount permissions { name scope isCustom } } }", json!({}))
        .await;
    let roles = listed["roles"].as_array().unwrap();
    let key = |role: &Value| role["key"].as_str().unwrap().to_owned();
    assert_eq!(roles[..9].iter().map(key).collect::<Vec<_>>(), BuiltInRole::ALL.iter().map(|role| role.key()).collect::<Vec<_>>());
    assert_eq!(
        roles[9],
        json!({
            "id": desk, "key": desk, "name": "Front desk", "description": "The front desk", "isSystem": false, "memberCount": 1,
            "permissions": [
                { "name": "posts.read", "scope": "ANY", "isCustom": false }, { "name": "posts.update", "scope": "OWN", "isCustom": false },
            ],
        })
    );
    let count = |key: &str| roles.iter().find(|role| role["key"] == key).unwrap()["memberCount"].clone();
    assert_eq!((count("owner"), count("admin"), count("member"), count("viewer")), (json!(1), json!(1), json!(1), json!(0)));
    // A built-in role is found by its id too, and given by it.
    let editor = roles.iter().find(|role| role["key"] == "editor").unwrap()["id"].clone();
    let ask = "query ($id: ID!) { role(id: $id) { key } node(id: $id) { id ... on Role { name } } }";
    let found = acme.owner.client.get(ask, json!({ "id": editor })).await;
    assert_eq!(found, json!({ "role": { "key": "editor" }, "node": { "id": editor, "name": "Editor" } }));
    assert_eq!(acme.owner.client.get(ask, json!({ "id": desk })).await["node"]["name"], "Front desk");
    let given = acme.owner.client.run("assignRole", &format!("userId: \"{}\", role: {editor}", member.id), "roleKeys").await;
    assert_eq!(given["entity"]["roleKeys"], json!(["member", "editor"]));

    let filtered = |role: Value| json!({ "filter": { "role": role } });
    for role in [json!(desk), editor] {
        let members =
            acme.owner.client.get("query ($filter: MemberFilter) { members(filter: $filter) { nodes { userId } } }", filtered(role)).await;
        assert_eq!(members["members"]["nodes"], json!([{ "userId": member.id.0 }]));
    }
    assert_eq!(code(&acme.owner, "deleteRole", format!("roleId: \"{desk}\"")).await, "ROLE_IN_USE");
    for taken in ["front DESK", "Owner"] {
        let reply = acme.owner.client.mutate("createRole", &format!("input: {{ name: \"{taken}\" }}"), "id").await;
        assert_eq!(reply.user_errors(), [("NAME_TAKEN".to_owned(), vec!["input".to_owned(), "name".to_owned()])], "{}", reply.text);
    }
    let bad =
        acme.owner.client.mutate("createRole", "input: { name: \"Bad\", permissions: [\"posts.read\", \"system.audit\"] }", "id").await;
    assert_eq!(
        bad.user_errors()[0],
        ("VALIDATION_ERROR".to_owned(), ["input", "permissions", "1"].map(str::to_owned).to_vec()),
        "{}",
        bad.text
    );
    world.audit().await;
}

#[tokio::test]
async fn nobody_hands_on_what_they_do_not_hold() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (manager, other) = (acme.member(BuiltInRole::Member).await, acme.member(BuiltInRole::Viewer).await);
    let managers = role(&acme, "Managers", "\"roles.create\", \"roles.update\", \"roles.assign\"").await;
    let billing = role(&acme, "Billing", "\"billing.manage\"").await;
    run(&acme.owner, "assignRole", format!("userId: \"{}\", role: \"{managers}\"", manager.id)).await;
    for (mutation, arguments, expected) in [
        ("createRole", "input: { name: \"Mine\", permissions: [\"billing.manage\"] }".to_owned(), "BEYOND_OWN_GRANTS"),
        ("grantPermission", format!("roleId: \"{billing}\", permission: \"posts.delete\""), "BEYOND_OWN_GRANTS"),
        ("revokePermission", format!("roleId: \"{billing}\", permission: \"billing.manage\""), "BEYOND_OWN_GRANTS"),
        ("grantPermission", format!("roleId: \"{managers}\", permission: \"tasks.create\""), "OWN_ROLE"),
        ("assignRole", format!("userId: \"{}\", role: \"{billing}\"", other.id), "BEYOND_OWN_GRANTS"),
        ("assignRole", format!("userId: \"{}\", role: \"admin\"", other.id), "BEYOND_OWN_GRANTS"),
        ("assignRole", format!("userId: \"{}\", role: \"viewer\"", manager.id), "OWN_ROLES"),
        ("setPermissionOverrides", format!("userId: \"{}\", grants: [\"posts.delete\"], denies: []", other.id), "BEYOND_OWN_GRANTS"),
        ("setPermissionOverrides", format!("userId: \"{}\", grants: [], denies: []", manager.id), "OWN_ROLES"),
        ("deleteRole", format!("roleId: \"{billing}\""), "FORBIDDEN"),
        ("suspendMember", format!("userId: \"{}\"", other.id), "FORBIDDEN"),
    ] {
        assert_eq!(code(&manager, mutation, arguments).await, expected, "{mutation}");
    }
    run(&manager, "createRole", "input: { name: \"Takers\", permissions: [\"tasks.create\"] }".to_owned()).await;
    run(&manager, "assignRole", format!("userId: \"{}\", role: \"{managers}\"", other.id)).await;
    world.audit().await;
}

#[tokio::test]
async fn overrides_give_and_deny_and_owners_ignore_denials() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (board, member, partner) = (acme.board().await, acme.member(BuiltInRole::Member).await, acme.member(BuiltInRole::Admin).await);
    let set = |user: UserId, grants: &str, denies: &str| format!("userId: \"{user}\", grants: [{grants}], denies: [{denies}]");
    let overrides = set(member.id, "\"pipelines.update\"", "\"pipeline_items.create\"");
    let shown = acme.owner.client.run("setPermissionOverrides", &overrides, "grants denies").await;
    assert_eq!(shown["entity"], json!({ "grants": ["pipelines.update"], "denies": ["pipeline_items.create"] }));
    assert_eq!(creates(&member, &board).await, "FORBIDDEN");
    run(&member, "deactivatePipeline", format!("pipelineId: \"{}\"", board.id)).await;
    run(&acme.owner, "activatePipeline", format!("pipelineId: \"{}\"", board.id)).await;
    let asked = "query ($user: ID) { a: hasPermission(name: \"pipelines.update\", userId: $user) b: hasPermission(name: \"pipeline_items.create\", userId: $user) }";
    assert_eq!(acme.owner.client.get(asked, json!({ "user": member.id.0 })).await, json!({ "a": true, "b": false }));
    assert_eq!(member.client.get(asked, json!({})).await, json!({ "a": true, "b": false }));
    run(&acme.owner, "setPermissionOverrides", set(member.id, "", "")).await;
    assert_eq!(creates(&member, &board).await, "");
    assert_eq!(code(&member, "deactivatePipeline", format!("pipelineId: \"{}\"", board.id)).await, "FORBIDDEN");

    run(&acme.owner, "setPermissionOverrides", set(partner.id, "", "\"pipeline_items.create\"")).await;
    assert_eq!(creates(&partner, &board).await, "FORBIDDEN");
    run(&acme.owner, "grantOwnership", format!("userId: \"{}\"", partner.id)).await;
    assert_eq!(creates(&partner, &board).await, "", "an owner ignores denials");
    world.audit().await;
}

#[tokio::test]
async fn a_workspace_has_permissions_of_its_own_until_it_retires_them() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (member, admin) = (acme.member(BuiltInRole::Member).await, acme.member(BuiltInRole::Admin).await);
    assert_eq!(
        code(&acme.owner, "createRole", "input: { name: \"A\", permissions: [\"custom.approve\"] }".to_owned()).await,
        "PERMISSION_NOT_FOUND"
    );
    run(&acme.owner, "registerCustomPermission", "name: \"custom.approve\", description: \"Approves offers\"".to_owned()).await;
    let known =
        acme.owner.client.get("{ permissions(resource: \"custom\") { name resource action isCustom description } }", json!({})).await;
    let approve =
        json!({ "name": "custom.approve", "resource": "custom", "action": "approve", "isCustom": true, "description": "Approves offers" });
    assert_eq!(known["permissions"], json!([approve]));
    assert_eq!(acme.owner.client.get("{ permissions { name } }", json!({})).await["permissions"].as_array().unwrap().len(), 206);

    let approvers = role(&acme, "Approvers", "\"custom.approve\"").await;
    run(&acme.owner, "assignRole", format!("userId: \"{}\", role: \"{approvers}\"", member.id)).await;
    let may = "{ hasPermission(name: \"custom.approve\") }";
    let holds = async |person: &Person| person.client.get(may, json!({})).await["hasPermission"].clone();
    assert_eq!((holds(&member).await, holds(&admin).await), (json!(true), json!(true)));
    let mine = member.client.get("{ myPermissions { name scope isCustom } }", json!({})).await;
    assert!(mine["myPermissions"].as_array().unwrap().contains(&json!({ "name": "custom.approve", "scope": "ANY", "isCustom": true })));
    run(&acme.owner, "retireCustomPermission", "name: \"custom.approve\"".to_owned()).await;
    assert_eq!((holds(&member).await, holds(&admin).await), (json!(false), json!(false)));
    assert_eq!(acme.owner.client.get("{ permissions(resource: \"custom\") { name } }", json!({})).await["permissions"], json!([]));
    run(&acme.owner, "revokePermission", format!("roleId: \"{approvers}\", permission: \"custom.approve\"")).await;
    world.audit().await;
}

#[tokio::test]
async fn a_suspended_member_can_do_nothing_until_reinstated() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (board, member) = (acme.board().await, acme.member(BuiltInRole::Operator).await);
    let suspended = acme
        .owner
        .client
        .run("suspendMember", &format!("userId: \"{}\", reason: \"on leave\"", member.id), "status effectivePermissions { name }")
        .await;
    assert_eq!(suspended["entity"], json!({ "status": "SUSPENDED", "effectivePermissions": [] }));
    assert_eq!(creates(&member, &board).await, "FORBIDDEN");
    let reply = member.client.ask("{ pipelines { nodes { key } } }", json!({})).await;
    assert_eq!(reply.code(), "FORBIDDEN", "{}", reply.text);
    assert_eq!(member.client.get("{ myPermissions { name } myWorkspaces { slug } }", json!({})).await["myPermissions"], json!([]));
    let listed = async |filter: &str| {
        let members = acme.owner.client.get(&format!("{{ members(filter: {{ {filter} }}) {{ nodes {{ userId }} }} }}"), json!({})).await;
        members["members"]["nodes"].as_array().unwrap().iter().map(|node| uuid(&node["userId"])).collect::<Vec<_>>()
    };
    assert_eq!(listed("status: SUSPENDED").await, [member.id.0]);
    assert!(listed("").await.contains(&member.id.0) && !listed("status: ACTIVE").await.contains(&member.id.0));
    let item = acme.item(&board).await;
    assert_eq!(code(&acme.owner, "assignItem", format!("itemId: \"{item}\", userId: \"{}\"", member.id)).await, "MEMBER_NOT_FOUND");
    for (user, expected) in [(acme.owner.id, "OWN_ROLES"), (acme.member(BuiltInRole::Member).await.id, "")] {
        assert_eq!(code(&acme.owner, "suspendMember", format!("userId: \"{user}\"")).await, expected);
    }
    run(&acme.owner, "reinstateMember", format!("userId: \"{}\"", member.id)).await;
    assert_eq!(creates(&member, &board).await, "");
    world.audit().await;
}

#[tokio::test]
async fn a_suspended_workspace_can_only_be_read() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (board, member) = (acme.board().await, acme.member(BuiltInRole::Member).await);
    set_standing(&world.app, Standing::Suspend { workspace: acme.slug.clone(), reason: None }).await.unwrap();
    for person in [&acme.owner, &member] {
        assert_eq!(creates(person, &board).await, "FORBIDDEN");
        person.client.get("{ pipelines { nodes { key } } workspace { name } }", json!({})).await;
    }
    assert_eq!(code(&acme.owner, "renameWorkspace", "name: \"Other\"".to_owned()).await, "FORBIDDEN");
    let billing = "{ view: hasPermission(name: \"billing.view\") manage: hasPermission(name: \"billing.manage\") }";
    assert_eq!(acme.owner.client.get(billing, json!({})).await, json!({ "view": true, "manage": true }));
    set_standing(&world.app, Standing::Reinstate { workspace: acme.slug.clone() }).await.unwrap();
    assert_eq!(creates(&member, &board).await, "");
    assert_eq!(acme.owner.client.get("{ workspace { status } }", json!({})).await["workspace"]["status"], "ACTIVE");
    world.audit().await;
}

#[tokio::test]
async fn a_deleted_workspace_is_nothing_but_what_its_owner_can_restore() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (board, admin) = (acme.board().await, acme.member(BuiltInRole::Admin).await);
    let slug = |slug: &str| format!("confirmSlug: \"{slug}\"");
    assert_eq!(code(&admin, "deleteWorkspace", slug(&acme.slug)).await, "FORBIDDEN");
    let wrong = acme.owner.client.mutate("deleteWorkspace", &slug("other"), "id").await;
    assert_eq!(wrong.user_errors(), [("SLUG_MISMATCH".to_owned(), vec!["confirmSlug".to_owned()])]);
    let deleted = acme.owner.client.run("deleteWorkspace", &slug(&acme.slug), "status purgeAfter").await;
    assert!(deleted["entity"]["status"] == "DELETED" && deleted["entity"]["purgeAfter"].is_string(), "{deleted}");
    for person in [&acme.owner, &admin] {
        assert_eq!(creates(person, &board).await, "FORBIDDEN");
        let reply = person.client.ask("{ pipelines { nodes { key } } }", json!({})).await;
        assert_eq!(reply.code(), "FORBIDDEN", "{}", reply.text);
    }
    let mine = async |person: &Person| {
        let mine = person.client.get("{ myWorkspaces { slug } }", json!({})).await;
        mine["myWorkspaces"].as_array().unwrap().iter().any(|workspace| workspace["slug"] == *acme.slug)
    };
    assert_eq!((mine(&acme.owner).await, mine(&admin).await), (true, false));
    assert_eq!(code(&admin, "restoreWorkspace", String::new()).await, "FORBIDDEN");
    let left = admin.client.mutate("leaveWorkspace", "", "id").await;
    assert_eq!(left.code(), "INVALID_STATE", "{}", left.text);
    run(&acme.owner, "restoreWorkspace", String::new()).await;
    assert_eq!(creates(&admin, &board).await, "");
    assert!(mine(&admin).await);
    world.audit().await;
}

#[tokio::test]
async fn a_role_of_another_workspace_is_not_found() {
    let world = World::new().await;
    let (acme, other) = (Acme::new(&world, "acme").await, Acme::new(&world, "other").await);
    let (member, theirs) = (acme.member(BuiltInRole::Viewer).await, role(&other, "Theirs", "\"posts.read\"").await);
    assert_eq!(code(&acme.owner, "assignRole", format!("userId: \"{}\", role: \"{theirs}\"", member.id)).await, "ROLE_NOT_FOUND");
    for (mutation, more) in [
        ("renameRole", ", name: \"Mine\""),
        ("describeRole", ""),
        ("grantPermission", ", permission: \"posts.read\""),
        ("revokePermission", ", permission: \"posts.read\""),
        ("deleteRole", ""),
    ] {
        assert_eq!(code(&acme.owner, mutation, format!("roleId: \"{theirs}\"{more}")).await, "NOT_FOUND", "{mutation}");
    }
    let ask = format!("{{ role(id: \"{theirs}\") {{ name }} }}");
    assert_eq!(acme.owner.client.ask(&ask, json!({})).await.code(), "NOT_FOUND");
    world.audit().await;
}

#[tokio::test]
async fn an_own_scope_shows_and_changes_what_is_ones_own_alone() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let person = acme.member(BuiltInRole::Client).await;
    let (hers, others) = (acme.board().await, acme.board().await);
    let permissions = [
        "pipelines.read",
        "pipelines.update",
        "members.update",
        "members.remove",
        "roles.read",
        "roles.update",
        "roles.assign",
        "workspace.update",
    ]
    .map(|name| format!("\"{name}@own\""));
    let own = role(&acme, "Own", &permissions.join(", ")).await;
    run(&acme.owner, "assignRole", format!("userId: \"{}\", role: \"{own}\"", person.id)).await;
    // What the role of clients grants would hide what the scopes do.
    let denies = "denies: [\"workspace.read\"]";
    run(&acme.owner, "setPermissionOverrides", format!("userId: \"{}\", grants: [\"members.read@own\"], {denies}", person.id)).await;
    run(&acme.owner, "assignOperator", format!("pipelineId: \"{}\", userId: \"{}\"", hers.id, person.id)).await;

    let seen = person.client.get("{ pipelines { totalCount nodes { id } } members { nodes { userId } } roles { key } }", json!({})).await;
    assert_eq!(seen["pipelines"], json!({ "totalCount": 1, "nodes": [{ "id": hers.id }] }));
    assert_eq!((&seen["members"]["nodes"], &seen["roles"]), (&json!([{ "userId": person.id.0 }]), &json!([])));
    for (query, found) in [
        (format!("{{ pipeline(id: \"{}\") {{ id }} node(id: \"{}\") {{ id }} }}", hers.id, hers.id), true),
        (format!("{{ pipeline(id: \"{}\") {{ id }} }}", others.id), false),
        (format!("{{ node(id: \"{}\") {{ id }} }}", others.id), false),
        (format!("{{ member(userId: \"{}\") {{ name }} }}", person.id), true),
        (format!("{{ member(userId: \"{}\") {{ name }} }}", acme.owner.id), false),
        (format!("{{ role(id: \"{own}\") {{ name }} }}"), false),
    ] {
        assert_eq!(person.client.ask(&query, json!({})).await.code(), if found { "" } else { "NOT_FOUND" }, "{query}");
    }
    let asked = format!("{{ hasPermission(name: \"posts.read\", userId: \"{}\") }}", acme.owner.id);
    assert_eq!(person.client.ask(&asked, json!({})).await.code(), "FORBIDDEN");
    run(&person, "updatePipeline", format!("pipelineId: \"{}\", input: {{ name: \"Mine\" }}", hers.id)).await;
    for (mutation, arguments) in [
        ("updatePipeline", format!("pipelineId: \"{}\", input: {{ name: \"Mine\" }}", others.id)),
        ("renameWorkspace", "name: \"Mine\"".to_owned()),
        ("changeSlug", "slug: \"mine\"".to_owned()),
        ("removeMember", format!("userId: \"{}\"", acme.owner.id)),
        ("suspendMember", format!("userId: \"{}\"", acme.owner.id)),
        ("assignRole", format!("userId: \"{}\", role: \"viewer\"", acme.owner.id)),
        ("renameRole", format!("roleId: \"{own}\", name: \"Mine\"")),
    ] {
        assert_eq!(code(&person, mutation, arguments).await, "FORBIDDEN", "{mutation}");
    }
    world.audit().await;
}
