//! The projector: looks which logs have grown and brings the read models up to them, batch by batch. What fails is
//! narrowed down to one read model of one tenant, which is parked; everything else goes on.

mod batch;
mod error;
mod parking;
mod versions;

pub(crate) use batch::{Stretch, lock_checkpoints, refused, touches};
pub use error::ProjectError;

use crate::freshness::Freshness;
use crate::registry::Models;
use crate::table::{Model, Table};
use crate::troubles::Troubles;
use event_store::{Pools, Reader, Vault, Wake};
use sqlx::PgPool;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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
        };
        projector.claim_versions().await?;
        Ok(projector)
    }

    /// Projects until told to stop. A database that goes away is waited for.
    pub async fn run(self, stop: CancellationToken) {
        let mut wake = self.wake.listen();
        let mut poll = tokio::time::interval(self.config.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pause = Duration::ZERO;
        loop {
            let work = async {
                tokio::select! {
                    _ = poll.tick() => self.catch_up().await.map(|()| true),
                    woken = wake.recv() => match woken {
                        Ok((tenant, _)) => {
                            let mut tenants = BTreeSet::from([tenant.0]);
                            while let Ok((tenant, _)) = wake.try_recv() {
                                tenants.insert(tenant.0);
                            }
                            self.follow(tenants.into_iter().collect()).await.map(|()| true)
                        }
                        // What was missed is found by the next look at everything.
                        Err(RecvError::Lagged(_)) => Ok(true),
                        Err(RecvError::Closed) => Ok(false),
                    },
                }
            };
            let outcome = tokio::select! {
                outcome = work => outcome,
                () = stop.cancelled() => return,
            };
            pause = match outcome {
                Ok(true) => Duration::ZERO,
                Ok(false) => return,
                Err(error) => {
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

    /// Looks at all tenants, projects everything there is, and tries what is parked and due.
    ///
    /// # Errors
    /// The database.
    pub async fn catch_up(&self) -> Result<(), ProjectError> {
        self.renew().await?;
        self.troubles.forgive(&self.pool).await?;
        let behind: Vec<Uuid> = sqlx::query_scalar(
            "select h.tenant_id from event_store.heads h left join read_models.checkpoints c on c.tenant_id = h.tenant_id
             where h.position > coalesce(c.position, 0)",
        )
        .fetch_all(&self.pool)
        .await?;
        self.follow(behind).await?;
        self.retry_parked().await
    }

    /// Brings these tenants up to their heads.
    async fn follow(&self, tenants: Vec<Uuid>) -> Result<(), ProjectError> {
        for chunk in tenants.chunks(self.config.batch_tenants.max(1)) {
            let mut behind = self.troubles.without(chunk);
            while !behind.is_empty() {
                behind = self.advance(&behind).await?;
            }
        }
        Ok(())
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

    pub(crate) fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    pub(crate) fn table(&self, model: &dyn Model) -> Option<&Table> {
        self.tables.get(model.table())
    }

    pub(crate) fn batch_events(&self) -> i64 {
        self.config.batch_events
    }
}
