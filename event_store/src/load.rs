//! Loading aggregates: from the cache, else by folding their stream as postgres-es reads it.

use crate::{StoreError, Vault};
use cqrs_es::Aggregate;
use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use domain::{Decider, Root, TenantId};
use moka::sync::Cache;
use postgres_es::PostgresEventRepository;
use serde_json::Value;
use sqlx::PgPool;
use std::any::Any;
use std::sync::Arc;
use uuid::Uuid;

/// An aggregate as the cache keeps it: personal values sealed.
#[derive(Clone)]
struct Cached {
    tenant: TenantId,
    sequence: i64,
    state: Arc<dyn Any + Send + Sync>,
}

/// An aggregate at a place of its stream, personal values open.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<D> {
    pub(crate) sequence: i64,
    pub(crate) state: D,
}

/// Why an aggregate could not be loaded.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The stream is another tenant's.
    Foreign,
    Store(StoreError),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Loads aggregates of all tenants.
pub(crate) struct Loader {
    repository: PostgresEventRepository,
    vault: Vault,
    cache: Cache<Uuid, Cached>,
}

impl Loader {
    pub(crate) fn new(loader: PgPool, vault: Vault, capacity: u64) -> Self {
        let repository = PostgresEventRepository::new(loader).with_tables("event_store.events", "event_store.snapshots");
        Self { repository, vault, cache: Cache::builder().max_capacity(capacity).build() }
    }

    /// The aggregate, `Default` at sequence 0 where there is none.
    pub(crate) async fn load<D: Decider>(&self, tenant: TenantId, id: Uuid) -> Result<Loaded<D>, LoadError> {
        if let Some(cached) = self.cache.get(&id) {
            if cached.tenant != tenant {
                return Err(LoadError::Foreign);
            }
            // An id is unique over all types, so another type's is nothing of this one.
            let Some(state) = cached.state.downcast_ref::<D>() else { return Ok(Loaded { sequence: 0, state: D::default() }) };
            return Ok(Loaded { sequence: cached.sequence, state: self.opened(tenant, state.clone()).await? });
        }
        let events = self.repository.get_events::<Root<D>>(&id.to_string()).await.map_err(|error| StoreError::data(format!("{} {id}", D::TYPE), error))?;
        if events.first().is_some_and(|event| event.metadata.get("tenant_id").and_then(Value::as_str) != Some(&tenant.to_string())) {
            return Err(LoadError::Foreign);
        }
        let loaded = self.fold::<D>(tenant, events).await?;
        if loaded.sequence > 0 {
            self.keep(tenant, id, loaded.sequence, loaded.state.clone()).await?;
        }
        Ok(loaded)
    }

    async fn fold<D: Decider>(&self, tenant: TenantId, mut events: Vec<SerializedEvent>) -> Result<Loaded<D>, StoreError> {
        let mut payloads: Vec<&mut Value> = events.iter_mut().map(|event| &mut event.payload).collect();
        self.vault.open(tenant, &mut payloads).await?;
        let upcasters = D::upcasters();
        let mut loaded = Loaded { sequence: 0, state: Root::<D>::default() };
        for event in events {
            let place = format!("{} {} event {}", event.aggregate_type, event.aggregate_id, event.sequence);
            let sequence = i64::try_from(event.sequence).map_err(|error| StoreError::data(&place, error))?;
            if sequence != loaded.sequence + 1 {
                return Err(StoreError::data(place, format!("the stream has a gap: event {} should come next", loaded.sequence + 1)));
            }
            let event = upcasters.iter().fold(event, |event, upcaster| {
                if upcaster.can_upcast(&event.event_type, &event.event_version) { upcaster.upcast(event) } else { event }
            });
            loaded.state.apply(serde_json::from_value(event.payload).map_err(|error| StoreError::data(place, error))?);
            loaded.sequence = sequence;
        }
        Ok(Loaded { sequence: loaded.sequence, state: loaded.state.0 })
    }

    async fn opened<D: Decider>(&self, tenant: TenantId, mut state: D) -> Result<D, StoreError> {
        let mut subjects = Vec::new();
        state.personal(&mut |slot| subjects.push(slot.subject()));
        if !subjects.is_empty() {
            let ciphers = self.vault.ciphers(tenant, &subjects, false).await?;
            let mut outcome = Ok(());
            state.personal(&mut |slot| {
                if outcome.is_ok() {
                    outcome = ciphers.open_slot(slot);
                }
            });
            outcome?;
        }
        Ok(state)
    }

    /// Keeps an aggregate for the next command, its personal values sealed.
    pub(crate) async fn keep<D: Decider>(&self, tenant: TenantId, id: Uuid, sequence: i64, mut state: D) -> Result<(), StoreError> {
        let mut subjects = Vec::new();
        state.personal(&mut |slot| subjects.push(slot.subject()));
        if !subjects.is_empty() {
            let ciphers = self.vault.ciphers(tenant, &subjects, false).await?;
            let mut outcome = Ok(());
            state.personal(&mut |slot| {
                if outcome.is_ok() {
                    outcome = ciphers.seal_slot(slot);
                }
            });
            outcome?;
        }
        // Serialising open personal data is refused: a field that `personal` forgot shows itself here.
        debug_assert!(serde_json::to_value(&state).is_ok(), "{} keeps personal data that `personal` does not visit", D::TYPE);
        self.cache.insert(id, Cached { tenant, sequence, state: Arc::new(state) });
        Ok(())
    }

    /// Forgets an aggregate that the log has overtaken.
    pub(crate) fn forget(&self, id: Uuid) {
        self.cache.invalidate(&id);
    }
}
