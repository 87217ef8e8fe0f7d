//! What operators do to read models that stand still: have them tried at once, or let them pass over an event. Nothing is
//! projected here: workers are told, and watched.

use crate::registry::names;
use crate::status::{Parked, standing};
use domain::TenantId;
use event_store::begin;
use sqlx::{PgPool, Postgres, Transaction};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;
use uuid::Uuid;

/// How often it is looked whether a worker has tried.
const LOOK: Duration = Duration::from_millis(50);

/// Why an operator's command does nothing.
#[derive(Debug, Error)]
pub enum ControlError {
    /// No read model has this name.
    #[error("there is no read model {name:.100?}; there are: {known}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// It goes on by itself.
    #[error("{read_model} does not stand still there; the status lists what does")]
    NotParked {
        /// Which one.
        read_model: String,
    },
    /// The log is shorter.
    #[error("there is no event {position} in this log: it ends at {head}")]
    NoPosition {
        /// What was asked for.
        position: i64,
        /// Where the log ends.
        head: i64,
    },
    /// Another event is at fault.
    #[error("{read_model} does not stand before event {position} but before event {failing}: only that one can be skipped")]
    Elsewhere {
        /// Which one.
        read_model: String,
        /// What was asked for.
        position: i64,
        /// The event at fault.
        failing: i64,
    },
    /// It is not known yet which event is at fault.
    #[error("it is still being found out which event {read_model} cannot take in; retry it, and look at the status")]
    Searching {
        /// Which one.
        read_model: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What came of an attempt that was asked for.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What has caught up, in so many workspaces.
    pub caught_up: usize,
    /// What was tried and stands still again.
    pub standing: Vec<Parked>,
    /// What no worker has come to in time; it is due, and tried as soon as one does.
    pub waiting: Vec<Parked>,
}

fn check(read_model: &str) -> Result<(), ControlError> {
    let known = names();
    if known.contains(&read_model) {
        return Ok(());
    }
    Err(ControlError::Unknown { name: read_model.to_owned(), known: known.join(", ") })
}

/// Has workers try at once what stands still of a read model, in one log or in all, and waits for what comes of it. A log
/// that cannot be read at all counts as each of its read models.
///
/// # Errors
/// An unknown name; nothing that stands still; the database.
pub async fn retry(pool: &PgPool, read_model: &str, tenant: Option<TenantId>, patience: Duration) -> Result<Tried, ControlError> {
    check(read_model)?;
    let mut waiting = standing(pool, Some(read_model), tenant, i64::MAX).await?;
    if waiting.is_empty() {
        return Err(ControlError::NotParked { read_model: read_model.to_owned() });
    }
    let tenants: Vec<Uuid> = waiting.iter().map(|parked| parked.workspace_id.uuid()).collect();
    sqlx::query("update read_models.parked set retry_at = clock_timestamp() where read_model = $1 and tenant_id = any ($2)")
        .bind(read_model)
        .bind(&tenants)
        .execute(pool)
        .await?;
    sqlx::query("update read_models.troubles set retry_at = clock_timestamp() where tenant_id = any ($1)")
        .bind(&tenants)
        .execute(pool)
        .await?;
    let mut tried = Tried { caught_up: 0, standing: Vec::new(), waiting: Vec::new() };
    let deadline = Instant::now() + patience;
    loop {
        let now = standing(pool, Some(read_model), tenant, i64::MAX).await?;
        let same = |one: &Parked, other: &Parked| (one.workspace_id, &one.read_model) == (other.workspace_id, &other.read_model);
        for before in std::mem::take(&mut waiting) {
            match now.iter().find(|parked| same(parked, &before)) {
                None => tried.caught_up += 1,
                Some(parked) if parked.attempts > before.attempts => tried.standing.push(parked.clone()),
                Some(_) => waiting.push(before),
            }
        }
        if waiting.is_empty() || Instant::now() >= deadline {
            return Ok(Tried { waiting, ..tried });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A read model that is held where it stands, before an event, while its skip is recorded: nobody tries it and no
/// rebuild takes its place meanwhile, so whoever goes on knows of the skip.
#[derive(Debug)]
pub struct Held {
    transaction: Transaction<'static, Postgres>,
    tenant: TenantId,
    read_model: String,
}

/// Holds a read model of a tenant before this event.
///
/// # Errors
/// An unknown name; no such event; a read model that does not stand before it; the database.
pub async fn hold(pool: &PgPool, read_model: &str, tenant: TenantId, position: i64) -> Result<Held, ControlError> {
    check(read_model)?;
    let head: Option<i64> =
        sqlx::query_scalar("select position from event_store.heads where tenant_id = $1").bind(tenant.0).fetch_optional(pool).await?;
    let head = head.unwrap_or(0);
    if position < 1 || position > head {
        return Err(ControlError::NoPosition { position, head });
    }
    let read_model = read_model.to_owned();
    let mut transaction = begin(pool).await?;
    let parked: Option<(Option<i64>,)> =
        sqlx::query_as("select failing from read_models.parked where tenant_id = $1 and read_model = $2 for update")
            .bind(tenant.0)
            .bind(&read_model)
            .fetch_optional(&mut *transaction)
            .await?;
    match parked {
        None => Err(ControlError::NotParked { read_model }),
        Some((None,)) => Err(ControlError::Searching { read_model }),
        Some((Some(failing),)) if failing != position => Err(ControlError::Elsewhere { read_model, position, failing }),
        Some(_) => Ok(Held { transaction, tenant, read_model }),
    }
}

impl Held {
    /// Lets it go; it is tried at once.
    ///
    /// # Errors
    /// The database.
    pub async fn release(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("update read_models.parked set retry_at = clock_timestamp() where tenant_id = $1 and read_model = $2")
            .bind(self.tenant.0)
            .bind(&self.read_model)
            .execute(&mut *self.transaction)
            .await?;
        self.transaction.commit().await
    }
}
