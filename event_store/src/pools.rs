//! Connections. Each pool signs in as one role and can be nobody else.

use crate::{MasterKey, StoreError};
use sqlx::Connection;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use std::time::Duration;
use uuid::Uuid;

/// How many connections each pool may open.
#[derive(Clone, Copy, Debug)]
pub struct PoolSizes {
    /// For queries.
    pub api: u32,
    /// For loading aggregates and grants.
    pub loader: u32,
    /// For the projector.
    pub worker: u32,
}

impl Default for PoolSizes {
    fn default() -> Self {
        Self { api: 16, loader: 8, worker: 4 }
    }
}

/// After so long a connection is asked whether it is there still, before it is used.
const IDLE: Duration = Duration::from_millis(500);

/// How connections plan on which everything is found by key. Planning anew for each call's arrays costs more than a
/// generic plan ever loses; but that plan is kept while the tables outgrow what was known of them when it was made, so it
/// goes by the index, one key at a time, which is right for any size.
pub const BY_KEY: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

/// The program's connections to one database.
#[derive(Clone)]
pub struct Pools {
    /// Reads by tenant policy, and the append and vault functions.
    pub api: PgPool,
    /// Reads the log of every tenant.
    pub loader: PgPool,
    /// Reads the log of every tenant and writes read models.
    pub worker: PgPool,
    /// Which process this is, among all of the database. New at each start.
    pub process: Uuid,
    pub(crate) append: PgConnectOptions,
    pub(crate) notify: PgConnectOptions,
}

impl std::fmt::Debug for Pools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Connect options hold passwords.
        f.write_str("Pools")
    }
}

impl Pools {
    /// Pools to the database that `base` names; its user and password are replaced by each role's own.
    #[must_use]
    pub fn new(base: &PgConnectOptions, master: &MasterKey, sizes: PoolSizes) -> Self {
        let role = |role: &str| base.clone().username(role).password(&master.role_password(role)).application_name(role);
        let pool = |options, size| {
            PgPoolOptions::new()
                .max_connections(size)
                .acquire_timeout(Duration::from_secs(10))
                .test_before_acquire(false)
                .before_acquire(|connection, meta| Box::pin(still_there(connection, meta)))
                .connect_lazy_with(options)
        };
        // No id of the domain: it only tells processes apart for as long as they run.
        let process = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        Self {
            api: pool(role("annals_api"), sizes.api),
            loader: pool(role("annals_loader").options(BY_KEY), sizes.loader),
            // By this name other workers know whether the process is still there, and end its sessions if it is not.
            worker: pool(role("annals_worker").application_name(&format!("annals_worker {process}")), sizes.worker),
            process,
            append: role("annals_api").options(BY_KEY),
            notify: role("annals_api").application_name("annals_notify"),
        }
    }

    /// True once every pool has answered.
    ///
    /// # Errors
    /// The first pool that cannot sign in or does not answer.
    pub async fn check(&self) -> Result<(), StoreError> {
        for pool in [&self.api, &self.loader, &self.worker] {
            sqlx::query("select 1").execute(pool).await?;
        }
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        tokio::join!(self.api.close(), self.loader.close(), self.worker.close());
    }
}

/// Asks a connection that has been idle for a while whether it is there still. One that was used just now has answered
/// then; to ask each time would be a round trip more for each use.
async fn still_there(connection: &mut PgConnection, meta: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    if meta.idle_for > IDLE {
        connection.ping().await?;
    }
    Ok(true)
}
