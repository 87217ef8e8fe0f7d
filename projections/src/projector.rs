//! The projector: looks which logs have grown and brings the read models up to them, batch by batch. What fails is
//! narrowed down to one read model of one tenant, which is parked; everything else goes on.

mod batch;
mod checkpoints;
mod error;
mod parking;
mod rest;
mod versions;

pub(crate) use batch::{Stretch, refused, touches};
pub(crate) use checkpoints::lock_checkpoints;
pub use error::ProjectError;

use rest::Rest;

use crate::fold::Model;
use crate::freshness::Freshness;
use crate::leases::{Held, LeaseConfig, Leases, SHARDS, Standing, shard};
use crate::registry::Models;
use crate::table::Table;
use crate::troubles::Troubles;
use domain::TenantId;
use event_store::{BY_KEY, Pools, Reader, Vault, Wake, Woken};
use sqlx::PgPool;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// While one is with the database, the other is being folded.
const LANES: u32 = 2;

/// How the projector works.
#[derive(Clone, Copy, Debug)]
pub struct ProjectorConfig {
    /// Events in one transaction, at the most.
    pub batch_events: i64,
    /// Tenants in one transaction, at the most.
    pub batch_tenants: usize,
    /// How often it looks for itself, woken or not.
    pub poll: Duration,
    /// The first wait before a parked read model is tried again; doubled each time, up to an hour.
    pub retry: Duration,
}

impl Default for ProjectorConfig {
    fn default() -> Self {
        Self { batch_events: 5_000, batch_tenants: 200, poll: Duration::from_secs(1), retry: Duration::from_secs(1) }
    }
}

/// Runs all read models of one database. Cheap to clone.
#[derive(Clone)]
pub struct Projector {
    pool: PgPool,
    reader: Reader,
    freshness: Freshness,
    wake: Wake,
    config: ProjectorConfig,
    models: Models,
    tables: Arc<HashMap<&'static str, Table>>,
    troubles: Arc<Troubles>,
    process: Uuid,
    leases: Option<Leases>,
    /// Begins a transaction in which everything is found by key.
    begin: String,
}

impl std::fmt::Debug for Projector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Projector")
    }
}

impl Projector {
    /// A projector of all read models of the house.
    ///
    /// # Errors
    /// The database, or tables of a newer program.
    pub async fn new(
        pools: &Pools,
        vault: &Vault,
        wake: &Wake,
        freshness: &Freshness,
        config: ProjectorConfig,
    ) -> Result<Self, ProjectError> {
        Self::of(Models::house(), pools, vault, wake, freshness, config).await
    }

    /// A projector of these read models.
    ///
    /// # Errors
    /// The database, or tables of a newer program.
    pub async fn of(
        models: Models,
        pools: &Pools,
        vault: &Vault,
        wake: &Wake,
        freshness: &Freshness,
        config: ProjectorConfig,
    ) -> Result<Self, ProjectError> {
        let mut tables = HashMap::new();
        for model in models.iter() {
            tables.insert(model.table(), Table::describe(&pools.worker, model.table()).await?);
        }
        let projector = Self {
            pool: pools.worker.clone(),
            reader: Reader::new(pools.worker.clone(), vault),
            freshness: freshness.clone(),
            wake: wake.clone(),
            config,
            models,
            tables: Arc::new(tables),
            troubles: Arc::default(),
            process: pools.process,
            leases: None,
            begin: BY_KEY.iter().fold("begin".to_owned(), |begin, (name, value)| format!("{begin}; set local {name} = {value}")),
        };
        projector.claim_versions().await?;
        Ok(projector)
    }

    /// The same, sharing the tenants with all other projectors of the database that have leases. One without projects
    /// them all.
    #[must_use]
    pub fn with_leases(mut self, config: LeaseConfig) -> Self {
        self.leases = Some(Leases::new(self.pool.clone(), self.process, &self.models, config));
        self
    }

