//! The statements behind the leases. Each is a transaction of its own, so that no worker waits for another longer than
//! one statement takes, except where a projector is to end its batch first.

use super::Held;
use sqlx::PgPool;
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// A read model whose rows are a newer program's.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Newer {
    read_model: String,
    found: i32,
    known: Option<i32>,
}

impl fmt::Display for Newer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read_model, found, .. } = self;
        match self.known {
            Some(known) => write!(f, "read model {read_model} is at version {found}, this program knows only version {known}")?,
            None => write!(f, "read model {read_model} is unknown to this program")?,
        }
        f.write_str(": a newer program runs, and this projector stands down; upgrade or stop this process")
    }
}

/// A read model that a newer program has made its own, if there is one. One that is unknown counts: whoever moves
/// checkpoints without it would make it miss events.
pub(super) async fn newer(pool: &PgPool, names: &[String], versions: &[i32]) -> Result<Option<Newer>, sqlx::Error> {
    sqlx::query_as(
        "select v.read_model, v.version as found, k.version as known
         from read_models.versions v left join unnest($1::text[], $2::int[]) as k (read_model, version) using (read_model)
         where v.version > coalesce(k.version, 0) order by 1 limit 1",
    )
    .bind(names)
    .bind(versions)
    .fetch_optional(pool)
    .await
}

/// This worker lives for so long from now.
pub(super) async fn live(pool: &PgPool, worker: Uuid, lives: Duration) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into read_models.workers (id, process_id, version, expires_at) values ($1, $2, $3, clock_timestamp() + $4)
         on conflict (id) do update set expires_at = excluded.expires_at",
    )
    .bind(worker)
    .bind(i32::try_from(std::process::id()).unwrap_or_default())
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(lives)
    .execute(pool)
    .await?;
    Ok(())
}

/// Strikes out the workers that have not said in time that they live, and those that have missed a beat (have less
/// than `fresh` left) and have no session with the server any more; provided that ours is seen there, as it is not
/// through a pooler. Answers who. A time that nobody who lives can have said is from before the clock was set back: from
/// now on such a worker has as long as any other.
pub(super) async fn bury(pool: &PgPool, worker: Uuid, lives: Duration, fresh: Duration) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "with session as materialized (select application_name as name from pg_stat_activity where usename = current_user),
         set_back as (update read_models.workers w set expires_at = clock_timestamp() + $3 where w.expires_at > clock_timestamp() + 4 * $3)
         delete from read_models.workers w where w.id <> $1 and (
           w.expires_at < clock_timestamp()
           or w.expires_at < clock_timestamp() + $2
             and ('annals_worker ' || $1) in (select name from session) and ('annals_worker ' || w.id) not in (select name from session))
         returning w.id",
    )
    .bind(worker)
    .bind(fresh)
    .bind(lives)
    .fetch_all(pool)
    .await
}

/// How the leases are shared out.
pub(super) struct Shared {
    /// What this worker holds.
    pub(super) held: Held,
    /// How many leases nobody holds, or only the dead.
    pub(super) free: usize,
    /// How many workers live.
    pub(super) workers: usize,
}

pub(super) async fn shared(pool: &PgPool, worker: Uuid) -> Result<Shared, sqlx::Error> {
    let leases: Vec<(i32, i64, Option<Uuid>)> =
        sqlx::query_as("select l.shard, l.token, w.id from read_models.leases l left join read_models.workers w on w.id = l.holder")
            .fetch_all(pool)
            .await?;
    let workers: i64 = sqlx::query_scalar("select count(*) from read_models.workers").fetch_one(pool).await?;
    Ok(Shared {
        free: leases.iter().filter(|(_, _, holder)| holder.is_none()).count(),
        held: leases.into_iter().filter(|(_, _, holder)| *holder == Some(worker)).map(|(shard, token, _)| (shard, token)).collect(),
        workers: usize::try_from(workers).unwrap_or(0),
    })
}

/// Takes up to so many leases that nobody holds, or only the dead. Their sessions are ended first: a worker that is
/// stopped in the middle of a transaction still holds its locks.
pub(super) async fn take(pool: &PgPool, worker: Uuid, count: usize, names: &[String], versions: &[i32]) -> Result<(), sqlx::Error> {
    let ended: i64 = sqlx::query_scalar(
        "select count(*) filter (where pg_terminate_backend(a.pid, 500)) from pg_stat_activity a
         where a.usename = current_user and a.application_name in
           (select 'annals_worker ' || l.holder from read_models.leases l
            where l.holder is not null and not exists (select from read_models.workers w where w.id = l.holder))",
    )
    .fetch_one(pool)
    .await?;
    if ended > 0 {
        tracing::warn!(sessions = ended, "ended the sessions of a worker that did not say in time that it lives");
    }
    // The versions are asked in the same statement: leases that a newer program has just revoked are not taken again.
    sqlx::query(
        "with free as materialized (
           select l.shard from read_models.leases l
           where (l.holder is null or not exists (select from read_models.workers w where w.id = l.holder))
             and not exists (
               select from read_models.versions v left join unnest($3::text[], $4::int[]) as k (read_model, version) using (read_model)
               where v.version > coalesce(k.version, 0))
           order by l.shard limit $2 for update of l skip locked)
         update read_models.leases l set holder = $1, token = l.token + 1 from free where l.shard = free.shard",
    )
    .bind(worker)
    .bind(i64::try_from(count).unwrap_or(0))
    .bind(names)
    .bind(versions)
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives up leases, but those under which a transaction is under way only the next time.
pub(super) async fn give_up(pool: &PgPool, worker: Uuid, shards: &[i32]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with surplus as materialized (
           select shard from read_models.leases where holder = $1 and shard = any ($2) order by shard for update skip locked)
         update read_models.leases l set holder = null from surplus where l.shard = surplus.shard",
    )
    .bind(worker)
    .bind(shards)
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives up everything: this worker is no more.
pub(super) async fn leave(pool: &PgPool, worker: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with held as materialized (select shard from read_models.leases where holder = $1 order by shard for update)
         update read_models.leases l set holder = null from held where l.shard = held.shard",
    )
    .bind(worker)
    .execute(pool)
    .await?;
    sqlx::query("delete from read_models.workers where id = $1").bind(worker).execute(pool).await?;
    Ok(())
}
