//! What cannot be projected stands still alone: other read models and other tenants go on, it can be seen, and after
//! the mend it catches up.

use super::*;
use crate::harness::eventually;
use sqlx::Executor;

/// The names of a tenant's parked read models.
async fn parked(world: &World, acme: &Acme) -> Vec<String> {
    sqlx::query_scalar("select read_model from read_models.parked where tenant_id = $1 order by 1")
        .bind(acme.id.0)
        .fetch_all(&world.app.pools.worker)
        .await
        .unwrap()
}

/// What an operator does who has mended it and does not want to wait.
const RETRY: &str = "update read_models.parked set retry_at = clock_timestamp()";

async fn settled(world: &World, acme: &Acme, expected: &[&str]) {
    let standing = async || {
        let sql = "select read_model || ' at ' || position || ': ' || error from read_models.parked where tenant_id = $1 order by 1";
        sqlx::query_scalar::<_, String>(sql).bind(acme.id.0).fetch_all(&world.app.pools.worker).await.unwrap()
    };
    let what = format!("{expected:?} to be parked");
    let wait = eventually(&what, || async { (parked(world, acme).await == expected).then_some(()) });
    let outcome = tokio::time::timeout(std::time::Duration::from_secs(15), wait).await;
    assert!(outcome.is_ok(), "{expected:?} should be parked, and there stand {:#?}", standing().await);
}

async fn titles(acme: &Acme) -> Vec<String> {
    let data = acme.owner.client.get("{ pipelineItems(orderBy: CREATED_AT_ASC) { nodes { title } } }", json!({})).await;
    data["pipelineItems"]["nodes"].as_array().unwrap().iter().map(|node| node["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_row_that_the_database_refuses_stops_one_read_model_of_one_tenant() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let (acme, other) = (Acme::new(&world, "acme").await, Acme::new(&world, "other").await);
    let (board, others) = (acme.board().await, other.board().await);
    let good = acme.item(&board).await;
    let mut admin = world.database.admin().await;
    admin.execute("alter table read_models.pipeline_items add constraint no_ducks check (title <> 'Duck')").await.unwrap();

    let input = format!("input: {{ pipelineId: \"{}\", title: \"Duck\" }}", board.id);
    let reply = acme.owner.client.mutate("createItem", &input, "id").await;
    assert_eq!(
        (reply.code().as_str(), &reply.payload()["userErrors"]),
        ("READ_MODEL_BEHIND", &json!([])),
        "the write stands: {}",
        reply.text
    );
    settled(&world, &acme, &["pipeline_items"]).await;

    // Everything else of the tenant, and everybody else, goes on.
    acme.owner.client.run("renameWorkspace", "name: \"Goes on\"", "name").await;
    acme.board().await;
    other.item(&others).await;
    assert_eq!(titles(&acme).await, ["acme item"]);
    let history = format!("{{ itemHistory(itemId: \"{good}\") {{ nodes {{ kind }} }} }}");
    acme.owner.client.get(&history, json!({})).await;
    let stale = acme.owner.client.with("Annals-Consistency-Token", reply.payload()["consistencyToken"].as_str().unwrap());
    assert_eq!(
        stale.ask("{ pipelineItems { totalCount } }", json!({})).await.code(),
        "STALE_READ",
        "and says so to who asks for the write"
    );
    let (attempts, error): (i32, String) = sqlx::query_as("select attempts, error from read_models.parked where tenant_id = $1")
        .bind(acme.id.0)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!(attempts >= 0 && error.contains("no_ducks"), "{error}");

    admin.execute("alter table read_models.pipeline_items drop constraint no_ducks").await.unwrap();
    admin.execute(RETRY).await.unwrap();
    settled(&world, &acme, &[]).await;
    assert_eq!(titles(&acme).await, ["acme item", "Duck"]);
    projecting.stop().await;
    equals_its_replay(&world.app).await;
    world.audit().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_stops_the_read_models_of_its_aggregate_and_of_no_other() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let (acme, other) = (Acme::new(&world, "acme").await, Acme::new(&world, "other").await);
    let (board, others) = (acme.board().await, other.board().await);
    let (item, whole) = (acme.item(&board).await, acme.item(&board).await);
    projecting.stop().await;
    let title = format!("itemId: \"{item}\", input: {{ title: \"Changed\" }}");
    assert_eq!(acme.owner.client.mutate("updateItem", &title, "id").await.code(), "READ_MODEL_BEHIND");

    // Somebody with all power over the database spoils the last event.
    let mut admin = world.database.admin().await;
    let last = heads(&world).await[&acme.id.0];
    let of_last = format!("tenant_id = '{}' and position = {last}", acme.id);
    let spoil = |payload: &str| {
        format!(
            "begin; set local session_replication_role = replica; update event_store.events set payload = '{payload}' where {of_last}; commit"
        )
    };
    let kept: String =
        sqlx::query_scalar(&format!("select payload::text from event_store.events where {of_last}")).fetch_one(&mut admin).await.unwrap();
    admin.execute(spoil(r#"{"type":"PipelineItemUpdated","title":7}"#).as_str()).await.unwrap();

    let projecting = world.projecting().await;
    let read_from_items = ["pipeline_item_history", "pipeline_item_tags", "pipeline_items"];
    settled(&world, &acme, &read_from_items).await;
    acme.owner.client.run("renameWorkspace", "name: \"Goes on\"", "name").await;
    acme.board().await;
    other.item(&others).await;
    assert_eq!(titles(&acme).await, ["acme item", "acme item"], "what was shown is still shown");
    let reply = acme.owner.client.mutate("addItemTag", &format!("itemId: \"{whole}\", tag: \"t\""), "id").await;
    assert_eq!(reply.code(), "READ_MODEL_BEHIND", "other items can be changed: {}", reply.text);

    admin.execute(spoil(&kept.replace('\'', "''")).as_str()).await.unwrap();
    admin.execute(RETRY).await.unwrap();
    settled(&world, &acme, &[]).await;
    let mut shown = titles(&acme).await;
    shown.sort();
    assert_eq!(shown, ["Changed", "acme item"]);
    projecting.stop().await;
    equals_its_replay(&world.app).await;
    world.audit().await;
}
