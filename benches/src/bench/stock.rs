//! Stock postgres-es on its own table, executing the same commands on the same aggregate through cqrs-es'
//! framework. In its favour: the caller's grants and the pipeline are at hand, nothing is sealed, and there are no
//! guards, claims or positions.

use crate::annals::Tenant;
use anyhow::{Result, anyhow};
use benches::measure::Caller;
use benches::workload::{COMMANDS, command, new_id, now};
use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use domain::pipeline::{Pipeline, PipelineItem};
use domain::roles::{BuiltInRole, CATALOGUE_VERSION};
use domain::workspace::Membership;
use domain::{
    Authority, Caller as Sender, Decider, Envelope, Facts, Guarded, Principal, Root, UserId, WorkspaceId, authorise, for_the_store,
};
use event_store::Commands;
use postgres_es::PostgresEventRepository;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgPool};
use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// As postgres-es' own documentation creates it.
const TABLE: &str = "create schema stock;
create table stock.events (
  aggregate_type text not null,
  aggregate_id text not null,
  sequence bigint check (sequence >= 0) not null,
  event_type text not null,
  event_version text not null,
  payload json not null,
  metadata json not null,
  primary key (aggregate_type, aggregate_id, sequence)
)";

type Framework = CqrsFramework<Root<PipelineItem>, PersistedEventStore<PostgresEventRepository, Root<PipelineItem>>>;

/// What the pipelines and members of the tenants are.
pub(crate) struct Stock {
    framework: Arc<Framework>,
    pool: PgPool,
}

impl Stock {
    pub(crate) async fn new(database: &PgConnectOptions, connections: u32) -> Result<Self> {
        database.connect().await?.execute(TABLE).await?;
        let pool = PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(60))
            // Stock, but for the ping before each use, which would only slow it down.
            .test_before_acquire(false)
            .connect_with(database.clone())
            .await?;
        let repository = PostgresEventRepository::new(pool.clone()).with_tables("stock.events", "stock.snapshots");
        let framework = Arc::new(CqrsFramework::new(PersistedEventStore::new_event_store(repository), vec![], ()));
        Ok(Self { framework, pool })
    }

    pub(crate) async fn close(self) {
        self.pool.close().await;
    }

    /// Callers spread over the tenants and their members, who know their tenant's pipeline and assignee.
    pub(crate) async fn callers(&self, commands: &Commands, tenants: &[Arc<Tenant>], callers: usize) -> Result<Vec<Plain>> {
        let mut known = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            let pipeline = commands.state::<Pipeline>(tenant.id, tenant.board.pipeline.0).await?;
            let membership = WorkspaceId::from(tenant.id).membership(tenant.board.assignee).0;
            let assignee = commands.state::<Membership>(tenant.id, membership).await?;
            let mut facts = Facts::default();
            facts.insert(tenant.board.pipeline.0, Arc::new(pipeline));
            facts.insert(membership, Arc::new(assignee));
            known.push(facts);
        }
        let plain = |n: usize| {
            let tenant = &tenants[n % tenants.len()];
            let user = tenant.members[n / tenants.len() % tenant.members.len()];
            let (framework, facts) = (Arc::clone(&self.framework), known[n % tenants.len()].clone());
            Plain { framework, tenant: Arc::clone(tenant), facts, user, item: String::new(), id: Uuid::nil(), n: 0 }
        };
        Ok((0..callers).map(plain).collect())
    }
}

/// A member at work: item after item.
pub(crate) struct Plain {
    framework: Arc<Framework>,
    tenant: Arc<Tenant>,
    facts: Facts,
    user: UserId,
    item: String,
    id: Uuid,
    n: usize,
}

impl Caller for Plain {
    async fn command(&mut self) -> Result<u64> {
        let step = self.n % COMMANDS;
        if step == 0 {
            self.id = new_id();
            self.item = self.id.to_string();
        }
        self.n += 1;
        let command = command(&self.tenant.board, step)?;
        let sender = Sender {
            principal: Principal::User(self.user),
            tenant: self.tenant.id,
            grants: *BuiltInRole::Operator.grants(),
            custom: BTreeSet::new(),
            grants_position: 6,
            on_behalf_of: None,
            session: None,
            occurred_at: None,
            now: now(),
            command_id: new_id(),
        };
        let authority = authorise(&command, &PipelineItem::default(), &sender).map_err(|denied| anyhow!("{denied}"))?;
        let metadata = metadata(&sender, Guarded::<PipelineItem>::name(&command), authority);
        let envelope = Envelope::new(command, sender, self.id, self.facts.clone());
        let mut execution = pin!(self.framework.execute_with_metadata(&self.item, envelope, metadata));
        // Stock postgres-es knows no sealing: what is personal is written open.
        let executed = std::future::poll_fn(|context| for_the_store(|| execution.as_mut().poll(context)));
        executed.await.map_err(|error| anyhow!("postgres-es, {}: {error}", PipelineItem::TYPE))?;
        Ok(1)
    }
}

/// The keys that Annals writes, so that the rows have as many bytes.
fn metadata(sender: &Sender, command: &str, authority: Authority) -> HashMap<String, String> {
    let session = new_id();
    [
        ("tenant_id", sender.tenant.to_string()),
        ("actor_kind", sender.principal.kind().to_owned()),
        ("actor_id", sender.principal.id()),
        ("permission", authority.name().to_owned()),
        ("scope", authority.scope().map_or_else(String::new, |scope| scope.name().to_owned())),
        ("grants_tenant", sender.tenant.to_string()),
        ("grants_position", sender.grants_position.to_string()),
        ("catalogue", CATALOGUE_VERSION.to_string()),
        ("command_id", sender.command_id.to_string()),
        ("command", command.to_owned()),
        ("correlation_id", sender.command_id.to_string()),
        ("session_id", session.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
