//! A log with its commands and its projector, and a workspace in it.

use crate::database::{Database, MASTER};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use domain::identity::{Session, SessionCommand, User, UserCommand, WorkspaceEntry, WorkspaceEntryCommand};
use domain::roles::BuiltInRole;
use domain::workspace::{MemberProfile, MemberSource, Membership, MembershipCommand, Workspace, WorkspaceCommand, WorkspaceKind};
use domain::{Decider, Email, PLATFORM, Principal, SessionId, SystemCaller, TenantId, UserId, WorkspaceId};
use event_store::{AccessCache, AppenderConfig, Commands, MasterKey, PoolSizes, Pools, Request, Target, Vault, Wake};
use projections::query::{Desk, Scope};
use projections::{Freshness, Projector, ProjectorConfig};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

/// The program, as these tests need it.
pub(crate) static TESTS: SystemCaller =
    SystemCaller { name: "tests", commands: &["ProvisionUser", "StartSession", "ReserveWorkspace", "ConfirmWorkspace", "AddMember"] };

pub(crate) struct World {
    pub(crate) pools: Pools,
    pub(crate) commands: Commands,
    pub(crate) projector: Projector,
    // Last, so that it outlives the connections.
    pub(crate) database: Database,
}

/// A user with a workspace of their own.
#[derive(Clone, Copy)]
pub(crate) struct Team {
    pub(crate) id: WorkspaceId,
    pub(crate) owner: UserId,
}

/// A new id.
pub(crate) fn new_id() -> Uuid {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// The n-th minute after noon.
pub(crate) fn minute(n: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).unwrap() + TimeDelta::minutes(n)
}

pub(crate) fn request(principal: Principal, tenant: impl Into<TenantId>) -> Request {
    Request::new(principal, tenant.into(), minute(0), new_id(), new_id())
}

/// All tests have the same: the roles' passwords derive from it, and roles belong to the server.
pub(crate) fn master() -> MasterKey {
    MasterKey::new(MASTER)
}

impl World {
    pub(crate) async fn new() -> Self {
        // What the projector has to say shows with the test that fails.
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::WARN).try_init();
        let database = Database::new().await;
        let pools = Pools::new(&database.options(), &master(), PoolSizes { api: 4, loader: 4, worker: 4 });
        let wake = Wake::default();
        let vault = Vault::new(pools.api.clone(), &master());
        let commands = Commands::new(&pools, vault.clone(), AccessCache::new(pools.loader.clone(), 100), &wake, AppenderConfig::default());
        let freshness = Freshness::new(pools.worker.clone());
        // Small batches, so that rows are folded over what earlier ones left.
        let config = ProjectorConfig { batch_events: 7, ..ProjectorConfig::default() };
        let projector = Projector::new(&pools, &vault, &wake, &freshness, config).await.unwrap();
        Self { pools, commands, projector, database }
    }

    /// Executes what must succeed.
    pub(crate) async fn run<D: Decider>(&self, request: Request, id: impl Into<Uuid>, command: D::Command) {
        let text = format!("{command:?}");
        self.commands.execute::<D>(&request, Target::Existing(id.into()), command).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    pub(crate) async fn user(&self, name: &str) -> UserId {
        let user = UserId(new_id());
        let command =
            serde_json::from_value::<UserCommand>(json!({ "ProvisionUser": { "email": format!("{name}@example.org"), "name": name } }))
                .unwrap();
        self.run::<User>(request(Principal::System(&TESTS), PLATFORM), user, command).await;
        user
    }

    pub(crate) async fn session(&self, user: UserId) -> SessionId {
        let session = SessionId(new_id());
        let start = json!({ "StartSession": { "userId": user, "method": "PASSWORD", "refreshHash": "0a".repeat(32) } });
        self.run::<Session>(
            request(Principal::System(&TESTS), PLATFORM),
            session,
            serde_json::from_value::<SessionCommand>(start).unwrap(),
        )
        .await;
        session
    }

    /// A TEAM workspace as registration makes one.
    pub(crate) async fn team(&self, slug: &str, owner: UserId) -> Team {
        let id = WorkspaceId(new_id());
        let (slug_, kind) = (domain::Slug::try_from(slug.to_owned()).unwrap(), WorkspaceKind::Team);
        let reserve = WorkspaceEntryCommand::ReserveWorkspace { workspace_id: id, slug: slug_.clone(), kind, owner_id: owner };
        self.run::<WorkspaceEntry>(request(Principal::System(&TESTS), PLATFORM), id.entry(), reserve).await;
        let create =
            WorkspaceCommand::CreateWorkspace { name: domain::Name::try_from(slug.to_owned()).unwrap(), slug: slug_, kind, plan: None };
        self.run::<Workspace>(request(Principal::User(owner), id), id, create).await;
        let team = Team { id, owner };
        self.join(team, owner, BuiltInRole::Admin, "owner").await;
        self.run::<WorkspaceEntry>(request(Principal::System(&TESTS), PLATFORM), id.entry(), WorkspaceEntryCommand::ConfirmWorkspace {})
            .await;
        team
    }

    pub(crate) async fn join(&self, team: Team, user: UserId, role: BuiltInRole, name: &str) {
        let email = Email::try_from(format!("{name}@example.org")).unwrap();
        let profile = MemberProfile { name: None, email };
        let add = MembershipCommand::AddMember { user_id: user, roles: vec![role.into()], source: MemberSource::Provisioned, profile };
        self.run::<Membership>(request(Principal::System(&TESTS), team.id), team.id.membership(user), add).await;
    }

    pub(crate) async fn project(&self) {
        self.projector.catch_up().await.unwrap();
        let parked: Vec<(String, String)> =
            sqlx::query_as("select read_model, error from read_models.parked").fetch_all(&self.pools.worker).await.unwrap();
        assert_eq!(parked, []);
    }

    pub(crate) async fn scope(&self, tenant: impl Into<TenantId>, actor: UserId) -> Scope {
        Desk::new(self.pools.api.clone(), Some(actor)).scope(tenant.into()).await.unwrap()
    }

    /// Every read model of these logs is what a fold from position 0 makes of it.
    pub(crate) async fn check_replay(&self, tenants: &[TenantId]) {
        for tenant in tenants {
            for name in projections::names() {
                let (folded, stands) = projections::replay(&self.projector, *tenant, name).await.unwrap();
                assert_eq!(folded, stands, "{name} of {tenant}");
            }
        }
    }
}
