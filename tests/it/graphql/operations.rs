//! What administrators of the platform see and do, by GraphQL: the status of read models, retries and skips, and what
//! they are refused.

use super::*;
use crate::harness::eventually;
use api::operations::set_administrator;

const STATUS: &str =
    "{ projectionStatus { logs events projected readModels { name version storedVersion lagEvents parked rebuild { events } }
  behind { workspaceId head checkpoint lagSeconds } parked { workspaceId readModel position failing error attempts retryAt since }
  workers { id shards version } } }";

/// Somebody who administers the platform, and is a member of no workspace but their own.
pub(super) async fn administrator(world: &World) -> Person {
    let root = person(&world.app, &world.http(), "root").await;
    let email = format!("root-{}@people.example", &root.id.0.simple().to_string()[20..]);
    set_administrator(&world.app, &Email::try_from(email).unwrap(), true).await.unwrap();
    root
}

/// An answer to `retryProjection` or `skipProjectionEvent`.
pub(super) async fn control(client: &Client, field: &str, arguments: &str) -> Reply {
    let parked = "{ workspaceId readModel failing error }";
    let query = format!(
        "mutation {{ it: {field}({arguments}) {{ caughtUp standing {parked} waiting {parked} userErrors {{ code message field }} }} }}"
    );
    client.ask(&query, json!({})).await
}

#[tokio::test]
async fn an_administrator_of_the_platform_sees_how_read_models_stand_and_nobody_else_does() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    acme.item(&acme.board().await).await;
    let root = administrator(&world).await;
    let status = eventually("everything to be projected", || async {
        let status = root.client.get(STATUS, json!({})).await["projectionStatus"].clone();
        (status["events"] == status["projected"]).then_some(status)
    })
    .await;
    assert_eq!((&status["logs"], &status["parked"]), (&json!(2), &json!([])), "{status}");
    let read_models = status["readModels"].as_array().unwrap();
    assert_eq!(read_models.len(), projections::names().len());
    assert!(read_models.iter().all(|model| model["version"] == model["storedVersion"] && model["parked"] == 0), "{status}");

    for stranger in [&acme.owner.client, &Client { workspace: None, ..acme.owner.client.clone() }] {
        assert_eq!(stranger.ask(STATUS, json!({})).await.code(), "FORBIDDEN");
        let reply = control(stranger, "retryProjection", "readModel: \"pipeline_items\", reason: \"why\"").await;
        assert_eq!(reply.code(), "FORBIDDEN", "{}", reply.text);
        assert!(reply.text.contains("system.projections"), "{}", reply.text);
    }
    // What is taken counts at once.
    let email = format!("root-{}@people.example", &root.id.0.simple().to_string()[20..]);
    set_administrator(&world.app, &Email::try_from(email).unwrap(), false).await.unwrap();
    assert_eq!(root.client.ask(STATUS, json!({})).await.code(), "FORBIDDEN");
    world.audit().await;
}

#[tokio::test]
async fn a_retry_or_a_skip_of_what_does_not_stand_still_is_refused_with_its_argument() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    acme.item(&acme.board().await).await;
    let root = administrator(&world).await;
    let before = heads(&world).await;
    let head = before[&acme.id.0];
    let skip = |read_model: &str, workspace: &str, position: i64, reason: &str| {
        let arguments = format!("readModel: \"{read_model}\", workspace: \"{workspace}\", position: \"{position}\", reason: \"{reason}\"");
        ("skipProjectionEvent", arguments)
    };
    let retry = |read_model: &str, more: &str, reason: &str| {
        ("retryProjection", format!("readModel: \"{read_model}\", {more} reason: \"{reason}\""))
    };
    for ((field, arguments), code, at) in [
        (skip("pipeline_things", &acme.slug, 1, "why"), "READ_MODEL_NOT_FOUND", "readModel"),
        (skip("checkpoints", &acme.slug, 1, "why"), "READ_MODEL_NOT_FOUND", "readModel"),
        (skip("pipeline_items", "nowhere", 1, "why"), "NOT_FOUND", "workspace"),
        (skip("pipeline_items", &acme.slug, head + 1, "why"), "POSITION_NOT_FOUND", "position"),
        (skip("pipeline_items", &acme.slug, 0, "why"), "POSITION_NOT_FOUND", "position"),
        (skip("pipeline_items", &acme.slug, head, "why"), "NOT_PARKED", "readModel"),
        (skip("pipeline_items", &acme.slug, head, "  "), "REASON_REQUIRED", "reason"),
        (skip("pipeline_items", &acme.slug, head, &"x".repeat(1001)), "VALIDATION_ERROR", "reason"),
        (retry("pipeline_things", "", "why"), "READ_MODEL_NOT_FOUND", "readModel"),
        (retry("pipeline_items", "workspace: \"nowhere\",", "why"), "NOT_FOUND", "workspace"),
        (retry("pipeline_items", "", "why"), "NOT_PARKED", "readModel"),
        (retry("pipeline_items", "", ""), "REASON_REQUIRED", "reason"),
    ] {
        let reply = control(&root.client, field, &arguments).await;
        assert_eq!(reply.user_errors(), [(code.to_owned(), vec![at.to_owned()])], "{field}({arguments}): {}", reply.text);
    }
    assert_eq!(heads(&world).await, before, "and nothing was written");
}
