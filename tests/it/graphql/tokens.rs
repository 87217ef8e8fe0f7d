//! Consistency tokens, and what happens when read models lag behind.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::{Duration, Instant};

const TOKEN: &str = "Annals-Consistency-Token";

fn pairs(pairs: Value) -> String {
    URL_SAFE_NO_PAD.encode(pairs.to_string())
}

#[tokio::test]
async fn a_query_with_a_token_waits_for_the_write_it_stands_for() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let acme = Acme::new(&world, "acme").await;
    let board = acme.board().await;
    projecting.stop().await;

    let began = Instant::now();
    let input = format!("input: {{ pipelineId: \"{}\", title: \"Late\" }}", board.id);
    let reply = acme.owner.client.mutate("createItem", &input, "id").await;
    assert!(began.elapsed() >= Duration::from_secs(2), "it waits for its own read model");
    assert_eq!((reply.status, reply.code().as_str()), (PARTIAL, "READ_MODEL_BEHIND"), "{}", reply.text);
    assert_eq!(reply.body["errors"][0]["path"], json!(["it", "entity"]));
    let payload = reply.payload();
    assert_eq!((&payload["entity"], &payload["userErrors"]), (&Value::Null, &json!([])), "the write stands");
    let token = payload["consistencyToken"].as_str().unwrap().to_owned();

    let ask = "{ pipelineItems { nodes { title } } }";
    let behind = acme.owner.client.ask(ask, json!({})).await;
    assert_eq!(behind.body["data"]["pipelineItems"]["nodes"], json!([]), "without a token, what there is");
    let began = Instant::now();
    let stale = acme.owner.client.with(TOKEN, &token).ask(ask, json!({})).await;
    assert_eq!(stale.code(), "STALE_READ", "{}", stale.text);
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&began.elapsed()));

    // One that waits is answered as soon as the projector is back.
    let client = acme.owner.client.with(TOKEN, &token);
    let waiting = tokio::spawn(async move { client.get(ask, json!({})).await });
    let projecting = world.projecting().await;
    assert_eq!(waiting.await.unwrap()["pipelineItems"]["nodes"], json!([{ "title": "Late" }]));
    projecting.stop().await;
}

#[tokio::test]
async fn a_token_of_a_stranger_is_ignored_and_rubbish_is_refused() {
    let world = World::new().await;
    let (acme, other) = (Acme::new(&world, "acme").await, Acme::new(&world, "other").await);
    let ask = "{ pipelineItems { totalCount } me { id } }";
    let client = |token: String| acme.owner.client.with(TOKEN, token);
    for ignored in [pairs(json!([])), pairs(json!([[other.id, 1_000_000]])), pairs(json!([[clock::new_uuid(), 5]]))] {
        let began = Instant::now();
        client(ignored).get(ask, json!({})).await;
        assert!(began.elapsed() < Duration::from_millis(1500), "nothing to wait for");
    }
    let never = client(pairs(json!([[other.id, 7], [acme.id, 1_000_000]]))).ask(ask, json!({})).await;
    assert_eq!((never.code().as_str(), &never.body["data"]["pipelineItems"]), ("STALE_READ", &Value::Null));
    assert_eq!(never.body["data"]["me"]["id"], json!(acme.owner.id), "only what the token is about is stale");
    let many: Vec<Value> = (0..21).map(|_| json!([clock::new_uuid(), 1])).collect();
    for rubbish in
        ["x".to_owned(), "%%%".to_owned(), pairs(json!({})), pairs(json!([[acme.id]])), pairs(json!([[acme.id, -1]])), pairs(json!(many))]
    {
        let reply = client(rubbish).ask(ask, json!({})).await;
        assert_eq!((reply.code().as_str(), reply.body.get("data")), ("VALIDATION_ERROR", None), "{}", reply.text);
        assert!(reply.text.contains(TOKEN), "{}", reply.text);
    }
}

#[tokio::test]
async fn reading_with_the_token_of_each_write_always_shows_it() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let board = acme.board().await;
    for n in 1..=20 {
        let input = format!("input: {{ pipelineId: \"{}\", title: \"Item {n}\" }}", board.id);
        let made = acme.owner.client.run("createItem", &input, "id title").await;
        assert_eq!(made["entity"]["title"], format!("Item {n}"), "the payload shows the write itself");
        let client = acme.owner.client.with(TOKEN, made["consistencyToken"].as_str().unwrap());
        let seen = client.get("{ pipelineItems { totalCount } }", json!({})).await;
        assert_eq!(seen["pipelineItems"]["totalCount"], n);
    }
}
