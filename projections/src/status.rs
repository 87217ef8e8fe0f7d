//! How the read models stand: for operators at the machine, for administrators of the platform, and as metrics. The cost
//! follows the number of tenants; no more often than once a second.

use crate::{Models, NodeId, Position};
use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};
use domain::TenantId;
use event_store::begin;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, PgPool, Row};
use uuid::Uuid;

/// Logs that are listed as behind, at the most.
const MOST_BEHIND: i64 = 20;
/// What stands still and is listed, at the most.
const MOST_PARKED: i64 = 100;

/// How all logs and read models stand.
#[derive(Clone, Debug, Serialize, SimpleObject)]
#[graphql(name = "ProjectionStatus")]
pub struct Status {
    /// How many logs there are.
    pub logs: i64,
    /// How many events they hold.
    pub events: i64,
    /// How many of those the read models have come past.
    pub projected: i64,
    /// How many logs hold events that the read models have not come past.
    pub logs_behind: i64,
    /// The read models, by name.
    pub read_models: Vec<ReadModelStatus>,
    /// The logs that are furthest behind, at most 20.
    pub behind: Vec<LogLag>,
    /// What stands still because of an error, from what has stood longest on, at most 100.
    pub parked: Vec<Parked>,
    /// The workers, and what each holds.
    pub workers: Vec<Worker>,
}

/// How one read model stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SimpleObject)]
pub struct ReadModelStatus {
    /// Its name: that of its table.
    pub name: String,
    /// The version that this program makes.
    pub version: i32,
    /// The version whose rows the table holds; null before the first.
    pub stored_version: Option<i32>,
    /// By how many events it is behind in the log where it is furthest behind.
    pub lag_events: i64,
    /// In how many logs it stands still because of an error.
    pub parked: i64,
    /// Whether it is being made anew, or a rebuild that was begun waits to be gone on with.
    pub rebuild: Option<RebuildStatus>,
}

/// A rebuild that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SimpleObject)]
pub struct RebuildStatus {
    /// The version that it makes.
    pub version: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How many events it has taken in.
    pub events: i64,
}

/// A log that holds more than the read models show.
#[derive(Clone, Debug, Serialize, SimpleObject)]
pub struct LogLag {
    /// The workspace; the platform has an id too.
    pub workspace_id: NodeId<TenantId>,
    /// Where the log ends.
    pub head: Position,
    /// Where the read models are.
    pub checkpoint: Position,
    /// Seconds since the first event that they do not show was recorded.
    pub lag_seconds: f64,
}

/// What stands still because of an error.
#[derive(Clone, Debug, Serialize, SimpleObject)]
#[graphql(name = "ParkedReadModel")]
pub struct Parked {
    /// In which workspace; the platform has an id too.
    pub workspace_id: NodeId<TenantId>,
    /// Which read model; null where the log itself cannot be read, so that all of its read models stand still.
    pub read_model: Option<String>,
    /// The last event that it has taken in.
    pub position: Position,
    /// The event that it cannot take in; null while that is looked for.
    pub failing: Option<Position>,
    /// What is wrong.
    pub error: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried again.
    pub retry_at: DateTime<Utc>,
    /// Since when it stands still.
    pub since: DateTime<Utc>,
}

/// A worker that is alive.
#[derive(Clone, Debug, Serialize, SimpleObject)]
#[graphql(name = "ProjectionWorker")]
pub struct Worker {
    /// Names it for as long as it runs.
    pub id: String,
    /// Its process on its machine.
    pub process_id: i32,
    /// The version of its program.
    pub version: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When another takes over what it holds, if it says nothing until then.
    pub expires_at: DateTime<Utc>,
    /// How many of the 64 shards of the tenants it holds.
    pub shards: i64,
}

/// How all logs and read models stand.
///
/// # Errors
/// The database.
pub async fn status(pool: &PgPool) -> Result<Status, sqlx::Error> {
    // All of it as of one moment.
    let mut snapshot = begin(pool).await?;
    sqlx::query("set transaction isolation level repeatable read, read only").execute(&mut *snapshot).await?;
    let totals = totals(&mut snapshot).await?;
    Ok(Status {
        logs: totals.logs,
        events: totals.events,
        projected: totals.projected,
        logs_behind: totals.behind,
        read_models: models(&mut snapshot, totals.lag).await?,
        behind: behind(&mut snapshot).await?,
        parked: standing(&mut *snapshot, None, None, MOST_PARKED).await?,
        workers: workers(&mut snapshot).await?,
    })
}

/// How each read model stands.
///
/// # Errors
/// The database.
pub async fn read_models(pool: &PgPool) -> Result<Vec<ReadModelStatus>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let lag = totals(&mut connection).await?.lag;
    models(&mut connection, lag).await
}

struct Totals {
    logs: i64,
    events: i64,
    projected: i64,
    behind: i64,
    /// The most events by which the checkpoint of a log is behind.
    lag: i64,
}

