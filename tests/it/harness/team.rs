//! A workspace with people and boards, made by real commands.

use super::Process;
use chrono::{DateTime, SubsecRound, Utc};
use domain::pipeline::{ItemCommand, NewStage, Pipeline, PipelineCommand, PipelineItem, PipelineType};
use domain::roles::BuiltInRole;
use domain::workspace::{MemberProfile, MemberSource, Membership, MembershipCommand, Plan, Workspace, WorkspaceCommand, WorkspaceKind};
use domain::{ItemId, MembershipId, Patch, PipelineId, Principal, StageId, SystemCaller, TenantId, UserId, WorkspaceId};
use event_store::Request;
use uuid::Uuid;

/// The part of the program that the tests are.
pub(crate) static TESTS: SystemCaller = SystemCaller {
    name: "tests",
    commands: &[
        "CreateWorkspace",
        "AddMember",
        "ChangePlan",
        "RecordTaskDecision",
        "ProvisionUser",
        "ReserveWorkspace",
        "ConfirmWorkspace",
        "SuspendWorkspace",
        "ReinstateWorkspace",
    ],
};

/// The time.
#[expect(clippy::disallowed_methods, reason = "the clock of the tests")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// A new id.
#[expect(clippy::disallowed_methods, reason = "where tests make ids")]
pub(crate) fn new_id<T: From<Uuid>>() -> T {
    T::from(Uuid::now_v7())
}

/// A request of anybody.
pub(crate) fn by(principal: Principal, tenant: TenantId) -> Request {
    Request::new(principal, tenant, now(), new_id(), new_id())
}

/// A request of the program.
pub(crate) fn by_system(tenant: TenantId) -> Request {
    by(Principal::System(&TESTS), tenant)
}

/// A request under an idempotency key.
pub(crate) fn keyed(request: Request, key: impl Into<String>) -> Request {
    Request { key: Some(key.into()), ..request }
}

/// A checked text of any kind, from one that is known to be good.
pub(crate) fn named<T: TryFrom<String>>(text: impl Into<String>) -> T {
    let text = text.into();
    T::try_from(text.clone()).unwrap_or_else(|_| panic!("`{text}` is refused"))
}

/// A workspace of plan ENTERPRISE (unless said otherwise) with an owner, in the log of `process`.
#[derive(Clone)]
pub(crate) struct Team {
    pub(crate) tenant: TenantId,
    pub(crate) owner: UserId,
    pub(crate) process: Process,
}

/// An active pipeline and its stages; the last one is terminal.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) id: PipelineId,
    pub(crate) stages: Vec<StageId>,
}

impl Team {
    /// A workspace and its owner.
    pub(crate) async fn new(process: &Process) -> Self {
        Self::on(process, Plan::Enterprise).await
    }

    /// A workspace of this plan and its owner.
    pub(crate) async fn on(process: &Process, plan: Plan) -> Self {
        let team = Self { tenant: new_id(), owner: new_id(), process: process.clone() };
        let slug = format!("w-{}", team.tenant.0.simple());
        let create =
            WorkspaceCommand::CreateWorkspace { name: named("Workspace"), slug: named(slug), kind: WorkspaceKind::Team, plan: Some(plan) };
        process.send::<Workspace>(Request { on_behalf_of: Some(team.owner), ..by_system(team.tenant) }, team.tenant, create).await.unwrap();
        team.join(team.owner, &[BuiltInRole::Admin]).await;
        team
    }

    /// The same workspace, served by another process.
    pub(crate) fn through(&self, process: &Process) -> Self {
        Self { process: process.clone(), ..self.clone() }
    }

    /// The id of a user's membership.
    pub(crate) fn membership(&self, user: UserId) -> MembershipId {
        WorkspaceId::from(self.tenant).membership(user)
    }

    /// Makes a user a member.
    pub(crate) async fn join(&self, user: UserId, roles: &[BuiltInRole]) {
        self.process.send::<Membership>(by_system(self.tenant), self.membership(user), add_member(user, roles)).await.unwrap();
    }

    /// A new member.
    pub(crate) async fn member(&self, roles: &[BuiltInRole]) -> UserId {
        let user = new_id();
        self.join(user, roles).await;
        user
    }

    /// A request of a user in this workspace.
    pub(crate) fn by(&self, user: UserId) -> Request {
        by(Principal::User(user), self.tenant)
    }

    /// An active pipeline with so many stages, the last of them terminal.
    pub(crate) async fn board(&self, stages: usize) -> Board {
        let board = Board { id: new_id(), stages: (0..stages).map(|_| new_id()).collect() };
        let key = format!("p_{}", board.id.0.simple());
        self.process.create::<Pipeline>(self.by(self.owner), board.id, create_pipeline(&key, &board.stages)).await.unwrap();
        self.process.send::<Pipeline>(self.by(self.owner), board.id, PipelineCommand::ActivatePipeline).await.unwrap();
        board
    }

    /// Lets a board's first stage take so many items.
    pub(crate) async fn limit(&self, board: &Board, most: u32) {
        let limited = PipelineCommand::UpdateStage {
            stage_id: board.stages[0],
            name: Patch::Keep,
            color: Patch::Keep,
            is_terminal: Patch::Keep,
            wip_limit: Patch::Set(Some(most.try_into().unwrap())),
        };
        self.process.send::<Pipeline>(self.by(self.owner), board.id, limited).await.unwrap();
    }

    /// An item in the first stage.
    pub(crate) async fn item(&self, board: &Board) -> ItemId {
        let id = new_id();
        self.process.create::<PipelineItem>(self.by(self.owner), id, create_item(board)).await.unwrap();
        id
    }
}

/// The command that makes a user a member.
pub(crate) fn add_member(user: UserId, roles: &[BuiltInRole]) -> MembershipCommand {
    let profile = MemberProfile { name: None, email: named(format!("{}@team.example", user.0.simple())) };
    MembershipCommand::AddMember {
        user_id: user,
        roles: roles.iter().copied().map(Into::into).collect(),
        source: MemberSource::Provisioned,
        profile,
    }
}

/// The command that creates a pipeline of these stages, the last of them terminal.
pub(crate) fn create_pipeline(key: &str, stages: &[StageId]) -> PipelineCommand {
    let last = stages.len() - 1;
    let stage = |(n, id): (usize, &StageId)| NewStage {
        key: named(format!("s{n}")),
        name: named(format!("Stage {n}")),
        is_terminal: n == last,
        color: None,
        wip_limit: None,
        stage_id: Some(*id),
    };
    PipelineCommand::CreatePipeline {
        key: named(key),
        name: named("Pipeline"),
        kind: PipelineType::Generic,
        description: None,
        stages: stages.iter().enumerate().map(stage).collect(),
    }
}

/// The command that creates an item in a board's first stage.
pub(crate) fn create_item(board: &Board) -> ItemCommand {
    ItemCommand::CreateItem {
        pipeline_id: board.id,
        stage_id: None,
        title: named("Item"),
        description: None,
        assigned_to: None,
        due_date: None,
        priority: None,
        data: None,
        tags: vec![],
        source_ref: None,
        attributes: None,
        rank: None,
    }
}

/// The command that moves an item.
pub(crate) fn move_to(stage: StageId) -> ItemCommand {
    ItemCommand::MoveItem { to_stage_id: stage, rank: None, note: None, attributes: None }
}

/// The command that records an activity.
pub(crate) fn record(name: impl Into<String>) -> ItemCommand {
    ItemCommand::RecordActivity { name: named(name), lifecycle: None, data: None, attributes: None }
}
