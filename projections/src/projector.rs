//! The projector: reads the logs of many tenants, folds, writes what changed and moves the checkpoints, all in
//! one transaction. What fails is narrowed down to one read model of one tenant, which is parked; everything
//! else goes on.

use crate::freshness::Freshness;
use crate::registry::Models;
use crate::table::{Changes, FoldError, Model, Table};
use crate::troubles::Troubles;
use chrono::{DateTime, Utc};
use domain::{Recorded, TenantId};
use event_store::{Poison, Pools, Reader, Span, StoreError, Vault, Wake};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, PgPool, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Why the projector cannot go on.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// The database.
    #[error("projecting: {0}")]
    Database(#[from] sqlx::Error),
    /// The log.
    #[error("projecting: {0}")]
    Store(#[from] StoreError),
    /// The tables hold the rows of a newer program.
    #[error("read model {read_model} is at version {found}; this program only knows version {known}: it stands down")]
    Newer {
        /// Which one.
        read_model: &'static str,
        /// The version of its rows.
        found: i32,
        /// The version of this program.
        known: i32,
    },
}

/// How the projector works.
#[derive(Clone, Copy, Debug)]
pub struct ProjectorConfig {
    /// Events in one transaction, at the most.
    pub batch_events: i64,
    /// Tenants in one transaction, at the most.
    pub batch_tenants: usize,
    /// How often it looks for itself, woken or not.
    pub poll: Duration,
    /// The first wait before a parked read model is tried again; doubled each time, up to an hour.
    pub retry: Duration,
}

impl ProjectError {
    /// True when the database is away: nobody's fault, and better later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => StoreError::is_connection_loss(error),
            Self::Store(error) => error.is_transient(),
            Self::Newer { .. } => false,
        }
    }
}

impl Default for ProjectorConfig {
    fn default() -> Self {
        Self { batch_events: 5_000, batch_tenants: 200, poll: Duration::from_secs(1), retry: Duration::from_secs(1) }
    }
}

/// What came of reading one tenant's stretch of the log.
pub(crate) struct Stretch {
    pub(crate) after: i64,
    pub(crate) last: i64,
    pub(crate) events: Vec<Recorded>,
    pub(crate) poison: Vec<Poison>,
}

/// A read model of a tenant that has come to a standstill.
struct Parking {
    tenant: TenantId,
    read_model: &'static str,
    position: i64,
    error: String,
}

/// Runs all read models of one database. Cheap to clone.
#[derive(Clone)]
pub struct Projector {
    pool: PgPool,
    reader: Reader,
    freshness: Freshness,
    wake: Wake,
    config: ProjectorConfig,
    models: Models,
    tables: Arc<HashMap<&'static str, Table>>,
    troubles: Arc<Troubles>,
}

impl std::fmt::Debug for Projector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Projector")
    }
}

impl Projector {
    /// A projector of all read models of the house.
    ///
    /// # Errors
    /// The database, or tables of a newer program.
    pub async fn new(
        pools: &Pools,
        vault: &Vault,
        wake: &Wake,
        freshness: &Freshness,
        config: ProjectorConfig,
    ) -> Result<Self, ProjectError> {
        Self::of(Models::house(), pools, vault, wake, freshness, config).await
    }

    /// A projector of these read models.
    ///
    /// # Errors
    /// The database, or tables of a newer program.
    pub async fn of(
        models: Models,
        pools: &Pools,
        vault: &Vault,
        wake: &Wake,
        freshness: &Freshness,
        config: ProjectorConfig,
    ) -> Result<Self, ProjectError> {
        let mut tables = HashMap::new();
        for model in models.iter() {
            tables.insert(model.table(), Table::describe(&pools.worker, model.table()).await?);
        }
        let projector = Self {
            pool: pools.worker.clone(),
            reader: Reader::new(pools.worker.clone(), vault),
            freshness: freshness.clone(),
            wake: wake.clone(),
            config,
            models,
            tables: Arc::new(tables),
            troubles: Arc::default(),
        };
        projector.check_versions().await?;
        Ok(projector)
    }

