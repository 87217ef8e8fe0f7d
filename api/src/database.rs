//! The database the program works with: a server that is named, or else an embedded one that this program starts
//! and stops. Invariant: only `migrate` signs in as the owner; everything that serves is a role of its own.

use crate::config::{Config, ConfigError, Switch};
use cluster::{Cluster, ClusterError};
use event_store::{AppenderConfig, KeyError, MasterKey, MigrateError, PoolSizes, Pools};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The database's name in the embedded server.
const NAME: &str = "annals";
const KEY_FILE: &str = "master.key";
/// The schema that is there as long as a restore has not come to its end.
pub(crate) const RESTORING: &str = "annals_restoring";

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The settings name no usable server.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The embedded server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The master key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A server is named, but no master key.
    #[error(
        "a database of yours needs a master key of yours: set ANNALS_MASTER_KEY_FILE (--master-key-file). To make one: \
         (umask 077; openssl rand -hex 32 > annals-master.key). Keep a copy where the database's backups are not: \
         without it personal data in them is lost"
    )]
    NoKey,
    /// The data directory.
    #[error("data directory {path}: {error}; choose another with ANNALS_DATA_DIR or --data-dir", path = path.display())]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The server cannot be reached or does not let us in.
    #[error("database {server}: {error}; {remedy}")]
    Unreachable {
        /// Which one, without its password.
        server: String,
        /// What it said.
        error: sqlx::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Migrations failed.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The schema is older than the program.
    #[error("the database lacks {0} migration(s) of this program: run `annals migrate` with the same settings, then start this again")]
    Pending(usize),
    /// A restore has not come to its end.
    #[error(
        "database {0} is being restored, or a restore into it was cut off: wait for it, or run `annals restore` again, which begins anew"
    )]
    Unfinished(String),
}

/// A database that is there to be used. End it with [`Database::close`].
#[derive(Debug)]
pub struct Database {
    cluster: Option<Cluster>,
    owner: Owner,
    master: MasterKey,
    server: String,
}

/// The sign-in of migrations. Not shown, since it may hold a password.
struct Owner(PgConnectOptions);

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Owner(not shown)")
    }
}

impl Database {
    /// Starts the embedded server, or takes the one that is named. Nothing is asked of a named one yet.
    ///
    /// # Errors
    /// Any [`DatabaseError`] but the last two.
    pub async fn open(config: &Config) -> Result<Self, DatabaseError> {
        match config.database_url() {
            Some(url) => {
                let path = key_file(config)?;
                let owner = url.options()?;
                let master = MasterKey::read(&path)?;
                tracing::info!(database = %url, "using the database of DATABASE_URL");
                Ok(Self { cluster: None, owner: Owner::new(owner), master, server: url.to_string() })
            }
            None => Self::embedded(config).await,
        }
    }

    async fn embedded(config: &Config) -> Result<Self, DatabaseError> {
        make_enterable(&config.data_dir).map_err(|error| DatabaseError::DataDir { path: config.data_dir.clone(), error })?;
        let master = match &config.master_key_file {
            Some(path) => MasterKey::read(path)?,
            None => MasterKey::read_or_make(&key_file(config)?)?,
        };
        let cluster = Cluster::start(&config.data_dir, cluster::Options::default()).await?;
        let server = format!("embedded in {}", config.data_dir.display());
        match create(&cluster).await {
            Ok(owner) => Ok(Self { cluster: Some(cluster), owner: Owner::new(owner), master, server }),
            Err(error) => {
                stop(cluster).await;
                Err(unreachable(&server, error))
            }
        }
    }

    /// The key everything sealed hangs on.
    #[must_use]
    pub fn master(&self) -> &MasterKey {
        &self.master
    }

    /// Which server, and which database of it; without a password.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Signs in as the owner.
    ///
    /// # Errors
    /// The server does not let us in.
    pub async fn connect(&self) -> Result<PgConnection, DatabaseError> {
        self.owner.0.connect().await.map_err(|error| unreachable(&self.server, error))
    }

