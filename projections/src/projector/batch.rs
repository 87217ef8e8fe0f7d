//! One batch: a stretch of the log of each of some tenants is read, folded, written and checked off in one
//! transaction. Invariant: rows and checkpoint move together or not at all.

use super::parking::Parking;
use super::{ProjectError, Projector};
use crate::fold::{Changes, FoldError, Model};
use crate::table::{Table, load, write};
use domain::{Recorded, TenantId};
use event_store::{Poison, Span, StoreError, begin_with};
use futures::future::try_join;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
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
        let checkpoints = self.lock(&mut transaction, tenants).await?;
        if checkpoints.is_empty() {
            return Ok(Vec::new());
        }
        let share = (self.config.batch_events / i64::try_from(checkpoints.len()).unwrap_or(1)).max(1);
        let spans: Vec<Span> = checkpoints.iter().map(|(tenant, after)| Span { tenant: *tenant, after: *after, limit: share }).collect();
        let read = async { Ok(self.read(&spans).await?) };
        let (parked, stretches) = try_join(self.check_fit(&mut transaction, tenants), read).await?;
        if stretches.is_empty() {
            // Keeps checkpoints that were made just now, so that the next look finds them.
            transaction.commit().await?;
            return Ok(Vec::new());
        }
        let mut parking = Vec::new();
        let mine = |model: &dyn Model| {
            let goes_on = |(tenant, _): &(&TenantId, &Stretch)| !parked.contains(&(tenant.0, model.table().to_owned()));
            stretches.iter().filter(goes_on).map(|(tenant, stretch)| (*tenant, stretch)).collect()
        };
        let folded = self.fold(&mut transaction, self.models.iter().map(|model| (model, mine(model))), &mut parking).await?;
        let reached: Vec<(TenantId, i64)> = stretches.iter().map(|(tenant, stretch)| (*tenant, stretch.last)).collect();
        let changes = if careful {
            write_carefully(&mut transaction, folded, &mut parking).await?;
            Vec::new()
        } else {
            folded.into_iter().map(|folded| (folded.table, folded.changes)).collect()
        };
        for parking in &parking {
            self.park(&mut transaction, parking).await?;
        }
        let now = write(&mut transaction, changes, &reached).await?;
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

    /// Folds stretches of several tenants into each of these read models. Those that fail are listed in `parking`.
    pub(super) async fn fold<'a>(
        &'a self,
        connection: &mut PgConnection,
        work: impl IntoIterator<Item = (&'a dyn Model, Vec<(TenantId, &'a Stretch)>)>,
        parking: &mut Vec<Parking>,
    ) -> Result<Vec<Folded<'a>>, ProjectError> {
        // Which rows do the events touch?
        let mut touched = Vec::new();
        for (model, stretches) in work {
            let Some(table) = self.tables.get(model.table()) else { continue };
            let mut mine = Vec::new();
            for (tenant, stretch) in stretches {
                match touches(model, stretch) {
                    Ok((events, keys)) if !keys.is_empty() || !(events.is_empty() || model.loads()) => {
                        mine.push((tenant, stretch, events, keys))
                    }
                    Ok(_) => {}
                    Err(error) => parking.push(Parking::of(model, tenant, stretch, error)),
                }
            }
            if !mine.is_empty() {
                touched.push((model, table, mine));
            }
        }
        let mut wanted: Vec<(&Table, Vec<(Uuid, &str)>)> = Vec::new();
        for (_, table, mine) in &touched {
            let keys = mine.iter().flat_map(|(tenant, _, _, keys)| keys.iter().map(|key| (tenant.0, key.as_str())));
            wanted.push((table, keys.collect()));
        }
        let loaded = load(connection, &wanted).await?;
        let mut folded = Vec::new();
        for ((model, table, mine), mut rows) in touched.into_iter().zip(loaded) {
            let mut of = Folded { model, table, changes: Changes::default(), written: Vec::new() };
            for (tenant, stretch, events, _) in mine {
                match model.fold(rows.remove(&tenant.0).unwrap_or_default(), table, &events) {
                    Ok(changes) => {
                        of.changes.append(changes);
                        of.written.push((tenant, stretch));
                    }
                    Err(error) => parking.push(Parking::of(model, tenant, stretch, error)),
                }
            }
            folded.push(of);
        }
        Ok(folded)
    }
}

/// What a batch makes of one read model.
pub(super) struct Folded<'a> {
    model: &'a dyn Model,
    table: &'a Table,
    changes: Changes,
    written: Vec<(TenantId, &'a Stretch)>,
}

/// Writes each read model under a savepoint, and lists in `parking` what the database refuses.
pub(super) async fn write_carefully(
    connection: &mut PgConnection,
    folded: Vec<Folded<'_>>,
    parking: &mut Vec<Parking>,
) -> Result<(), ProjectError> {
    for Folded { model, table, changes, written } in folded {
        let mut savepoint = connection.begin().await?;
        match write(&mut savepoint, vec![(table, changes)], &[]).await {
            Ok(_) => savepoint.commit().await?,
            Err(error) if refused(&error) => {
                savepoint.rollback().await?;
                for (tenant, stretch) in written {
                    // Of several events it is not known which; a retry finds it.
                    let position = (stretch.last == stretch.after + 1).then_some(stretch.last);
                    parking.push(Parking::of(model, tenant, stretch, FoldError { position, error: format!("writing: {error}") }));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
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

/// True when the database has refused what was written, and would again.
pub(crate) fn refused(error: &sqlx::Error) -> bool {
    match error {
        // 22 data exceptions, 23 constraint violations, 54 limits (PostgreSQL, appendix A).
        sqlx::Error::Database(error) => error.code().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class))),
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}
