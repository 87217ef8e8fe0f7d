//! Loading aggregates: from the cache, else by folding their stream as postgres-es reads it.

use crate::append::Counts;
use crate::vault::Ciphers;
use crate::{StoreError, Vault};
use cqrs_es::Aggregate;
use cqrs_es::persist::{PersistedEventRepository, PersistenceError, SerializedEvent};
use domain::{Decider, Root, Sealable, TenantId};
use postgres_es::PostgresEventRepository;
use quick_cache::sync::Cache;
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
    /// Whether it holds anything personal.
    personal: bool,
    /// How often the database had been lost before it was read: a server that was promoted or restored since may have
    /// a log that does not reach as far.
    lost: u64,
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
    /// The stream is of another type: an id is unique over all of them.
    OtherType,
    Store(StoreError),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What postgres-es says, with the database's own error taken out of its box: a lost connection is to be known as one.
fn loading(aggregate_type: &str, id: Uuid, error: PersistenceError) -> StoreError {
    match error {
        PersistenceError::ConnectionError(error) | PersistenceError::UnknownError(error) => match error.downcast::<sqlx::Error>() {
            Ok(error) => StoreError::from(*error),
            Err(error) => StoreError::data(format!("{aggregate_type} {id}"), error),
        },
        error => StoreError::data(format!("{aggregate_type} {id}"), error),
    }
}

/// Loads aggregates of all tenants.
pub(crate) struct Loader {
    pool: PgPool,
    repository: PostgresEventRepository,
    vault: Vault,
    cache: Cache<Uuid, Cached>,
    counts: Counts,
}

impl Loader {
    pub(crate) fn new(loader: PgPool, vault: Vault, capacity: usize, counts: Counts) -> Self {
        let repository = PostgresEventRepository::new(loader.clone()).with_tables("event_store.events", "event_store.snapshots");
        Self { pool: loader, repository, vault, cache: Cache::new(capacity), counts }
    }

    /// The aggregate, `Default` at sequence 0 where there is none.
    pub(crate) async fn load<D: Decider>(&self, tenant: TenantId, id: Uuid) -> Result<Loaded<D>, LoadError> {
        let lost = self.counts.now().lost;
        if let Some(cached) = self.cached(id) {
            if cached.tenant != tenant {
                return Err(LoadError::Foreign);
            }
            let Some(state) = cached.state.downcast_ref::<D>() else { return Err(LoadError::OtherType) };
            return Ok(Loaded { sequence: cached.sequence, state: self.opened(tenant, state.clone()).await? });
        }
        let events = self.repository.get_events::<Root<D>>(&id.to_string()).await.map_err(|error| loading(D::TYPE, id, error))?;
        if events.first().is_some_and(|event| event.metadata.get("tenant_id").and_then(Value::as_str) != Some(&tenant.to_string())) {
            return Err(LoadError::Foreign);
        }
        if events.is_empty() {
            self.untaken(tenant, id, D::TYPE).await?;
        }
        let loaded = self.fold::<D>(tenant, events).await?;
        if loaded.sequence > 0 {
            self.keep(tenant, id, loaded.sequence, loaded.state.clone(), lost).await?;
        }
        Ok(loaded)
    }

    /// The aggregate, whose stream was just seen to end here: from the cache only if that is what it holds.
    pub(crate) async fn load_at<D: Decider>(&self, tenant: TenantId, id: Uuid, sequence: i64) -> Result<Loaded<D>, LoadError> {
        if self.cached(id).is_some_and(|cached| cached.sequence != sequence) {
            self.forget(id);
        }
        self.load(tenant, id).await
    }

    fn cached(&self, id: Uuid) -> Option<Cached> {
        self.cache.get(&id).filter(|cached| cached.lost == self.counts.now().lost)
    }

    /// An aggregate that another decision depends on, shared where nothing in it has to be opened.
    pub(crate) async fn fact<D: Decider>(&self, tenant: TenantId, id: Uuid) -> Result<(i64, Arc<dyn Any + Send + Sync>), LoadError> {
        match self.cached(id) {
            Some(cached) if cached.tenant == tenant && !cached.personal && cached.state.is::<D>() => Ok((cached.sequence, cached.state)),
            _ => self.load::<D>(tenant, id).await.map(|loaded| (loaded.sequence, Arc::new(loaded.state) as Arc<_>)),
        }
    }

    /// postgres-es asks by type: what it does not find may still be something else, under whose id nothing is made.
    async fn untaken(&self, tenant: TenantId, id: Uuid, aggregate_type: &str) -> Result<(), LoadError> {
        let holder: Option<(Uuid, String)> =
            sqlx::query_as("select tenant_id, aggregate_type from event_store.events where aggregate_id = $1 limit 1")
                .bind(id.to_string())
                .fetch_optional(&self.pool)
                .await
                .map_err(StoreError::from)?;
        match holder {
            Some((holder, _)) if holder != tenant.0 => Err(LoadError::Foreign),
            Some((_, other)) if other != aggregate_type => Err(LoadError::OtherType),
            // Nothing, or what has just been made and is found by the next attempt.
            Some(_) | None => Ok(()),
        }
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
        self.visit(tenant, &mut state, |_| true, Ciphers::open_slot).await?;
        Ok(state)
    }

    /// Opens or seals every personal value of an aggregate, with the keys of those that need one. Answers whether
    /// there was any value.
    async fn visit<D: Decider>(
        &self,
        tenant: TenantId,
        state: &mut D,
        needs_key: fn(&dyn Sealable) -> bool,
        change: fn(&Ciphers, &mut dyn Sealable) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let (mut any, mut subjects) = (false, Vec::new());
        state.personal(&mut |slot| {
            any = true;
            if needs_key(slot) && !subjects.contains(&slot.subject()) {
                subjects.push(slot.subject());
            }
        });
        if !any {
            return Ok(false);
        }
        let ciphers = self.vault.ciphers(tenant, &subjects, false).await?;
        let mut outcome = Ok(());
        state.personal(&mut |slot| {
            if outcome.is_ok() {
                outcome = change(&ciphers, slot);
            }
        });
        outcome.map(|()| true)
    }

    /// Keeps an aggregate for the next command, its personal values sealed.
    pub(crate) async fn keep<D: Decider>(
        &self,
        tenant: TenantId,
        id: Uuid,
        sequence: i64,
        mut state: D,
        lost: u64,
    ) -> Result<(), StoreError> {
        let personal = self.visit(tenant, &mut state, |slot| slot.is_fresh(), Ciphers::seal_slot).await?;
        // Serialising open personal data is refused: a field that `personal` forgot shows itself here.
        debug_assert!(serde_json::to_value(&state).is_ok(), "{} keeps personal data that `personal` does not visit", D::TYPE);
        self.cache.insert(id, Cached { tenant, sequence, state: Arc::new(state), personal, lost });
        Ok(())
    }

    /// Forgets an aggregate that the log has overtaken.
    pub(crate) fn forget(&self, id: Uuid) {
        self.cache.remove(&id);
    }
}
