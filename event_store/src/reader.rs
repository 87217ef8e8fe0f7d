//! Reading the log in order: of one tenant or of many, from a position on.

use crate::{StoreError, Vault};
use chrono::{DateTime, Utc};
use cqrs_es::persist::SerializedEvent;
use domain::registry::kind;
use domain::{Actor, Recorded, TenantId};
use sqlx::PgPool;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// A stretch of a tenant's log: what comes after a position, at most so many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Whose log.
    pub tenant: TenantId,
    /// The position before the first.
    pub after: i64,
    /// How many events at the most.
    pub limit: i64,
}

/// An event that stands in the log but cannot be read.
#[derive(Clone, Debug)]
pub struct Poison {
    /// Whose log.
    pub tenant: TenantId,
    /// Where.
    pub position: i64,
    /// Of what it is an event, as the log says.
    pub aggregate_type: String,
    /// What is wrong with it.
    pub error: String,
}

/// Reads the log through a pool that may.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: PgPool,
    vault: Vault,
}

impl Reader {
    /// A reader through this pool.
    #[must_use]
    pub fn new(pool: PgPool, vault: &Vault) -> Self {
        Self { vault: vault.through(pool.clone()), pool }
    }

    /// The events of these spans, tenant by tenant and in order of position, decoded and open. An event that
    /// cannot be read is an answer of its own, and what is around it is not lost.
    ///
    /// # Errors
    /// The database, or a master key that does not fit.
    pub async fn read(&self, spans: &[Span]) -> Result<Vec<Result<Recorded, Poison>>, StoreError> {
        let rows = sqlx::query(
            "select e.tenant_id, e.position, e.sequence, e.recorded_at, e.aggregate_type, e.aggregate_id, e.event_type, e.event_version,
                    e.payload::text as payload, e.metadata::text as metadata
             from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as s (tenant_id, after, most)
             -- Span by span along the index: as a plain join, the whole log of a tenant was read for its last few events.
             cross join lateral (
               select * from event_store.events e where e.tenant_id = s.tenant_id and e.position > s.after order by e.position limit s.most
             ) e",
        )
        .bind(spans.iter().map(|span| span.tenant.0).collect::<Vec<_>>())
        .bind(spans.iter().map(|span| span.after).collect::<Vec<_>>())
        .bind(spans.iter().map(|span| span.limit).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        self.decode(rows).await
    }

    /// What operators have let read models pass over, in these logs or in all: the events that say so, in order.
    ///
    /// # Errors
    /// The database, or a skip that cannot be read: a fold that does not know of it would be wrong.
    pub async fn skips(&self, tenants: Option<&[TenantId]>) -> Result<Vec<Recorded>, StoreError> {
        // The type stands in the text, so that the partial index is used.
        let rows = sqlx::query(
            "select e.tenant_id, e.position, e.sequence, e.recorded_at, e.aggregate_type, e.aggregate_id, e.event_type, e.event_version,
                    e.payload::text as payload, e.metadata::text as metadata
             from event_store.events e
             where e.event_type = 'ProjectionEventSkipped' and ($1::uuid[] is null or e.tenant_id = any ($1))",
        )
        .bind(tenants.map(|tenants| tenants.iter().map(|tenant| tenant.0).collect::<Vec<_>>()))
        .fetch_all(&self.pool)
        .await?;
        let place = |poison: Poison| StoreError::data(format!("event {} of {}", poison.position, poison.tenant), poison.error);
        self.decode(rows).await?.into_iter().map(|skip| skip.map_err(place)).collect()
    }

    async fn decode(&self, rows: Vec<PgRow>) -> Result<Vec<Result<Recorded, Poison>>, StoreError> {
        let mut raw = rows.iter().map(Raw::read).collect::<Result<Vec<_>, _>>()?;
        // Here and not by the server: what is as good as sorted costs nothing, and the server's sort went to disk.
        raw.sort_by_key(|raw| (raw.tenant, raw.position));
        let mut start = 0;
        while start < raw.len() {
            let tenant = raw[start].tenant;
            let end = raw[start..].iter().position(|raw| raw.tenant != tenant).map_or(raw.len(), |n| start + n);
            let mut payloads: Vec<_> = raw[start..end].iter_mut().filter_map(|raw| raw.payload.as_mut().ok()).collect();
            if self.vault.open(tenant, &mut payloads).await.is_err() {
                // One of them is at fault: each is opened for itself, and the one says so.
                for raw in &mut raw[start..end] {
                    let Ok(payload) = &mut raw.payload else { continue };
                    match self.vault.open(tenant, &mut [payload]).await {
                        Ok(()) => {}
                        Err(error) if error.is_transient() || matches!(error, StoreError::Database(_)) => return Err(error),
                        Err(error) => raw.payload = Err(error.to_string()),
                    }
                }
            }
            start = end;
        }
        Ok(raw.into_iter().map(Raw::decode).collect())
    }

    /// How far a tenant's log has come: 0 where there is none.
    ///
    /// # Errors
    /// The database.
    pub async fn head(&self, tenant: TenantId) -> Result<i64, StoreError> {
        let head =
            sqlx::query_scalar!("select position from event_store.heads where tenant_id = $1", tenant.0).fetch_optional(&self.pool).await?;
        Ok(head.unwrap_or(0))
    }
}

struct Raw {
    tenant: TenantId,
    position: i64,
    sequence: i64,
    recorded_at: DateTime<Utc>,
    aggregate_type: String,
    aggregate_id: String,
    event_type: String,
    event_version: String,
    payload: Result<serde_json::Value, String>,
    metadata: String,
}

impl Raw {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            tenant: TenantId(row.try_get("tenant_id")?),
            position: row.try_get("position")?,
            sequence: row.try_get("sequence")?,
            recorded_at: row.try_get("recorded_at")?,
            aggregate_type: row.try_get("aggregate_type")?,
            aggregate_id: row.try_get("aggregate_id")?,
            event_type: row.try_get("event_type")?,
            event_version: row.try_get("event_version")?,
            payload: serde_json::from_str(row.try_get("payload")?).map_err(|error| error.to_string()),
            metadata: row.try_get("metadata")?,
        })
    }

    fn decode(self) -> Result<Recorded, Poison> {
        let (tenant, position, aggregate_type) = (self.tenant, self.position, self.aggregate_type.clone());
        self.decoded().map_err(|error| Poison { tenant, position, aggregate_type, error })
    }

    fn decoded(self) -> Result<Recorded, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let kind = kind(&self.aggregate_type).ok_or_else(|| format!("unknown aggregate type {}", self.aggregate_type))?;
        let metadata: HashMap<String, String> = serde_json::from_str(&self.metadata).map_err(|error| text(&error))?;
        let aggregate_id: Uuid = self.aggregate_id.parse().map_err(|error| text(&error))?;
        let sequence = usize::try_from(self.sequence).map_err(|error| text(&error))?;
        let event = SerializedEvent::new(
            self.aggregate_id,
            sequence,
            self.aggregate_type,
            self.event_type.clone(),
            self.event_version,
            self.payload?,
            serde_json::Value::Null,
        );
        let get = |key: &str| metadata.get(key).cloned().unwrap_or_default();
        Ok(Recorded {
            tenant_id: self.tenant,
            position: self.position,
            aggregate_type: kind.aggregate_type(),
            aggregate_id,
            sequence: self.sequence,
            event_type: self.event_type,
            recorded_at: self.recorded_at,
            occurred_at: metadata.get("occurred_at").map(|at| at.parse()).transpose().map_err(|error: chrono::ParseError| text(&error))?,
            actor: Actor {
                kind: get("actor_kind"),
                id: get("actor_id"),
                on_behalf_of: metadata.get("on_behalf_of").and_then(|id| id.parse().ok()),
            },
            payload: kind.decode(event).map_err(|error| text(&error))?,
            metadata: Arc::new(metadata),
        })
    }
}
