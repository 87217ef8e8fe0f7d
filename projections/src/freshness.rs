//! How far read models have come, and waiting until they have come far enough.

use domain::TenantId;
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often another process' progress is looked up.
const LOOK: Duration = Duration::from_millis(20);
/// How often the progress of this process' own projector is looked up, beside what it tells by itself.
const GLANCE: Duration = Duration::from_millis(250);
/// Tenants whose progress is remembered; beyond, all are looked up again.
const REMEMBERED: usize = 100_000;

/// The read model has not come that far in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read model has not reached this position yet; ask again shortly")]
pub struct Behind;

/// The progress of the projector, in this process or another.
#[derive(Clone, Debug)]
pub struct Freshness {
    pool: PgPool,
    news: Arc<Notify>,
    reached: Arc<Mutex<HashMap<TenantId, i64>>>,
}

impl Freshness {
    /// Progress as the tables behind this pool tell it.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, news: Arc::default(), reached: Arc::default() }
    }

    /// Every read model of these tenants has come so far; none of them is parked.
    pub(crate) fn note(&self, reached: impl IntoIterator<Item = (TenantId, i64)>) {
        let mut known = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > REMEMBERED {
            known.clear();
        }
        known.extend(reached);
        drop(known);
        self.news.notify_waiters();
    }

    /// What was known of a tenant holds no longer: one of its read models is parked or made anew.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).remove(&tenant);
    }

    /// Waits until these read models of a tenant have taken in the log up to a position.
    ///
    /// # Errors
    /// [`Behind`] when the time runs out, be it that the database does not answer.
    pub async fn wait(&self, tenant: TenantId, position: i64, read_models: &[&str], patience: Duration) -> Result<(), Behind> {
        let deadline = Instant::now() + patience;
        let known = || self.reached.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied();
        // Where this process projects the tenant, news comes by itself, and the table is asked only in case.
        let pause = |known: Option<i64>| if known.is_some() { GLANCE } else { LOOK };
        let mut look = Instant::now() + known().map_or(Duration::ZERO, |_| GLANCE);
        loop {
            let news = self.news.notified();
            let reached = known();
            if reached.is_some_and(|reached| reached >= position) {
                return Ok(());
            }
            if Instant::now() >= look {
                match tokio::time::timeout_at(deadline, self.reached(tenant, read_models)).await {
                    Ok(Ok(reached)) if reached >= position => return Ok(()),
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "looking up the progress of read models"),
                    Err(_) => return Err(Behind),
                }
                look = Instant::now() + pause(reached);
            }
            if tokio::time::timeout_at(look.min(deadline), news).await.is_err() && Instant::now() >= deadline {
                return Err(Behind);
            }
        }
    }

    /// How far all of these read models of a tenant have come.
    ///
    /// # Errors
    /// The database.
    pub async fn reached(&self, tenant: TenantId, read_models: &[&str]) -> Result<i64, sqlx::Error> {
        let reached: Option<i64> = sqlx::query_scalar(
            "select least(c.position, (select min(p.position) from read_models.parked p where p.tenant_id = $1 and p.read_model = any ($2)))
             from read_models.checkpoints c where c.tenant_id = $1",
        )
        .bind(tenant.0)
        .bind(read_models)
        .fetch_optional(&self.pool)
        .await?;
        Ok(reached.unwrap_or(0))
    }
}
