//! Grants: an in-process fold of each active tenant's access events, advanced from the log.

use crate::StoreError;
use crate::look::Looks;
use cqrs_es::persist::SerializedEvent;
use domain::registry::kind;
use domain::{Access, TenantId};
use quick_cache::sync::Cache;
use sqlx::PgPool;
use std::sync::{Arc, Mutex, PoisonError};

/// The access of active tenants. A stale fold is never wrong for long: the append's fence refuses what was
/// authorised by it, and [`AccessCache::fresh`] looks at the head first.
#[derive(Clone, Debug)]
pub struct AccessCache {
    loader: PgPool,
    looks: Looks,
    folds: Arc<Cache<TenantId, Arc<Access>>>,
    /// Held while a fold replaces an older one.
    replacing: Arc<Mutex<()>>,
}

impl AccessCache {
    /// A cache for at most `capacity` tenants. Starts what asks the log.
    #[must_use]
    pub fn new(loader: PgPool, capacity: usize) -> Self {
        Self { looks: Looks::new(loader.clone()), loader, folds: Arc::new(Cache::new(capacity)), replacing: Arc::default() }
    }

    /// The access as last folded, which may be behind the log: for commands, which the fence protects.
    ///
    /// # Errors
    /// The database, or an access event that cannot be decoded.
    pub async fn folded(&self, tenant: TenantId) -> Result<Arc<Access>, StoreError> {
        match self.folds.get(&tenant) {
            Some(access) => Ok(access),
            None => self.fresh(tenant).await,
        }
    }

    /// The access as of now: for queries, which no fence protects.
    ///
    /// # Errors
    /// The database, or an access event that cannot be decoded.
    pub async fn fresh(&self, tenant: TenantId) -> Result<Arc<Access>, StoreError> {
        let Some(head) = self.looks.head(tenant).await? else { return Ok(Arc::default()) };
        let known = self.folds.get(&tenant).unwrap_or_default();
        if known.position() >= head.access_position && known.position() > 0 {
            return Ok(known);
        }
        let rows = sqlx::query!(
            "select position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
             from event_store.events where tenant_id = $1 and position > $2 and position <= $3 and access order by position",
            tenant.0,
            known.position(),
            head.position
        )
        .fetch_all(&self.loader)
        .await?;
        let mut access = Access::clone(&known);
        for row in rows {
            let place = format!("event {} of {tenant}", row.position);
            let kind =
                kind(&row.aggregate_type).ok_or_else(|| StoreError::data(&place, format!("unknown aggregate {}", row.aggregate_type)))?;
            let id = row.aggregate_id.parse().map_err(|error| StoreError::data(&place, error))?;
            let sequence = usize::try_from(row.sequence).map_err(|error| StoreError::data(&place, error))?;
            // Access is decided by nothing personal, which stays sealed here.
            let event = SerializedEvent::new(
                row.aggregate_id,
                sequence,
                row.aggregate_type,
                row.event_type,
                row.event_version,
                row.payload,
                row.metadata,
            );
            let event = kind.decode(event).map_err(|error| StoreError::data(&place, error))?;
            if let Some(change) = kind.access(&*event, id) {
                access.apply(change);
            }
            access.advance(row.position);
        }
        access.advance(head.position);
        let access = Arc::new(access);
        // A slower reader of an earlier head must not undo what a faster one has learnt.
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.folds.get(&tenant) {
            Some(kept) if kept.position() > access.position() => Ok(kept),
            _ => {
                self.folds.insert(tenant, Arc::clone(&access));
                Ok(access)
            }
        }
    }

    /// What asks the log.
    pub(crate) fn looks(&self) -> &Looks {
        &self.looks
    }

    /// Forgets all folds: the log may be another.
    pub(crate) fn forget_all(&self) {
        self.folds.clear();
    }
}
