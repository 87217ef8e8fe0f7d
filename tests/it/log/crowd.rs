//! Whatever a crowd does at once, through two processes, keyed or not: the log stands up to the audit, every command
//! is answered with a reason, and all processes see the same.

use crate::harness::{
    Board, Log, Process, Team, add_member, audit, by_system, code_of, create_item, keyed, move_to, named, new_id, record,
};
use domain::pipeline::{ItemCommand, NewStage, Pipeline, PipelineCommand, PipelineItem, WipLimit};
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand, Role, RoleCommand, Workspace, WorkspaceCommand};
use domain::{Decider, ItemId, RoleId, UserId};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who does what, by numbers that are taken modulo what there is.
#[derive(Clone, Debug)]
struct Deed {
    who: usize,
    what: u8,
    which: usize,
    other: usize,
    keyed: bool,
    process: usize,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = (0..4_usize, 0..26_u8, 0..6_usize, 0..6_usize, any::<bool>(), 0..2_usize)
        .prop_map(|(who, what, which, other, keyed, process)| Deed { who, what, which, other, keyed, process });
    proptest::collection::vec(deed, 40..80)
}

/// The things there are to do something with.
struct Place {
    team: Team,
    people: Vec<UserId>,
    boards: Vec<Board>,
    items: Vec<ItemId>,
    role: RoleId,
    processes: [Process; 2],
}

impl Place {
    async fn new(log: &Log, other: &Process) -> Self {
        let team = Team::new(log).await;
        let mut people = vec![team.owner];
        for role in [BuiltInRole::Operator, BuiltInRole::Member, BuiltInRole::Admin] {
            people.push(team.member(&[role, BuiltInRole::Viewer]).await);
        }
        let boards = vec![team.board(3).await, team.board(2).await];
        let role = new_id();
        let permissions = vec!["pipeline_items.move".parse().unwrap()];
        let create = RoleCommand::CreateRole { name: named("Movers"), description: None, permissions };
        log.process.create::<Role>(team.by(team.owner), role, create).await.unwrap();
        Self { team, people, boards, items: (0..6).map(|_| new_id()).collect(), role, processes: [log.process.clone(), other.clone()] }
    }

