//! What cannot be projected stands still alone: other read models and other tenants go on, it can be seen, and after
//! the mend it catches up.

use super::operations::{administrator, control};
use super::*;
use crate::harness::eventually;
use projections::Pace;
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
    let read_from_items = ["pipeline_item_counts", "pipeline_item_history", "pipeline_item_tags", "pipeline_items", "pipeline_metrics"];
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

/// The event before which a tenant's read model stands, once it is known.
async fn failing(world: &World, acme: &Acme, read_model: &str) -> i64 {
    eventually("the event at fault to be found", || async {
        sqlx::query_scalar::<_, Option<i64>>("select failing from read_models.parked where tenant_id = $1 and read_model = $2")
            .bind(acme.id.0)
            .bind(read_model)
            .fetch_optional(&world.app.pools.worker)
            .await
            .unwrap()
            .flatten()
    })
    .await
}

fn skip(acme: &Acme, read_model: &str, position: i64) -> String {
    format!("readModel: \"{read_model}\", workspace: \"{}\", position: \"{position}\", reason: \"a duck is no item\"", acme.slug)
}

/// The rows of a tenant's read model, as JSON.
async fn rows(world: &World, acme: &Acme, read_model: &str) -> Vec<String> {
    let sql = format!("select row_to_json(t)::text from read_models.{read_model} t where tenant_id = $1 order by 1");
    sqlx::query_scalar(&sql).bind(acme.id.0).fetch_all(&world.app.pools.worker).await.unwrap()
}

#[tokio::test]
async fn an_event_that_is_skipped_is_passed_over_by_the_retry_every_replay_and_every_rebuild() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let acme = Acme::new(&world, "acme").await;
    let board = acme.board().await;
    acme.item(&board).await;
    let mut admin = world.database.admin().await;
    admin.execute("alter table read_models.pipeline_items add constraint no_ducks check (title <> 'Duck')").await.unwrap();
    let create = |title: &str| format!("input: {{ pipelineId: \"{}\", title: \"{title}\" }}", board.id);
    acme.owner.client.mutate("createItem", &create("Duck"), "id").await;
    let duck = heads(&world).await[&acme.id.0];
    settled(&world, &acme, &["pipeline_items"]).await;
    for n in 0..7 {
        acme.owner.client.mutate("createItem", &create(&format!("Behind it {n}")), "id").await;
    }
    assert_eq!(failing(&world, &acme, "pipeline_items").await, duck, "the retries have found which event it is");

    let root = administrator(&world).await;
    let status = "{ projectionStatus { parked { workspaceId readModel failing error attempts } readModels { name parked lagEvents } } }";
    let status = root.client.get(status, json!({})).await["projectionStatus"].clone();
    let parked = &status["parked"][0];
    assert_eq!((&parked["readModel"], &parked["failing"]), (&json!("pipeline_items"), &json!(duck.to_string())), "{status}");
    assert!(parked["error"].as_str().unwrap().contains("no_ducks") && parked["workspaceId"] == acme.id.to_string(), "{status}");
    let model = status["readModels"].as_array().unwrap().iter().find(|model| model["name"] == "pipeline_items").unwrap();
    assert!(model["parked"] == 1 && model["lagEvents"].as_i64().unwrap() >= 8, "{status}");

    // A retry says that nothing is mended, and another event cannot be skipped in its place.
    let retry = format!("readModel: \"pipeline_items\", workspace: \"{}\", reason: \"perhaps now\"", acme.slug);
    let reply = control(&root.client, "retryProjection", &retry).await;
    assert!(reply.payload()["standing"][0]["error"].as_str().unwrap().contains("no_ducks"), "{}", reply.text);
    let reply = control(&root.client, "skipProjectionEvent", &skip(&acme, "pipeline_items", duck + 1)).await;
    assert_eq!(reply.user_errors(), [("NOT_PARKED".to_owned(), vec!["position".to_owned()])], "{}", reply.text);
    assert!(reply.text.contains(&format!("before event {duck}")), "{}", reply.text);

    let reply = control(&root.client, "skipProjectionEvent", &skip(&acme, "pipeline_items", duck)).await;
    assert_eq!((&reply.payload()["caughtUp"], reply.user_errors()), (&json!(1), vec![]), "{}", reply.text);
    settled(&world, &acme, &[]).await;
    let mut shown = titles(&acme).await;
    shown.sort();
    assert_eq!(shown.len(), 8);
    assert!(shown.contains(&"Behind it 6".to_owned()) && !shown.contains(&"Duck".to_owned()), "{shown:?}");
    let history = "{ pipelineItems { nodes { id } } }";
    acme.owner.client.get(history, json!({})).await;
    let histories = "select count(*) from read_models.pipeline_item_history where tenant_id = $1 and position = $2";
    let kept: i64 = sqlx::query_scalar(histories).bind(acme.id.0).bind(duck).fetch_one(&mut admin).await.unwrap();
    assert_eq!(kept, 1, "other read models have taken it in");

    // It is an event of the workspace's log, by the program on behalf of the administrator, with a sealed reason.
    let (payload, metadata): (String, String) = sqlx::query_as(
        "select payload::text, metadata::text from event_store.events where tenant_id = $1 and event_type = 'ProjectionEventSkipped'",
    )
    .bind(acme.id.0)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(payload.contains("\"read_model\":\"pipeline_items\"") && !payload.contains("a duck is no item"), "{payload}");
    assert!(metadata.contains(&root.id.to_string()) && metadata.contains("operators"), "{metadata}");

    // Rows after the retry, of a replay, and of a rebuild, are the same; also where nothing stands in the way any more.
    admin.execute("alter table read_models.pipeline_items drop constraint no_ducks").await.unwrap();
    let live = rows(&world, &acme, "pipeline_items").await;
    assert_eq!(live.len(), 8);
    equals_its_replay(&world.app).await;
    let projector = world.projector().await;
    projections::rebuild(&projector, &["pipeline_items".to_owned()], Pace::FULL, &mut |_| {}).await.unwrap();
    assert_eq!(rows(&world, &acme, "pipeline_items").await, live);
    projecting.stop().await;
    equals_its_replay(&world.app).await;
    world.audit().await;
}

