//! Two API processes and two workers share one database, and nobody who uses them can tell.

use super::*;
use serde_json::json;
use std::time::{Duration, Instant};

const TOKEN: &str = "Annals-Consistency-Token";
const EACH: usize = 12;

/// Writes through one process and reads through the other with the token of the write, back and forth. How long each
/// read took.
async fn back_and_forth(acme: Acme, urls: [String; 2]) -> Vec<Duration> {
    let board = acme.board().await;
    let mut took = vec![];
    for n in 1..=EACH {
        let by = |url: &String| acme.owner.client.at(url);
        let (writer, reader) = (by(&urls[n % 2]), by(&urls[(n + 1) % 2]));
        let input = format!("input: {{ pipelineId: \"{}\", title: \"Item {n}\" }}", board.id);
        let made = writer.run("createItem", &input, "id title").await;
        assert_eq!(made["entity"]["title"], format!("Item {n}"), "the payload shows the write itself");
        let began = Instant::now();
        let reader = reader.with(TOKEN, made["consistencyToken"].as_str().unwrap());
        let seen = reader.get("{ pipelineItems { totalCount } }", json!({})).await;
        assert_eq!(seen["pipelineItems"]["totalCount"], n);
        took.push(began.elapsed());
    }
    took
}

async fn shared(setting: Setting) -> House {
    let house = House::new(setting, 2, 2).await;
    let urls = [house.apis[0].url().await, house.apis[1].url().await];
    let mut acmes = vec![];
    for (n, mark) in ["north", "east", "south", "west"].into_iter().enumerate() {
        acmes.push(house.acme(mark, n % 2).await);
    }
    let took = acmes.into_iter().map(|acme| tokio::spawn(back_and_forth(acme, urls.clone())));
    let mut took: Vec<Duration> = futures::future::join_all(took).await.into_iter().flat_map(Result::unwrap).collect();
    took.sort();
    println!(
        "{setting:?}: a read with the token of another process took {:?} in the middle, {:?} at most",
        took[took.len() / 2],
        took.last()
    );
    house.is_shared(2).await;
    house.stands().await;
    house
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_process_has_written_the_other_shows_to_whoever_has_its_token() {
    let house = shared(TOLD_SWIFT).await;
    // Every process hears of what others do. Each API process has written; all tenants may have fallen to one worker.
    let (mut by_apis, mut by_workers) = (vec![], vec![]);
    for (parts, sent) in [(&house.apis, &mut by_apis), (&house.workers, &mut by_workers)] {
        for part in parts {
            sent.push(part.metric("notifications_sent_total").await);
            assert!(part.metric("notifications_received_total").await > 0);
        }
    }
    assert!(by_apis.iter().all(|sent| *sent > 0) && by_workers.iter().any(|sent| *sent > 0), "{by_apis:?} {by_workers:?}");
    for worker in &house.workers {
        // A worker knows of its leases at its next beat, and on a machine under load it may have lost one for a while.
        eventually("a worker to know its share", || async { (worker.metric("projection_leases").await == 32).then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn so_it_does_with_notifications_switched_off() {
    let house = shared(UNTOLD_SWIFT).await;
    for part in house.apis.iter().chain(&house.workers) {
        assert_eq!((part.metric("notifications_sent_total").await, part.metric("notifications_received_total").await), (0, 0));
    }
}
