//! A log with everything that serves it: what one process of the program has, without its faces.

use super::database::MASTER;
use super::{Database, Wire};
use api::app::App;
use domain::{Decider, Refusal, TenantId};
use event_store::{
    AccessCache, AppenderConfig, Commands, Committed, ExecuteError, MasterKey, PoolSizes, Pools, Reader, Request, Target, Vault, Wake,
};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// One process of the program, as far as the log is concerned: its own pools, caches and queues.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) pools: Pools,
    pub(crate) commands: Arc<Commands>,
    pub(crate) wake: Wake,
    pub(crate) reader: Reader,
}

impl Process {
    fn start(database: &PgConnectOptions, master: [u8; 32], config: AppenderConfig) -> Self {
        // All properties hold on either path: the tests of the log are run once more with only the locking one.
        let config = AppenderConfig { swift: config.swift && !locking_only(), ..config };
        let master = MasterKey::new(master);
        // The passwords of the roles are the server's, whatever key the data is under.
        let pools = Pools::new(database, &MasterKey::new(MASTER), PoolSizes { api: 6, loader: 6, worker: 2 });
        let vault = Vault::new(pools.api.clone(), &master);
        let (access, wake) = (AccessCache::new(pools.loader.clone(), 1_000), Wake::default());
        let reader = Reader::new(pools.worker.clone(), &vault);
        let commands = Arc::new(Commands::new(&pools, vault, access, &wake, config));
        Self { pools, commands, wake, reader }
    }

    /// The process that an app is.
    pub(crate) fn of(app: &App) -> Self {
        Self {
            pools: app.pools.clone(),
            commands: Arc::clone(&app.commands),
            wake: app.wake.clone(),
            reader: Reader::new(app.pools.worker.clone(), app.commands.vault()),
        }
    }

    /// Executes a command on an aggregate that may exist.
    pub(crate) async fn send<D: Decider>(
        &self,
        request: Request,
        id: impl Into<Uuid>,
        command: D::Command,
    ) -> Result<Committed, ExecuteError<D::Error>>
    where
        D::Command: Clone,
    {
        self.commands.execute::<D>(&request, Target::Existing(id.into()), command).await
    }

    /// Executes a command that creates an aggregate under a new id.
    pub(crate) async fn create<D: Decider>(
        &self,
        request: Request,
        id: impl Into<Uuid>,
        command: D::Command,
    ) -> Result<Committed, ExecuteError<D::Error>>
    where
        D::Command: Clone,
    {
        self.commands.execute::<D>(&request, Target::New(id.into()), command).await
    }

    /// An aggregate as it is now.
    pub(crate) async fn state<D: Decider>(&self, tenant: TenantId, id: impl Into<Uuid>) -> D {
        self.commands.state::<D>(tenant, id.into()).await.unwrap()
    }
}

/// True when this run is to prove the path that locks.
pub(crate) fn locking_only() -> bool {
    std::env::var("ANNALS_TEST_APPEND").is_ok_and(|path| path == "locking")
}

/// A fresh log and one process that serves it.
pub(crate) struct Log {
    pub(crate) process: Process,
    /// The superuser, who sees and does everything.
    pub(crate) admin: PgPool,
    // Last, so that the others are gone when the database is dropped.
    pub(crate) database: Database,
}

impl std::ops::Deref for Log {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Log {
    /// A log in a database of its own.
    pub(crate) async fn new() -> Self {
        Self::with(AppenderConfig::default()).await
    }

    /// A log whose appender has these limits.
    pub(crate) async fn with(config: AppenderConfig) -> Self {
        let database = Database::new().await;
        let process = Process::start(&database.options(), MASTER, config);
        let admin = PgPoolOptions::new().max_connections(3).acquire_timeout(Duration::from_secs(10)).connect_lazy_with(database.options());
        Self { process, admin, database }
    }

    /// Another process that serves the same log.
    pub(crate) fn another_process(&self) -> Process {
        Process::start(&self.database.options(), MASTER, AppenderConfig::default())
    }

    /// Another process, which reaches the database over this wire.
    pub(crate) fn process_through(&self, wire: &Wire) -> Process {
        Process::start(&wire.options(), MASTER, AppenderConfig::default())
    }

    /// A process that was given another master key.
    pub(crate) fn process_with_key(&self, master: [u8; 32]) -> Process {
        Process::start(&self.database.options(), master, AppenderConfig::default())
    }
}

/// The code of a refusal, or what else came.
pub(crate) fn code_of<E: Refusal>(outcome: &Result<Committed, ExecuteError<E>>) -> &'static str {
    match outcome {
        Ok(_) => "OK",
        Err(ExecuteError::Refused(error)) => error.code(),
        Err(ExecuteError::Denied(_)) => "FORBIDDEN",
        Err(ExecuteError::IdTaken) => "ID_TAKEN",
        Err(ExecuteError::KeyMisused) => "KEY_MISUSED",
        Err(ExecuteError::Contended) => "CONTENDED",
        Err(ExecuteError::Store(_)) => "STORE",
    }
}
