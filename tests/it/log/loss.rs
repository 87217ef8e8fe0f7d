//! The database may go away at any moment: in the middle of a transaction, or behind the commit with the answer
//! still on its way. Every command is answered, none is lost and none is written twice.

use crate::harness::{Log, Process, Team, Wire, audit, keyed, record};
use domain::ItemId;
use domain::pipeline::PipelineItem;
use futures::future::join_all;
use rand::Rng;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ITEMS: usize = 40;
const EACH: usize = 50;

/// Sends 50 commands to each of 40 items of four tenants, every other one keyed, and proves that each was written once.
async fn two_thousand(log: &Log, process: &Process) {
    let mut items: Vec<(Team, ItemId)> = Vec::new();
    for _ in 0..4 {
        let team = Team::new(log).await;
        let board = team.board(2).await;
        for _ in 0..ITEMS / 4 {
            items.push((team.through(process), team.item(&board).await));
        }
    }
    let sent = items.iter().map(|(team, item)| {
        let (team, item) = (team.clone(), *item);
        tokio::spawn(async move {
            let sends = (0..EACH).map(|n| {
                let request = team.by(team.owner);
                let request = if n % 2 == 0 { keyed(request, format!("{item} {n}")) } else { request };
                let (team, name) = (team.clone(), format!("activity {n}"));
                async move {
                    team.process.send::<PipelineItem>(request, item, record(name)).await.unwrap_or_else(|error| panic!("{n}: {error:?}"))
                }
            });
            join_all(sends).await
        })
    });
    let sent: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();

    let events = audit(log).await;
    let places: HashMap<_, _> = events.iter().map(|event| ((event.tenant, event.position), event)).collect();
    for ((team, item), committed) in items.iter().zip(sent) {
        for (n, committed) in committed.into_iter().enumerate() {
            let event = places[&(team.tenant, committed.position())];
            let name = format!("\"name\":\"activity {n}\"");
            assert!(event.aggregate_id == item.to_string() && event.payload.contains(&name), "{n} was told {committed:?}");
        }
    }
    assert_eq!(events.iter().filter(|event| event.event_type == "PipelineItemActivityRecorded").count(), ITEMS * EACH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_killed_at_any_moment_lose_nothing_and_repeat_nothing() {
    let log = Arc::new(Log::new().await);
    let stop = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn({
        let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
        async move {
            let mut killed = 0;
            while !stop.load(Ordering::SeqCst) {
                // At random moments, and seldom enough that a transaction gets through in between.
                let pause = rand::thread_rng().gen_range(1..120);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                            where datname = current_database() and application_name = 'annals_api' and query like '%event_store.append%'";
                killed += sqlx::query_scalar::<_, i64>(kill).fetch_one(&log.admin).await.unwrap();
            }
            killed
        }
    });
    two_thousand(&log, &log.process).await;
    stop.store(true, Ordering::SeqCst);
    let killed = killer.await.unwrap();
    assert!(killed > 5, "only {killed} connections were killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_lost_behind_the_commit_are_found_again_in_the_log() {
    let log = Log::new().await;
    let wire = Wire::to(log.database.options()).await;
    let process = log.process_through(&wire);
    two_thousand(&log, &process).await;
    let lost = wire.lost();
    assert!(lost > 10, "only {lost} answers were lost");
}
