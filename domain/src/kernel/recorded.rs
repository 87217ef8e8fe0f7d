//! An event as it stands in the log, decoded.

use super::{TenantId, UserId};
use chrono::{DateTime, Utc};
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Who an event names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// USER, SYSTEM or PUBLIC.
    pub kind: String,
    /// A user's id, a part of the program, or nothing.
    pub id: String,
    /// For whom the program acted.
    pub on_behalf_of: Option<UserId>,
}

impl Actor {
    /// The user who acted, or for whom the program acted.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        if self.kind == "USER" { self.id.parse().ok() } else { self.on_behalf_of }
    }
}

/// An event of a tenant's log, with its payload decoded and its personal data open.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Whose log.
    pub tenant_id: TenantId,
    /// Place in the tenant's log: 1, 2, 3 …
    pub position: i64,
    /// Type of the aggregate.
    pub aggregate_type: &'static str,
    /// The aggregate.
    pub aggregate_id: Uuid,
    /// Place in the aggregate's stream: 1, 2, 3 …
    pub sequence: i64,
    /// Name of the event.
    pub event_type: String,
    /// The log's clock, which never runs backwards within a tenant.
    pub recorded_at: DateTime<Utc>,
    /// The world's clock, if the command came with a time.
    pub occurred_at: Option<DateTime<Utc>>,
    /// Who did it.
    pub actor: Actor,
    /// All of the metadata, as the log has it.
    pub metadata: Arc<HashMap<String, String>>,
    /// The decoded event; [`Recorded::of`] has its type.
    pub payload: Arc<dyn Any + Send + Sync>,
}

impl Recorded {
    /// The event, if it is one of this type.
    #[must_use]
    pub fn of<E: 'static>(&self) -> Option<&E> {
        self.payload.downcast_ref()
    }

    /// When it happened: in the world, as far as known, otherwise in the log.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.occurred_at.unwrap_or(self.recorded_at)
    }
}
