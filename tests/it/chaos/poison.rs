//! An event that cannot be read, in the log under processes at work: everything else goes on, operators are told which it
//! is, and when it is mended it is as if it had never been. Killing the workers meanwhile changes nothing.

use super::Dice;
use super::load::{Load, WHOLE};
use crate::harness::eventually;
use crate::processes::{House, TOLD_SWIFT};
use serde_json::{Value, json};
use sqlx::Executor;

/// For each of them: in the workspace that is hurt each waits for a read model, and is told that it is behind.
const FEW: usize = 3;
/// The read models that read the events of items.
const OF_ITEMS: [&str; 5] = ["pipeline_item_counts", "pipeline_item_history", "pipeline_item_tags", "pipeline_items", "pipeline_metrics"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_poisoned_log_stops_what_reads_the_event_and_is_as_new_when_it_is_mended() {
    let mut house = House::new(TOLD_SWIFT, 2, 2).await;
    let load = Load::new(&house).await;
    let (tenant, pipeline) = load.place(0);
    // Nobody has read it yet when it is spoilt.
    for worker in &mut house.workers {
        worker.child.kill().await.unwrap();
    }
    let input = format!("input: {{ pipelineId: \"{pipeline}\", title: \"Poison\" }}");
    assert_eq!(load.owner(0).mutate("createItem", &input, "id").await.code(), "READ_MODEL_BEHIND");
    let (position, kept): (i64, String) =
        sqlx::query_as("select position, payload::text from event_store.events where tenant_id = $1 order by position desc limit 1")
            .bind(tenant)
            .fetch_one(&house.admin)
            .await
            .unwrap();
    let spoil = |payload: &str| {
        format!(
            "begin; set local session_replication_role = replica;
             update event_store.events set payload = '{}' where tenant_id = '{tenant}' and position = {position}; commit",
            payload.replace('\'', "''")
        )
    };
    house.admin.execute(spoil(r#"{"type":"PipelineItemCreated","title":7}"#).as_str()).await.unwrap();
    for n in 0..2 {
        house.workers[n] = house.start("worker");
    }

    // People work on, in that workspace too; what they write there is shown later.
    let mut dice = Dice::new();
    let mut people = load.begin("poisoned", FEW, &mut dice, WHOLE);
    let parked = eventually("operators to be told", || async {
        let status: Value = serde_json::from_str(&house.program.succeed(&["status", "--json"]).await).unwrap();
        let parked = status["parked"].as_array().unwrap().clone();
        let known = parked.len() == OF_ITEMS.len() && parked.iter().all(|entry| entry["failing"] == position);
        known.then_some(parked)
    })
    .await;
    let mut names: Vec<&str> = parked.iter().map(|entry| entry["read_model"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, OF_ITEMS);
    assert!(parked.iter().all(|entry| entry["workspace_id"] == json!(tenant.to_string())), "{parked:?}");
    assert!(parked[0]["error"].as_str().unwrap().contains(&format!("event {position}")), "{parked:?}");
    house.workers[0].child.kill().await.unwrap();
    house.workers[0] = house.start("worker");
    while let Some(person) = people.join_next().await {
        person.unwrap();
    }
    eventually("all logs to be read to the end", || async {
        let sql = "select count(*) from event_store.heads h left join read_models.checkpoints c using (tenant_id) where h.position > coalesce(c.position, 0)";
        (sqlx::query_scalar::<_, i64>(sql).fetch_one(&house.admin).await.unwrap() == 0).then_some(())
    })
    .await;
    let standing = "select distinct tenant_id from read_models.parked";
    let standing: Vec<sqlx::types::Uuid> = sqlx::query_scalar(standing).fetch_all(&house.admin).await.unwrap();
    assert_eq!(standing, [tenant], "no other workspace was hurt");

    let said = house.program.fail(&["retry", "pipeline_items", "--reason", "perhaps now"]).await;
    assert!(said.contains(&format!("event {position}")), "{said}");
    house.admin.execute(spoil(&kept).as_str()).await.unwrap();
    for name in OF_ITEMS {
        let retried = house.program.run(&["retry", name, "--reason", "mended"]).await;
        let said = String::from_utf8_lossy(&retried.stderr);
        assert!(retried.status.success() || said.contains("does not stand still"), "it was tried by itself at the most: {said}");
    }
    load.holds(&house, 0).await;
    house.stands().await;
}
