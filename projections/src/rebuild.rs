//! Making read models anew from the log: in place, tenant by tenant, each in one transaction, so that queries see
//! the old rows until the new ones are all there.

use crate::projector::{ProjectError, Projector, Stretch, lock_checkpoints};
use crate::registry::Models;
use crate::table::{Changes, Model, Table};
use domain::{Recorded, TenantId};
use event_store::Span;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::time::sleep;
use uuid::Uuid;

/// Why read models could not be made anew.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// No read model has this name.
    #[error("there is no read model {name:?}; there are: {known}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The database or the log.
    #[error(transparent)]
    Project(#[from] ProjectError),
}

/// How far a rebuild has come.
#[derive(Clone, Debug)]
pub struct RebuildProgress {
    /// Tenants done.
    pub tenants: usize,
    /// All tenants.
    pub of_tenants: usize,
    /// Events read.
    pub events: i64,
    /// Events to read.
    pub of_events: i64,
    /// Since when.
    pub elapsed: Duration,
}

impl RebuildProgress {
    /// Events a second so far.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let events = self.events as f64;
        events / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// How long the rest will take at this rate.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        let left = (self.of_events - self.events).max(0) as f64;
        Duration::try_from_secs_f64(left / self.rate()).ok()
    }
}

/// Makes these read models anew, all of them where none is named.
///
/// # Errors
/// An unknown name, or the database.
pub async fn rebuild(
    projector: &Projector,
    names: &[String],
    progress: &mut (dyn FnMut(&RebuildProgress) + Send),
) -> Result<(), RebuildError> {
    let mut wanted = Vec::new();
    for name in names {
        wanted.push(named(projector.models(), name)?.table());
    }
    if wanted.is_empty() {
        wanted = projector.models().names();
    }
    Ok(projector.rebuild(&wanted, progress).await?)
}

/// The rows of a tenant's read model as a fold from position 0 makes them, and as they stand in the table; by key.
/// Made for tests and operators who want to see that both are the same.
///
/// # Errors
/// An unknown name, the database, or a fold that fails.
pub async fn replay(
    projector: &Projector,
    tenant: TenantId,
    name: &str,
) -> Result<(BTreeMap<String, Value>, BTreeMap<String, Value>), RebuildError> {
    let model = named(projector.models(), name)?;
    let mut transaction = projector.pool().begin().await.map_err(ProjectError::from)?;
    let (folded, stands) = projector.compare(&mut transaction, tenant, model).await?;
    transaction.rollback().await.map_err(ProjectError::from)?;
    Ok((folded, stands))
}

fn named<'a>(models: &'a Models, name: &str) -> Result<&'a dyn Model, RebuildError> {
    models.named(name).ok_or_else(|| RebuildError::Unknown { name: name.to_owned(), known: models.names().join(", ") })
}