    /// What the programs of PostgreSQL need to sign in as the owner, as their environment (PostgreSQL's manual, "libpq,
    /// Environment Variables").
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let owner = &self.owner.0;
        let host = owner.get_socket().map_or_else(|| owner.get_host().into(), |dir| dir.clone().into_os_string());
        let mut environment: Vec<(&'static str, OsString)> = vec![
            ("PGHOST", host),
            ("PGPORT", owner.get_port().to_string().into()),
            ("PGUSER", owner.get_username().into()),
            ("PGDATABASE", owner.get_database().unwrap_or(owner.get_username()).into()),
            ("PGAPPNAME", "annals_backup".into()),
        ];
        let mut url = owner.to_url_lossy();
        let password = url.password().map(str::to_owned);
        for (name, value) in url.query_pairs() {
            let variable = match &*name {
                "sslmode" => "PGSSLMODE",
                "sslrootcert" => "PGSSLROOTCERT",
                "sslcert" => "PGSSLCERT",
                "sslkey" => "PGSSLKEY",
                _ => continue,
            };
            // sqlx writes a certificate's file as `file: PATH`; one that is written out in the URL has no variable.
            let value = value.strip_prefix("file: ").unwrap_or(&value);
            if !value.starts_with("-----BEGIN") {
                environment.push((variable, value.into()));
            }
        }
        // A URL decodes its queries only; the password is percent-encoded throughout, so nothing is taken for a plus.
        url.set_query(password.map(|password| format!("password={password}")).as_deref());
        environment.extend(url.query_pairs().map(|(_, password)| ("PGPASSWORD", password.into_owned().into())));
        environment
    }

    /// Applies the migrations that are missing.
    ///
    /// # Errors
    /// The server does not let us in, lacks the right, or is newer than the program; a restore is not at its end.
    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        let mut connection = self.connect().await?;
        self.require_whole(&mut connection).await?;
        connection.close().await.map_err(|error| unreachable(&self.server, error))?;
        self.bring_up_to_date().await
    }

    /// As [`Database::migrate`], also in the middle of a restore.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn bring_up_to_date(&self) -> Result<(), DatabaseError> {
        event_store::migrate(&self.owner.0, &self.master).await.map_err(|error| match error {
            MigrateError::Database(error) => unreachable(&self.server, error),
            error @ (MigrateError::Migration(_) | MigrateError::WrongKey) => DatabaseError::Migrate(error),
        })
    }

    /// Pools of connections, as the settings size them. They connect when they are first used.
    #[must_use]
    pub fn pools(&self, config: &Config) -> Pools {
        let sizes = PoolSizes { api: config.api_connections, loader: config.loader_connections, worker: config.worker_connections };
        Pools::new(&self.owner.0, &self.master, sizes)
    }

    /// Refuses a database that is not migrated.
    ///
    /// # Errors
    /// [`DatabaseError::Pending`], or it cannot be asked.
    pub async fn require_migrated(&self, pools: &Pools) -> Result<(), DatabaseError> {
        // The plain connection answers at once where a pool would try for its whole patience.
        let options = pools.worker.connect_options();
        let mut connection = options.connect().await.map_err(|error| unreachable(&self.server, error))?;
        self.require_whole(&mut connection).await?;
        connection.close().await.map_err(|error| unreachable(&self.server, error))?;
        match event_store::pending(&pools.worker).await {
            Ok(0) => Ok(()),
            Ok(missing) => Err(DatabaseError::Pending(missing)),
            Err(error) => Err(unreachable(&self.server, error)),
        }
    }

    /// Refuses a database that a restore has not finished.
    ///
    /// # Errors
    /// [`DatabaseError::Unfinished`], or it cannot be asked.
    pub(crate) async fn require_whole(&self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        let restoring = sqlx::query_scalar("select to_regnamespace($1) is not null").bind(RESTORING).fetch_one(connection).await;
        match restoring {
            Ok(false) => Ok(()),
            Ok(true) => Err(DatabaseError::Unfinished(self.server.clone())),
            Err(error) => Err(unreachable(&self.server, error)),
        }
    }

    /// Stops the embedded server, unless others use it. Close the pools before.
    pub async fn close(self) {
        if let Some(cluster) = self.cluster {
            stop(cluster).await;
        }
    }
}

/// Where the master key lies, or is to lie.
///
/// # Errors
/// [`DatabaseError::NoKey`]: a server is named, but no key.
pub fn key_file(config: &Config) -> Result<PathBuf, DatabaseError> {
    match (&config.master_key_file, config.database_url()) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(_)) => Err(DatabaseError::NoKey),
        (None, None) => Ok(config.data_dir.join(KEY_FILE)),
    }
}

/// The limits of the appender, as the settings have them.
#[must_use]
pub fn appender(config: &Config) -> AppenderConfig {
    // Both are bounded far below what any machine's usize holds.
    AppenderConfig {
        groups: config.append_groups as usize,
        waiting_bytes: (config.append_waiting_mib as usize) << 20,
        swift: config.append_swift == Switch::On,
        ..AppenderConfig::default()
    }
}

impl Owner {
    fn new(options: PgConnectOptions) -> Self {
        // Migrating sets the passwords of roles; a statement in the log would show them. Notices only say that what
        // is to be made is there.
        let options = options.application_name("annals_migrate").options([("client_min_messages", "warning")]);
        Self(options.disable_statement_logging())
    }
}

async fn stop(cluster: Cluster) {
    if let Err(error) = cluster.stop().await {
        tracing::error!(%error, "the embedded PostgreSQL did not stop; the next start takes it over");
    }
}