#[tokio::test]
async fn a_retry_after_the_mend_catches_up_at_once() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let acme = Acme::new(&world, "acme").await;
    let board = acme.board().await;
    let mut admin = world.database.admin().await;
    admin.execute("alter table read_models.pipeline_items add constraint no_ducks check (title <> 'Duck')").await.unwrap();
    acme.owner.client.mutate("createItem", &format!("input: {{ pipelineId: \"{}\", title: \"Duck\" }}", board.id), "id").await;
    settled(&world, &acme, &["pipeline_items"]).await;
    projecting.stop().await;
    admin.execute("alter table read_models.pipeline_items drop constraint no_ducks").await.unwrap();
    // By itself it would be tried an hour from now.
    admin.execute("update read_models.parked set retry_at = clock_timestamp() + interval '1 hour'").await.unwrap();
    let projecting = world.projecting().await;
    let root = administrator(&world).await;
    let reply = control(&root.client, "retryProjection", "readModel: \"pipeline_items\", reason: \"mended\"").await;
    assert_eq!((&reply.payload()["caughtUp"], reply.user_errors()), (&json!(1), vec![]), "{}", reply.text);
    settled(&world, &acme, &[]).await;
    projecting.stop().await;
    equals_its_replay(&world.app).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_read_shows_as_everything_standing_still_and_comes_back_when_it_is_mended() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let (acme, other) = (Acme::new(&world, "acme").await, Acme::new(&world, "other").await);
    let board = acme.board().await;
    projecting.stop().await;
    acme.owner.client.mutate("createItem", &format!("input: {{ pipelineId: \"{}\", title: \"One\" }}", board.id), "id").await;
    acme.owner.client.mutate("createItem", &format!("input: {{ pipelineId: \"{}\", title: \"Two\" }}", board.id), "id").await;

    // Somebody with all power over the database takes an event out, and puts it back later.
    let mut admin = world.database.admin().await;
    let gap = heads(&world).await[&acme.id.0] - 1;
    let move_to = |from: i64, to: i64| {
        format!(
            "begin; set local session_replication_role = replica; \
             update event_store.events set position = {to} where tenant_id = '{}' and position = {from}; commit",
            acme.id
        )
    };
    admin.execute(move_to(gap, 1_000_000).as_str()).await.unwrap();
    let projecting = world.projecting().await;
    let root = administrator(&world).await;
    let ask = "{ projectionStatus { parked { workspaceId readModel error } readModels { name parked } } }";
    let status = eventually("the trouble to show", || async {
        let data = root.client.get(ask, json!({})).await;
        (data["projectionStatus"]["parked"] != json!([])).then(|| data["projectionStatus"].clone())
    })
    .await;
    let parked = &status["parked"][0];
    assert_eq!((&parked["workspaceId"], &parked["readModel"]), (&json!(acme.id.to_string()), &Value::Null), "{status}");
    assert!(parked["error"].as_str().unwrap().contains("gap"), "{status}");
    assert!(status["readModels"].as_array().unwrap().iter().all(|model| model["parked"] == 1), "{status}");
    other.board().await;

    admin.execute(move_to(1_000_000, gap).as_str()).await.unwrap();
    eventually("the log to be taken in", || async {
        control(
            &root.client,
            "retryProjection",
            &format!("readModel: \"pipeline_items\", workspace: \"{}\", reason: \"mended\"", acme.slug),
        )
        .await;
        let data = root.client.get(ask, json!({})).await;
        (data["projectionStatus"]["parked"] == json!([])).then_some(())
    })
    .await;
    projecting.stop().await;
    equals_its_replay(&world.app).await;
    world.audit().await;
}
