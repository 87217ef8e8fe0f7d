//! What a fold from position 0 makes of a tenant, beside what stands in the table: made for tests, and for operators who
//! want to see that both are the same.

use super::{RebuildError, named};
use crate::fold::{FoldError, Model};
use crate::projector::{ProjectError, Projector, lock_checkpoints, touches};
use crate::skips::Skips;
use crate::table::{load, write};
use domain::TenantId;
use event_store::{Span, StoreError, begin};
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The rows of a tenant's read model as a fold from position 0 makes them, and as they stand in the table; by key.
///
/// # Errors
/// An unknown name, the database, or a fold that fails.
pub async fn replay(
    projector: &Projector,
    tenant: TenantId,
    name: &str,
) -> Result<(BTreeMap<String, Value>, BTreeMap<String, Value>), RebuildError> {
    let model = named(projector.models(), name)?;
    let mut transaction = begin(projector.pool()).await.map_err(ProjectError::from)?;
    let (folded, stands) = projector.compare(&mut transaction, tenant, model).await?;
    transaction.rollback().await.map_err(ProjectError::from)?;
    Ok((folded, stands))
}

impl Projector {
    async fn compare(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        model: &dyn Model,
    ) -> Result<(BTreeMap<String, Value>, BTreeMap<String, Value>), ProjectError> {
        let Some(table) = self.table(model) else { return Ok(Default::default()) };
        // The lock keeps the projector away until the comparison is done; the rollback undoes it all.
        let checkpoint = lock_checkpoints(connection, &[tenant.0]).await?.pop().map_or(0, |(_, checkpoint)| checkpoint);
        let stands = table.all(connection, tenant.0).await?;
        table.clear(connection, tenant.0).await?;
        let skips = Skips::load(self.reader(), Some(&[tenant])).await?;
        let failed = |FoldError { error, .. }| ProjectError::Store(StoreError::data(format!("{} of {tenant}", model.table()), error));
        let mut after = 0;
        while after < checkpoint {
            let limit = self.batch_events().min(checkpoint - after);
            let Some(mut stretch) = self.read(&[Span { tenant, after, limit }]).await?.remove(&tenant) else { break };
            stretch.pass_over(skips.of(tenant, model.table()));
            let (events, keys) = touches(model, &stretch).map_err(failed)?;
            let wanted: Vec<(Uuid, &str)> = keys.iter().map(|key| (tenant.0, key.as_str())).collect();
            let mut rows = load(connection, &[(table, wanted)]).await?.pop().unwrap_or_default();
            let changes = model.fold(rows.remove(&tenant.0).unwrap_or_default(), table, &events).map_err(failed)?;
            write(connection, vec![(table, changes)], &[]).await?;
            after = stretch.last;
        }
        Ok((table.all(connection, tenant.0).await?, stands))
    }
}
