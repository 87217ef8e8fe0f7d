//! Beginning a transaction. Invariant: a connection that goes back to its pool is in no transaction.

use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};
use std::borrow::Cow;

/// Begins a transaction.
///
/// `Pool::begin` of sqlx, dropped between its request and the answer, gives the connection back with the transaction
/// open, since it counts it only then: what the next user writes there is not durable, and is seen with the settings of
/// the one before. So this goes on by itself once it is on its way, and whoever comes too late for it has it rolled back.
///
/// # Errors
/// The database.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    to_its_end(pool, None).await
}

/// The same by a statement that begins one.
///
/// # Errors
/// The database.
pub async fn begin_with(pool: &PgPool, statement: String) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    to_its_end(pool, Some(statement.into())).await
}

async fn to_its_end(pool: &PgPool, statement: Option<Cow<'static, str>>) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let connection = pool.acquire().await?;
    // A task is aborted only by a runtime that ends.
    tokio::spawn(Transaction::begin(connection, statement)).await.map_err(|_| sqlx::Error::WorkerCrashed)?
}
