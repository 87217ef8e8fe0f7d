//! One batch: a stretch of the log of each of some tenants is read, folded, written and checked off in one
//! transaction. Invariant: rows and checkpoint move together or not at all.

use super::parking::{Parking, parked};
use super::{ProjectError, Projector};
use crate::table::{Changes, FoldError, Model};
use chrono::{DateTime, Utc};
use domain::{Recorded, TenantId};
use event_store::{Poison, Span, StoreError, begin_with};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// What came of reading one tenant's stretch of the log.
pub(crate) struct Stretch {
    pub(crate) after: i64,
    pub(crate) last: i64,
    pub(crate) events: Vec<Recorded>,
    pub(crate) poison: Vec<Poison>,
}

impl Projector {
    /// Projects a batch of these tenants. With `careful`, each read model is written under a savepoint, and what
    /// the database refuses is parked. Answers the tenants that may have more.
    pub(super) async fn project(&self, tenants: &[Uuid], careful: bool) -> Result<Vec<Uuid>, ProjectError> {
        let mut transaction = begin_with(&self.pool, self.begin.clone()).await?;
        let tenants = &self.hold(&mut transaction, tenants).await?;
        if tenants.is_empty() {
            return Ok(Vec::new());
        }
        let checkpoints = lock_checkpoints(&mut transaction, tenants).await?;
        if checkpoints.is_empty() {
            return Ok(Vec::new());
        }
        self.check_fit(&mut transaction).await?;
        let share = (self.config.batch_events / i64::try_from(checkpoints.len()).unwrap_or(1)).max(1);
        let spans: Vec<Span> = checkpoints.iter().map(|(tenant, after)| Span { tenant: *tenant, after: *after, limit: share }).collect();
        let stretches = self.read(&spans).await?;
        if stretches.is_empty() {
            // Keeps checkpoints that were made just now, so that the next look finds them.
            transaction.commit().await?;
            return Ok(Vec::new());
        }
        let parked = parked(&mut transaction, tenants).await?;
        let mut parking = Vec::new();
        for model in self.models.iter() {
            let mine = stretches
                .iter()
                .filter(|(tenant, _)| !parked.contains(&(tenant.0, model.table().to_owned())))
                .map(|(tenant, stretch)| (*tenant, stretch));
            self.apply(&mut transaction, model, mine.collect(), careful, &mut parking).await?;
        }
        for parking in &parking {
            self.park(&mut transaction, parking).await?;
        }
        let reached: Vec<(TenantId, i64)> = stretches.iter().map(|(tenant, stretch)| (*tenant, stretch.last)).collect();
        let now: Option<DateTime<Utc>> = sqlx::query_scalar(
            "update read_models.checkpoints c set position = r.position from unnest($1::uuid[], $2::bigint[]) as r (tenant_id, position)
             where c.tenant_id = r.tenant_id returning clock_timestamp()",
        )
        .bind(reached.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>())
        .bind(reached.iter().map(|(_, position)| *position).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await?
        .pop();
        transaction.commit().await?;
        // By the database's clock alone, which both times come from.
        let delay = metrics::histogram!("projection_delay_seconds");
        let recorded = stretches.values().flat_map(|stretch| &stretch.events).map(|event| event.recorded_at);
        recorded.filter_map(|recorded| (now? - recorded).to_std().ok()).for_each(|passed| delay.record(passed));
        let standing: HashSet<Uuid> =
            parked.iter().map(|(tenant, _)| *tenant).chain(parking.iter().map(|parking| parking.tenant.0)).collect();
        let told = |(tenant, position): &(TenantId, i64)| (*tenant, if standing.contains(&tenant.0) { 0 } else { *position });
        self.wake.projected(reached.iter().map(told));
        standing.iter().for_each(|tenant| self.freshness.forget(TenantId(*tenant)));
        self.freshness.note(reached.into_iter().filter(|(tenant, _)| !standing.contains(&tenant.0)));
        Ok(stretches.iter().filter(|(_, stretch)| stretch.last - stretch.after >= share).map(|(tenant, _)| tenant.0).collect())
    }

    /// Of these tenants, those that are ours until the transaction ends; all of them where there are no leases.
    pub(super) async fn hold(&self, connection: &mut PgConnection, tenants: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
        match &self.leases {
            Some(leases) => leases.hold(connection, tenants).await,
            None => Ok(tenants.to_vec()),
        }
    }

    /// Reads spans of the log, tenant by tenant.
    pub(crate) async fn read(&self, spans: &[Span]) -> Result<BTreeMap<TenantId, Stretch>, StoreError> {
        let after: HashMap<TenantId, i64> = spans.iter().map(|span| (span.tenant, span.after)).collect();
        let mut stretches: BTreeMap<TenantId, Stretch> = BTreeMap::new();
        for event in self.reader.read(spans).await? {
            let (tenant, position) = match &event {
                Ok(event) => (event.tenant_id, event.position),
                Err(poison) => (poison.tenant, poison.position),
            };
            let after = after.get(&tenant).copied().unwrap_or(0);
            let stretch = stretches.entry(tenant).or_insert_with(|| Stretch { after, last: after, events: Vec::new(), poison: Vec::new() });
            if position != stretch.last + 1 {
                return Err(StoreError::data(
                    format!("log of {tenant}"),
                    format!("position {position} follows {}: the log has a gap", stretch.last),
                ));
            }
            stretch.last = position;
            match event {
                Ok(event) => stretch.events.push(event),
                Err(poison) => stretch.poison.push(poison),
            }
        }
        Ok(stretches)
    }

    /// Takes stretches of several tenants into one read model. Those that fail are listed in `parking`.
    pub(super) async fn apply(
        &self,
        connection: &mut PgConnection,
        model: &dyn Model,
        stretches: Vec<(TenantId, &Stretch)>,
        careful: bool,
        parking: &mut Vec<Parking>,
    ) -> Result<(), ProjectError> {
        let Some(table) = self.tables.get(model.table()) else { return Ok(()) };
        let mut park = |tenant: TenantId, stretch: &Stretch, FoldError { position, error }: FoldError| {
            parking.push(Parking { tenant, read_model: model.table(), position: stretch.after, failing: position, error });
        };
        // Which rows do the events touch?
        let mut touched = Vec::new();
        for (tenant, stretch) in stretches {
            match touches(model, stretch) {
                Ok((events, keys)) if !keys.is_empty() || !(events.is_empty() || model.loads()) => {
                    touched.push((tenant, stretch, events, keys))
                }
                Ok(_) => {}
                Err(error) => park(tenant, stretch, error),
            }
        }
        if touched.is_empty() {
            return Ok(());
        }
        let keys: Vec<(Uuid, &str)> =
            touched.iter().flat_map(|(tenant, _, _, keys)| keys.iter().map(|key| (tenant.0, key.as_str()))).collect();
        let mut rows: HashMap<Uuid, BTreeMap<String, serde_json::Value>> = HashMap::new();
        if !keys.is_empty() {
            for ((tenant, key), row) in table.load(connection, &keys).await? {
                rows.entry(tenant).or_default().insert(key, row);
            }
        }
        let mut changes = Changes::default();
        let mut written = Vec::new();
        for (tenant, stretch, events, _) in &touched {
            match model.fold(rows.remove(&tenant.0).unwrap_or_default(), table, events) {
                Ok(folded) => {
                    changes.append(folded);
                    written.push((*tenant, *stretch));
                }
                Err(error) => park(*tenant, stretch, error),
            }
        }
        if !careful {
            return Ok(table.write(connection, changes).await?);
        }
        let mut savepoint = connection.begin().await?;
        match table.write(&mut savepoint, changes).await {
            Ok(()) => savepoint.commit().await?,
            Err(error) if refused(&error) => {
                savepoint.rollback().await?;
                for (tenant, stretch) in written {
                    // Of several events it is not known which; a retry finds it.
                    let position = (stretch.last == stretch.after + 1).then_some(stretch.last);
                    park(tenant, stretch, FoldError { position, error: format!("writing: {error}") });
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The events of a stretch that a read model reads, and the rows to load before they are folded.
pub(crate) fn touches<'a>(model: &dyn Model, stretch: &'a Stretch) -> Result<(Vec<&'a Recorded>, BTreeSet<String>), FoldError> {
    if let Some(poison) = stretch.poison.iter().find(|poison| model.reads(&poison.aggregate_type)) {
        let error = format!("event {} cannot be read: {}", poison.position, poison.error);
        return Err(FoldError { position: Some(poison.position), error });
    }
    let events: Vec<&Recorded> = stretch.events.iter().filter(|event| model.reads(event.aggregate_type)).collect();
    let keys = if model.loads() { model.keys(&events)? } else { BTreeSet::new() };
    Ok((events, keys))
}

/// Locks the checkpoints of these tenants that no other worker is at, making those that are missing.
pub(crate) async fn lock_checkpoints(connection: &mut PgConnection, tenants: &[Uuid]) -> Result<Vec<(TenantId, i64)>, sqlx::Error> {
    sqlx::query(
        "insert into read_models.checkpoints (tenant_id, position) select t, 0 from unnest($1::uuid[]) as t
         where not exists (select from read_models.checkpoints c where c.tenant_id = t) order by t on conflict do nothing",
    )
    .bind(tenants)
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query(
        "select tenant_id, position from read_models.checkpoints where tenant_id = any ($1) order by tenant_id for update skip locked",
    )
    .bind(tenants)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((TenantId(row.try_get("tenant_id")?), row.try_get("position")?))).collect()
}

/// True when the database has refused what was written, and would again.
pub(crate) fn refused(error: &sqlx::Error) -> bool {
    match error {
        // 22 data exceptions, 23 constraint violations, 54 limits (PostgreSQL, appendix A).
        sqlx::Error::Database(error) => error.code().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class))),
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}
