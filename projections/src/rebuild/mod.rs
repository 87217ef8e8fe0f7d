//! Making read models anew from the log: each is filled beside the live one, while that is queried and kept up, and
//! then put in its place in one transaction. How far a rebuild has come stands in a table, so that one that was killed
//! goes on where it stopped, in this process or another.

mod fill;
mod pace;
mod replay;
mod swap;

pub use pace::{NoPace, Pace};
pub use replay::replay;

use crate::fold::Model;
use crate::projector::{ProjectError, Projector};
use crate::registry::Models;
use crate::table::Table;
use domain::TenantId;
use event_store::begin;
use fill::{Fill, Step};
use futures::stream::{self, StreamExt, TryStreamExt};
use pace::Pacer;
use std::fmt;
use std::time::{Duration, Instant};
use thiserror::Error;

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
#[derive(Clone, Copy, Debug)]
pub struct RebuildProgress {
    /// Events that an earlier run had taken in.
    pub before: i64,
    /// Events taken in by now, by this run and those before it.
    pub events: i64,
    /// Events to take in.
    pub of_events: i64,
    /// Whether it leaves time to others just now.
    pub gives_way: bool,
    /// Since this run began.
    pub elapsed: Duration,
}

impl RebuildProgress {
    /// Events a second in this run.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let events = (self.events - self.before) as f64;
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

impl fmt::Display for RebuildProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left().map_or_else(|| "time left not known yet".to_owned(), |left| format!("{} s left", left.as_secs()));
        let way = if self.gives_way { ", giving way to others" } else { "" };
        write!(f, "{} of {} events, {:.0} a second, {left}{way}", self.events, self.of_events, self.rate())
    }
}

/// A read model of a tenant that a rebuild could not bring to its end: it is parked, as if it had failed at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    /// Whose.
    pub tenant: TenantId,
    /// Which one.
    pub read_model: String,
    /// The position of the event that cannot be taken in.
    pub failing: i64,
    /// Why.
    pub error: String,
}

/// Makes these read models anew, all of them where none is named; goes on with what an earlier run has left. Answers
/// what stands still now, each by itself.
///
/// # Errors
/// An unknown name, or the database. What was done is kept.
pub async fn rebuild(
    projector: &Projector,
    names: &[String],
    pace: Pace,
    progress: &mut (dyn FnMut(&RebuildProgress) + Send),
) -> Result<Vec<Standstill>, RebuildError> {
    let mut wanted = Vec::new();
    for name in names {
        wanted.push(named(projector.models(), name)?.table());
    }
    if wanted.is_empty() {
        wanted = projector.models().names();
    }
    Ok(projector.rebuild(&wanted, pace, progress).await?)
}

/// Gives up a rebuild that was begun: what it has filled is dropped. The live read model stays as it is.
///
/// # Errors
/// An unknown name, or the database.
pub async fn abandon(projector: &Projector, names: &[String]) -> Result<(), RebuildError> {
    for name in names {
        named(projector.models(), name)?;
    }
    let wanted = if names.is_empty() { projector.models().names().into_iter().map(str::to_owned).collect() } else { names.to_vec() };
    Ok(projector.abandon(&wanted).await?)
}

fn named<'a>(models: &'a Models, name: &str) -> Result<&'a dyn Model, RebuildError> {
    models.named(name).ok_or_else(|| RebuildError::Unknown { name: name.to_owned(), known: models.names().join(", ") })
}

/// A read model that is made anew, and the table that is filled.
struct Next<'a> {
    model: &'a dyn Model,
    table: Table,
}

