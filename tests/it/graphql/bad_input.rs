//! Whatever comes in, a clear error with a code goes out, nothing is written, and the program goes on.

use super::*;

async fn raw(client: &Client, kind: &str, body: impl Into<reqwest::Body>) -> Reply {
    Reply::of(client.request().header("Content-Type", kind).body(body)).await.unwrap()
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_the_reason() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let client = &acme.owner.client;
    let before = heads(&world).await;
    let deep = format!("{{ pipelines {} }}", "{ nodes { stages { items { pipeline ".repeat(5) + "{ id }" + &"} } } }".repeat(5));
    let complex =
        format!("{{ {} }}", (0..12).map(|n| format!("p{n}: pipelineItems(first: 100) {{ nodes {{ id title }} }} ")).collect::<String>());
    let aliases = format!("{{ me {{ {} }} }}", (0..60).map(|n| format!("a{n}: id ")).collect::<String>());
    let roots = format!("{{ {} }}", "me { id } ".repeat(60));
    let of = |query: &str| json!({ "query": query }).to_string();
    let trials: Vec<(&str, String, &str, &str)> = vec![
        ("application/json", "{".to_owned(), "BAD_REQUEST", "JSON"),
        ("application/json", String::new(), "BAD_REQUEST", ""),
        ("application/json", "\u{0}".to_owned(), "BAD_REQUEST", ""),
        ("application/json", "[]".to_owned(), "BATCHING_UNSUPPORTED", ""),
        ("application/json", "{}".to_owned(), "MALFORMED_REQUEST", "query"),
        ("application/json", json!({ "query": 7 }).to_string(), "MALFORMED_REQUEST", "query"),
        ("application/json", json!({ "query": "{ me { id } }", "variables": [] }).to_string(), "MALFORMED_REQUEST", "variables"),
        ("text/plain", of("{ me { id } }"), "UNSUPPORTED_MEDIA_TYPE", "application/json"),
        ("application/x-www-form-urlencoded", "query={me{id}}".to_owned(), "UNSUPPORTED_MEDIA_TYPE", "application/json"),
        ("application/json", json!({ "query": "x".repeat(2 << 20) }).to_string(), "PAYLOAD_TOO_LARGE", ""),
        ("application/json", of("{ me { id }"), "GRAPHQL_PARSE_FAILED", ""),
        ("application/json", of("{ me { shoeSize } }"), "GRAPHQL_VALIDATION_FAILED", "shoeSize"),
        ("application/json", of("{ nothing }"), "GRAPHQL_VALIDATION_FAILED", "nothing"),
        (
            "application/json",
            of("mutation { createItem(input: { title: \"x\", pipelineId: \"x\", colour: \"red\" }) { entity { id } } }"),
            "GRAPHQL_VALIDATION_FAILED",
            "colour",
        ),
        ("application/json", of("subscription { x }"), "SUBSCRIPTION_UNSUPPORTED", ""),
        ("application/json", json!({ "query": "query A { me { id } } query B { me { id } }" }).to_string(), "OPERATION_UNKNOWN", ""),
        (
            "application/json",
            json!({ "query": "query ($id: ID!) { node(id: $id) { id } }", "variables": { "id": { "a": 1 } } }).to_string(),
            "VARIABLES_INVALID",
            "id",
        ),
        ("application/json", json!({ "query": "query ($id: ID!) { node(id: $id) { id } }" }).to_string(), "VARIABLES_INVALID", "id"),
        ("application/json", of(&deep), "QUERY_TOO_DEEP", "15"),
        ("application/json", of(&complex), "QUERY_TOO_COMPLEX", "1000"),
        ("application/json", of(&aliases), "TOO_MANY_ALIASES", ""),
        ("application/json", of(&roots), "TOO_MANY_ROOT_FIELDS", ""),
    ];
    for (kind, body, code, says) in trials {
        let shown: String = body.chars().take(120).collect();
        let reply = raw(client, kind, body).await;
        assert_eq!((reply.code().as_str(), reply.body.get("data")), (code, None), "{shown}: {} {}", reply.status, reply.text);
        assert!((400..500).contains(&reply.status) && reply.text.contains(says), "{shown}: {} {}", reply.status, reply.text);
        client.get("{ me { id } }", json!({})).await;
    }
    let by_get = Reply::of(
        client
            .http
            .get(&client.url)
            .bearer_auth(client.token.as_ref().unwrap())
            .query(&[("query", "mutation { leaveWorkspace { userErrors { code } } }")]),
    )
    .await
    .unwrap();
    assert_eq!((by_get.status, by_get.code().as_str()), (405, "METHOD_NOT_ALLOWED"), "{}", by_get.text);
    assert_eq!(heads(&world).await, before);
}

