//! The days of stages, through HTTP: what a count of the log gives.

use super::*;
use crate::harness::named;
use chrono::{DateTime, TimeDelta, Utc};
use domain::pipeline::{ItemCommand, PipelineItem};
use domain::{ItemId, PipelineId, Principal, StageId};
use event_store::Request;
use std::collections::BTreeMap;

/// What stages saw on days, counted from the stored events of items one by one: entered, left, seconds.
async fn counted(world: &World, acme: &Acme) -> BTreeMap<(String, String), (i64, i64, i64)> {
    let sql =
        "select event_type, payload from event_store.events where tenant_id = $1 and aggregate_type = 'pipeline_item' order by position";
    let events: Vec<(String, Value)> = sqlx::query_as(sql).bind(acme.id.0).fetch_all(&mut world.database.admin().await).await.unwrap();
    let mut days: BTreeMap<_, (i64, i64, i64)> = BTreeMap::new();
    for (kind, event) in events {
        let time = |field: &str| event[field].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        let (from, to) = match kind.as_str() {
            "PipelineItemCreated" => (None, "stage_id"),
            "PipelineItemMoved" => (Some("from"), "to"),
            "PipelineItemTransferred" => (Some("from_stage_id"), "stage_id"),
            _ => continue,
        };
        let (text, day) = (|field: &str| event[field].as_str().unwrap().to_owned(), time("entered_at").date_naive().to_string());
        if let Some(from) = from {
            let left = days.entry((day.clone(), text(from))).or_default();
            (left.1, left.2) = (left.1 + 1, left.2 + (time("entered_at") - time("left_stage_entered_at")).num_seconds());
        }
        days.entry((day, text(to))).or_default().0 += 1;
    }
    days
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_what_a_count_of_the_log_gives() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (owner, board, other) = (&acme.owner, acme.board().await, acme.board().await);
    let start: DateTime<Utc> = "2026-03-01T20:00:00Z".parse().unwrap();
    let send = async |item: Uuid, hours: i64, command: ItemCommand| {
        let request = Request {
            occurred_at: Some(start + TimeDelta::hours(hours)),
            ..Origin::new().request(Principal::User(owner.id), acme.id.into())
        };
        let target = if matches!(command, ItemCommand::CreateItem { .. }) { Target::New(item) } else { Target::Existing(item) };
        world.app.commands.execute::<PipelineItem>(&request, target, command).await.unwrap();
    };
    let create = || serde_json::from_value(json!({ "CreateItem": { "pipelineId": board.id, "title": "An item" } })).unwrap();
    let move_to = |n: usize| ItemCommand::MoveItem { to_stage_id: StageId(board.stages[n]), rank: None, note: None, attributes: None };
    for n in 0..4 {
        let item = clock::new_id::<ItemId>().0;
        send(item, n, create()).await;
        send(item, 3 * n + 2, move_to(1)).await;
        send(item, 4 * n + 20, move_to(2)).await;
        send(item, 5 * n + 40, move_to(0)).await;
        if n > 1 {
            let (pipeline_id, stage_id) = (PipelineId(other.id), StageId(other.stages[1]));
            send(item, 6 * n + 60, ItemCommand::TransferItem { pipeline_id, stage_id }).await;
        } else {
            send(item, 90, ItemCommand::AddItemTag { tag: named("hot") }).await;
            send(item, 91, ItemCommand::DeleteItem).await;
        }
    }
    let expected = counted(&world, &acme).await;
    assert!(expected.len() > 8 && expected.values().any(|(_, left, seconds)| *left > 1 && *seconds > 0), "{expected:?}");
    let asked = |pipeline: Uuid, from: &str, to: &str| {
        format!("{{ pipelineMetrics(id: \"{pipeline}\", from: \"{from}\", to: \"{to}\") {{ stageId day entered left seconds }} }}")
    };
    let shown = async |from: &str, to: &str| {
        let mut days = BTreeMap::new();
        for board in [&board, &other] {
            let data = owner.client.get(&asked(board.id, from, to), json!({})).await;
            for day in data["pipelineMetrics"].as_array().unwrap() {
                let (number, text) = (|field: &str| day[field].as_i64().unwrap(), |field: &str| day[field].as_str().unwrap().to_owned());
                assert!(board.stages.contains(&uuid(&day["stageId"])));
                days.insert((text("day"), text("stageId")), (number("entered"), number("left"), number("seconds")));
            }
        }
        days
    };
    equals_its_replay(&world.app).await;
    assert_eq!(shown("2025-06-01", "2026-06-01").await, expected);
    let one_day: BTreeMap<_, _> = expected.into_iter().filter(|((day, _), _)| day == "2026-03-02").collect();
    assert_eq!(shown("2026-03-02", "2026-03-02").await, one_day);
    for (from, to) in [("2026-03-02", "2026-03-01"), ("2025-06-01", "2026-06-02"), ("0001-01-01", "9999-12-31")] {
        let reply = owner.client.ask(&asked(board.id, from, to), json!({})).await;
        assert_eq!(reply.code(), "VALIDATION_ERROR", "{from} to {to}: {}", reply.text);
    }
    assert_eq!(owner.client.ask(&asked(clock::new_uuid(), "2026-03-01", "2026-03-02"), json!({})).await.code(), "NOT_FOUND");
    world.audit().await;
}
