//! No event stands in the log behind the removal of the role it needed. The proof is in `audit`; these tests make
//! the races, and see to it that both outcomes happen.

use crate::harness::{Log, Process, Team, add_member, audit, by_system, code_of, create_item, new_id, record};
use domain::pipeline::PipelineItem;
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand};
use domain::{ItemId, UserId};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;

type Outcomes = BTreeMap<&'static str, usize>;

/// Races of one member's commands against the loss of the role they need. `there` carries out what is done to
/// the member, `here` what the member does.
async fn races(team: Team, here: Process, there: Process, rounds: usize) -> Outcomes {
    let board = team.board(2).await;
    let item = team.item(&board).await;
    let member: UserId = team.member(&[BuiltInRole::Operator, BuiltInRole::Viewer]).await;
    let id = team.membership(member);
    let mut outcomes = Outcomes::new();
    for round in 0..rounds {
        let remove = round % 3 == 0;
        let loss = if remove {
            MembershipCommand::RemoveMember { reason: None }
        } else {
            MembershipCommand::RevokeRole { role: BuiltInRole::Operator.into() }
        };
        let loss = async {
            // Now before, now among, now after what the member sends.
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            there.send::<Membership>(team.by(team.owner), id, loss).await.unwrap();
        };
        let create = || async { code_of(&here.create::<PipelineItem>(team.by(member), new_id::<ItemId>(), create_item(&board)).await) };
        let act = async { code_of(&here.send::<PipelineItem>(team.by(member), item, record("seen")).await) };
        let ((), a, b, c) = tokio::join!(loss, create(), act, create());
        for code in [a, b, c] {
            assert!(["OK", "FORBIDDEN"].contains(&code), "{code}");
            *outcomes.entry(code).or_default() += 1;
        }
        if remove {
            let back = add_member(member, &[BuiltInRole::Operator, BuiltInRole::Viewer]);
            there.send::<Membership>(by_system(team.tenant), id, back).await.unwrap();
        } else {
            there.send::<Membership>(team.by(team.owner), id, MembershipCommand::AssignRole { role: BuiltInRole::Operator.into() }).await.unwrap();
        }
    }
    outcomes
}

/// So many races, over ten teams at once; proven by the audit, and both outcomes among them.
async fn raced(log: &Arc<Log>, here: &Process, there: &Process, rounds: usize) {
    let mut running = Vec::new();
    for _ in 0..10 {
        let team = Team::new(log).await;
        running.push(tokio::spawn(races(team, here.clone(), there.clone(), rounds / 10)));
    }
    let mut total = Outcomes::new();
    for outcomes in join_all(running).await {
        outcomes.unwrap().into_iter().for_each(|(code, count)| *total.entry(code).or_default() += count);
    }
    audit(log).await;
    assert!(total.len() == 2 && total.values().all(|count| *count > 20), "not much of a race: {total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_done_behind_the_loss_of_a_role_raced_a_thousand_times_in_one_process_and_in_one_batch() {
    let log = Arc::new(Log::new().await);
    raced(&log, &log.process, &log.process, 1_000).await;
    // The events of one transaction carry its number.
    let shared: i64 = sqlx::query_scalar(
        "select count(*) from event_store.events loss
         where loss.event_type in ('RoleRevoked', 'MemberRemoved') and exists (
           select from event_store.events act
           where act.tenant_id = loss.tenant_id and act.xmin::text = loss.xmin::text
             and act.metadata ->> 'actor_id' = loss.payload ->> 'user_id')",
    )
    .fetch_one(&log.admin)
    .await
    .unwrap();
    assert!(shared > 10, "a member's event and the loss of their role shared a batch only {shared} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_done_behind_the_loss_of_a_role_raced_between_two_processes() {
    let log = Arc::new(Log::new().await);
    let other = log.another_process();
    raced(&log, &other, &log.process, 300).await;
}
