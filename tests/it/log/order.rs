//! Positions are dense and in commit order, whoever writes; no command is lost, halved or applied twice.

use crate::harness::{Log, Team, audit, code_of, create_item, move_to, named, new_id, record};
use domain::TenantId;
use domain::pipeline::{ItemCommand, PipelineItem};
use futures::future::join_all;
use sqlx::Row;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// Polls the whole log until told to stop. Whatever it has seen of a log is a beginning of it without gaps: nothing
/// ever appears below, and the head is as far as the events.
async fn watch(log: &Log, stop: &AtomicBool) -> HashMap<TenantId, i64> {
    let mut seen: HashMap<TenantId, i64> = HashMap::new();
    loop {
        let last = stop.load(Ordering::SeqCst);
        // One statement, so one snapshot.
        let rows = sqlx::query(
            "select h.tenant_id, h.position, count(e.position) as events, coalesce(max(e.position), 0) as last
             from event_store.heads h left join event_store.events e using (tenant_id) group by h.tenant_id, h.position",
        )
        .fetch_all(&log.admin)
        .await
        .unwrap();
        for row in rows {
            let (tenant, head) = (TenantId(row.get::<Uuid, _>("tenant_id")), row.get::<i64, _>("position"));
            assert_eq!((row.get::<i64, _>("events"), row.get::<i64, _>("last")), (head, head), "{tenant}: a gap, or a head that lies");
            let before = seen.insert(tenant, head).unwrap_or(0);
            assert!(before <= head, "{tenant}: the log went back from {before} to {head}");
        }
        if last {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn positions_are_dense_and_in_commit_order_under_200_writers_of_several_tenants_and_two_processes() {
    let log = Arc::new(Log::new().await);
    let other = log.another_process();
    let mut teams = Vec::new();
    for _ in 0..5 {
        let team = Team::new(&log).await;
        let board = team.board(3).await;
        teams.push((team, board));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn({
        let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
        async move { watch(&log, &stop).await }
    });
    let writers = (0..200_usize).map(|n| {
        let (team, board) = teams[n % teams.len()].clone();
        let team = if n % 2 == 0 { team } else { team.through(&other) };
        tokio::spawn(async move {
            let item = new_id::<domain::ItemId>();
            team.process.create::<PipelineItem>(team.by(team.owner), item, create_item(&board)).await.unwrap();
            for n in 0..3 {
                team.process.send::<PipelineItem>(team.by(team.owner), item, record(format!("step {n}"))).await.unwrap();
            }
            // To the terminal stage: two events.
            let committed = team.process.send::<PipelineItem>(team.by(team.owner), item, move_to(board.stages[2])).await.unwrap();
            assert_eq!(committed.events, 2);
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let seen = watcher.await.unwrap();
    let events = audit(&log).await;
    assert_eq!(seen.values().sum::<i64>(), events.len() as i64);
    // A workspace is created, joined, and has a pipeline of three stages, activated: 7. Then 40 times 6.
    assert_eq!(events.len(), 5 * (7 + 40 * 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_commands_on_one_aggregate_none_is_lost_and_none_applied_twice() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    let sent = (0..50).map(|n| {
        let team = if n % 2 == 0 { team.clone() } else { team.through(&other) };
        tokio::spawn(
            async move { team.process.send::<PipelineItem>(team.by(team.owner), item, record(format!("activity {n}"))).await.unwrap() },
        )
    });
    let committed: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();

    let events = audit(&log).await;
    let recorded: Vec<_> = events.iter().filter(|event| event.event_type == "PipelineItemActivityRecorded").collect();
    assert_eq!(recorded.len(), 50);
    for n in 0..50 {
        let name = format!("\"activity {n}\"");
        assert_eq!(recorded.iter().filter(|event| event.payload.contains(&name)).count(), 1, "{name}");
    }
    // What each was told is where its event stands.
    for (n, committed) in committed.iter().enumerate() {
        let event = events.iter().find(|event| event.tenant == team.tenant && event.position == committed.position()).unwrap();
        assert!(event.payload.contains(&format!("\"activity {n}\"")) && event.sequence == committed.sequence, "{committed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_commands_that_fill_an_aggregate_as_many_succeed_as_there_is_room() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    let sent = (0..50).map(|n| {
        let team = if n % 2 == 0 { team.clone() } else { team.through(&other) };
        let tag = ItemCommand::AddItemTag { tag: named(format!("tag {n}")) };
        tokio::spawn(async move { code_of(&team.process.send::<PipelineItem>(team.by(team.owner), item, tag).await) })
    });
    let codes: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(codes.iter().filter(|code| **code == "OK").count(), 20, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "TOO_MANY_TAGS").count(), 30, "{codes:?}");
    let state = log.state::<PipelineItem>(team.tenant, item).await;
    assert_eq!(state.card().unwrap().tags.len(), 20);
    audit(&log).await;
}
