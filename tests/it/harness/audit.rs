//! The proof from the log alone: whatever a test did, at its end the log must stand up to this.

use super::rules::Rules;
use super::{Log, Process};
use chrono::{DateTime, Utc};
use domain::registry::kind;
use domain::roles::Permission;
use domain::{Recorded, TenantId, canonical_json};
use event_store::Span;
use sqlx::{PgPool, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// An event as the table has it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) tenant: TenantId,
    pub(crate) position: i64,
    pub(crate) sequence: i64,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) access: bool,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) event_type: String,
    pub(crate) payload: String,
    pub(crate) metadata_text: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Stored {
    /// A value of the metadata; empty where there is none.
    pub(crate) fn meta(&self, key: &str) -> &str {
        self.metadata.get(key).map_or("", String::as_str)
    }

    fn place(&self) -> String {
        format!("event {} ({}) of {}", self.position, self.event_type, self.tenant)
    }
}

/// All events of all tenants, in order.
async fn stored(admin: &PgPool) -> Vec<Stored> {
    let rows = sqlx::query(
        "select tenant_id, position, sequence, recorded_at, access, aggregate_type, aggregate_id, event_type, payload::text as payload,
                metadata::text as metadata
         from event_store.events order by tenant_id, position",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    let read = |row: &sqlx::postgres::PgRow| {
        let metadata_text: String = row.get("metadata");
        Stored {
            tenant: TenantId(row.get("tenant_id")),
            position: row.get("position"),
            sequence: row.get("sequence"),
            recorded_at: row.get("recorded_at"),
            access: row.get("access"),
            aggregate_type: row.get("aggregate_type"),
            aggregate_id: row.get("aggregate_id"),
            event_type: row.get("event_type"),
            payload: row.get("payload"),
            metadata: serde_json::from_str(&metadata_text).expect("metadata is a flat map of strings"),
            metadata_text,
        }
    };
    rows.iter().map(read).collect()
}

/// Proves of every tenant's log: positions and sequences are dense, time never runs backwards, every event is
/// canonical and complete, a command's events stand together, nobody did what they were not allowed to at that
/// position, no rule that spans aggregates was broken, and heads and claims are what the events make them.
/// Answers with all events.
pub(crate) async fn audit(log: &Log) -> Vec<Stored> {
    prove(&log.admin, &log.process).await
}

/// As [`audit`], for any superuser's way in and any process.
pub(crate) async fn prove(admin: &PgPool, process: &Process) -> Vec<Stored> {
    let events = stored(admin).await;
    let claims = claims(admin).await;
    let mut heads = heads(admin).await;
    let mut homes: HashMap<&str, (TenantId, &str)> = HashMap::new();
    for event in &events {
        let home = homes.entry(&event.aggregate_id).or_insert((event.tenant, &event.aggregate_type));
        assert_eq!(*home, (event.tenant, event.aggregate_type.as_str()), "{}: an id is one aggregate's alone", event.place());
    }
    let mut proven = BTreeSet::new();
    for events in events.chunk_by(|a, b| a.tenant == b.tenant) {
        let tenant = events[0].tenant;
        shape(events);
        let last_access = events.iter().rev().find(|event| event.access).map_or(0, |event| event.position);
        let head = heads.remove(&tenant).unwrap_or_else(|| panic!("{tenant} has no head"));
        assert_eq!(head, (events.len() as i64, last_access), "the head of {tenant}: position and access_position");

        let recorded = recorded(process, tenant, events.len()).await;
        let mut rules = Rules::new(tenant, process.commands.vault());
        for command in recorded.chunk_by(|a, b| a.metadata["command_id"] == b.metadata["command_id"]) {
            rules.command(command);
        }
        assert_eq!(
            rules.claims(),
            claims.get(&tenant).cloned().unwrap_or_default(),
            "the claims of {tenant} are what its events make them"
        );
        proven.insert(tenant);
    }
    assert!(heads.values().all(|head| *head == (0, 0)), "heads without events: {heads:?}");
    assert!(claims.keys().all(|tenant| proven.contains(tenant)), "claims without events");
    events
}

