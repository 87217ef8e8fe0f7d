//! What mutations answer: the entity at or after the write, rules by code and path, one outcome for each key.

use super::*;

const KEY: &str = "Idempotency-Key";

async fn made(world: &World) -> (Acme, Board) {
    let acme = Acme::new(world, "acme").await;
    let board = acme.board().await;
    (acme, board)
}

async fn items(acme: &Acme) -> i64 {
    acme.owner.client.get("{ pipelineItems { totalCount } }", json!({})).await["pipelineItems"]["totalCount"].as_i64().unwrap()
}

#[tokio::test]
async fn every_mutation_answers_with_the_entity_as_the_write_left_it() {
    let world = World::new().await;
    let (acme, board) = made(&world).await;
    let (client, member) = (&acme.owner.client, acme.member(BuiltInRole::Operator).await);
    let item = acme.item(&board).await;
    let at = format!("itemId: \"{item}\"");
    let [_, second, last] = board.stages[..] else { panic!() };
    for (mutation, more, entity, expected) in [
        (
            "updateItem",
            "input: { title: \"New\", priority: URGENT, data: { a: [1, null, \"x\"] } }".to_owned(),
            "title priority data",
            json!({ "title": "New", "priority": "URGENT", "data": { "a": [1, null, "x"] } }),
        ),
        (
            "moveItem",
            format!("input: {{ toStageId: \"{second}\", note: \"on\" }}"),
            "stageId stage { key }",
            json!({ "stageId": second, "stage": { "key": "s1" } }),
        ),
        (
            "assignItem",
            format!("userId: \"{}\"", member.id),
            "assignedTo assignee { userId }",
            json!({ "assignedTo": member.id, "assignee": { "userId": member.id } }),
        ),
        ("addItemTag", "tag: \"hot\"".to_owned(), "tags", json!({ "tags": ["hot"] })),
        ("removeItemTag", "tag: \"hot\"".to_owned(), "tags", json!({ "tags": [] })),
        ("unassignItem", String::new(), "assignedTo assignee { userId }", json!({ "assignedTo": null, "assignee": null })),
        ("recordItemActivity", "input: { name: \"Called\" }".to_owned(), "title", json!({ "title": "New" })),
        ("moveItem", format!("input: {{ toStageId: \"{last}\" }}"), "status", json!({ "status": "COMPLETED" })),
        ("deleteItem", String::new(), "status", json!({ "status": "DELETED" })),
        ("restoreItem", String::new(), "status stageId", json!({ "status": "COMPLETED", "stageId": last })),
    ] {
        let payload = client.run(mutation, &format!("{at}, {more}"), entity).await;
        assert_eq!(payload["entity"], expected, "{mutation}");
        assert!(payload["consistencyToken"].is_string(), "{mutation}");
    }
    // The same again changes nothing, and says so by having no token.
    let payload = client.run("restoreItem", &at, "status").await;
    assert_eq!(payload["consistencyToken"], Value::Null);
    let payload = client.run("renameWorkspace", "name: \"Renamed\"", "name memberCount").await;
    assert_eq!(payload["entity"], json!({ "name": "Renamed", "memberCount": 2 }));
    let made =
        acme.owner.client.run("createWorkspace", "input: { name: \"Second\", slug: \"second\" }", "slug kind owners { userId }").await;
    assert_eq!(made["entity"], json!({ "slug": "second", "kind": "TEAM", "owners": [{ "userId": acme.owner.id }] }));
}

