//! Annals: `Commands::execute` with everything it does. The workspaces, members, grants and pipelines are made by
//! commands too.

use crate::measure::Caller;
use crate::workload::{Board, COMMANDS, command, new_id, now};
use anyhow::{Context, Result};
use domain::pipeline::{NewStage, Pipeline, PipelineCommand, PipelineItem, PipelineType};
use domain::roles::BuiltInRole;
use domain::workspace::{MemberProfile, MemberSource, Membership, MembershipCommand, Plan, Workspace, WorkspaceCommand, WorkspaceKind};
use domain::{Decider, PipelineId, Principal, SessionId, StageId, SystemCaller, TenantId, UserId, WorkspaceId};
use event_store::{AccessCache, AppenderConfig, Commands, Committed, MasterKey, PoolSizes, Pools, Request, Target, Vault, Wake};
use sqlx::postgres::PgConnectOptions;
use std::sync::Arc;
use uuid::Uuid;

/// Makes the workspaces.
static FOUNDER: SystemCaller = SystemCaller { name: "benchmark", commands: &["CreateWorkspace", "AddMember"] };
const MEMBERS: usize = 4;

/// A workspace with people and a pipeline.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Whose log.
    pub id: TenantId,
    /// Its operators.
    pub members: Vec<UserId>,
    /// Its pipeline.
    pub board: Board,
}

/// The commands of one process.
pub fn commands(database: &PgConnectOptions, master: &MasterKey, config: AppenderConfig) -> (Commands, Pools) {
    let pools = Pools::new(database, master, PoolSizes::default());
    let vault = Vault::new(pools.api.clone(), master);
    let access = AccessCache::new(pools.loader.clone(), 10_000);
    (Commands::new(&pools, vault, access, &Wake::default(), config), pools)
}

fn request(principal: Principal, tenant: TenantId) -> Request {
    Request::new(principal, tenant, now(), new_id(), new_id())
}

async fn execute<D: Decider>(commands: &Commands, request: Request, target: Target, command: D::Command) -> Result<Committed>
where
    D::Command: Clone,
{
    let name = std::any::type_name::<D>();
    commands.execute::<D>(&request, target, command).await.with_context(|| format!("a command to {name}"))
}

/// Makes workspace number `n`: an owner, operators, an active pipeline of four stages and an end.
pub async fn found(commands: &Commands, n: usize) -> Result<Tenant> {
    let workspace = WorkspaceId(new_id());
    let tenant = TenantId::from(workspace);
    let members: Vec<UserId> = (0..=MEMBERS).map(|_| UserId(new_id())).collect();
    let owner = members[0];
    let system = || Request { on_behalf_of: Some(owner), ..request(Principal::System(&FOUNDER), tenant) };
    let create = WorkspaceCommand::CreateWorkspace {
        name: format!("Workspace {n}").try_into()?,
        slug: format!("workspace-{n}").try_into()?,
        kind: WorkspaceKind::Team,
        plan: Some(Plan::Enterprise),
    };
    execute::<Workspace>(commands, system(), Target::Existing(tenant.0), create).await?;
    for (number, user) in members.iter().enumerate() {
        let add = MembershipCommand::AddMember {
            user_id: *user,
            roles: vec![if number == 0 { BuiltInRole::Admin } else { BuiltInRole::Operator }.into()],
            source: if number == 0 { MemberSource::Creator } else { MemberSource::Provisioned },
            profile: MemberProfile { name: None, email: format!("member-{number}@workspace-{n}.example").try_into()? },
        };
        execute::<Membership>(commands, system(), Target::Existing(workspace.membership(*user).0), add).await?;
    }
    let operators = members[1..].to_vec();
    let board = board(commands, tenant, owner, operators[0]).await?;
    Ok(Tenant { id: tenant, board, members: operators })
}

/// Makes an active pipeline of four stages and an end.
pub async fn board(commands: &Commands, tenant: TenantId, owner: UserId, assignee: UserId) -> Result<Board> {
    let pipeline = PipelineId(new_id());
    let stages: [StageId; 4] = std::array::from_fn(|_| StageId(new_id()));
    let stage = |key: &str, name: &str, stage_id, is_terminal| -> Result<NewStage> {
        Ok(NewStage { key: key.try_into()?, name: name.try_into()?, is_terminal, color: None, wip_limit: None, stage_id })
    };
    let create = PipelineCommand::CreatePipeline {
        key: "permits".try_into()?,
        name: "Building permits".try_into()?,
        kind: PipelineType::Internal,
        description: None,
        stages: vec![
            stage("received", "Received", Some(stages[0]), false)?,
            stage("checked", "Checked", Some(stages[1]), false)?,
            stage("assessed", "Assessed", Some(stages[2]), false)?,
            stage("decided", "Decided", Some(stages[3]), false)?,
            stage("closed", "Closed", None, true)?,
        ],
    };
    let by_owner = || request(Principal::User(owner), tenant);
    execute::<Pipeline>(commands, by_owner(), Target::New(pipeline.0), create).await?;
    execute::<Pipeline>(commands, by_owner(), Target::Existing(pipeline.0), PipelineCommand::ActivatePipeline).await?;
    Ok(Board { pipeline, stages, assignee })
}

/// A member at work: item after item.
pub struct Member {
    commands: Arc<Commands>,
    tenant: Arc<Tenant>,
    user: UserId,
    session: SessionId,
    item: Uuid,
    n: usize,
}

/// Callers spread over the tenants and their members.
pub fn members(commands: &Arc<Commands>, tenants: &[Arc<Tenant>], callers: usize) -> Vec<Member> {
    let member = |n: usize| {
        let tenant = &tenants[n % tenants.len()];
        let user = tenant.members[n / tenants.len() % tenant.members.len()];
        Member { commands: Arc::clone(commands), tenant: Arc::clone(tenant), user, session: SessionId(new_id()), item: Uuid::nil(), n: 0 }
    };
    (0..callers).map(member).collect()
}

impl Caller for Member {
    async fn command(&mut self) -> Result<u64> {
        let step = self.n % COMMANDS;
        if step == 0 {
            self.item = new_id();
        }
        self.n += 1;
        let target = if step == 0 { Target::New(self.item) } else { Target::Existing(self.item) };
        let request = Request { session: Some(self.session), ..request(Principal::User(self.user), self.tenant.id) };
        let committed = execute::<PipelineItem>(&self.commands, request, target, command(&self.tenant.board, step)?).await?;
        Ok(u64::try_from(committed.events)?)
    }
}
