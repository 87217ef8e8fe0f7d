//! The yardstick: bare single-row INSERTs, each a transaction, into a table of the same columns, indexes and
//! bytes as the log. Nothing is loaded, decided or checked.

use crate::measure::Caller;
use crate::workload::{COMMANDS, new_id};
use anyhow::{Context, Result};
use domain::TenantId;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Executor, FromRow};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const INSERT: &str = "insert into bench.events (tenant_id, position, sequence, recorded_at, access, aggregate_type, aggregate_id, \
    event_type, event_version, payload, metadata) \
    values ($1, $2, $3, clock_timestamp(), $4, $5, $6, $7, $8, $9::text::json, $10::text::json)";

/// An event as Annals has written it.
#[derive(Clone, Debug, FromRow)]
pub struct Event {
    access: bool,
    aggregate_type: String,
    event_type: String,
    event_version: String,
    payload: String,
    metadata: String,
}

struct Log {
    tenant: TenantId,
    position: AtomicI64,
}

/// One connection that inserts.
pub struct Inserter {
    connection: PgConnection,
    log: Arc<Log>,
    events: Arc<Vec<Event>>,
    aggregate: String,
    n: usize,
}

/// As many inserters as callers, over these tenants, with the events of items that are there already.
pub async fn inserters(database: &PgConnectOptions, tenants: &[TenantId], callers: usize) -> Result<Vec<Inserter>> {
    let mut connection = database.connect().await?;
    connection.execute("create schema bench; create table bench.events (like event_store.events including all)").await?;
    let events: Vec<Event> = sqlx::query_as(
        "select access, aggregate_type, event_type, event_version, payload::text, metadata::text from event_store.events
         where aggregate_type = 'pipeline_item' order by aggregate_id, sequence",
    )
    .fetch_all(&mut connection)
    .await?;
    anyhow::ensure!(!events.is_empty() && events.len().is_multiple_of(COMMANDS), "{} events are no sample of whole items", events.len());
    let events = Arc::new(events);
    let logs: Vec<_> = tenants.iter().map(|tenant| Arc::new(Log { tenant: *tenant, position: AtomicI64::new(0) })).collect();
    let mut inserters = Vec::with_capacity(callers);
    for n in 0..callers {
        let connection = database.connect().await.context("connecting an inserter")?;
        let log = Arc::clone(&logs[n % logs.len()]);
        // Each begins with another item, so that all the sample's bytes are written.
        let n = n * COMMANDS;
        inserters.push(Inserter { connection, log, events: Arc::clone(&events), aggregate: String::new(), n });
    }
    Ok(inserters)
}

impl Caller for Inserter {
    async fn command(&mut self) -> Result<u64> {
        let sequence = self.n % COMMANDS;
        if sequence == 0 {
            self.aggregate = new_id().to_string();
        }
        let event = &self.events[self.n % self.events.len()];
        self.n += 1;
        sqlx::query(INSERT)
            .bind(self.log.tenant.0)
            .bind(self.log.position.fetch_add(1, Ordering::Relaxed) + 1)
            .bind(i64::try_from(sequence)? + 1)
            .bind(event.access)
            .bind(&event.aggregate_type)
            .bind(&self.aggregate)
            .bind(&event.event_type)
            .bind(&event.event_version)
            .bind(&event.payload)
            .bind(&event.metadata)
            .execute(&mut self.connection)
            .await?;
        Ok(1)
    }
}
