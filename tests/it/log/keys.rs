//! A keyed command happens once, however often and from wherever it is sent.

use crate::harness::{Log, Team, audit, code_of, create_item, keyed, move_to, named, new_id, record};
use domain::ItemId;
use domain::pipeline::{ItemCommand, PipelineItem};
use event_store::{Committed, Request};
use futures::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_under_one_key_sent_30_times_at_once_has_one_effect_and_one_outcome() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    let sent = (0..30).map(|n| {
        let team = if n % 2 == 0 { team.clone() } else { team.through(&other) };
        tokio::spawn(
            async move { team.process.send::<PipelineItem>(keyed(team.by(team.owner), "once"), item, record("done")).await.unwrap() },
        )
    });
    let outcomes: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1, "one of them did it, the others are told so: {outcomes:?}");
    assert!(outcomes.iter().all(|outcome| Committed { replayed: outcomes[0].replayed, ..*outcome } == outcomes[0]), "{outcomes:?}");
    let events = audit(&log).await;
    assert_eq!(events.iter().filter(|event| event.event_type == "PipelineItemActivityRecorded").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_repeated_under_new_ids_gives_the_first_one() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let sent = (0..30).map(|n| {
        let (team, board) = (if n % 2 == 0 { team.clone() } else { team.through(&other) }, board.clone());
        tokio::spawn(async move {
            let id: ItemId = new_id();
            team.process.create::<PipelineItem>(keyed(team.by(team.owner), "create"), id, create_item(&board)).await.unwrap()
        })
    });
    let outcomes: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| !outcome.replayed).count(), 1, "one of them did it, the others are told so: {outcomes:?}");
    assert!(outcomes.iter().all(|outcome| Committed { replayed: outcomes[0].replayed, ..*outcome } == outcomes[0]), "{outcomes:?}");
    assert!(log.state::<PipelineItem>(team.tenant, outcomes[0].aggregate_id).await.card().is_some());
    let events = audit(&log).await;
    assert_eq!(events.iter().filter(|event| event.event_type == "PipelineItemCreated").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_command_under_a_used_key_is_refused_and_another_users_key_is_another() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let (item, neighbour) = (team.item(&board).await, team.item(&board).await);
    let colleague = team.member(&[domain::roles::BuiltInRole::Operator]).await;
    let key = |user| keyed(team.by(user), "key");
    log.send::<PipelineItem>(key(team.owner), item, record("one")).await.unwrap();
    assert_eq!(code_of(&log.send::<PipelineItem>(key(team.owner), item, record("two")).await), "KEY_MISUSED");
    assert_eq!(code_of(&log.send::<PipelineItem>(key(team.owner), neighbour, record("one")).await), "KEY_MISUSED");
    let theirs = log.send::<PipelineItem>(key(colleague), item, record("two")).await.unwrap();
    assert_eq!(theirs.events, 1);
    // Who has lost the right to do it is not told what came of it either.
    let stranger = new_id();
    assert_eq!(code_of(&log.send::<PipelineItem>(key(stranger), item, record("one")).await), "FORBIDDEN");
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doing_nothing_is_remembered_and_a_refusal_is_not() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(3).await;
    let item = team.item(&board).await;
    let key = |key: &str| keyed(team.by(team.owner), key);
    let first = log.send::<PipelineItem>(key("stay"), item, move_to(board.stages[0])).await.unwrap();
    assert_eq!(first.events, 0);
    log.send::<PipelineItem>(team.by(team.owner), item, move_to(board.stages[1])).await.unwrap();
    let again = log.send::<PipelineItem>(key("stay"), item, move_to(board.stages[0])).await.unwrap();
    assert_eq!(again, Committed { replayed: true, ..first }, "the item stays where it was moved in between");

    log.send::<PipelineItem>(team.by(team.owner), item, ItemCommand::DeleteItem).await.unwrap();
    let tag = ItemCommand::AddItemTag { tag: named("tag") };
    assert_eq!(code_of(&log.send::<PipelineItem>(key("tag"), item, tag.clone()).await), "INVALID_STATE");
    log.send::<PipelineItem>(team.by(team.owner), item, ItemCommand::RestoreItem).await.unwrap();
    assert_eq!(log.send::<PipelineItem>(key("tag"), item, tag).await.unwrap().events, 1);
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_for_30_days_or_for_ever() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    log.send::<PipelineItem>(keyed(team.by(team.owner), "month"), item, record("month")).await.unwrap();
    log.send::<PipelineItem>(Request { keep_key: true, ..keyed(team.by(team.owner), "ever") }, item, record("ever")).await.unwrap();
    let days: Vec<(String, Option<i32>)> =
        sqlx::query_as("select key, round(extract(epoch from expires_at - now()) / 86400)::int from event_store.idempotency order by key")
            .fetch_all(&log.admin)
            .await
            .unwrap();
    assert_eq!(days, [("ever".to_owned(), None), ("month".to_owned(), Some(30))]);
    // Once it has run out, the key is as good as new.
    sqlx::query("update event_store.idempotency set expires_at = now() - interval '1 second' where key = 'month'")
        .execute(&log.admin)
        .await
        .unwrap();
    assert_eq!(log.send::<PipelineItem>(keyed(team.by(team.owner), "month"), item, record("other")).await.unwrap().events, 1);
    audit(&log).await;
}
