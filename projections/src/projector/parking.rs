//! What has come to a standstill: one read model of one tenant, which waits and is tried again while everything else
//! goes on. Invariant: a parked read model has taken in the log up to its own position, and not an event more.

use super::batch::{Stretch, write_carefully};
use super::{ProjectError, Projector};
use crate::fold::{FoldError, Model};
use crate::skips::Skips;
use domain::TenantId;
use event_store::{Span, begin};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// A read model of a tenant that has come to a standstill.
pub(super) struct Parking {
    pub(super) tenant: TenantId,
    pub(super) read_model: &'static str,
    pub(super) position: i64,
    /// The event at fault, if it is known.
    pub(super) failing: Option<i64>,
    pub(super) error: String,
}

impl Parking {
    pub(super) fn of(model: &dyn Model, tenant: TenantId, stretch: &Stretch, FoldError { position, error }: FoldError) -> Self {
        Self { tenant, read_model: model.table(), position: stretch.after, failing: position, error }
    }
}

impl Projector {
    pub(super) async fn park(&self, connection: &mut PgConnection, parking: &Parking) -> Result<(), sqlx::Error> {
        tracing::error!(read_model = parking.read_model, tenant = %parking.tenant, error = parking.error, "parking a read model");
        sqlx::query(
            "insert into read_models.parked as p (tenant_id, read_model, position, error, failing, retry_at) values ($1, $2, $3, $4, $6, clock_timestamp() + $5)
             on conflict (tenant_id, read_model) do update set error = excluded.error, failing = excluded.failing, attempts = p.attempts + 1,
               retry_at = clock_timestamp() + least($5 * power(2, p.attempts), interval '1 hour')",
        )
        .bind(parking.tenant.0)
        .bind(parking.read_model)
        .bind(parking.position)
        // PostgreSQL's text holds no NUL, and the fault may quote one.
        .bind(parking.error.replace('\0', "\u{fffd}"))
        .bind(self.config.retry)
        .bind(parking.failing)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Tries what is parked and due, each for itself. Nothing waits for longer than an hour: if it is to, the clock was set
    /// back meanwhile.
    pub(super) async fn retry_parked(&self, shards: Option<&[i32]>) -> Result<(), ProjectError> {
        let due: Vec<(Uuid, String)> = sqlx::query_as(
            "select tenant_id, read_model from read_models.parked
             where (retry_at <= clock_timestamp() or retry_at > clock_timestamp() + interval '1 hour') and ($1::int[] is null or (get_byte(uuid_send(tenant_id), 15) & 63) = any ($1))
             order by retry_at limit 100",
        )
        .bind(shards)
        .fetch_all(&self.pool)
        .await?;
        for (tenant, read_model) in due {
            let Some(model) = self.models.named(&read_model) else { continue };
            self.retry(TenantId(tenant), model).await?;
        }
        Ok(())
    }

    /// Brings one parked read model of a tenant up to the tenant's checkpoint, stretch by stretch, and lets it
    /// join the others there. Where a stretch fails, half of it is tried, down to the one event that is at fault.
    async fn retry(&self, tenant: TenantId, model: &dyn Model) -> Result<(), ProjectError> {
        let mut limit = None;
        loop {
            let mut transaction = begin(&self.pool).await?;
            let Some((_, checkpoint)) = self.lock(&mut transaction, &[tenant.0]).await?.pop() else { return Ok(()) };
            self.check_fit(&mut transaction, &[]).await?;
            // Locked: while an operator records a skip, this waits, and then knows of it.
            let position: Option<(i64, Option<i64>)> =
                sqlx::query_as("select position, failing from read_models.parked where tenant_id = $1 and read_model = $2 for update")
                    .bind(tenant.0)
                    .bind(model.table())
                    .fetch_optional(&mut *transaction)
                    .await?;
            let Some((after, failing)) = position else { return Ok(()) };
            // At first no further than the event that is known to fail: most often it still does.
            let most = limit.or(failing.map(|failing| failing - after)).unwrap_or(self.config.batch_events);
            let span = Span { tenant, after, limit: most.clamp(1, self.config.batch_events).min(checkpoint - after) };
            let mut stretches = self.read(&[span]).await?;
            let skips = Skips::load(&self.reader, Some(&[tenant])).await?;
            stretches.values_mut().for_each(|stretch| stretch.pass_over(skips.of(tenant, model.table())));
            let reached = stretches.get(&tenant).map_or(after, |stretch| stretch.last);
            let mut parking = Vec::new();
            let mine = stretches.iter().map(|(tenant, stretch)| (*tenant, stretch)).collect();
            let folded = self.fold(&mut transaction, vec![(model, mine)], &mut parking).await?;
            write_carefully(&mut transaction, folded, &mut parking).await?;
            if let Some(parking) = parking.pop() {
                let events = reached - after;
                if events > 1 {
                    // What comes before the fault is taken in first.
                    transaction.rollback().await?;
                    limit = Some(parking.failing.map_or(events / 2, |failing| failing - after - 1).max(1));
                    continue;
                }
                self.park(&mut transaction, &parking).await?;
                return Ok(transaction.commit().await?);
            }
            if reached >= checkpoint {
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
            self.freshness.forget(tenant);
            self.wake.projected([(tenant, 0)]);
            if reached >= checkpoint {
                return Ok(());
            }
            limit = Some(most.saturating_mul(4));
        }
    }
}