async fn totals(connection: &mut PgConnection) -> Result<Totals, sqlx::Error> {
    let (logs, events, projected, behind, lag) = sqlx::query_as(
        "select count(*), coalesce(sum(h.position), 0)::bigint, coalesce(sum(c.position), 0)::bigint,
                count(*) filter (where h.position > coalesce(c.position, 0)), coalesce(max(h.position - coalesce(c.position, 0)), 0)
         from event_store.heads h left join read_models.checkpoints c on c.tenant_id = h.tenant_id",
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(Totals { logs, events, projected, behind, lag })
}

/// A log cannot be read while its checkpoint stands where the trouble was met.
const TROUBLES: &str = "select t.*, h.position as head from read_models.troubles t join event_store.heads h on h.tenant_id = t.tenant_id
  left join read_models.checkpoints c on c.tenant_id = t.tenant_id
  where t.position = coalesce(c.position, 0) and h.position > t.position";

async fn models(connection: &mut PgConnection, lag: i64) -> Result<Vec<ReadModelStatus>, sqlx::Error> {
    let troubles: i64 = sqlx::query_scalar(&format!("select count(*) from ({TROUBLES}) t")).fetch_one(&mut *connection).await?;
    let sql = "select m.name, v.version, coalesce(p.parked, 0) as parked, coalesce(p.lag, 0) as lag, b.version as next, b.started_at,
             (select coalesce(sum(r.position), 0)::bigint from read_models.rebuilt r where b.read_model is not null and r.read_model = m.name) as events
         from unnest($1::text[]) as m (name)
         left join read_models.versions v on v.read_model = m.name
         left join read_models.rebuilds b on b.read_model = m.name
         left join (
           select p.read_model, count(*) as parked, max(h.position - p.position) as lag
           from read_models.parked p join event_store.heads h on h.tenant_id = p.tenant_id group by p.read_model
         ) p on p.read_model = m.name
         order by m.name";
    let house = Models::house();
    let rows = sqlx::query(sql).bind(house.names()).fetch_all(&mut *connection).await?;
    let model = |row: &PgRow| {
        let name: String = row.try_get("name")?;
        let rebuild = match row.try_get::<Option<i32>, _>("next")? {
            Some(version) => Some(RebuildStatus { version, started_at: row.try_get("started_at")?, events: row.try_get("events")? }),
            None => None,
        };
        Ok(ReadModelStatus {
            version: house.named(&name).map_or(0, |model| model.version()),
            name,
            stored_version: row.try_get("version")?,
            lag_events: row.try_get::<i64, _>("lag")?.max(lag),
            parked: row.try_get::<i64, _>("parked")? + troubles,
            rebuild,
        })
    };
    rows.iter().map(model).collect()
}

async fn behind(connection: &mut PgConnection) -> Result<Vec<LogLag>, sqlx::Error> {
    let rows: Vec<(Uuid, i64, i64, f64)> = sqlx::query_as(
        "select b.tenant_id, b.head, b.checkpoint, extract(epoch from clock_timestamp() - e.recorded_at)::float8
         from (
           select h.tenant_id, h.position as head, coalesce(c.position, 0) as checkpoint
           from event_store.heads h left join read_models.checkpoints c on c.tenant_id = h.tenant_id
           where h.position > coalesce(c.position, 0) order by h.position - coalesce(c.position, 0) desc, h.tenant_id limit $1
         ) b join event_store.events e on e.tenant_id = b.tenant_id and e.position = b.checkpoint + 1
         order by b.head - b.checkpoint desc, b.tenant_id",
    )
    .bind(MOST_BEHIND)
    .fetch_all(&mut *connection)
    .await?;
    let lag = |(tenant, head, checkpoint, lag_seconds)| LogLag {
        workspace_id: NodeId(TenantId(tenant)),
        head: Position(head),
        checkpoint: Position(checkpoint),
        lag_seconds,
    };
    Ok(rows.into_iter().map(lag).collect())
}

/// What stands still because of an error: read models of tenants, and tenants whose log cannot be read; of one read model
/// and one tenant only, if they are named.
pub(crate) async fn standing(
    executor: impl PgExecutor<'_>,
    read_model: Option<&str>,
    tenant: Option<TenantId>,
    most: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    let sql = format!(
        "select tenant_id, read_model, position, failing, error, attempts, retry_at, parked_at as since
         from read_models.parked where ($1::text is null or read_model = $1) and ($2::uuid is null or tenant_id = $2)
         union all
         select t.tenant_id, null, t.position, null, t.error, t.attempts, t.retry_at, t.since
         from ({TROUBLES}) t where $2::uuid is null or t.tenant_id = $2
         order by since, tenant_id, read_model limit $3"
    );
    let rows = sqlx::query(&sql).bind(read_model).bind(tenant.map(|tenant| tenant.0)).bind(most).fetch_all(executor).await?;
    rows.iter().map(Parked::read).collect()
}

impl Parked {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            workspace_id: NodeId(TenantId(row.try_get("tenant_id")?)),
            read_model: row.try_get("read_model")?,
            position: Position(row.try_get("position")?),
            failing: row.try_get::<Option<i64>, _>("failing")?.map(Position),
            error: row.try_get("error")?,
            attempts: row.try_get("attempts")?,
            retry_at: row.try_get("retry_at")?,
            since: row.try_get("since")?,
        })
    }
}

async fn workers(connection: &mut PgConnection) -> Result<Vec<Worker>, sqlx::Error> {
    let rows = sqlx::query(
        "select w.id::text as id, w.process_id, w.version, w.since, w.expires_at, count(l.shard) as shards
         from read_models.workers w left join read_models.leases l on l.holder = w.id
         where w.expires_at > clock_timestamp()
         group by w.id order by w.since, w.id",
    )
    .fetch_all(&mut *connection)
    .await?;
    let worker = |row: &PgRow| {
        Ok(Worker {
            id: row.try_get("id")?,
            process_id: row.try_get("process_id")?,
            version: row.try_get("version")?,
            since: row.try_get("since")?,
            expires_at: row.try_get("expires_at")?,
            shards: row.try_get("shards")?,
        })
    };
    rows.iter().map(worker).collect()
}
