//! The program starts on an empty database, answers, and stops; what it wrote stands up to the audit.

use crate::harness::{World, eventually};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn somebody_registers_and_is_known_to_graphql_before_and_after_a_restart() {
    let world = World::new().await;
    let registered = world.register("ada@example.org").await;
    let user = registered["user"]["id"].as_str().unwrap_or_else(|| panic!("{registered}")).parse().unwrap();
    world.audit().await;
    let world = World::on(world.stop().await, api::serve::Options::default()).await;
    let answer = eventually("the user in the read model", || async {
        let answer = world.graphql(user, None, "{ me { email } }", json!({})).await;
        (answer["data"]["me"]["email"] == "ada@example.org").then_some(answer)
    })
    .await;
    assert_eq!(answer["errors"], json!(null));
    world.audit().await;
    drop(world.stop().await);
}