/// What holds of each event, whatever it says.
fn shape(events: &[Stored]) {
    let mut sequences: HashMap<&str, i64> = HashMap::new();
    let mut commands = HashSet::new();
    let mut before: Option<&Stored> = None;
    for (event, position) in events.iter().zip(1..) {
        let place = event.place();
        assert_eq!(event.position, position, "{place}: positions are 1, 2, 3 …");
        let sequence = sequences.entry(&event.aggregate_id).or_default();
        *sequence += 1;
        assert_eq!(event.sequence, *sequence, "{place}: sequences are 1, 2, 3 …");
        assert!(before.is_none_or(|before| before.recorded_at <= event.recorded_at), "{place}: time runs backwards");

        for text in [&event.payload, &event.metadata_text] {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(canonical_json(&value).as_ref(), Ok(text), "{place}: canonical text");
        }
        complete(event);

        let command = event.meta("command_id");
        match before.filter(|before| before.meta("command_id") == command) {
            Some(before) => {
                assert_eq!((&before.aggregate_id, &before.metadata_text), (&event.aggregate_id, &event.metadata_text), "{place}")
            }
            None => assert!(commands.insert(command), "{place}: the events of {command} do not stand together, or it was applied twice"),
        }
        before = Some(event);
    }
}

/// Every key that must be there is, and says something of the right shape.
fn complete(event: &Stored) {
    let place = event.place();
    for key in ["tenant_id", "actor_kind", "actor_id", "permission", "catalogue", "command_id", "command", "correlation_id"] {
        assert!(event.metadata.contains_key(key), "{place}: metadata has no {key}");
    }
    assert_eq!(event.meta("tenant_id"), event.tenant.to_string(), "{place}");
    for key in ["command_id", "correlation_id"] {
        assert!(event.meta(key).parse::<Uuid>().is_ok(), "{place}: {key}");
    }
    match event.meta("actor_kind") {
        "USER" => assert!(event.meta("actor_id").parse::<Uuid>().is_ok(), "{place}: actor_id"),
        "SYSTEM" => assert!(!event.meta("actor_id").is_empty(), "{place}: actor_id"),
        kind => assert_eq!((kind, event.meta("actor_id")), ("PUBLIC", ""), "{place}"),
    }
    if Permission::parse(event.meta("permission")).is_ok() {
        assert!(["any", "own"].contains(&event.meta("scope")), "{place}: scope");
        assert_eq!(event.meta("grants_tenant"), event.tenant.to_string(), "{place}");
        assert!(event.meta("grants_position").parse::<i64>().is_ok(), "{place}: grants_position");
    } else {
        assert!(["self", "public", "sys", "token"].contains(&event.meta("permission")), "{place}: permission");
    }
}

async fn recorded(process: &Process, tenant: TenantId, count: usize) -> Vec<Recorded> {
    let span = Span { tenant, after: 0, limit: count as i64 };
    let recorded: Vec<_> =
        process.reader.read(&[span]).await.unwrap().into_iter().map(|event| event.unwrap_or_else(|poison| panic!("{poison:?}"))).collect();
    assert_eq!(recorded.len(), count);
    for event in &recorded {
        let kind = kind(event.aggregate_type).unwrap();
        assert!(kind.event_types().contains(&event.event_type.as_str()), "{} is no event of {}", event.event_type, event.aggregate_type);
    }
    recorded
}

async fn heads(admin: &PgPool) -> HashMap<TenantId, (i64, i64)> {
    let rows: Vec<(Uuid, i64, i64)> =
        sqlx::query_as("select tenant_id, position, access_position from event_store.heads").fetch_all(admin).await.unwrap();
    rows.into_iter().map(|(tenant, position, access)| (TenantId(tenant), (position, access))).collect()
}

/// Claims by tenant: name and holder.
async fn claims(admin: &PgPool) -> HashMap<TenantId, BTreeSet<(String, String)>> {
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("select tenant_id, name, holder from event_store.claims").fetch_all(admin).await.unwrap();
    rows.into_iter().fold(HashMap::new(), |mut claims: HashMap<_, BTreeSet<_>>, (tenant, name, holder)| {
        claims.entry(TenantId(tenant)).or_default().insert((name, holder));
        claims
    })
}
