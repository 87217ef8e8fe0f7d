//! What a decision depended on is still so when its events are written. The proof is in `audit`.

use crate::harness::{Board, Log, Process, Team, audit, code_of, create_item, move_to, new_id};
use domain::ItemId;
use domain::pipeline::{ItemCommand, Pipeline, PipelineCommand, PipelineItem};
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;

type Outcomes = BTreeMap<&'static str, usize>;

/// Lets others go first now and then.
async fn dawdle(round: usize) {
    for _ in 0..round % 6 {
        tokio::task::yield_now().await;
    }
}

async fn deletions(team: Team, here: Process, there: Process, rounds: usize) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for round in 0..rounds {
        let board = team.board(2).await;
        let delete = async {
            dawdle(round).await;
            code_of(&there.send::<Pipeline>(team.by(team.owner), board.id, PipelineCommand::DeletePipeline).await)
        };
        let create = || async { code_of(&here.create::<PipelineItem>(team.by(team.owner), new_id::<ItemId>(), create_item(&board)).await) };
        let (deleted, a, b) = tokio::join!(delete, create(), create());
        assert!(["OK", "PIPELINE_IN_USE"].contains(&deleted), "{deleted}");
        let created = [a, b].iter().filter(|code| **code == "OK").count();
        assert!([a, b].iter().all(|code| ["OK", "PIPELINE_NOT_FOUND"].contains(code)), "{a} {b}");
        assert!(deleted != "OK" || created == 0, "created in a pipeline that was deleted without complaint");
        *outcomes.entry(deleted).or_default() += 1;
    }
    outcomes
}

async fn removals(team: Team, here: Process, there: Process, rounds: usize) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for round in 0..rounds {
        let board: Board = team.board(3).await;
        let item = team.item(&board).await;
        let stage = board.stages[1];
        let remove = async {
            dawdle(round).await;
            code_of(&there.send::<Pipeline>(team.by(team.owner), board.id, PipelineCommand::RemoveStage { stage_id: stage }).await)
        };
        let to = async { code_of(&here.send::<PipelineItem>(team.by(team.owner), item, move_to(stage)).await) };
        let (removed, moved) = tokio::join!(remove, to);
        assert!(matches!((removed, moved), ("OK", "STAGE_NOT_FOUND") | ("STAGE_IN_USE", "OK")), "removed: {removed}, moved: {moved}");
        *outcomes.entry(removed).or_default() += 1;
    }
    outcomes
}

async fn departures(team: Team, here: Process, there: Process, rounds: usize) -> Outcomes {
    let board = team.board(2).await;
    let item = team.item(&board).await;
    let mut outcomes = Outcomes::new();
    for round in 0..rounds {
        let member = team.member(&[BuiltInRole::Member]).await;
        let remove = async {
            dawdle(round).await;
            there
                .send::<Membership>(team.by(team.owner), team.membership(member), MembershipCommand::RemoveMember { reason: None })
                .await
                .unwrap();
        };
        let assign =
            async { code_of(&here.send::<PipelineItem>(team.by(team.owner), item, ItemCommand::AssignItem { user_id: member }).await) };
        let ((), assigned) = tokio::join!(remove, assign);
        assert!(["OK", "MEMBER_NOT_FOUND"].contains(&assigned), "{assigned}");
        *outcomes.entry(assigned).or_default() += 1;
    }
    outcomes
}

/// Runs races of five teams at once, first in one process, then between two, and proves the log.
async fn raced<F>(race: impl Fn(Team, Process, Process, usize) -> F, rounds: usize)
where
    F: Future<Output = Outcomes> + Send + 'static,
{
    let log = Arc::new(Log::new().await);
    let other = log.another_process();
    let mut total = Outcomes::new();
    for here in [&log.process, &other] {
        let mut running = Vec::new();
        for _ in 0..5 {
            running.push(tokio::spawn(race(Team::new(&log).await, here.clone(), log.process.clone(), rounds / 10)));
        }
        for outcomes in join_all(running).await {
            outcomes.unwrap().into_iter().for_each(|(code, count)| *total.entry(code).or_default() += count);
        }
    }
    audit(&log).await;
    assert!(total.len() == 2 && total.values().all(|count| *count > 5), "not much of a race: {total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_item_is_created_in_a_pipeline_being_deleted() {
    raced(deletions, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_item_is_moved_to_a_stage_being_removed() {
    raced(removals, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_assigned_to_a_member_being_removed() {
    raced(departures, 300).await;
}