/// The server's own account must get through to its data, so a directory made here is open; the key file is not.
fn make_enterable(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)?;
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// Creates the database of the embedded server if need be.
async fn create(cluster: &Cluster) -> Result<PgConnectOptions, sqlx::Error> {
    let options: PgConnectOptions = cluster.url("postgres").parse()?;
    let mut connection: PgConnection = options.connect().await?;
    let known: Option<i32> =
        sqlx::query_scalar("select 1 from pg_database where datname = $1").bind(NAME).fetch_optional(&mut connection).await?;
    if known.is_none() {
        let created = connection.execute(format!("create database {NAME}").as_str()).await;
        // Another program may have been quicker (42P04 duplicate_database; 23505 while both are at it).
        let quicker = |error: &sqlx::Error| code(error).is_some_and(|code| code == "42P04" || code == "23505");
        if let Err(error) = created
            && !quicker(&error)
        {
            return Err(error);
        }
    }
    connection.close().await?;
    cluster.url(NAME).parse()
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

fn unreachable(server: &str, error: sqlx::Error) -> DatabaseError {
    // PostgreSQL 15, appendix A.
    let remedy = match code(&error).as_deref() {
        Some("28P01" | "28000") => {
            "if it was never migrated run `annals migrate`; if it was, this is not the master key it was migrated with, or DATABASE_URL's user or password is wrong"
        }
        Some("3D000") => "create the database first, or correct its name in DATABASE_URL",
        Some("3F000" | "42P01") => "it was never migrated: run `annals migrate`",
        Some("42501") => {
            "the user of DATABASE_URL must be allowed to create roles and must own the database; run `annals migrate` as such a one"
        }
        Some("53300") => "too many connections are open: lower ANNALS_*_CONNECTIONS or raise max_connections",
        Some(_) => "the server's log may say more",
        None => "is the server running, and does DATABASE_URL name it?",
    };
    DatabaseError::Unreachable { server: server.to_owned(), error, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[tokio::test]
    async fn a_named_server_needs_a_key_file_that_only_its_owner_reads() {
        let url = "postgres://owner:hunter2@127.0.0.1:1/annals";
        let error = Database::open(&Config::of(&["--database-url", url])).await.unwrap_err().to_string();
        assert!(error.contains("ANNALS_MASTER_KEY_FILE") && error.contains("openssl rand -hex 32"), "{error}");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "00".repeat(32)).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let flags = ["--database-url", url, "--master-key-file", path.to_str().unwrap()];
        let error = Database::open(&Config::of(&flags)).await.unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");

        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let database = Database::open(&Config::of(&flags)).await.unwrap();
        let error = database.require_migrated(&database.pools(&Config::of(&flags))).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Unreachable { .. }));
        for text in [error.to_string(), format!("{error:?}"), format!("{database:?}")] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(error.to_string().contains("is the server running"), "{error}");
    }

    #[tokio::test]
    async fn the_programs_of_postgresql_are_told_how_to_sign_in_by_their_environment() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        MasterKey::read_or_make(&key).unwrap();
        let told = async |url: &str| {
            let flags = ["--database-url", url, "--master-key-file", key.to_str().unwrap()];
            let told = Database::open(&Config::of(&flags)).await.unwrap().environment();
            told.into_iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect::<Vec<_>>()
        };
        let named = told("postgres://owner:p%40ss%2Bw%20%C3%B6rd%25@db.example:6432/annals?sslmode=verify-full&sslrootcert=/ca.pem").await;
        for part in [
            "PGHOST=db.example",
            "PGPORT=6432",
            "PGUSER=owner",
            "PGDATABASE=annals",
            "PGSSLMODE=verify-full",
            "PGSSLROOTCERT=/ca.pem",
            "PGPASSWORD=p@ss+w örd%",
        ] {
            assert!(named.contains(&part.to_owned()), "{part} is not in {named:?}");
        }
        let local = told("postgres://owner@localhost/annals?host=%2Ftmp%2Fannals-1").await;
        assert!(local.contains(&"PGHOST=/tmp/annals-1".to_owned()), "{local:?}");
        assert!(!local.iter().any(|told| told.starts_with("PGPASSWORD")), "{local:?}");
    }

    #[test]
    fn a_new_data_directory_can_be_entered_by_the_servers_account() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        make_enterable(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o755);
    }

    #[tokio::test]
    async fn the_embedded_server_is_made_migrated_left_and_found_again() {
        // Under the system's own directory, where the server's account can enter.
        let dir = tempfile::Builder::new().prefix("annals-database-").tempdir().unwrap();
        let data = dir.path().join("data");
        let config = Config::of(&["--data-dir", data.to_str().unwrap()]);
        let database = Database::open(&config).await.unwrap();
        let pools = database.pools(&config);
        let error = database.require_migrated(&pools).await.unwrap_err().to_string();
        assert!(error.contains("annals migrate"), "{error}");
        database.migrate().await.unwrap();
        database.require_migrated(&pools).await.unwrap();
        pools.close().await;
        database.close().await;

        let database = Database::open(&config).await.unwrap();
        let pools = database.pools(&config);
        database.require_migrated(&pools).await.unwrap();
        pools.check().await.unwrap();
        pools.close().await;
        database.close().await;
        Cluster::discard(&data).await.unwrap();
    }
}