impl Projector {
    /// Makes these read models anew, and says what stands still.
    pub(crate) async fn rebuild(
        &self,
        names: &[&'static str],
        pace: Pace,
        progress: &mut (dyn FnMut(&RebuildProgress) + Send),
    ) -> Result<Vec<Standstill>, ProjectError> {
        let models = self.models().iter().filter(|model| names.contains(&model.table()));
        let models: Vec<Next<'_>> = models.filter_map(|model| Some(Next { table: self.table(model)?.beside(), model })).collect();
        for next in &models {
            self.begin_rebuild(next.model).await?;
        }
        let (before, of_events) = self.rebuilt(names).await?;
        let started = Instant::now();
        let mut now = RebuildProgress { before, events: before, of_events, gives_way: false, elapsed: Duration::ZERO };
        let pacer = Pacer::new(pace, self.pool().clone());
        let lanes = if pace.has_lanes() { self.lanes() } else { 1 };
        let fills = (0..lanes).map(|lane| Fill::lane(self, &models, lane, lanes).steps(&pacer).boxed());
        let mut fills = stream::select_all(fills);
        while let Some(Step { events, gives_way }) = fills.try_next().await? {
            now = RebuildProgress { events: now.events + events, gives_way, elapsed: started.elapsed(), ..now };
            progress(&now);
        }
        let mut standing = Vec::new();
        for next in &models {
            // An index is made faster over rows that are there.
            loop {
                let (stride, began) = (pacer.stride().await?, Instant::now());
                if !self.index_next(next.model.table()).await? {
                    break;
                }
                stride.rest(began.elapsed()).await;
            }
            standing.extend(self.swap(next).await?);
        }
        // What came meanwhile was taken in by the swap.
        progress(&RebuildProgress { events: now.of_events.max(now.events), gives_way: false, elapsed: started.elapsed(), ..now });
        Ok(standing)
    }

    /// Makes the table that is filled, or finds the one that was begun; what stood still is tried again.
    async fn begin_rebuild(&self, model: &dyn Model) -> Result<(), ProjectError> {
        let mut transaction = begin(self.pool()).await?;
        sqlx::query("insert into read_models.rebuilds (read_model, version) values ($1, $2) on conflict do nothing")
            .bind(model.table())
            .bind(model.version())
            .execute(&mut *transaction)
            .await?;
        let version: i32 = sqlx::query_scalar("select version from read_models.rebuilds where read_model = $1 for update")
            .bind(model.table())
            .fetch_one(&mut *transaction)
            .await?;
        if version > model.version() {
            return Err(ProjectError::Newer { read_model: model.table(), found: version, known: model.version() });
        }
        if version < model.version() {
            sqlx::query("select read_models.drop_next($1)").bind(model.table()).execute(&mut *transaction).await?;
            sqlx::query("update read_models.rebuilds set version = $2, started_at = clock_timestamp() where read_model = $1")
                .bind(model.table())
                .bind(model.version())
                .execute(&mut *transaction)
                .await?;
        }
        let fresh: bool =
            sqlx::query_scalar("select read_models.prepare_next($1)").bind(model.table()).fetch_one(&mut *transaction).await?;
        let sql = if fresh {
            "delete from read_models.rebuilt where read_model = $1"
        } else {
            "update read_models.rebuilt set failing = null, error = null where read_model = $1 and failing is not null"
        };
        sqlx::query(sql).bind(model.table()).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn abandon(&self, names: &[String]) -> Result<(), ProjectError> {
        for name in names {
            let mut transaction = begin(self.pool()).await?;
            // Its lock: a rebuild under way ends at its next batch, which finds it gone.
            sqlx::query("delete from read_models.rebuilds where read_model = $1").bind(name).execute(&mut *transaction).await?;
            sqlx::query("delete from read_models.rebuilt where read_model = $1").bind(name).execute(&mut *transaction).await?;
            sqlx::query("select read_models.drop_next($1)").bind(name).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// How many events are taken in by all of these, and how many there are.
    async fn rebuilt(&self, names: &[&str]) -> Result<(i64, i64), sqlx::Error> {
        sqlx::query_as(
            "select coalesce(sum(case when r.read_models = cardinality($1) then r.position else 0 end), 0)::bigint, coalesce(sum(c.position), 0)::bigint
             from read_models.checkpoints c
             left join (
               select tenant_id, count(*) as read_models, min(position) as position from read_models.rebuilt where read_model = any ($1) group by tenant_id
             ) r on r.tenant_id = c.tenant_id",
        )
        .bind(names)
        .fetch_one(self.pool())
        .await
    }

    /// Makes one index more; true while there may be another.
    async fn index_next(&self, name: &str) -> Result<bool, ProjectError> {
        let mut transaction = begin(self.pool()).await?;
        if locked(&mut transaction, &[name]).await?.is_empty() {
            return Ok(false);
        }
        let more = sqlx::query_scalar("select read_models.index_next($1)").bind(name).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(more)
    }
}

/// Locks these rebuilds, as far as they are still under way: two processes that are at the same one take turns.
async fn locked(connection: &mut sqlx::PgConnection, names: &[&str]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("select read_model from read_models.rebuilds where read_model = any ($1) order by read_model for update")
        .bind(names)
        .fetch_all(connection)
        .await
}

/// Locks a part of these rebuilds, as far as they are still under way: a swap waits for all parts, and two processes
/// that are at the same part take turns.
async fn shared(connection: &mut sqlx::PgConnection, names: &[&str], lane: i32) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtext('annals.rebuild'), $1)").bind(lane).execute(&mut *connection).await?;
    sqlx::query_scalar("select read_model from read_models.rebuilds where read_model = any ($1) order by read_model for share")
        .bind(names)
        .fetch_all(connection)
        .await
}

/// Says how far pairs have come, with what they have passed over and what they failed at.
async fn set_rebuilt(connection: &mut sqlx::PgConnection, pairs: Vec<serde_json::Value>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into read_models.rebuilt (tenant_id, read_model, position, skipped, failing, error)
         select tenant_id, read_model, position, skipped, failing, error
         from jsonb_to_recordset($1) as r (tenant_id uuid, read_model text, position bigint, skipped bigint[], failing bigint, error text)
         on conflict (tenant_id, read_model) do update
           set position = excluded.position, skipped = excluded.skipped, failing = excluded.failing, error = excluded.error",
    )
    .bind(serde_json::Value::Array(pairs))
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_the_rate_of_this_run_and_the_time_left() {
        let now = RebuildProgress { before: 100, events: 150, of_events: 350, gives_way: false, elapsed: Duration::from_secs(5) };
        assert_eq!(now.to_string(), "150 of 350 events, 10 a second, 20 s left");
        let yielding = RebuildProgress { gives_way: true, ..now };
        assert_eq!(yielding.to_string(), "150 of 350 events, 10 a second, 20 s left, giving way to others");
        let begun = RebuildProgress { events: 100, ..now };
        assert_eq!(begun.to_string(), "100 of 350 events, 0 a second, time left not known yet");
    }
}
