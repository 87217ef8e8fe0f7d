//! A command stands or falls as a whole, and falls alone.

use crate::harness::{Log, Team, audit, by_system, code_of, create_item, create_pipeline, eventually, keyed, move_to, named, new_id};
use domain::pipeline::{NewStage, Pipeline, PipelineCommand, PipelineItem, WipLimit};
use domain::{ItemId, PipelineId, StageId};
use event_store::{ExecuteError, Woken};
use futures::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_several_events_is_written_whole_or_not_at_all_when_50_want_the_same_key() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let sent = (0..50).map(|n| {
        let team = if n % 2 == 0 { team.clone() } else { team.through(&other) };
        let stages: Vec<StageId> = (0..4).map(|_| new_id()).collect();
        tokio::spawn(async move {
            code_of(
                &team.process.create::<Pipeline>(team.by(team.owner), new_id::<PipelineId>(), create_pipeline("the_key", &stages)).await,
            )
        })
    });
    let codes: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(codes.iter().filter(|code| **code == "OK").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "KEY_TAKEN").count(), 49, "{codes:?}");
    let events = audit(&log).await;
    let named = |name: &str| events.iter().filter(|event| event.event_type == name).count();
    assert_eq!((named("PipelineCreated"), named("StageAdded")), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_completes_is_two_events_or_none_when_the_last_stage_fills_up() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let done: StageId = new_id();
    let stage = NewStage {
        key: named("done"),
        name: named("Done"),
        is_terminal: true,
        color: None,
        wip_limit: Some(WipLimit::try_from(3).unwrap()),
        stage_id: Some(done),
    };
    log.send::<Pipeline>(team.by(team.owner), board.id, PipelineCommand::AddStage { stage, order: None }).await.unwrap();
    let mut items = Vec::new();
    for _ in 0..20 {
        items.push(team.item(&board).await);
    }
    let moves = items.iter().map(|item| log.send::<PipelineItem>(team.by(team.owner), *item, move_to(done)));
    let codes: Vec<_> = join_all(moves).await.iter().map(code_of).collect();
    assert_eq!(codes.iter().filter(|code| **code == "OK").count(), 3, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "WIP_LIMIT_REACHED").count(), 17, "{codes:?}");
    let events = audit(&log).await;
    let named = |name: &str| events.iter().filter(|event| event.event_type == name).count();
    assert_eq!((named("PipelineItemMoved"), named("PipelineItemCompleted")), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_breaks_a_batch_is_answered_alone_and_its_neighbours_commit() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    // Three that nothing before the database refuses, among a hundred good ones.
    let sent = (0..103).map(|n| {
        let (team, board) = (team.clone(), board.clone());
        tokio::spawn(async move {
            let request = if n % 34 == 33 { keyed(team.by(team.owner), "k".repeat(400)) } else { team.by(team.owner) };
            (n, team.process.create::<PipelineItem>(request, new_id::<ItemId>(), create_item(&board)).await)
        })
    });
    for sent in join_all(sent).await {
        match sent.unwrap() {
            (n, Ok(committed)) => assert!(n % 34 != 33 && committed.events == 1, "{n}"),
            (n, Err(error)) => assert!(n % 34 == 33 && matches!(error, ExecuteError::Store(_)), "{n}: {error}"),
        }
    }
    let events = audit(&log).await;
    assert_eq!(events.iter().filter(|event| event.event_type == "PipelineItemCreated").count(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_in_one_transaction_do_commit_together_and_readers_are_woken() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let mut woken = log.wake.listen();
    let sent = (0..200).map(|_| {
        let (team, board) = (team.clone(), board.clone());
        tokio::spawn(async move {
            team.process.create::<PipelineItem>(team.by(team.owner), new_id::<ItemId>(), create_item(&board)).await.unwrap()
        })
    });
    assert!(join_all(sent).await.into_iter().all(|sent| sent.unwrap().events == 1));
    let events = audit(&log).await;
    let transactions: i64 =
        sqlx::query_scalar("select count(distinct xmin::text) from event_store.events").fetch_one(&log.admin).await.unwrap();
    assert!(transactions < events.len() as i64 / 4, "{} events in {transactions} transactions: no group commit", events.len());
    let head = events.len() as i64;
    eventually("the last position to be told", || {
        let note = woken.try_recv();
        async move { (note == Ok(Woken::Log(team.tenant, head))).then_some(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tenants_first_commands_may_race() {
    // Nobody has a row to lock yet.
    let log = Log::new().await;
    let other = log.another_process();
    for _ in 0..100 {
        let tenant = new_id::<domain::TenantId>();
        let sent = (0..8).map(|n| {
            let process = if n % 2 == 0 { log.process.clone() } else { other.clone() };
            tokio::spawn(async move {
                let email = named(format!("{}@first.example", new_id::<uuid::Uuid>().simple()));
                let provision = domain::identity::UserCommand::ProvisionUser { email, first_name: None, last_name: None, name: None };
                process.create::<domain::identity::User>(by_system(tenant), new_id::<domain::UserId>(), provision).await.unwrap()
            })
        });
        let mut positions: Vec<_> = join_all(sent).await.into_iter().map(|sent| sent.unwrap().position()).collect();
        positions.sort_unstable();
        assert_eq!(positions, (1..=8).collect::<Vec<_>>());
    }
    audit(&log).await;
}
