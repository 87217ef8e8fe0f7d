//! The tenant of a transaction: set by this one place, and gone with the transaction.

use domain::{TenantId, UserId};
use event_store::begin_with;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Postgres, Transaction};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

type Open = Option<(Transaction<'static, Postgres>, TenantId)>;

/// Where one user reads, for as long as a request takes: on one connection, one query after the other. Begun when it is
/// first needed, gone with its last clone.
#[derive(Clone, Debug)]
pub struct Desk {
    pool: PgPool,
    actor: Option<UserId>,
    open: Arc<Mutex<Open>>,
}

/// A read-only transaction that sees one tenant, as one user. Row-level security holds it to that; every query
/// names the tenant besides.
#[derive(Debug)]
pub struct Scope {
    transaction: Transaction<'static, Postgres>,
    tenant: TenantId,
    desk: OwnedMutexGuard<Open>,
}

impl Desk {
    /// A desk of whoever asks. Rows that are a user's own are seen by `actor` only.
    #[must_use]
    pub fn new(pool: PgPool, actor: Option<UserId>) -> Self {
        Self { pool, actor, open: Arc::default() }
    }

    /// Sees a tenant from now on. Waits for whoever else reads at this desk: nobody takes two scopes of one desk at a
    /// time.
    ///
    /// # Errors
    /// The database.
    pub async fn scope(&self, tenant: TenantId) -> Result<Scope, sqlx::Error> {
        let mut desk = Arc::clone(&self.open).lock_owned().await;
        let transaction = match desk.take() {
            Some((transaction, at)) if at == tenant => transaction,
            Some((mut transaction, _)) => {
                sqlx::query("select set_config('annals.tenant', $1, true)").bind(tenant.to_string()).execute(&mut *transaction).await?;
                transaction
            }
            // One round trip; a UUID holds nothing that SQL could mistake. `set local` semantics: the settings end
            // with the transaction, whatever becomes of the connection.
            None => {
                let actor = self.actor.map(|user| user.to_string()).unwrap_or_default();
                let begin = format!(
                    "begin read only; select set_config('annals.tenant', '{tenant}', true), set_config('annals.actor', '{actor}', true)"
                );
                begin_with(&self.pool, begin).await?
            }
        };
        Ok(Scope { transaction, tenant, desk })
    }

    /// Gives the connection back before the desk is gone: for whoever goes on to something else that may take long. What
    /// is being read goes on.
    pub fn close(&self) {
        if let Ok(mut open) = self.open.try_lock() {
            drop(open.take());
        }
    }
}

impl Scope {
    /// The tenant this transaction sees.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The connection, for a query that names the tenant.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Leaves the transaction to whoever reads next at this desk. One that is dropped instead, where something has failed
    /// in it, is rolled back; and so is the last one, since what has only been read needs no commit.
    pub fn end(mut self) {
        *self.desk = Some((self.transaction, self.tenant));
    }
}