#[tokio::test]
async fn what_breaks_a_rule_is_named_by_its_path_and_nothing_is_written() {
    let world = World::new().await;
    let (acme, board) = made(&world).await;
    let (client, item) = (&acme.owner.client, acme.item(&board).await);
    let other = acme.board().await;
    let before = heads(&world).await;
    let (at, of) = (format!("itemId: \"{item}\""), format!("pipelineId: \"{}\"", board.id));
    let long = "x".repeat(201);
    let trials = [
        ("createItem", format!("input: {{ {of}, title: \"{long}\" }}"), "VALIDATION_ERROR", vec!["input", "title"]),
        ("createItem", format!("input: {{ {of}, title: \"\" }}"), "VALIDATION_ERROR", vec!["input", "title"]),
        (
            "createItem",
            format!("input: {{ {of}, title: \"x\", stageId: \"{}\" }}", other.stages[0]),
            "STAGE_NOT_FOUND",
            vec!["input", "stageId"],
        ),
        ("updateItem", format!("{at}, input: {{ title: null }}"), "VALIDATION_ERROR", vec!["input", "title"]),
        ("moveItem", format!("{at}, input: {{ toStageId: \"{}\" }}", other.stages[0]), "STAGE_NOT_FOUND", vec!["input", "toStageId"]),
        ("addItemTag", format!("{at}, tag: \"\""), "VALIDATION_ERROR", vec!["tag"]),
        ("changeSlug", "slug: \"Not a slug\"".to_owned(), "VALIDATION_ERROR", vec!["slug"]),
        ("assignRole", format!("userId: \"{}\", role: \"king\"", acme.owner.id), "VALIDATION_ERROR", vec!["role"]),
        ("createWorkspace", "input: { name: \"\", slug: \"fine\" }".to_owned(), "VALIDATION_ERROR", vec!["input", "name"]),
        (
            "createPipeline",
            "input: { key: \"x\", name: \"x\", type: SALES, stages: [{ key: \"a\", name: \"\" }] }".to_owned(),
            "VALIDATION_ERROR",
            vec!["input", "stages", "0", "name"],
        ),
    ];
    for (mutation, arguments, code, path) in trials {
        let reply = client.mutate(mutation, &arguments, "id").await;
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        assert_eq!(reply.user_errors().first(), Some(&(code.to_owned(), path)), "{mutation}: {}", reply.text);
        let payload = reply.payload();
        assert_eq!((&payload["entity"], &payload["consistencyToken"], reply.body.get("errors")), (&Value::Null, &Value::Null, None));
        assert!(payload["userErrors"][0]["message"].as_str().unwrap().len() > 10, "says what to do: {}", reply.text);
    }
    // What cannot even be read as the argument's type is refused before it is a command.
    let reply = client.mutate("updateItem", &format!("{at}, input: {{ data: {{ a: 1.5 }} }}"), "id").await;
    assert_eq!((reply.code().as_str(), reply.payload()), ("VALIDATION_ERROR", Value::Null), "{}", reply.text);
    assert_eq!(heads(&world).await, before);
}

