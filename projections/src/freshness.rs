//! How far read models have come, and waiting until they have come far enough. Invariant: what is remembered of a
//! tenant was true once, and read models never go back; so it may lag behind, and never lies.

use domain::TenantId;
use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// How soon a tenant is looked up again, the first and every later time, where no news comes by itself; doubled from
/// one to the other. No look is taken again within the first.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// How often it is looked up in case, where news comes by itself: from this process' projector or by notification.
const GLANCE: Duration = Duration::from_millis(250);
/// Tenants whose progress is remembered; beyond, all are looked up again.
const REMEMBERED: usize = 100_000;

/// The read model has not come that far in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read model has not reached this position yet; ask again shortly")]
pub struct Behind;

/// What is known of a tenant.
#[derive(Clone, Debug, Default)]
struct Known {
    reached: i64,
    /// The read models that are parked, and where.
    parked: Vec<(String, i64)>,
    /// Whether this process projects the tenant.
    own: bool,
    /// When it was last looked up.
    looked: Option<Instant>,
}

impl Known {
    fn reached(&self, read_models: &[&str]) -> i64 {
        let parked = self.parked.iter().filter(|(name, _)| read_models.contains(&name.as_str()));
        parked.map(|(_, position)| *position).fold(self.reached, i64::min)
    }
}

/// The progress of the projectors, in this process and in others. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Freshness {
    pool: PgPool,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<HashMap<TenantId, Known>>,
    /// The tenants that are waited for, and by how many: one look is for all of them.
    wanted: Mutex<HashMap<TenantId, usize>>,
    looking: tokio::sync::Mutex<()>,
    news: Notify,
    /// Whether other processes tell their progress.
    told: AtomicBool,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, HashMap<TenantId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a tenant among those that are looked up.
struct Wanted<'a>(&'a Shared, TenantId);

impl<'a> Wanted<'a> {
    fn new(shared: &'a Shared, tenant: TenantId) -> Self {
        *shared.wanted().entry(tenant).or_default() += 1;
        Self(shared, tenant)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        let mut wanted = self.0.wanted();
        if let Some(count) = wanted.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                wanted.remove(&self.1);
            }
        }
    }
}

impl Freshness {
    /// Progress as the tables behind this pool tell it.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, shared: Arc::default() }
    }

    /// This process' projector has brought every read model of these tenants so far; none of them is parked.
    pub(crate) fn note(&self, reached: impl IntoIterator<Item = (TenantId, i64)>) {
        self.learn(reached, true);
    }

    /// Another process has said that every read model of these tenants has come so far; at 0, that something has
    /// changed there.
    pub fn hear(&self, reached: impl IntoIterator<Item = (TenantId, i64)>) {
        self.learn(reached, false);
    }

    fn learn(&self, reached: impl IntoIterator<Item = (TenantId, i64)>, own: bool) {
        let mut known = self.shared.known();
        if known.len() > REMEMBERED {
            known.clear();
        }
        for (tenant, position) in reached {
            if position == 0 {
                known.remove(&tenant);
                continue;
            }
            let known = known.entry(tenant).or_default();
            known.own = own;
            if position >= known.reached {
                (known.reached, known.parked) = (position, Vec::new());
            }
        }
        drop(known);
        self.shared.news.notify_waiters();
    }

    /// What is known of a tenant may lag behind: one of its read models is or was parked, or has been made anew.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.shared.known().remove(&tenant);
        self.shared.news.notify_waiters();
    }

    /// From here on other processes tell their progress, or no longer do. Whoever waits looks for himself once.
    pub fn told(&self, told: bool) {
        self.shared.told.store(told, Ordering::Relaxed);
        self.shared.known().clear();
        self.shared.news.notify_waiters();
    }

    /// Other tenants than before are projected in this process.
    pub(crate) fn shared_out_anew(&self) {
        self.shared.known().values_mut().for_each(|known| known.own = false);
    }

    /// Waits until these read models of a tenant have taken in the log up to a position.
    ///
    /// # Errors
    /// [`Behind`] when the time runs out, be it that the database does not answer.
    pub async fn wait(&self, tenant: TenantId, position: i64, read_models: &[&str], patience: Duration) -> Result<(), Behind> {
        let deadline = Instant::now() + patience;
        let _wanted = Wanted::new(&self.shared, tenant);
        let (mut next, mut pause) = (None, LOOK.0);
        loop {
            let news = self.shared.news.notified();
            let known = self.shared.known().get(&tenant).cloned();
            if known.as_ref().is_some_and(|known| known.reached(read_models) >= position) {
                return Ok(());
            }
            let now = Instant::now();
            let expected = self.shared.told.load(Ordering::Relaxed) || known.as_ref().is_some_and(|known| known.own);
            let at = match known {
                Some(_) => *next.get_or_insert(if expected { now + GLANCE } else { now }),
                // Nothing is known, or what was is in doubt.
                None => now,
            };
            if now < at {
                if tokio::time::timeout_at(at.min(deadline), news).await.is_err() && Instant::now() >= deadline {
                    return Err(Behind);
                }
                continue;
            }
            match tokio::time::timeout_at(deadline, self.look(tenant)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "looking up the progress of read models");
                    tokio::time::sleep_until(deadline.min(Instant::now() + LOOK.1)).await;
                }
                Err(_) => return Err(Behind),
            }
            if Instant::now() >= deadline {
                return Err(Behind);
            }
            next = Some(Instant::now() + if expected { GLANCE } else { pause });
            pause = LOOK.1.min(pause * 2);
        }
    }

    /// Looks up this tenant and all others that are waited for, unless somebody else has just done so.
    async fn look(&self, tenant: TenantId) -> Result<(), sqlx::Error> {
        let asked = Instant::now();
        let _turn = self.shared.looking.lock().await;
        if self.shared.known().get(&tenant).and_then(|known| known.looked).is_some_and(|looked| looked + LOOK.0 >= asked) {
            return Ok(());
        }
        let began = Instant::now();
        let wanted: Vec<Uuid> = self.shared.wanted().keys().map(|tenant| tenant.0).collect();
        let found: Vec<(Uuid, i64, Vec<String>, Vec<i64>)> = sqlx::query_as(
            "select w.tenant_id, coalesce(max(c.position), 0), coalesce(array_agg(p.read_model) filter (where p.read_model is not null), '{}'),
                    coalesce(array_agg(p.position) filter (where p.read_model is not null), '{}')
             from unnest($1::uuid[]) as w (tenant_id)
             left join read_models.checkpoints c on c.tenant_id = w.tenant_id
             left join read_models.parked p on p.tenant_id = w.tenant_id
             group by w.tenant_id",
        )
        .bind(wanted)
        .fetch_all(&self.pool)
        .await?;
        let mut known = self.shared.known();
        for (tenant, reached, parked, at) in found {
            let known = known.entry(TenantId(tenant)).or_default();
            known.looked = Some(began);
            if reached >= known.reached {
                (known.reached, known.parked) = (reached, parked.into_iter().zip(at).collect());
            }
        }
        drop(known);
        self.shared.news.notify_waiters();
        Ok(())
    }
}
