//! Processes are told to stop while they are at work: what they have taken on they finish, and what they no longer take
//! on they do not do either.

use super::load::{DEEDS, Load, ROUND, WHOLE};
use super::{Dice, rounds};
use crate::harness::eventually;
use crate::processes::{House, Part, TOLD_SWIFT};
use futures::future::join_all;
use std::time::{Duration, Instant};

/// How long a process may take (issue: "drains within 30 s").
const DRAINED: Duration = Duration::from_secs(30);

/// Tells a process to stop; returns how long it took.
async fn stopped(part: &mut Part) -> Duration {
    let began = Instant::now();
    part.signal("-TERM");
    let status = tokio::time::timeout(DRAINED, part.child.wait()).await.expect("it ends in time").unwrap();
    assert_eq!(status.code(), Some(0), "in order");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_is_told_to_stop_under_load_answers_what_it_has_taken_on_and_does_nothing_else() {
    let mut house = House::new(TOLD_SWIFT, 2, 2).await;
    let mut dice = Dice::new();
    let load = Load::new(&house).await;
    for round in 1..=rounds() {
        load.sign_in(&house, chrono::TimeDelta::zero());
        // Nothing is broken, so nobody is told that anything is.
        let mut people = load.begin(&round.to_string(), DEEDS, &mut dice, WHOLE);
        let (after, one) = (dice.below(ROUND * 3 / 4), dice.below(2));
        eventually("work to be under way", || async { (load.answered() >= after).then_some(()) }).await;
        let (what, part) = match dice.below(3) {
            0 => ("worker", &mut house.workers[one]),
            _ => ("api", &mut house.apis[one]),
        };
        let pid = part.pid();
        let took = stopped(part).await;
        if what == "worker" {
            assert!(!house.leases().await.contains_key(&pid), "it has left its leases to others");
            house.workers[one] = house.start("worker");
        } else {
            house.apis[one] = house.start("api");
        }
        load.go_to(&house).await;
        while let Some(person) = people.join_next().await {
            person.unwrap();
        }
        house.caught_up().await;
        eprintln!("round {round} of {}: {what} told after {after} of {ROUND}, ended in {took:.1?}; met {:?}", rounds(), load.met());
    }
    // A request that is sent on a connection just when that is closed is cut off (RFC 9112, section 9.6); then it has
    // not been taken on.
    load.holds(&house, 0).await;
    house.stands().await;
}

/// Under way at once.
const WAITING: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_that_wait_for_the_database_when_the_process_is_told_to_stop_are_answered() {
    let mut house = House::new(TOLD_SWIFT, 1, 1).await;
    let acme = house.acme("acme", 0).await;
    let board = acme.board().await;
    let url = house.apis[0].url().await;
    let mut held = event_store::begin(&house.admin).await.unwrap();
    sqlx::query("select from event_store.heads where tenant_id = $1 for update").bind(acme.id.0).execute(&mut *held).await.unwrap();
    let input = |n: usize| format!("input: {{ pipelineId: \"{}\", title: \"Waiting {n}\" }}", board.id);
    let send = async |n: usize| match acme.owner.client.try_mutate("createItem", &input(n), "id").await {
        Ok(reply) => {
            assert!(reply.done(), "{}", reply.text());
            Some(format!("Waiting {n}"))
        }
        // Not taken on any more, or cut off before it was.
        Err(_) => None,
    };
    let first = async { send(0).await.expect("it was taken on") };
    let others = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually("a command to wait for the log", || async {
            (sqlx::query_scalar::<_, i64>(waiting).fetch_one(&house.admin).await.unwrap() > 0).then_some(())
        })
        .await;
        let told = async {
            acme.owner.client.dawdle(5).await;
            house.apis[0].signal("-TERM");
            eventually("nobody to be let in any more", || async { reqwest::get(format!("{url}/livez")).await.is_err().then_some(()) })
                .await;
            held.commit().await.unwrap();
        };
        tokio::join!(join_all((1..WAITING).map(send)), told).0
    };
    let (first, others) = tokio::join!(first, others);
    let status = tokio::time::timeout(DRAINED, house.apis[0].child.wait()).await.expect("it ends in time").unwrap();
    assert_eq!(status.code(), Some(0), "in order");
    let mut done: Vec<String> = others.into_iter().flatten().chain([first]).collect();
    eprintln!("{} of {WAITING} were taken on", done.len());
    let sql = "select payload ->> 'title' from event_store.events where tenant_id = $1 and payload ->> 'title' like 'Waiting %' order by 1";
    let there: Vec<String> = sqlx::query_scalar(sql).bind(acme.id.0).fetch_all(&house.admin).await.unwrap();
    done.sort();
    assert_eq!(there, done, "what was done was answered, and nothing else was done");
    house.stands().await;
}
