//! What has come to a standstill: one read model of one tenant, which waits and is tried again while everything else
//! goes on. Invariant: a parked read model has taken in the log up to its own position, and not an event more.

use super::batch::lock_checkpoints;
use super::{ProjectError, Projector};
use crate::table::Model;
use chrono::{DateTime, Utc};
use domain::TenantId;
use event_store::Span;
use sqlx::postgres::PgConnection;
use std::collections::HashSet;
use uuid::Uuid;

/// A read model of a tenant that has come to a standstill.
pub(super) struct Parking {
    pub(super) tenant: TenantId,
    pub(super) read_model: &'static str,
    pub(super) position: i64,
    pub(super) error: String,
}

impl Projector {
    pub(super) async fn park(&self, connection: &mut PgConnection, parking: &Parking) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into read_models.parked as p (tenant_id, read_model, position, error, retry_at) values ($1, $2, $3, $4, clock_timestamp() + $5)
             on conflict (tenant_id, read_model) do update set error = excluded.error, attempts = p.attempts + 1,
               retry_at = clock_timestamp() + least($5 * power(2, p.attempts), interval '1 hour')",
        )
        .bind(parking.tenant.0)
        .bind(parking.read_model)
        .bind(parking.position)
        // PostgreSQL's text holds no NUL, and the fault may quote one.
        .bind(parking.error.replace('\0', "\u{fffd}"))
        .bind(self.config.retry)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Tries what is parked and due, each for itself.
    pub(super) async fn retry_parked(&self) -> Result<(), ProjectError> {
        let due: Vec<(Uuid, String, DateTime<Utc>)> =
            sqlx::query_as("select tenant_id, read_model, retry_at from read_models.parked where retry_at <= clock_timestamp() order by retry_at limit 100")
                .fetch_all(&self.pool)
                .await?;
        for (tenant, read_model, _) in due {
            let Some(model) = self.models.named(&read_model) else { continue };
            self.retry(TenantId(tenant), model).await?;
        }
        Ok(())
    }

    /// Brings one parked read model of a tenant up to the tenant's checkpoint, stretch by stretch, and lets it
    /// join the others there.
    async fn retry(&self, tenant: TenantId, model: &dyn Model) -> Result<(), ProjectError> {
        loop {
            let mut transaction = self.pool.begin().await?;
            let Some((_, checkpoint)) = lock_checkpoints(&mut transaction, &[tenant.0]).await?.pop() else { return Ok(()) };
            let position: Option<(i64,)> =
                sqlx::query_as("select position from read_models.parked where tenant_id = $1 and read_model = $2")
                    .bind(tenant.0)
                    .bind(model.table())
                    .fetch_optional(&mut *transaction)
                    .await?;
            let Some((after,)) = position else { return Ok(()) };
            let span = Span { tenant, after, limit: self.config.batch_events.min(checkpoint - after) };
            let stretches = self.read(&[span]).await?;
            let reached = stretches.get(&tenant).map_or(after, |stretch| stretch.last);
            let mut parking = Vec::new();
            self.apply(&mut transaction, model, stretches.iter().map(|(tenant, stretch)| (*tenant, stretch)).collect(), true, &mut parking)
                .await?;
            let stuck = parking.pop();
            if let Some(parking) = &stuck {
                self.park(&mut transaction, parking).await?;
            } else if reached >= checkpoint {
                sqlx::query("delete from read_models.parked where tenant_id = $1 and read_model = $2")
                    .bind(tenant.0)
                    .bind(model.table())
                    .execute(&mut *transaction)
                    .await?;
                tracing::info!(read_model = model.table(), %tenant, "the parked read model has caught up");
            } else {
                sqlx::query("update read_models.parked set position = $3 where tenant_id = $1 and read_model = $2")
                    .bind(tenant.0)
                    .bind(model.table())
                    .bind(reached)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            if stuck.is_some() || reached >= checkpoint {
                return Ok(());
            }
        }
    }
}

/// What is parked of these tenants: tenant and read model.
pub(super) async fn parked(connection: &mut PgConnection, tenants: &[Uuid]) -> Result<HashSet<(Uuid, String)>, sqlx::Error> {
    let rows: Vec<(Uuid, String)> = sqlx::query_as("select tenant_id, read_model from read_models.parked where tenant_id = any ($1)")
        .bind(tenants)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}
