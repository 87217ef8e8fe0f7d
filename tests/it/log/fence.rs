//! No event stands in the log behind the removal of the role it needed. The proof is in `audit`; these tests make
//! the races, and see to it that both outcomes happen.

use crate::harness::{Log, Process, Team, add_member, audit, by_system, code_of, create_item, named, new_id, record};
use domain::pipeline::PipelineItem;
use domain::roles::{BuiltInRole, PIPELINE_ITEMS_CREATE, PermissionName};
use domain::workspace::{Membership, MembershipCommand, Role, RoleCommand, Workspace, WorkspaceCommand};
use domain::{ItemId, RoleId, UserId};
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
            there
                .send::<Membership>(team.by(team.owner), id, MembershipCommand::AssignRole { role: BuiltInRole::Operator.into() })
                .await
                .unwrap();
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

/// Races of one member's commands against the loss of what they need, in each way in which it can be lost without
/// anything being done to the member's roles: a permission leaves the role of the workspace's own that grants it, it is
/// denied, the member is suspended, the workspace is.
async fn other_races(team: Team, here: Process, there: Process, rounds: usize) -> Outcomes {
    let board = team.board(2).await;
    let member: UserId = team.member(&[BuiltInRole::Viewer]).await;
    let (id, role): (_, RoleId) = (team.membership(member), new_id());
    let by = || team.by(team.owner);
    let permissions = vec!["pipeline_items.create".parse().unwrap()];
    let create = RoleCommand::CreateRole { name: named("Desk"), description: None, permissions };
    there.create::<Role>(by(), role, create).await.unwrap();
    there.send::<Membership>(by(), id, MembershipCommand::AssignRole { role: role.into() }).await.unwrap();
    let overrides = |denies: &[domain::roles::Permission]| {
        let denies = denies.iter().map(|permission| PermissionName::Catalogue(*permission)).collect();
        MembershipCommand::SetPermissionOverrides { grants: vec![], denies }
    };
    let mut outcomes = Outcomes::new();
    for round in 0..rounds {
        let lose = async {
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            match round % 4 {
                0 => {
                    let permission = PermissionName::Catalogue(PIPELINE_ITEMS_CREATE);
                    there.send::<Role>(by(), role, RoleCommand::RevokePermission { permission }).await.map(drop).unwrap();
                }
                1 => drop(there.send::<Membership>(by(), id, overrides(&[PIPELINE_ITEMS_CREATE])).await.unwrap()),
                2 => drop(there.send::<Membership>(by(), id, MembershipCommand::SuspendMember { reason: None }).await.unwrap()),
                _ => {
                    let suspend = WorkspaceCommand::SuspendWorkspace { reason: None };
                    there.send::<Workspace>(by_system(team.tenant), team.tenant, suspend).await.map(drop).unwrap();
                }
            }
        };
        let create = || async { code_of(&here.create::<PipelineItem>(team.by(member), new_id::<ItemId>(), create_item(&board)).await) };
        let ((), a, b, c) = tokio::join!(lose, create(), create(), create());
        for code in [a, b, c] {
            assert!(["OK", "FORBIDDEN"].contains(&code), "{code}");
            *outcomes.entry(code).or_default() += 1;
        }
        assert_eq!(create().await, "FORBIDDEN", "it is lost by now, in round {round}");
        match round % 4 {
            0 => {
                let permission = "pipeline_items.create".parse().unwrap();
                there.send::<Role>(by(), role, RoleCommand::GrantPermission { permission }).await.map(drop).unwrap();
            }
            1 => drop(there.send::<Membership>(by(), id, overrides(&[])).await.unwrap()),
            2 => drop(there.send::<Membership>(by(), id, MembershipCommand::ReinstateMember {}).await.unwrap()),
            _ => {
                let reinstate = WorkspaceCommand::ReinstateWorkspace {};
                there.send::<Workspace>(by_system(team.tenant), team.tenant, reinstate).await.map(drop).unwrap();
            }
        }
        assert_eq!(create().await, "OK", "it is back by now, in round {round}");
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_done_behind_the_loss_of_a_permission_however_it_is_lost() {
    let log = Arc::new(Log::new().await);
    let other = log.another_process();
    let mut running = Vec::new();
    for n in 0..10 {
        let team = Team::new(&log).await;
        let here = if n % 2 == 0 { log.process.clone() } else { other.clone() };
        running.push(tokio::spawn(other_races(team, here, log.process.clone(), 40)));
    }
    let mut total = Outcomes::new();
    for outcomes in join_all(running).await {
        outcomes.unwrap().into_iter().for_each(|(code, count)| *total.entry(code).or_default() += count);
    }
    audit(&log).await;
    assert!(total.len() == 2 && total.values().all(|count| *count > 20), "not much of a race: {total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_role_is_deleted_or_given_and_never_both() {
    let log = Log::new().await;
    let (team, other) = (Team::new(&log).await, log.another_process());
    let member = team.member(&[BuiltInRole::Viewer]).await;
    let mut outcomes = Outcomes::new();
    for _ in 0..100 {
        let role: RoleId = new_id();
        let create = RoleCommand::CreateRole { name: named(role.0.simple().to_string()), description: None, permissions: vec![] };
        log.process.create::<Role>(team.by(team.owner), role, create).await.unwrap();
        let assign = MembershipCommand::AssignRole { role: role.into() };
        let (given, deleted) = tokio::join!(
            other.send::<Membership>(team.by(team.owner), team.membership(member), assign),
            log.process.send::<Role>(team.by(team.owner), role, RoleCommand::DeleteRole {}),
        );
        let (given, deleted) = (code_of(&given), code_of(&deleted));
        assert!([("OK", "ROLE_IN_USE"), ("ROLE_NOT_FOUND", "OK")].contains(&(given, deleted)), "{given}, {deleted}");
        *outcomes.entry(given).or_default() += 1;
        if given == "OK" {
            let revoke = MembershipCommand::RevokeRole { role: role.into() };
            log.process.send::<Membership>(team.by(team.owner), team.membership(member), revoke).await.unwrap();
            log.process.send::<Role>(team.by(team.owner), role, RoleCommand::DeleteRole {}).await.unwrap();
        }
    }
    audit(&log).await;
    assert_eq!(outcomes.values().sum::<usize>(), 100);
}
