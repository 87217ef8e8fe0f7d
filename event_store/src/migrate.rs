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

async fn apply(connection: &mut PgConnection, master: &MasterKey) -> Result<(), MigrateError> {
    connection.execute(ROLES).await?;
    for role in ["annals_api", "annals_loader", "annals_worker"] {
        // Neither part comes from outside: a constant and hexadecimal digits.
        let sql = format!("alter role {role} password '{}'", master.role_password(role));
        connection.execute(sql.as_str()).await?;
    }
    connection.execute("set role annals_owner").await?;
    connection.execute("create schema if not exists annals").await?;
    // sqlx keeps its own table in the first schema of the path.
    connection.execute("set search_path = annals").await?;
    MIGRATOR.run(&mut *connection).await?;
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
