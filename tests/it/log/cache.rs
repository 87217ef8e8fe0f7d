//! A cache that is behind costs a second look, and never a wrong answer.

use crate::harness::{Log, Team, audit, code_of, create_item, move_to, named, new_id};
use domain::pipeline::{ItemCommand, NewStage, Pipeline, PipelineCommand, PipelineItem};
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand};
use domain::{ItemId, StageId};
use event_store::{StoreError, begin};

fn stage(id: StageId) -> NewStage {
    NewStage { key: named("late"), name: named("Late"), is_terminal: false, color: None, wip_limit: None, stage_id: Some(id) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_wrote_is_not_refused_for_being_unknown_here() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let here = team.through(&other);
    let board = team.board(2).await;
    let item = here.item(&board).await;
    // The other process has item and pipeline in its cache; this one adds a stage.
    let late: StageId = new_id();
    log.send::<Pipeline>(team.by(team.owner), board.id, PipelineCommand::AddStage { stage: stage(late), order: None }).await.unwrap();
    assert_eq!(code_of(&other.send::<PipelineItem>(team.by(team.owner), item, move_to(late)).await), "OK");
    // The same of the aggregate itself: deleted and restored elsewhere.
    log.send::<PipelineItem>(team.by(team.owner), item, ItemCommand::DeleteItem).await.unwrap();
    let tag = |tag: &str| ItemCommand::AddItemTag { tag: named(tag) };
    assert_eq!(code_of(&other.send::<PipelineItem>(team.by(team.owner), item, tag("a")).await), "INVALID_STATE");
    log.send::<PipelineItem>(team.by(team.owner), item, ItemCommand::RestoreItem).await.unwrap();
    assert_eq!(code_of(&other.send::<PipelineItem>(team.by(team.owner), item, tag("a")).await), "OK");
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_would_have_changed_nothing_before_another_process_wrote_is_carried_out() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(3).await;
    let item = team.through(&other).item(&board).await;
    log.send::<PipelineItem>(team.by(team.owner), item, move_to(board.stages[1])).await.unwrap();
    let back = other.send::<PipelineItem>(team.by(team.owner), item, move_to(board.stages[0])).await.unwrap();
    assert_eq!(back.events, 1, "the item stands elsewhere by now, and has to come back");
    let state = log.state::<PipelineItem>(team.tenant, item).await;
    assert_eq!(state.card().unwrap().stage_id, board.stages[0]);
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_an_item_is_is_not_denied_by_a_cache_that_is_behind() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.through(&other).item(&board).await;
    let member = team.member(&[BuiltInRole::Member]).await;
    let tag = ItemCommand::AddItemTag { tag: named("mine") };
    assert_eq!(code_of(&other.send::<PipelineItem>(team.by(member), item, tag.clone()).await), "FORBIDDEN");
    log.send::<PipelineItem>(team.by(team.owner), item, ItemCommand::AssignItem { user_id: member }).await.unwrap();
    assert_eq!(code_of(&other.send::<PipelineItem>(team.by(member), item, tag).await), "OK");
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_given_in_one_process_counts_at_once_in_another() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let member = team.member(&[BuiltInRole::Viewer]).await;
    let create = || other.create::<PipelineItem>(team.by(member), new_id::<ItemId>(), create_item(&board));
    assert_eq!(code_of(&create().await), "FORBIDDEN");
    let assign = MembershipCommand::AssignRole { role: BuiltInRole::Operator.into() };
    log.send::<Membership>(team.by(team.owner), team.membership(member), assign).await.unwrap();
    assert_eq!(code_of(&create().await), "OK");
    let revoke = MembershipCommand::RevokeRole { role: BuiltInRole::Operator.into() };
    log.send::<Membership>(team.by(team.owner), team.membership(member), revoke).await.unwrap();
    assert_eq!(code_of(&create().await), "FORBIDDEN");
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_a_log_that_does_not_answer_is_told_so_and_who_asks_later_is_answered() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let mut holding = begin(&log.admin).await.unwrap();
    sqlx::query("lock table event_store.heads in access exclusive mode").execute(&mut *holding).await.unwrap();
    let access = log.process.commands.access();
    let asked = access.fresh(team.tenant).await;
    assert!(asked.as_ref().is_err_and(StoreError::is_transient), "{asked:?}");
    holding.rollback().await.unwrap();
    assert!(access.fresh(team.tenant).await.unwrap().is_member(team.owner));
}