#[tokio::test]
async fn of_two_mutations_in_one_request_the_refused_one_does_not_stop_the_other() {
    let world = World::new().await;
    let (acme, board) = made(&world).await;
    let viewer = acme.member(BuiltInRole::Member).await;
    let query = format!(
        "mutation {{
           z: createItem(input: {{ pipelineId: \"{0}\", title: \"\" }}) {{ entity {{ id }} userErrors {{ code }} }}
           m: deletePipeline(pipelineId: \"{0}\") {{ entity {{ id }} userErrors {{ code }} }}
           a: createItem(input: {{ pipelineId: \"{0}\", title: \"Stands\" }}) {{ entity {{ title }} userErrors {{ code }} }}
         }}",
        board.id
    );
    let reply = viewer.client.ask(&query, json!({})).await;
    let data = &reply.body["data"];
    assert_eq!(
        (reply.status, &data["z"]["userErrors"][0]["code"], &data["m"]),
        (PARTIAL, &json!("VALIDATION_ERROR"), &Value::Null),
        "{}",
        reply.text
    );
    assert_eq!((&data["a"]["entity"]["title"], reply.code().as_str()), (&json!("Stands"), "FORBIDDEN"));
    assert_eq!(reply.body["errors"][0]["path"], json!(["m"]));
    let order: Vec<usize> = ["\"z\":", "\"m\":", "\"a\":"].iter().map(|key| reply.text.find(key).unwrap()).collect();
    assert!(order.is_sorted(), "response keys in the order asked: {}", reply.text);
    assert_eq!(items(&acme).await, 1);
}

#[tokio::test]
async fn a_key_has_one_outcome_and_each_mutation_of_a_request_a_key_of_its_own() {
    let world = World::new().await;
    let (acme, board) = made(&world).await;
    let create = |title: &str| {
        format!(
            "createItem(input: {{ pipelineId: \"{}\", title: \"{title}\" }}) {{ entity {{ id title }} userErrors {{ code message }} consistencyToken }}",
            board.id
        )
    };
    let query = format!("mutation {{ one: {} two: {} }}", create("A"), create("A"));
    let client = acme.owner.client.with(KEY, "3f0e8a52-0001");
    let first = client.get(&query, json!({})).await;
    assert_ne!(first["one"]["entity"]["id"], first["two"]["entity"]["id"], "each is one of its own");
    let before = heads(&world).await;
    for _ in 0..3 {
        let again = client.get(&query, json!({})).await;
        assert_eq!((&again["one"]["entity"], &again["two"]["entity"]), (&first["one"]["entity"], &first["two"]["entity"]));
    }
    let together = futures::future::join_all(
        (0..8).map(|_| acme.owner.client.with(KEY, "at once").get_owned(format!("mutation {{ it: {} }}", create("Once")))),
    )
    .await;
    assert!(together.iter().all(|data| data["it"]["entity"]["id"] == together[0]["it"]["entity"]["id"]));
    let reply = client.ask(&format!("mutation {{ one: {} }}", create("B")), json!({})).await;
    assert_eq!(reply.code(), "IDEMPOTENCY_KEY_REUSED", "{}", reply.text);
    let other = client.ask("mutation { one: renameWorkspace(name: \"x\") { userErrors { code } } }", json!({})).await;
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED", "{}", other.text);
    let after = heads(&world).await;
    assert_eq!(after[&acme.id.0], before[&acme.id.0] + 1, "only the one more was written");
    // A key is its user's own.
    let colleague = acme.member(BuiltInRole::Operator).await.client.with(KEY, "3f0e8a52-0001");
    let theirs = colleague.get(&query, json!({})).await;
    assert_ne!(theirs["one"]["entity"]["id"], first["one"]["entity"]["id"]);
    assert_eq!(items(&acme).await, 5);
    // A workspace comes under its key too.
    let make = "mutation { it: createWorkspace(input: { name: \"Second\", slug: \"second\" }) { entity { id } userErrors { code } } }";
    let (made, again) = (client.get(make, json!({})).await, client.get(make, json!({})).await);
    assert!(made["it"]["entity"]["id"].is_string() && made == again, "{again}");
    for bad in ["", &"k".repeat(151)] {
        let reply = acme.owner.client.with(KEY, bad).ask(&query, json!({})).await;
        assert_eq!((reply.code().as_str(), reply.body.get("data")), ("VALIDATION_ERROR", None), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_refused_command_leaves_its_key_free_and_a_move_keeps_its_place() {
    let world = World::new().await;
    let (acme, board) = made(&world).await;
    let [first, _, ..] = [acme.item(&board).await, acme.item(&board).await, acme.item(&board).await];
    let client = acme.owner.client.with(KEY, "a move");
    let order = async || {
        let query = format!("{{ pipelineBoard(id: \"{}\") {{ stages {{ items {{ id }} }} }} }}", board.id);
        let data = acme.owner.client.get(&query, json!({})).await;
        data["pipelineBoard"]["stages"][0]["items"].as_array().unwrap().iter().map(|item| uuid(&item["id"])).collect::<Vec<_>>()
    };
    let standing = order().await;
    let last = *standing.last().unwrap();
    assert_eq!((standing[0], standing.len()), (first, 3));
    let to = format!("itemId: \"{last}\", input: {{ toStageId: \"{}\", before: \"{first}\" }}", board.stages[0]);
    client.run("moveItem", &to, "rank").await;
    assert_eq!(order().await, [last, standing[0], standing[1]]);
    // The place is worked out anew, and it is still the same command.
    let again = client.run("moveItem", &to, "rank").await;
    assert_eq!(order().await, [last, standing[0], standing[1]], "{again}");
    let to = format!("itemId: \"{last}\", input: {{ toStageId: \"{}\", after: \"{}\" }}", board.stages[0], standing[1]);
    acme.owner.client.run("moveItem", &to, "rank").await;
    assert_eq!(order().await, standing);

    let create = |pipeline: Uuid| format!("input: {{ pipelineId: \"{pipeline}\", title: \"x\" }}");
    let client = acme.owner.client.with(KEY, "refused");
    assert_eq!(client.mutate("createItem", &create(clock::new_uuid()), "id").await.user_errors().len(), 1);
    client.run("createItem", &create(board.id), "id").await;
}

#[tokio::test]
async fn a_password_is_changed_through_graphql_and_ends_the_other_sessions() {
    let world = World::new().await;
    let password = "correct horse battery 9A!";
    world.register("ada@example.org").await;
    let login = async || {
        world.post("/api/v1/auth/login", &json!({ "email": "ada@example.org", "password": password })).await.json::<Value>().await.unwrap()
    };
    let (one, two) = (login().await, login().await);
    let client = |signed: &Value| Client::new(&world.http(), Some(signed["accessToken"].as_str().unwrap().to_owned()));
    let change = |current: &str| {
        format!("currentPassword: \"{current}\", newPassword: \"a better horse 9A!\", passwordConfirm: \"a better horse 9A!\"")
    };
    let wrong = client(&one).mutate("changePassword", &change("wrong"), "id").await;
    assert_eq!(wrong.user_errors(), [("WRONG_PASSWORD".to_owned(), vec!["currentPassword".to_owned()])], "{}", wrong.text);
    client(&one).run("changePassword", &change(password), "email").await;
    let sessions = client(&one).get("{ mySessions { nodes { isCurrent status endReason } } me { email } }", json!({})).await;
    let mut seen: Vec<String> = sessions["mySessions"]["nodes"].as_array().unwrap().iter().map(Value::to_string).collect();
    seen.sort();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].contains("PASSWORD") && seen[1].contains("ACTIVE"), "{seen:?}");
    assert_eq!(client(&two).ask("{ me { id } }", json!({})).await.code(), "UNAUTHENTICATED");
}
