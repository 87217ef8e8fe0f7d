//! Events as a fold meets them, for the tests of read models.

use crate::ReadModel;
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use domain::{Actor, Decider, EventPayload, Recorded, TenantId, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The user who does everything, unless a test says otherwise.
pub(crate) const ALICE: UserId = UserId(Uuid::from_u128(0xa11ce));
/// Another user.
pub(crate) const BOB: UserId = UserId(Uuid::from_u128(0xb0b));
/// The log of the tests.
pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(0x7e57));

/// The n-th minute after noon.
pub(crate) fn minute(n: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).single().unwrap_or_default() + TimeDelta::minutes(n)
}

/// Events of one aggregate by Alice, the n-th at position and minute n.
pub(crate) fn log<D: Decider>(id: impl Into<Uuid>, events: impl IntoIterator<Item = D::Event>) -> Vec<Recorded> {
    let id = id.into();
    (1..)
        .zip(events)
        .map(|(n, event): (i64, D::Event)| Recorded {
            tenant_id: TENANT,
            position: n,
            aggregate_type: D::TYPE,
            aggregate_id: id,
            sequence: n,
            event_type: cqrs_name(&event),
            recorded_at: minute(n),
            occurred_at: None,
            actor: Actor { kind: "USER".into(), id: ALICE.to_string(), on_behalf_of: None },
            metadata: Arc::default(),
            payload: Arc::new(event),
        })
        .collect()
}

fn cqrs_name<E: EventPayload>(event: &E) -> String {
    event.event_type()
}

/// The rows that a log leaves, by key.
pub(crate) fn rows<R: ReadModel>(log: &[Recorded]) -> BTreeMap<R::Key, R> {
    let mut rows = BTreeMap::new();
    for event in log.iter().filter(|event| R::READS.contains(&event.aggregate_type)) {
        for key in R::keys(event) {
            let row = R::fold(rows.remove(&key), &key, event);
            // What a row says must survive the table.
            if let Some(row) = row {
                let json = serde_json::to_value(&row).expect("a row is JSON");
                assert_eq!(serde_json::from_value::<R>(json).expect("and back"), row);
                rows.insert(key, row);
            }
        }
    }
    rows
}

/// The one row that a log leaves.
pub(crate) fn row<R: ReadModel>(log: &[Recorded]) -> R {
    let mut rows = rows::<R>(log);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.pop_first().expect("there is one").1
}
