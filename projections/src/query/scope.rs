//! The tenant of a transaction: set once, by this one helper, and gone with the transaction.

use domain::{TenantId, UserId};
use event_store::begin_with;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Postgres, Transaction};

/// A read-only transaction that sees one tenant, as one user. Row-level security holds it to that; every query
/// names the tenant besides.
#[derive(Debug)]
pub struct Scope {
    transaction: Transaction<'static, Postgres>,
    tenant: TenantId,
}

impl Scope {
    /// Begins a transaction in a tenant. Rows that are a user's own are seen by `actor` only.
    ///
    /// # Errors
    /// The database.
    pub async fn begin(pool: &PgPool, tenant: TenantId, actor: Option<UserId>) -> Result<Self, sqlx::Error> {
        // One round trip; a UUID holds nothing that SQL could mistake. `set local` semantics: the settings end
        // with the transaction, whatever becomes of the connection.
        let actor = actor.map(|user| user.to_string()).unwrap_or_default();
        let begin =
            format!("begin read only; select set_config('annals.tenant', '{tenant}', true), set_config('annals.actor', '{actor}', true)");
        Ok(Self { transaction: begin_with(pool, begin).await?, tenant })
    }

    /// The tenant this transaction sees.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The connection, for a query that names the tenant.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Gives the connection back. What has only been read needs no commit: the transaction is rolled back on the way,
    /// and nobody waits for it.
    pub fn end(self) {}
}
