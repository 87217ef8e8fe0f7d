//! Connections are cut under both API processes, before, in and behind the commit. Whatever was answered as done is in
//! the log, once; nothing is done twice.

use super::*;
use crate::harness::Wire;
use domain::ItemId;
use futures::future::join_all;
use std::cell::Cell;
use std::convert::Infallible;

const KEY: &str = "Idempotency-Key";
/// So many commands to each of so many items, half of them in each of two workspaces.
const ITEMS: usize = 8;
const EACH: usize = 25;
/// On each item.
const AT_ONCE: usize = 5;
/// By how many events the log grows between one cut and the next.
const GROWTH: i64 = 10;

/// Ends what appends for the program, time and again, but not before something has been written since. Counts how many.
async fn cuts(house: &House, cut: &Cell<i64>) -> Infallible {
    let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and application_name = 'annals_api' and query like '%event_store.append%'";
    let mut before = 0;
    loop {
        before = eventually("the log to grow", || async {
            let head = heads(house).await;
            (head >= before + GROWTH).then_some(head)
        })
        .await;
        cut.set(cut.get() + sqlx::query_scalar::<_, i64>(sql).fetch_one(&house.admin).await.unwrap());
    }
}

/// Where all logs end, added up.
async fn heads(house: &House) -> i64 {
    sqlx::query_scalar("select sum(position)::bigint from event_store.heads").fetch_one(&house.admin).await.unwrap()
}

async fn cut(setting: Setting) {
    let program = Program::new().await;
    let wire = Wire::to(program.database.options()).await;
    let house = House::over(program, wire.options(), setting, 2, 2).await;
    let urls = house.urls().await;
    let mut items = vec![];
    for acme in house.acmes(2).await {
        let team = house.team(&acme);
        let board = team.board(2).await;
        for _ in 0..ITEMS / 2 {
            items.push((acme.owner.client.clone(), team.item(&board).await));
        }
    }
    let record = |n: usize, through: usize, (client, item): &(Client, ItemId)| {
        // Every other one can be sent again under its key.
        let client = client.at(&urls[through % 2]);
        let client = if n % 4 < 2 { client.with(KEY, format!("{item} {n}")) } else { client };
        let activity = format!("itemId: \"{item}\", input: {{ name: \"activity {n}\" }}");
        async move { outcome(&client, "recordItemActivity", &activity).await }
    };
    let end = heads(&house).await + i64::try_from(ITEMS * EACH).unwrap();
    let sent = async {
        let mut codes = vec![];
        for some in (0..EACH).step_by(AT_ONCE) {
            codes.extend(join_all(items.iter().flat_map(|item| (some..some + AT_ONCE).map(|n| record(n, n, item)))).await);
        }
        codes
    };
    let cut = Cell::new(0);
    let codes = tokio::select! {
        codes = sent => codes,
        never = cuts(&house, &cut) => match never {},
    };
    let (cut, lost) = (cut.get(), wire.lost());
    println!("{setting:?}: {cut} connections cut, {lost} answers lost");
    assert!(codes.iter().all(|code| code == DONE), "the database was there all the time: {codes:?}");
    assert!(cut > 3 && lost > 3, "{cut} connections cut, {lost} answers lost");

    let again = items.iter().flat_map(|item| (0..EACH).filter(|n| n % 4 < 2).map(|n| record(n, n + 1, item)));
    assert!(join_all(again).await.iter().all(|code| code == DONE), "a key is good at either process");
    let sql = "select aggregate_id, payload ->> 'name' from event_store.events where event_type = 'PipelineItemActivityRecorded'";
    let mut stand: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&house.admin).await.unwrap();
    let named = |(_, item): &(Client, ItemId)| (0..EACH).map(|n| (item.to_string(), format!("activity {n}"))).collect::<Vec<_>>();
    let mut expected: Vec<_> = items.iter().flat_map(named).collect();
    stand.sort();
    expected.sort();
    assert_eq!(stand, expected, "each is there once");
    assert_eq!(heads(&house).await, end);
    for api in &house.apis {
        assert!(api.metric("append_connections_lost_total").await > 0, "both met a cut");
    }
    house.kept_to_their_path().await;
    house.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_cut_in_mid_commit_lose_nothing_and_repeat_nothing() {
    cut(TOLD_SWIFT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_cut_in_mid_commit_under_locks_lose_nothing_and_repeat_nothing() {
    cut(TOLD_LOCKING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_cut_under_processes_that_tell_each_other_nothing_lose_nothing_and_repeat_nothing() {
    cut(UNTOLD_SWIFT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_cut_under_locks_and_processes_that_tell_each_other_nothing_lose_nothing_and_repeat_nothing() {
    cut(UNTOLD_LOCKING).await;
}