impl Projector {
    pub(crate) async fn rebuild(
        &self,
        names: &[&'static str],
        progress: &mut (dyn FnMut(&RebuildProgress) + Send),
    ) -> Result<(), ProjectError> {
        let started = Instant::now();
        let tenants: Vec<(Uuid, i64)> =
            sqlx::query_as("select tenant_id, position from read_models.checkpoints where position > 0 order by tenant_id")
                .fetch_all(self.pool())
                .await?;
        let mut now = RebuildProgress {
            tenants: 0,
            of_tenants: tenants.len(),
            events: 0,
            of_events: tenants.iter().map(|(_, position)| position).sum(),
            elapsed: Duration::ZERO,
        };
        for (tenant, _) in tenants {
            let tenant = TenantId(tenant);
            while !self.rebuild_tenant(tenant, names, started, &mut now, progress).await? {
                // Another worker is at this tenant just now; it will be done in a moment.
                sleep(Duration::from_millis(20)).await;
            }
            now.tenants += 1;
        }
        now.elapsed = started.elapsed();
        progress(&now);
        Ok(())
    }

    /// False when another worker holds the tenant.
    async fn rebuild_tenant(
        &self,
        tenant: TenantId,
        names: &[&'static str],
        started: Instant,
        now: &mut RebuildProgress,
        progress: &mut (dyn FnMut(&RebuildProgress) + Send),
    ) -> Result<bool, ProjectError> {
        let mut transaction = self.pool().begin().await?;
        let Some((_, checkpoint)) = lock_checkpoints(&mut transaction, &[tenant.0]).await?.pop() else { return Ok(false) };
        let chosen: Vec<(&dyn Model, &Table)> = self
            .models()
            .iter()
            .filter(|model| names.contains(&model.table()))
            .filter_map(|model| Some((model, self.table(model)?)))
            .collect();
        for (_, table) in &chosen {
            table.clear(&mut transaction, tenant.0).await?;
        }
        let mut after = 0;
        while after < checkpoint {
            let limit = self.batch_events().min(checkpoint - after);
            let Some(stretch) = self.read(&[Span { tenant, after, limit }]).await?.remove(&tenant) else { break };
            for (model, table) in &chosen {
                let changes = self.fold(&mut transaction, *model, table, tenant, &stretch).await?;
                table.write(&mut transaction, changes).await?;
            }
            now.events += stretch.last - after;
            now.elapsed = started.elapsed();
            progress(now);
            after = stretch.last;
        }
        sqlx::query("delete from read_models.parked where tenant_id = $1 and read_model = any ($2)")
            .bind(tenant.0)
            .bind(names)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.freshness().forget(tenant);
        Ok(true)
    }

    /// Folds a stretch over the rows as they stand. What fails, fails the whole: a rebuild leaves nothing half done.
    async fn fold(
        &self,
        connection: &mut sqlx::PgConnection,
        model: &dyn Model,
        table: &Table,
        tenant: TenantId,
        stretch: &Stretch,
    ) -> Result<Changes, ProjectError> {
        let failed = |error: String| ProjectError::Store(event_store::StoreError::data(format!("{} of {tenant}", model.table()), error));
        if let Some(poison) = stretch.poison.iter().find(|poison| model.reads(&poison.aggregate_type)) {
            return Err(failed(format!("event {} cannot be read: {}", poison.position, poison.error)));
        }
        let events: Vec<&Recorded> = stretch.events.iter().filter(|event| model.reads(event.aggregate_type)).collect();
        let keys = model.keys(&events).map_err(|error| failed(error.error))?;
        let wanted: Vec<(Uuid, &str)> = keys.iter().map(|key| (tenant.0, key.as_str())).collect();
        let rows = table.load(connection, &wanted).await?.into_iter().map(|((_, key), row)| (key, row)).collect();
        model.fold(rows, table, &events).map_err(|error| failed(error.error))
    }

    async fn compare(
        &self,
        connection: &mut sqlx::PgConnection,
        tenant: TenantId,
        model: &dyn Model,
    ) -> Result<(BTreeMap<String, Value>, BTreeMap<String, Value>), ProjectError> {
        let Some(table) = self.table(model) else { return Ok(Default::default()) };
        // The lock keeps the projector away until the comparison is done; the rollback undoes it all.
        let checkpoint = lock_checkpoints(connection, &[tenant.0]).await?.pop().map_or(0, |(_, checkpoint)| checkpoint);
        let stands = table.all(connection, tenant.0).await?;
        table.clear(connection, tenant.0).await?;
        let mut after = 0;
        while after < checkpoint {
            let limit = self.batch_events().min(checkpoint - after);
            let Some(stretch) = self.read(&[Span { tenant, after, limit }]).await?.remove(&tenant) else { break };
            let changes = self.fold(connection, model, table, tenant, &stretch).await?;
            table.write(connection, changes).await?;
            after = stretch.last;
        }
        Ok((table.all(connection, tenant.0).await?, stands))
    }
}
