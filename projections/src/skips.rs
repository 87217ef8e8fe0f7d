//! The events that read models pass over, as operators have recorded it in the logs. A skip stands later in the log
//! than the event it is about, so it is looked up before a fold begins: only where a fold goes over old events, since a
//! read model stands still before an event that is skipped and nowhere else.

use crate::projector::Stretch;
use domain::TenantId;
use domain::operations::ProjectionControlEvent;
use event_store::{Reader, StoreError};
use std::collections::{BTreeSet, HashMap};

/// Skipped positions, by tenant and read model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skips(HashMap<TenantId, HashMap<String, BTreeSet<i64>>>);

static NONE: BTreeSet<i64> = BTreeSet::new();

impl Skips {
    /// Those in these logs, or in all.
    pub(crate) async fn load(reader: &Reader, tenants: Option<&[TenantId]>) -> Result<Self, StoreError> {
        let mut skips = Self::default();
        for event in reader.skips(tenants).await? {
            if let Some(ProjectionControlEvent::ProjectionEventSkipped { read_model, position, .. }) = event.of() {
                skips.0.entry(event.tenant_id).or_default().entry(read_model.clone()).or_default().insert(*position);
            }
        }
        Ok(skips)
    }

    /// The tenants that have any.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.0.keys().copied()
    }

    /// The positions that a read model of a tenant passes over.
    pub(crate) fn of(&self, tenant: TenantId, read_model: &str) -> &BTreeSet<i64> {
        self.0.get(&tenant).and_then(|of_tenant| of_tenant.get(read_model)).unwrap_or(&NONE)
    }
}

impl Stretch {
    /// Leaves these positions out; the stretch reaches as far as before.
    pub(crate) fn pass_over(&mut self, skipped: &BTreeSet<i64>) {
        self.events.retain(|event| !skipped.contains(&event.position));
        self.poison.retain(|poison| !skipped.contains(&poison.position));
    }
}
