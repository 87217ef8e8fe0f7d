//! Names have one holder, limits hold, and what is referred to stays.

use crate::harness::{Log, Team, add_member, audit, by_system, code_of, create_pipeline, move_to, named, new_id};
use domain::identity::{User, UserCommand};
use domain::pipeline::{ItemCommand, Pipeline, PipelineCommand, PipelineItem};
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand, Plan};
use domain::{ClaimName, PLATFORM, PipelineId, StageId, UserId};
use futures::future::join_all;

fn count(codes: &[&str], code: &str) -> usize {
    codes.iter().filter(|other| **other == code).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_who_want_one_address_one_gets_it() {
    let log = Log::new().await;
    let other = log.another_process();
    let sent = (0..50).map(|n| {
        let process = if n % 2 == 0 { log.process.clone() } else { other.clone() };
        tokio::spawn(async move {
            let id: UserId = new_id();
            let provision = UserCommand::ProvisionUser { email: named("ada@example.org"), first_name: None, last_name: None, name: None };
            (id, code_of(&process.create::<User>(by_system(PLATFORM), id, provision).await))
        })
    });
    let sent: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    let codes: Vec<_> = sent.iter().map(|(_, code)| *code).collect();
    assert_eq!((count(&codes, "OK"), count(&codes, "EMAIL_TAKEN")), (1, 49), "{codes:?}");
    let winner = sent.iter().find(|(_, code)| *code == "OK").unwrap().0;
    let holder = log.commands.claim_holder(PLATFORM, &ClaimName::personal("email", "ada@example.org")).await.unwrap();
    assert_eq!(holder, Some(winner.0));
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_never_passed_and_a_place_given_back_can_be_taken() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::on(&log, Plan::Free).await;
    // The owner sits on one of three seats.
    let users: Vec<UserId> = (0..30).map(|_| new_id()).collect();
    let joins = users.iter().enumerate().map(|(n, user)| {
        let (team, user) = (if n % 2 == 0 { team.clone() } else { team.through(&other) }, *user);
        tokio::spawn(async move {
            let join = add_member(user, &[BuiltInRole::Member]);
            code_of(&team.process.send::<Membership>(by_system(team.tenant), team.membership(user), join).await)
        })
    });
    let codes: Vec<_> = join_all(joins).await.into_iter().map(Result::unwrap).collect();
    assert_eq!((count(&codes, "OK"), count(&codes, "QUOTA_EXCEEDED")), (2, 28), "{codes:?}");

    let joined = users[codes.iter().position(|code| *code == "OK").unwrap()];
    let refused = users[codes.iter().position(|code| *code != "OK").unwrap()];
    let leave = MembershipCommand::LeaveWorkspace {};
    log.send::<Membership>(team.by(joined), team.membership(joined), leave).await.unwrap();
    team.join(refused, &[BuiltInRole::Member]).await;
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_pipelines_become_active_than_the_plan_allows() {
    let log = Log::new().await;
    let team = Team::on(&log, Plan::Free).await;
    let mut pipelines = Vec::new();
    for n in 0..12 {
        let id: PipelineId = new_id();
        let stages: Vec<StageId> = vec![new_id(), new_id()];
        log.create::<Pipeline>(team.by(team.owner), id, create_pipeline(&format!("p{n}"), &stages)).await.unwrap();
        pipelines.push(id);
    }
    let sent = pipelines.iter().map(|id| log.send::<Pipeline>(team.by(team.owner), *id, PipelineCommand::ActivatePipeline));
    let codes: Vec<_> = join_all(sent).await.iter().map(code_of).collect();
    assert_eq!((count(&codes, "OK"), count(&codes, "QUOTA_EXCEEDED")), (3, 9), "{codes:?}");
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_referred_to_stays_until_nothing_refers_to_it() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(3).await;
    let item = team.item(&board).await;
    let pipeline = |command| log.send::<Pipeline>(team.by(team.owner), board.id, command);
    assert_eq!(code_of(&pipeline(PipelineCommand::DeletePipeline).await), "PIPELINE_IN_USE");
    assert_eq!(code_of(&pipeline(PipelineCommand::RemoveStage { stage_id: board.stages[0] }).await), "STAGE_IN_USE");
    log.send::<PipelineItem>(team.by(team.owner), item, move_to(board.stages[1])).await.unwrap();
    assert_eq!(code_of(&pipeline(PipelineCommand::RemoveStage { stage_id: board.stages[0] }).await), "OK");
    log.send::<PipelineItem>(team.by(team.owner), item, ItemCommand::DeleteItem).await.unwrap();
    assert_eq!(code_of(&pipeline(PipelineCommand::DeletePipeline).await), "OK");
    audit(&log).await;
}
