//! The swap: with the checkpoints held still, what is left is taken in, the new table takes the place of the live one,
//! and what stood still is parked. One transaction; whoever asks meanwhile waits a moment at most.
//!
//! Locks, in this order: the rebuild's row; the read model's version, if it moves, and with it all leases; the checkpoints (no projector is within a batch, none begins one); what is
//! parked of the read model (no operator is recording a skip); the tables. Queries lock tables in orders of their own,
//! so the last is tried for a short while only, and then all of it again: it is never a query that gives way.

use super::fill::Fill;
use super::{Next, Standstill, locked};
use crate::projector::{ProjectError, Projector};
use crate::skips::Skips;
use domain::TenantId;
use event_store::begin;
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// How long queries may have to wait behind an attempt.
const PATIENCE: &str = "set local lock_timeout = '200ms'";
/// How long the projectors' batches under way may take to end.
const BATCHES: &str = "set local lock_timeout = '10s'";

/// What came of an attempt.
enum Attempt {
    Swapped {
        standing: Vec<Standstill>,
        was_parked: Vec<Uuid>,
    },
    /// Too much has come in, or is not like it was: fill on.
    Behind,
    /// Queries are at the table, which must not wait for us.
    Busy,
}

impl Projector {
    /// Puts a filled read model in the place of the live one, however often that has to be tried.
    pub(super) async fn swap(&self, next: &Next<'_>) -> Result<Vec<Standstill>, ProjectError> {
        let mut pause = Duration::from_millis(50);
        loop {
            let mut fill = Fill::new(self, std::slice::from_ref(next));
            while fill.step().await?.is_some() {}
            let mut transaction = begin(self.pool()).await?;
            match self.attempt(&mut transaction, next).await {
                Ok(Attempt::Swapped { standing, was_parked }) => {
                    transaction.commit().await?;
                    let moved: Vec<TenantId> =
                        was_parked.into_iter().map(TenantId).chain(standing.iter().map(|standing| standing.tenant)).collect();
                    self.forget(&moved);
                    tracing::info!(read_model = next.model.table(), version = next.model.version(), "made anew");
                    return Ok(standing);
                }
                Ok(Attempt::Behind) => transaction.rollback().await?,
                Ok(Attempt::Busy) => {
                    transaction.rollback().await?;
                    if pause > Duration::from_secs(1) {
                        tracing::warn!(
                            read_model = next.model.table(),
                            "waiting for long queries to end before the new rows can take their place"
                        );
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&self, connection: &mut PgConnection, next: &Next<'_>) -> Result<Attempt, ProjectError> {
        let name = next.model.table();
        if locked(connection, &[name]).await?.is_empty() {
            // Another process has swapped it, or it was given up.
            return Ok(Attempt::Swapped { standing: Vec::new(), was_parked: Vec::new() });
        }
        sqlx::query(BATCHES).execute(&mut *connection).await?;
        match self.set_version(connection, name).await {
            Err(error) if is_busy(&error) => return Ok(Attempt::Busy),
            outcome => outcome?,
        }
        match sqlx::query("lock table read_models.checkpoints in exclusive mode").execute(&mut *connection).await {
            Err(error) if is_busy(&error) => return Ok(Attempt::Busy),
            outcome => outcome?,
        };
        let was_parked: Vec<Uuid> =
            sqlx::query_scalar("select tenant_id from read_models.parked where read_model = $1 order by tenant_id for update")
                .bind(name)
                .fetch_all(&mut *connection)
                .await?;
        if self.left(connection, name).await? > self.batch_events() || self.has_new_skips(connection, name).await? {
            return Ok(Attempt::Behind);
        }
        let mut rest = Fill::new(self, std::slice::from_ref(next));
        if !rest.rest(connection).await? {
            return Ok(Attempt::Behind);
        }
        sqlx::query(PATIENCE).execute(&mut *connection).await?;
        match sqlx::query("select read_models.swap_next($1)").bind(name).execute(&mut *connection).await {
            Err(error) if is_busy(&error) => return Ok(Attempt::Busy),
            outcome => outcome?,
        };
        let standing: Vec<(Uuid, i64, String)> = sqlx::query_as(
            "with gone as (delete from read_models.parked where read_model = $1),
               done as (delete from read_models.rebuilt where read_model = $1 returning tenant_id, position, failing, error)
             select tenant_id, failing, error from done where failing is not null order by tenant_id",
        )
        .bind(name)
        .fetch_all(&mut *connection)
        .await?;
        for (tenant, failing, error) in &standing {
            sqlx::query(
                "insert into read_models.parked (tenant_id, read_model, position, failing, error, retry_at) values ($1, $2, $3 - 1, $3, $4, clock_timestamp())",
            )
            .bind(tenant)
            .bind(name)
            .bind(failing)
            .bind(error)
            .execute(&mut *connection)
            .await?;
        }
        sqlx::query("delete from read_models.rebuilds where read_model = $1").bind(name).execute(&mut *connection).await?;
        let standstill = |(tenant, failing, error)| Standstill { tenant: TenantId(tenant), read_model: name.to_owned(), failing, error };
        Ok(Attempt::Swapped { standing: standing.into_iter().map(standstill).collect(), was_parked })
    }

    /// Events that are not taken in.
    async fn left(&self, connection: &mut PgConnection, name: &str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(
            "select coalesce(sum(c.position - coalesce(r.position, 0)), 0)::bigint from read_models.checkpoints c
             left join read_models.rebuilt r on r.tenant_id = c.tenant_id and r.read_model = $1 where r.failing is null",
        )
        .bind(name)
        .fetch_one(connection)
        .await
    }

    /// Whether events were skipped after they had been taken in: those tenants begin anew.
    async fn has_new_skips(&self, connection: &mut PgConnection, name: &str) -> Result<bool, ProjectError> {
        let skips = Skips::load(self.reader(), None).await?;
        let (tenants, positions): (Vec<Uuid>, Vec<i64>) =
            skips.tenants().flat_map(|tenant| skips.of(tenant, name).iter().map(move |position| (tenant.0, *position))).unzip();
        let missed = sqlx::query_scalar(
            "select exists (
               select from unnest($2::uuid[], $3::bigint[]) as s (tenant_id, position)
               join read_models.rebuilt r on r.tenant_id = s.tenant_id and r.read_model = $1
               where s.position <= r.position and s.position <> all (r.skipped) or s.position = r.failing)",
        )
        .bind(name)
        .bind(tenants)
        .bind(positions)
        .fetch_one(connection)
        .await?;
        Ok(missed)
    }
}

/// True when the lock was not to be had in time, or somebody waits for us who holds what we want.
fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "55P03" | "40P01"))
}
