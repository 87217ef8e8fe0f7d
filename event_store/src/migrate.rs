//! Brings a database to the schema of this program. Runs as whoever may create roles, writes as the owner role.

use crate::MasterKey;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use thiserror::Error;

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");
const ROLES: &str = include_str!("../../migrations/roles/roles.sql");

/// Why a database could not be brought up to date.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// The database refused.
    #[error("migrating: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or the database is newer than this program.
    #[error("migrating: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The data are sealed under another key.
    #[error(
        "this is not the master key under which this database's data are sealed; use that key, of which there should be a copy in a safe place"
    )]
    WrongKey,
}

/// Creates the roles with their passwords and applies what is missing. May be run again, and by many at once.
///
/// # Errors
/// The sign-in lacks the right to create roles, a migration failed, or the database is newer.
pub async fn migrate(owner: &PgConnectOptions, master: &MasterKey) -> Result<(), MigrateError> {
    let mut connection = owner.clone().connect().await?;
    // Roles belong to the whole cluster: two databases migrated at once must not meet here. The lock only
    // spares them an error; nothing is less right without it.
    connection.execute("select pg_advisory_lock(4111801)").await?;
    let outcome = apply(&mut connection, master).await;
    connection.close().await?;
    outcome
}

/// How often the roles are tried, when another database of the cluster is migrated at the same moment.
const ATTEMPTS: u32 = 20;

async fn apply(connection: &mut PgConnection, master: &MasterKey) -> Result<(), MigrateError> {
    check_key(connection, master).await?;
    create_roles(connection, master).await?;
    connection.execute("set role annals_owner").await?;
    connection.execute("create schema if not exists annals").await?;
    // sqlx keeps its own table in the first schema of the path.
    connection.execute("set search_path = annals").await?;
    MIGRATOR.run(&mut *connection).await?;
    // Every process looks whether it knows all migrations of its database.
    connection.execute("grant usage on schema annals to annals_api, annals_loader, annals_worker").await?;
    connection.execute("grant select on annals._sqlx_migrations to annals_api, annals_loader, annals_worker").await?;
    sqlx::query("insert into vault.master_key (fingerprint) select $1 where not exists (select from vault.master_key)")
        .bind(master.fingerprint())
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Creates the roles of the cluster that are missing, with the passwords that derive from the master key, and lets them
/// into this database. May be run again, and by many at once.
///
/// # Errors
/// The sign-in lacks the right to create roles.
pub async fn create_roles(connection: &mut PgConnection, master: &MasterKey) -> Result<(), sqlx::Error> {
    let mut attempt = 1;
    // Advisory locks hold for one database, roles belong to the cluster: two migrations that meet at a role make
    // PostgreSQL refuse one of them (XX000 "tuple concurrently updated", 23505, 42710), which then goes again.
    while let Err(error) = roles(connection, master).await {
        let met =
            error.as_database_error().and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "XX000" | "23505" | "42710"));
        if !met || attempt == ATTEMPTS {
            return Err(error);
        }
        attempt += 1;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether this program has the migration of this number.
#[must_use]
pub fn knows(migration: i64) -> bool {
    MIGRATOR.version_exists(migration)
}

/// Refuses a master key that is not the one this database was first migrated with, before anything is changed by it:
/// under another key nothing that is sealed opens, and claims of personal names are lost.
///
/// # Errors
/// [`MigrateError::WrongKey`], or the database cannot be asked, or not by this sign-in.
pub async fn check_key(connection: &mut PgConnection, master: &MasterKey) -> Result<(), MigrateError> {
    let known: bool = sqlx::query_scalar("select to_regclass('vault.master_key') is not null").fetch_one(&mut *connection).await?;
    if !known {
        return Ok(());
    }
    let fingerprint: Option<String> = sqlx::query_scalar("select fingerprint from vault.master_key").fetch_optional(connection).await?;
    if fingerprint.is_none_or(|fingerprint| fingerprint == master.fingerprint()) { Ok(()) } else { Err(MigrateError::WrongKey) }
}

async fn roles(connection: &mut PgConnection, master: &MasterKey) -> Result<(), sqlx::Error> {
    connection.execute(ROLES).await?;
    for role in ["annals_api", "annals_loader", "annals_worker"] {
        // Neither part comes from outside: a constant and hexadecimal digits.
        let sql = format!("alter role {role} password '{}'", master.role_password(role));
        connection.execute(sql.as_str()).await?;
    }
    Ok(())
}

/// How many migrations the database still lacks.
///
/// # Errors
/// The database does not answer.
pub async fn pending(pool: &sqlx::PgPool) -> Result<usize, sqlx::Error> {
    let applied: i64 = sqlx::query_scalar("select count(*) from annals._sqlx_migrations where success").fetch_one(pool).await?;
    Ok(MIGRATOR.iter().count().saturating_sub(usize::try_from(applied).unwrap_or(0)))
}
