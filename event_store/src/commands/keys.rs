//! Idempotency: by what a repeat is recognised, and what it is answered.

use super::{Commands, Committed, ExecuteError, Request, Target};
use crate::StoreError;
use domain::{Decider, Guarded};
use uuid::Uuid;

impl Commands {
    pub(super) fn fingerprint<D: Decider>(&self, request: &Request, target: Target, command: &D::Command) -> Result<Vec<u8>, StoreError> {
        let text = match &request.said {
            Some(said) => [command.name().as_bytes(), said.as_bytes()].concat(),
            None => serde_json::to_vec(command).map_err(|error| StoreError::data("command", error))?,
        };
        let id = match target {
            Target::Existing(id) => id,
            // A repeated creation comes under a new id; it is the same command.
            Target::New(_) => Uuid::nil(),
        };
        Ok(self.vault.fingerprint(&[D::TYPE.as_bytes(), id.as_bytes(), &text]))
    }

    pub(super) async fn first_outcome<D: Decider>(
        &self,
        request: &Request,
        key: &str,
        fingerprint: &[u8],
    ) -> Result<Option<Committed>, ExecuteError<D::Error>> {
        let row = sqlx::query!(
            "select fingerprint, outcome from event_store.idempotency
             where tenant_id = $1 and actor = $2 and key = $3 and (expires_at is null or expires_at > $4)",
            request.tenant.0,
            key_actor(request),
            key,
            request.now
        )
        .fetch_optional(&self.keys)
        .await
        .map_err(StoreError::from)?;
        match row {
            None => Ok(None),
            Some(row) if row.fingerprint != fingerprint => Err(ExecuteError::KeyMisused),
            Some(row) => {
                serde_json::from_str(&row.outcome).map(Some).map_err(|error| StoreError::data("idempotency outcome", error).into())
            }
        }
    }

    /// Where the events of an attempt stand whose answer was lost.
    pub(super) async fn written_before<D: Decider>(
        &self,
        request: &Request,
        id: Uuid,
        sequence: i64,
        events: i64,
    ) -> Result<Committed, ExecuteError<D::Error>> {
        let first_position = sqlx::query_scalar!(
            "select position from event_store.events where aggregate_id = $1 and sequence = $2 and tenant_id = $3",
            id.to_string(),
            sequence,
            request.tenant.0
        )
        .fetch_one(&self.keys)
        .await
        .map_err(StoreError::from)?;
        Ok(Committed { aggregate_id: id, first_position, events, sequence: sequence + events - 1, replayed: false })
    }
}

/// Keys are each actor's own.
pub(super) fn key_actor(request: &Request) -> String {
    format!("{}:{}", request.principal.kind(), request.principal.id())
}