    /// Whether it works, while it runs.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.leases.as_ref().map_or_else(Standing::always, Leases::standing)
    }

    /// Projects until told to stop. A database that goes away is waited for.
    pub async fn run(self, stop: CancellationToken) {
        // Until the read models are this program's, an older one may keep them up, and needs the leases.
        tokio::select! {
            () = self.renewed() => {}
            () = stop.cancelled() => return,
        }
        // It beats whatever the projector is at, and ends with it.
        let mut beating = JoinSet::new();
        if let Some(leases) = &self.leases {
            if let Err(error) = leases.beat().await {
                tracing::warn!(%error, "no leases yet; trying again");
            }
            beating.spawn(leases.clone().keep(stop.clone()));
        }
        self.work(&stop).await;
        beating.shutdown().await;
        if let Some(leases) = &self.leases
            && let Err(error) = leases.release().await
        {
            tracing::warn!(%error, "leases could not be given up; they run out by themselves");
        }
    }

    async fn work(&self, stop: &CancellationToken) {
        let mut wake = self.wake.listen();
        let mut held = self.leases.as_ref().map(Leases::watch);
        let mut known = held.as_mut().map(|held| held.borrow_and_update().clone()).unwrap_or_default();
        let mut poll = tokio::time::interval(self.config.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        let mut pause = Duration::ZERO;
        let mut rest = Rest::default();
        loop {
            let work = async {
                tokio::select! {
                    _ = poll.tick() => {
                        looked = Instant::now();
                        self.look(&mut rest).await
                    }
                    woken = wake.recv() => match woken {
                        Ok(Woken::Log(tenant, _)) => {
                            let mut tenants = BTreeSet::from([tenant.0]);
                            loop {
                                match wake.try_recv() {
                                    Ok(Woken::Log(tenant, _)) => drop(tenants.insert(tenant.0)),
                                    Ok(Woken::Everything) | Err(TryRecvError::Lagged(_)) => poll.reset_at(looked + self.config.poll),
                                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                                }
                            }
                            self.follow(tenants.into_iter().collect()).await
                        }
                        // Found by a look at everything, of which there is one in an interval.
                        Ok(Woken::Everything) | Err(RecvError::Lagged(_)) => {
                            poll.reset_at(looked + self.config.poll);
                            Ok(())
                        }
                        // Not as long as this projector has its own.
                        Err(RecvError::Closed) => std::future::pending().await,
                    },
                    () = changed(&mut held) => {
                        let now = held.as_mut().map(|held| held.borrow_and_update().clone()).unwrap_or_default();
                        let gained = now.iter().filter(|(shard, token)| known.get(shard) != Some(token));
                        let gained: Vec<i32> = gained.map(|(shard, _)| *shard).collect();
                        tracing::info!(shards = now.len(), of = SHARDS, "leases have changed");
                        self.freshness.shared_out_anew();
                        known = now;
                        rest = Rest::default();
                        self.follow(self.behind(Some(&gained)).await?).await
                    }
                }
            };
            let outcome = tokio::select! {
                outcome = work => outcome,
                () = stop.cancelled() => return,
            };
            pause = match outcome {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    rest = Rest::default();
                    tracing::error!(%error, "projecting; trying again");
                    (pause * 2).clamp(Duration::from_millis(100), Duration::from_secs(10))
                }
            };
            if !pause.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// Looks at all tenants, or all that are leased, projects everything there is, and tries what is parked and due.
    ///
    /// # Errors
    /// The database.
    pub async fn catch_up(&self) -> Result<(), ProjectError> {
        self.look(&mut Rest::default()).await
    }

    async fn look(&self, rest: &mut Rest) -> Result<(), ProjectError> {
        match self.renew().await {
            // Whoever has leases has lost them by that, and stands down.
            Err(ProjectError::Newer { .. } | ProjectError::Unknown { .. }) if self.leases.is_some() => {}
            outcome => outcome?,
        }
        self.troubles.forgive(&self.pool).await?;
        let shards: Option<Vec<i32>> = self.leases.as_ref().map(|leases| leases.shards().into_iter().collect());
        let heads: i64 =
            sqlx::query_scalar("select coalesce(sum(position), 0)::bigint from event_store.heads").fetch_one(&self.pool).await?;
        if rest.is_broken(heads) {
            let behind = self.behind(shards.as_deref()).await?;
            *rest = if behind.is_empty() { Rest::at(heads) } else { Rest::default() };
            self.follow(behind).await?;
        }
        self.retry_parked(shards.as_deref()).await
    }

    /// The tenants whose logs have grown, of these shards or of all.
    async fn behind(&self, shards: Option<&[i32]>) -> Result<Vec<Uuid>, sqlx::Error> {
        // The index helps those who want a part; all is faster without.
        match shards.filter(|shards| shards.len() < SHARDS) {
            Some([]) => Ok(Vec::new()),
            Some(shards) => {
                let sql = "select h.tenant_id from event_store.heads h left join read_models.checkpoints c
                             on c.tenant_id = h.tenant_id and (get_byte(uuid_send(c.tenant_id), 15) & 63) = any ($1)
                           where (get_byte(uuid_send(h.tenant_id), 15) & 63) = any ($1) and h.position > coalesce(c.position, 0)";
                sqlx::query_scalar(sql).bind(shards).fetch_all(&self.pool).await
            }
            None => {
                let sql = "select h.tenant_id from event_store.heads h left join read_models.checkpoints c on c.tenant_id = h.tenant_id
                           where h.position > coalesce(c.position, 0)";
                sqlx::query_scalar(sql).fetch_all(&self.pool).await
            }
        }
    }

    /// Of these tenants, those that are ours to project, as far as we know.
    fn ours(&self, tenants: Vec<Uuid>) -> Vec<Uuid> {
        let Some(leases) = &self.leases else { return tenants };
        let shards = leases.shards();
        tenants.into_iter().filter(|tenant| shards.contains(&shard(*tenant))).collect()
    }

    /// Brings these tenants up to their heads.
    async fn follow(&self, tenants: Vec<Uuid>) -> Result<(), ProjectError> {
        for chunk in self.ours(tenants).chunks(self.config.batch_tenants.max(1)) {
            let behind = self.troubles.without(chunk);
            if !behind.is_empty() {
                self.keep_on(self.advance(&behind).await?).await?;
            }
        }
        Ok(())
    }

    /// Tenants that have more than a batch: while one transaction is with the database, another is being folded.
    async fn keep_on(&self, behind: Vec<Uuid>) -> Result<(), ProjectError> {
        let lanes = usize::try_from(self.lanes()).unwrap_or(1);
        let part = |lane: usize| behind.iter().skip(lane).step_by(lanes).copied().collect::<Vec<_>>();
        // Of the one that fails, the others are dropped, and their transactions with them.
        let lanes = (0..lanes).map(part).map(async |mut behind| {
            while !behind.is_empty() {
                behind = self.advance(&behind).await?;
            }
            Ok(())
        });
        futures::future::try_join_all(lanes).await.map(drop)
    }

    /// How many transactions go side by side where there is much to do. Each needs two connections, one of them to read.
    pub(crate) fn lanes(&self) -> i32 {
        if self.pool.options().get_max_connections() < 2 * LANES { 1 } else { LANES as i32 }
    }

    /// One transaction over these tenants, or, where it fails, one for each. Answers those that have more.
    async fn advance(&self, tenants: &[Uuid]) -> Result<Vec<Uuid>, ProjectError> {
        match self.project(tenants, false).await {
            Ok(more) => return Ok(more),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => tracing::warn!(%error, tenants = tenants.len(), "a batch could not be projected; going tenant by tenant"),
        }
        let mut more = Vec::new();
        for tenant in tenants {
            match self.project(&[*tenant], true).await {
                Ok(again) => more.extend(again),
                Err(error) if error.is_transient() => return Err(error),
                // A log that cannot be read at all holds up nobody but its own tenant.
                Err(error) => {
                    tracing::error!(%error, %tenant, "a tenant cannot be projected; trying again later");
                    self.troubles.note(&self.pool, *tenant, &error.to_string(), self.config.retry).await?;
                }
            }
        }
        Ok(more)
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// What is known of these tenants holds no longer, here and in other processes.
    pub(crate) fn forget(&self, tenants: &[TenantId]) {
        tenants.iter().for_each(|tenant| self.freshness.forget(*tenant));
        self.wake.projected(tenants.iter().map(|tenant| (*tenant, 0)));
    }

    pub(crate) fn table(&self, model: &dyn Model) -> Option<&Table> {
        self.tables.get(model.table())
    }

    pub(crate) fn batch_events(&self) -> i64 {
        self.config.batch_events
    }
}

/// Until there is news of the leases; for ever where there are none.
async fn changed(held: &mut Option<watch::Receiver<Held>>) {
    if let Some(held) = held
        && held.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
