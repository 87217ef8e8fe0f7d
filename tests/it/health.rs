//! What operators and browsers find beside the API: health, metrics, the schema, the page to try it with.

use crate::harness::{Database, World, eventually};
use api::serve::Options;
use serde_json::json;
use std::net::SocketAddr;

async fn fetch(url: &str) -> (u16, String, String) {
    let response = reqwest::get(url).await.unwrap();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    (response.status().as_u16(), kind, response.text().await.unwrap())
}

#[tokio::test]
async fn health_is_told_on_both_listeners_and_metrics_on_the_inner_one_alone() {
    api::metrics::start();
    let options = Options { admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))), ..Options::default() };
    let world = World::on(Database::new().await, options).await;
    let inner = format!("http://{}", world.running.admin_address.unwrap());
    for url in [&world.http(), &inner] {
        assert_eq!(fetch(&format!("{url}/livez")).await.0, 200);
        let (status, _, text) = fetch(&format!("{url}/readyz")).await;
        assert_eq!((status, text.as_str()), (200, "ready\n"));
    }
    let registered = world.register("ada@example.org").await;
    let user = registered["user"]["id"].as_str().unwrap().parse().unwrap();
    let name = "mutation { updateProfile(input: { firstName: \"Ada\" }) { userErrors { code } } renameWorkspace(name: \"x\") { userErrors { code } } }";
    world.graphql(user, None, name, json!({})).await;
    let (status, kind, text) = fetch(&format!("{inner}/metrics")).await;
    assert_eq!(status, 200);
    assert!(kind.starts_with("text/plain; version=0.0.4") && text.contains("http_request_seconds_count"), "{kind}: {text}");
    assert!(text.contains("command_seconds_count{command=\"UpdateProfile\",outcome=\"committed\"} 1"), "{text}");
    assert!(text.contains("errors_total{code=\"VALIDATION_ERROR\"} 1"), "{text}");
    assert!(!text.contains("ada@example.org"));
    assert_eq!(fetch(&format!("{}/metrics", world.http())).await.0, 404);
}

#[tokio::test]
async fn a_process_whose_database_is_gone_is_alive_and_not_ready() {
    let world = World::new().await;
    world.app.pools.close().await;
    assert_eq!(fetch(&format!("{}/livez", world.http())).await.0, 200);
    let (status, _, text) = fetch(&format!("{}/readyz", world.http())).await;
    assert_eq!(status, 503);
    assert!(text.starts_with("not ready\n"), "{text}");
}

#[tokio::test]
async fn a_process_whose_read_models_a_newer_program_has_taken_over_is_alive_and_says_so() {
    let world = World::new().await;
    let newer = "update read_models.versions set version = version + 1 where read_model = 'pipeline_items'";
    sqlx::query(newer).execute(&mut world.database.admin().await).await.unwrap();
    let text = eventually("the process to stand down", || async {
        let (status, _, text) = fetch(&format!("{}/readyz", world.http())).await;
        (status == 503).then_some(text)
    })
    .await;
    assert!(text.contains("pipeline_items is at version") && text.contains("stands down"), "{text}");
    assert_eq!(fetch(&format!("{}/livez", world.http())).await.0, 200);
}

#[tokio::test]
async fn the_schema_is_the_one_that_is_kept_with_the_code() {
    let world = World::new().await;
    let (status, kind, text) = fetch(&format!("{}/schema.graphql", world.http())).await;
    assert_eq!((status, kind.as_str()), (200, "application/graphql; charset=utf-8"));
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/schema.graphql")).unwrap();
    assert!(text.trim_end() == kept.trim_end(), "fixtures/schema.graphql is not the schema of this program: `make sdl` makes it anew");
}

#[tokio::test]
async fn a_browser_gets_a_page_that_needs_nothing_from_elsewhere() {
    let world = World::new().await;
    let page = world
        .client
        .get(format!("{}/graphql", world.http()))
        .header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");
    let html = page.text().await.unwrap();
    assert!(!html.contains("https://") && !html.contains("http://"), "{html}");
    let assets: Vec<&str> = html.split('"').filter(|part| part.starts_with("/graphql/assets/")).collect();
    assert!(assets.len() >= 5, "{html}");
    for asset in assets {
        let response = world.client.get(format!("{}{asset}", world.http())).send().await.unwrap();
        assert_eq!(response.status(), 200, "{asset}");
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        assert!(response.bytes().await.unwrap().len() > 100, "{asset}");
    }
    // What is no browser gets GraphQL.
    let answer = world.client.post(format!("{}/graphql", world.http())).json(&json!({ "query": "{ __typename }" })).send().await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap(), json!({ "data": { "__typename": "Query" } }));
}