#[tokio::test]
async fn an_id_of_another_type_or_of_nothing_is_not_found_and_rubbish_is_named() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (client, board) = (&acme.owner.client, acme.board().await);
    let item = acme.item(&board).await;
    let before = heads(&world).await;
    let no_items = [board.id, board.stages[0], acme.owner.id.0, acme.id.0, acme.owner.session.0, clock::new_uuid(), Uuid::nil()];
    for id in no_items {
        for query in ["pipelineItem(id: $id) { title }", "itemHistory(itemId: $id) { totalCount }"] {
            let reply = client.ask(&format!("query ($id: ID!) {{ {query} }}"), json!({ "id": id })).await;
            assert_eq!(reply.code(), "NOT_FOUND", "{query} {id}: {}", reply.text);
        }
        for (mutation, arguments) in [
            ("updateItem", "input: { title: \"x\" }".to_owned()),
            ("deleteItem", String::new()),
            ("moveItem", format!("input: {{ toStageId: \"{}\" }}", board.stages[1])),
        ] {
            let reply = client.mutate(mutation, &format!("itemId: \"{id}\", {arguments}"), "id").await;
            assert_eq!(reply.code(), "NOT_FOUND", "{mutation} {id}: {}", reply.text);
        }
    }
    for id in [item, board.stages[0], acme.id.0, acme.owner.id.0] {
        for query in [
            "pipeline(id: $id) { key }",
            "pipelineBoard(id: $id) { key }",
            "timeInStage(pipelineId: $id) { visits }",
            "pipelineItems(filter: { pipelineId: $id }) { totalCount }",
        ] {
            let reply = client.ask(&format!("query ($id: ID!) {{ {query} }}"), json!({ "id": id })).await;
            assert_eq!(reply.code(), "NOT_FOUND", "{query} {id}: {}", reply.text);
        }
    }
    for rubbish in ["", "x", "1", "00000000-0000-0000-0000-00000000000g", "' or 1=1", "\u{0}", "🦆"] {
        for query in [
            "query ($id: ID!) { pipelineItem(id: $id) { title } }",
            "mutation ($id: ID!) { deleteItem(itemId: $id) { userErrors { code } } }",
        ] {
            let reply = client.ask(query, json!({ "id": rubbish })).await;
            assert!(
                ["VALIDATION_ERROR", "VARIABLES_INVALID", "GRAPHQL_VALIDATION_FAILED"].contains(&reply.code().as_str()),
                "{rubbish:?}: {}",
                reply.text
            );
        }
    }
    assert_eq!(heads(&world).await, before);
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused_with_its_argument() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (client, board) = (&acme.owner.client, acme.board().await);
    for _ in 0..3 {
        acme.item(&board).await;
    }
    let page = async |field: &str, arguments: &str| {
        client
            .ask(&format!("{{ it: {field}({arguments}) {{ nodes {{ __typename }} pageInfo {{ endCursor hasNextPage }} }} }}"), json!({}))
            .await
    };
    let cursor = async |field: &str, arguments: &str| {
        let reply = page(field, arguments).await;
        reply.body["data"]["it"]["pageInfo"]["endCursor"].as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned()
    };
    let by_rank = cursor("pipelineItems", "first: 1, orderBy: RANK").await;
    let by_title = cursor("members", "first: 1, orderBy: NAME").await;
    let upward = cursor("pipelineItems", "first: 1, orderBy: CREATED_AT_ASC").await;
    let mut trials = vec![];
    for field in ["pipelineItems", "pipelines", "members", "mySessions"] {
        for (arguments, says) in [
            ("first: 0".to_owned(), "first"),
            ("first: 101".to_owned(), "first"),
            ("first: -1".to_owned(), "first"),
            ("last: 0".to_owned(), "last"),
            ("last: 101".to_owned(), "last"),
            ("first: 1, last: 1".to_owned(), "last"),
            ("first: 1, after: \"rubbish\"".to_owned(), "after"),
            ("first: 1, after: \"\"".to_owned(), "after"),
            ("last: 1, before: \"e30\"".to_owned(), "before"),
            (format!("first: 1, after: \"{by_rank}\""), "after"),
        ] {
            trials.push((field, arguments, says));
        }
    }
    trials.push(("pipelineItems", format!("first: 1, orderBy: CREATED_AT_DESC, after: \"{upward}\""), "after"));
    trials.push(("pipelineItems", format!("first: 1, after: \"{by_title}\""), "after"));
    for (field, arguments, says) in trials {
        let reply = page(field, &arguments).await;
        assert_eq!(
            (reply.code().as_str(), &reply.body["data"]["it"]),
            ("VALIDATION_ERROR", &Value::Null),
            "{field}({arguments}): {}",
            reply.text
        );
        assert_eq!(reply.body["errors"][0]["extensions"]["details"][0]["field"], says, "{field}({arguments}): {}", reply.text);
    }
    // And what can be, shows each once, both ways.
    for orders in [
        ("CREATED_AT_DESC", "CREATED_AT_ASC"),
        ("UPDATED_AT_ASC", "UPDATED_AT_DESC"),
        ("PRIORITY_ASC", "PRIORITY_DESC"),
        ("DUE_DATE_ASC", "DUE_DATE_DESC"),
    ] {
        let mut walks = vec![];
        for (order, size, after) in [(orders.0, "first", "after"), (orders.1, "first", "after"), (orders.0, "last", "before")] {
            let (mut seen, mut more) = (vec![], String::new());
            loop {
                let query = format!(
                    "{{ it: pipelineItems({size}: 1, orderBy: {order}{more}) {{ edges {{ cursor node {{ id }} }} totalCount pageInfo {{ hasNextPage hasPreviousPage }} }} }}"
                );
                let data = client.get(&query, json!({})).await;
                assert_eq!(data["it"]["totalCount"], 3);
                seen.push(data["it"]["edges"][0]["node"]["id"].as_str().unwrap().to_owned());
                more = format!(", {after}: {}", data["it"]["edges"][0]["cursor"]);
                let again = if size == "first" { "hasNextPage" } else { "hasPreviousPage" };
                if data["it"]["pageInfo"][again] == false {
                    break;
                }
            }
            walks.push(seen);
        }
        let (there, mut back, mut from_the_end) = (walks[0].clone(), walks[1].clone(), walks[2].clone());
        back.reverse();
        from_the_end.reverse();
        assert_eq!((there.len(), &there, &there), (3, &back, &from_the_end), "{orders:?}");
    }
}