    async fn carry_out(&self, deed: Deed, n: usize) -> &'static str {
        let item = self.items[deed.which];
        let board = &self.boards[deed.other % 2];
        let stage = board.stages[deed.which % board.stages.len()];
        let person = self.people[1 + deed.other % 3];
        match deed.what {
            0..4 => self.send::<PipelineItem>(&deed, n, item, create_item(board)).await,
            4..7 => self.send::<PipelineItem>(&deed, n, item, move_to(stage)).await,
            7 => self.send::<PipelineItem>(&deed, n, item, record(format!("deed {n}"))).await,
            8 => self.send::<PipelineItem>(&deed, n, item, ItemCommand::AssignItem { user_id: person }).await,
            9 => self.send::<PipelineItem>(&deed, n, item, ItemCommand::DeleteItem).await,
            10 => self.send::<PipelineItem>(&deed, n, item, ItemCommand::RestoreItem).await,
            11 => self.send::<PipelineItem>(&deed, n, item, ItemCommand::TransferItem { pipeline_id: board.id, stage_id: stage }).await,
            12 => self.send::<PipelineItem>(&deed, n, item, ItemCommand::AddItemTag { tag: named(format!("tag {}", deed.other)) }).await,
            13 => self.send::<Pipeline>(&deed, n, board.id, PipelineCommand::RemoveStage { stage_id: stage }).await,
            14 => {
                let (key, limit) = (format!("again_{}", deed.which), WipLimit::try_from(2).unwrap());
                let stage = NewStage {
                    key: named(key),
                    name: named("Again"),
                    is_terminal: deed.which > 3,
                    color: None,
                    wip_limit: Some(limit),
                    stage_id: Some(stage),
                };
                self.send::<Pipeline>(&deed, n, board.id, PipelineCommand::AddStage { stage, order: Some(0) }).await
            }
            15 if deed.which > 3 => self.send::<Pipeline>(&deed, n, board.id, PipelineCommand::DeletePipeline).await,
            15 => self.send::<Pipeline>(&deed, n, board.id, PipelineCommand::DeactivatePipeline).await,
            16 => self.send::<Pipeline>(&deed, n, board.id, PipelineCommand::RestorePipeline).await,
            17 => self.send::<Pipeline>(&deed, n, board.id, PipelineCommand::ActivatePipeline).await,
            18 => {
                self.send::<Membership>(
                    &deed,
                    n,
                    self.team.membership(person),
                    MembershipCommand::RevokeRole { role: BuiltInRole::Operator.into() },
                )
                .await
            }
            19 => {
                self.send::<Membership>(
                    &deed,
                    n,
                    self.team.membership(person),
                    MembershipCommand::AssignRole { role: BuiltInRole::Operator.into() },
                )
                .await
            }
            20 if deed.which > 2 => {
                self.send::<Membership>(&deed, n, self.team.membership(person), MembershipCommand::RemoveMember { reason: None }).await
            }
            20 => {
                let back = add_member(person, &[BuiltInRole::Operator, BuiltInRole::Viewer]);
                code_of(
                    &self.processes[deed.process].send::<Membership>(by_system(self.team.tenant), self.team.membership(person), back).await,
                )
            }
            22 if deed.which > 2 => {
                self.send::<Membership>(&deed, n, self.team.membership(person), MembershipCommand::SuspendMember { reason: None }).await
            }
            22 => self.send::<Membership>(&deed, n, self.team.membership(person), MembershipCommand::ReinstateMember {}).await,
            23 if deed.which > 2 => {
                let role = self.role.into();
                self.send::<Membership>(&deed, n, self.team.membership(person), MembershipCommand::AssignRole { role }).await
            }
            23 => {
                let role = self.role.into();
                self.send::<Membership>(&deed, n, self.team.membership(person), MembershipCommand::RevokeRole { role }).await
            }
            24 if deed.which > 2 => {
                let permission = "pipeline_items.update@own".parse().unwrap();
                self.send::<Role>(&deed, n, self.role, RoleCommand::GrantPermission { permission }).await
            }
            24 => {
                let permission = "pipeline_items.update".parse().unwrap();
                self.send::<Role>(&deed, n, self.role, RoleCommand::RevokePermission { permission }).await
            }
            25 => {
                let denies = if deed.which > 2 { vec!["pipeline_items.move".parse().unwrap()] } else { vec![] };
                let overrides = MembershipCommand::SetPermissionOverrides { grants: vec![], denies };
                self.send::<Membership>(&deed, n, self.team.membership(person), overrides).await
            }
            _ if deed.which > 2 => {
                self.send::<Workspace>(&deed, n, self.team.tenant, WorkspaceCommand::GrantOwnership { user_id: person }).await
            }
            _ => self.send::<Workspace>(&deed, n, self.team.tenant, WorkspaceCommand::RevokeOwnership { user_id: person }).await,
        }
    }

    async fn send<D: Decider>(&self, deed: &Deed, n: usize, id: impl Into<uuid::Uuid>, command: D::Command) -> &'static str
    where
        D::Command: Clone,
    {
        let request = self.team.by(self.people[deed.who]);
        let request = if deed.keyed { keyed(request, format!("deed {n}")) } else { request };
        code_of(&self.processes[deed.process].send::<D>(request, id, command).await)
    }

    /// Both processes' caches are what a third, which has seen nothing, reads from the log.
    async fn agree(&self, log: &Log) {
        let fresh = log.another_process();
        for process in &self.processes {
            for item in &self.items {
                let seen = process.state::<PipelineItem>(self.team.tenant, *item).await;
                assert_eq!(seen, fresh.state::<PipelineItem>(self.team.tenant, *item).await);
            }
            for board in &self.boards {
                assert_eq!(
                    process.state::<Pipeline>(self.team.tenant, board.id).await,
                    fresh.state::<Pipeline>(self.team.tenant, board.id).await
                );
            }
            let (access, known) = (
                process.commands.access().fresh(self.team.tenant).await.unwrap(),
                fresh.commands.access().fresh(self.team.tenant).await.unwrap(),
            );
            self.people.iter().for_each(|user| assert_eq!(access.effective(*user), known.effective(*user)));
        }
    }
}

#[test]
fn whatever_a_crowd_does_the_log_stands_and_all_processes_agree() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let (log, other) = runtime.block_on(async {
        let log = Log::new().await;
        let other = log.another_process();
        (log, other)
    });
    // What fails depends on who comes first, so that smaller cases would say nothing.
    let config = Config { cases: 30, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let codes = RefCell::new(BTreeMap::<&str, usize>::new());
    let outcome = TestRunner::new(config).run(&deeds(), |deeds| {
        let outcomes = runtime.block_on(async {
            let place = Arc::new(Place::new(&log, &other).await);
            let mut outcomes = Vec::new();
            for crowd in deeds.into_iter().enumerate().collect::<Vec<_>>().chunks(10) {
                let carried_out = crowd.iter().cloned().map(|(n, deed)| {
                    let place = Arc::clone(&place);
                    tokio::spawn(async move { place.carry_out(deed, n).await })
                });
                outcomes.extend(join_all(carried_out).await.into_iter().map(Result::unwrap));
            }
            place.agree(&log).await;
            outcomes
        });
        for code in outcomes {
            prop_assert!(!["STORE", "CONTENDED", "KEY_MISUSED", "ID_TAKEN"].contains(&code), "{}", code);
            *codes.borrow_mut().entry(code).or_default() += 1;
        }
        Ok(())
    });
    outcome.unwrap();
    let codes = codes.into_inner();
    runtime.block_on(audit(&log));
    assert!(codes["OK"] > 300 && codes.len() > 5, "not much of a crowd: {codes:?}");
    drop(runtime);
}
