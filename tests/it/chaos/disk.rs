//! The server's disk is full: what cannot be written is refused with a code, nothing that was answered as done is lost,
//! and when there is room again everything goes on by itself.

use super::faults::{Fault, Faults};
use super::load::{BROKEN, DEEDS, Load};
use super::site::{Environments, Site};
use super::{Dice, rounds};
use crate::harness::eventually;
use crate::processes::TOLD_SWIFT;
use serde_json::json;

/// How often people are told that something is wrong before there is room again.
const TOLD: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_refuses_what_it_cannot_hold_and_loses_nothing() {
    let dir = cluster::throwaway_dir().unwrap();
    let Some(faults) = Faults::of(dir.path(), "disk") else { return };
    let mut site = Site::new(dir, TOLD_SWIFT, Environments { server: faults.environment(), ..Environments::default() }).await;
    let mut dice = Dice::new();
    let load = Load::new(&site.house).await;
    for round in 1..=rounds().div_ceil(3) + 1 {
        // In every other round there is no room for the next segment of the write-ahead log either, which ends the server.
        let ends = round % 2 == 0;
        load.sign_in(&site.house, chrono::TimeDelta::zero());
        let hits = faults.hits(Fault::DiskFull);
        faults.set(Fault::DiskFull, 1);
        let mut people = load.begin(&round.to_string(), DEEDS, &mut dice, BROKEN);
        let told = || load.met().values().sum::<usize>() >= TOLD;
        eventually("people to notice", || async { (faults.hits(Fault::DiskFull) > hits && told()).then_some(()) }).await;
        if ends {
            // It has some segments in hand.
            let next = "select pg_logical_emit_message(false, 'chaos', 'something'), pg_switch_wal()";
            eventually("the server to end", || async {
                let switched = sqlx::query(next).execute(&site.house.admin).await;
                switched.is_err_and(|error| error.as_database_error().is_none()).then_some(())
            })
            .await;
        } else {
            let look = load.owner(0).try_ask("{ pipelineItems(first: 1) { totalCount } }", json!({})).await.unwrap();
            assert_eq!(look.code(), "", "what is there can be looked at: {}", look.text());
        }
        let refused = faults.hits(Fault::DiskFull) - hits;
        faults.set(Fault::DiskFull, 0);
        // Whoever watches over a server starts it again when it has ended.
        site.server.up().await;
        while let Some(person) = people.join_next().await {
            person.unwrap();
        }
        // What could not be written is tried again by itself.
        eventually("nothing to stand still", || async {
            (sqlx::query_scalar::<_, i64>("select count(*) from read_models.parked").fetch_one(&site.house.admin).await.unwrap() == 0)
                .then_some(())
        })
        .await;
        site.house.caught_up().await;
        eprintln!(
            "round {round}: {refused} writes found no room{}; met {:?}",
            if ends { ", and the server ended" } else { "" },
            load.met()
        );
    }
    load.holds(&site.house, 1).await;
    site.stands().await;
}