    /// Refuses tables of a newer program; makes those of an older one anew.
    async fn check_versions(&self) -> Result<(), ProjectError> {
        let known: HashMap<String, i32> =
            sqlx::query_as("select read_model, version from read_models.versions").fetch_all(&self.pool).await?.into_iter().collect();
        for model in self.models.iter() {
            match known.get(model.table()) {
                Some(found) if *found > model.version() => {
                    return Err(ProjectError::Newer { read_model: model.table(), found: *found, known: model.version() });
                }
                Some(found) if *found < model.version() => {
                    tracing::info!(
                        read_model = model.table(),
                        from = found,
                        to = model.version(),
                        "the read model has changed; making it anew"
                    );
                    self.rebuild(&[model.table()], &mut |_| {}).await?;
                }
                Some(_) => continue,
                // A read model that came with a new program, to a log that is older. On a new database it is done at once.
                None => self.rebuild(&[model.table()], &mut |_| {}).await?,
            }
            sqlx::query("insert into read_models.versions (read_model, version) values ($1, $2) on conflict (read_model) do update set version = excluded.version")
                .bind(model.table())
                .bind(model.version())
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }

    /// Projects until told to stop. A database that goes away is waited for.
    pub async fn run(self, stop: CancellationToken) {
        let mut wake = self.wake.listen();
        let mut poll = tokio::time::interval(self.config.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pause = Duration::ZERO;
        loop {
            let work = async {
                tokio::select! {
                    _ = poll.tick() => self.catch_up().await.map(|()| true),
                    woken = wake.recv() => match woken {
                        Ok((tenant, _)) => {
                            let mut tenants = BTreeSet::from([tenant.0]);
                            while let Ok((tenant, _)) = wake.try_recv() {
                                tenants.insert(tenant.0);
                            }
                            self.follow(tenants.into_iter().collect()).await.map(|()| true)
                        }
                        // What was missed is found by the next look at everything.
                        Err(RecvError::Lagged(_)) => Ok(true),
                        Err(RecvError::Closed) => Ok(false),
                    },
                }
            };
            let outcome = tokio::select! {
                outcome = work => outcome,
                () = stop.cancelled() => return,
            };
            pause = match outcome {
                Ok(true) => Duration::ZERO,
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, "projecting; trying again");
                    (pause * 2).clamp(Duration::from_millis(100), Duration::from_secs(10))
                }
            };
            if !pause.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// Looks at all tenants, projects everything there is, and tries what is parked and due.
    ///
    /// # Errors
    /// The database.
    pub async fn catch_up(&self) -> Result<(), ProjectError> {
        let behind: Vec<Uuid> = sqlx::query_scalar(
            "select h.tenant_id from event_store.heads h left join read_models.checkpoints c on c.tenant_id = h.tenant_id
             where h.position > coalesce(c.position, 0)",
        )
        .fetch_all(&self.pool)
        .await?;
        self.follow(behind).await?;
        self.retry_parked().await
    }

    /// Brings these tenants up to their heads.
    async fn follow(&self, tenants: Vec<Uuid>) -> Result<(), ProjectError> {
        for chunk in tenants.chunks(self.config.batch_tenants.max(1)) {
            let mut behind = self.troubles.without(chunk);
            while !behind.is_empty() {
                behind = self.advance(&behind).await?;
            }
        }
        Ok(())
    }

    /// One transaction over these tenants, or, where it fails, one for each. Answers those that have more.
    async fn advance(&self, tenants: &[Uuid]) -> Result<Vec<Uuid>, ProjectError> {
        match self.project(tenants, false).await {
            Ok(more) => return Ok(more),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => tracing::warn!(%error, tenants = tenants.len(), "a batch could not be projected; going tenant by tenant"),
        }
        let mut more = Vec::new();
        for tenant in tenants {
            match self.project(&[*tenant], true).await {
                Ok(again) => more.extend(again),
                Err(error) if error.is_transient() => return Err(error),
                // A log that cannot be read at all holds up nobody but its own tenant.
                Err(error) => {
                    tracing::error!(%error, %tenant, "a tenant cannot be projected; trying again later");
                    self.troubles.note(*tenant, self.config.retry);
                }
            }
        }
        Ok(more)
    }

    /// Projects a batch of these tenants. With `careful`, each read model is written under a savepoint, and what
    /// the database refuses is parked. Answers the tenants that may have more.
    async fn project(&self, tenants: &[Uuid], careful: bool) -> Result<Vec<Uuid>, ProjectError> {
        let mut transaction = self.pool.begin().await?;
        let checkpoints = lock_checkpoints(&mut transaction, tenants).await?;
        if checkpoints.is_empty() {
            return Ok(Vec::new());
        }
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
        sqlx::query(
            "update read_models.checkpoints c set position = r.position from unnest($1::uuid[], $2::bigint[]) as r (tenant_id, position) where c.tenant_id = r.tenant_id",
        )
        .bind(reached.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>())
        .bind(reached.iter().map(|(_, position)| *position).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let standing: HashSet<Uuid> =
            parked.iter().map(|(tenant, _)| *tenant).chain(parking.iter().map(|parking| parking.tenant.0)).collect();
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

    /// Takes stretches of several tenants into one read model. Those that fail are listed in `parking`.
    async fn apply(
        &self,
        connection: &mut PgConnection,
        model: &dyn Model,
        stretches: Vec<(TenantId, &Stretch)>,
        careful: bool,
        parking: &mut Vec<Parking>,
    ) -> Result<(), ProjectError> {
        let Some(table) = self.tables.get(model.table()) else { return Ok(()) };
        let mut park = |tenant: TenantId, stretch: &Stretch, error: String| {
            tracing::error!(read_model = model.table(), %tenant, error, "parking a read model");
            parking.push(Parking { tenant, read_model: model.table(), position: stretch.after, error });
        };
        // Which rows do the events touch?
        let mut touched = Vec::new();
        for (tenant, stretch) in stretches {
            match touches(model, stretch) {
                Ok((events, keys)) if !keys.is_empty() => touched.push((tenant, stretch, events, keys)),
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
        for ((tenant, key), row) in table.load(connection, &keys).await? {
            rows.entry(tenant).or_default().insert(key, row);
        }
        let mut changes = Changes::default();
        let mut written = Vec::new();
        for (tenant, stretch, events, _) in &touched {
            match model.fold(rows.remove(&tenant.0).unwrap_or_default(), table, events) {
                Ok(folded) => {
                    changes.append(folded);
                    written.push((*tenant, *stretch));
                }
                Err(error) => park(*tenant, stretch, error.error),
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
                written.into_iter().for_each(|(tenant, stretch)| park(tenant, stretch, format!("writing: {error}")));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn park(&self, connection: &mut PgConnection, parking: &Parking) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into read_models.parked as p (tenant_id, read_model, position, error, retry_at) values ($1, $2, $3, $4, clock_timestamp() + $5)
             on conflict (tenant_id, read_model) do update set error = excluded.error, attempts = p.attempts + 1,
               retry_at = clock_timestamp() + least($5 * power(2, p.attempts), interval '1 hour')",
        )
        .bind(parking.tenant.0)
        .bind(parking.read_model)
        .bind(parking.position)
        // PostgreSQL's text holds no NUL, and the fault may quote one.
        .bind(parking.error.replace('\0', "\u{fffd}"))
        .bind(self.config.retry)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Tries what is parked and due, each for itself.
    async fn retry_parked(&self) -> Result<(), ProjectError> {
        let due: Vec<(Uuid, String, DateTime<Utc>)> =
            sqlx::query_as("select tenant_id, read_model, retry_at from read_models.parked where retry_at <= clock_timestamp() order by retry_at limit 100")
                .fetch_all(&self.pool)
                .await?;
        for (tenant, read_model, _) in due {
            let Some(model) = self.models.named(&read_model) else { continue };
            self.retry(TenantId(tenant), model).await?;
        }
        Ok(())
    }

    /// Brings one parked read model of a tenant up to the tenant's checkpoint, stretch by stretch, and lets it
    /// join the others there.
    async fn retry(&self, tenant: TenantId, model: &dyn Model) -> Result<(), ProjectError> {
        loop {
            let mut transaction = self.pool.begin().await?;
            let Some((_, checkpoint)) = lock_checkpoints(&mut transaction, &[tenant.0]).await?.pop() else { return Ok(()) };
            let position: Option<(i64,)> =
                sqlx::query_as("select position from read_models.parked where tenant_id = $1 and read_model = $2")
                    .bind(tenant.0)
                    .bind(model.table())
                    .fetch_optional(&mut *transaction)
                    .await?;
            let Some((after,)) = position else { return Ok(()) };
            let span = Span { tenant, after, limit: self.config.batch_events.min(checkpoint - after) };
            let stretches = self.read(&[span]).await?;
            let reached = stretches.get(&tenant).map_or(after, |stretch| stretch.last);
            let mut parking = Vec::new();
            self.apply(&mut transaction, model, stretches.iter().map(|(tenant, stretch)| (*tenant, stretch)).collect(), true, &mut parking)
                .await?;
            let stuck = parking.pop();
            if let Some(parking) = &stuck {
                self.park(&mut transaction, parking).await?;
            } else if reached >= checkpoint {
                sqlx::query("delete from read_models.parked where tenant_id = $1 and read_model = $2")
                    .bind(tenant.0)
                    .bind(model.table())
                    .execute(&mut *transaction)
                    .await?;
                tracing::info!(read_model = model.table(), %tenant, "the parked read model has caught up");
            } else {
                sqlx::query("update read_models.parked set position = $3 where tenant_id = $1 and read_model = $2")
                    .bind(tenant.0)
                    .bind(model.table())
                    .bind(reached)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            if stuck.is_some() || reached >= checkpoint {
                return Ok(());
            }
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    pub(crate) fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    pub(crate) fn table(&self, model: &dyn Model) -> Option<&Table> {
        self.tables.get(model.table())
    }

    pub(crate) fn batch_events(&self) -> i64 {
        self.config.batch_events
    }
}

/// The events of a stretch that a read model reads, and the rows they touch.
fn touches<'a>(model: &dyn Model, stretch: &'a Stretch) -> Result<(Vec<&'a Recorded>, std::collections::BTreeSet<String>), String> {
    if let Some(poison) = stretch.poison.iter().find(|poison| model.reads(&poison.aggregate_type)) {
        return Err(format!("event {} cannot be read: {}", poison.position, poison.error));
    }
    let events: Vec<&Recorded> = stretch.events.iter().filter(|event| model.reads(event.aggregate_type)).collect();
    let keys = model.keys(&events).map_err(|FoldError { error }| error)?;
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

async fn parked(connection: &mut PgConnection, tenants: &[Uuid]) -> Result<HashSet<(Uuid, String)>, sqlx::Error> {
    let rows: Vec<(Uuid, String)> = sqlx::query_as("select tenant_id, read_model from read_models.parked where tenant_id = any ($1)")
        .bind(tenants)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// True when the database has refused what was written, and would again.
fn refused(error: &sqlx::Error) -> bool {
    match error {
        // 22 data exceptions, 23 constraint violations, 54 limits (PostgreSQL, appendix A).
        sqlx::Error::Database(error) => error.code().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class))),
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}
