//! Filling: batch by batch over the logs of all tenants, in the order of their ids and each as far as its checkpoint.
//! Invariant: rows and progress are written together or not at all.

use super::pace::Pacer;
use super::{Next, locked, set_rebuilt, shared};
use crate::fold::{Changes, FoldError, Model};
use crate::projector::{ProjectError, Projector, Stretch, refused};
use crate::skips::Skips;
use crate::table::{load, write};
use domain::{Recorded, TenantId};
use event_store::{Span, StoreError, begin};
use futures::stream::{self, Stream};
use serde_json::{Value, json};
use sqlx::{PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use uuid::Uuid;

/// Tenants that one batch looks at, at the most.
const TENANTS: i64 = 500;
/// So many times the events of a batch of the projector: nobody waits for a batch of a rebuild.
const LARGER: i64 = 4;

/// A filling under way.
pub(super) struct Fill<'a> {
    projector: &'a Projector,
    models: &'a [Next<'a>],
    /// Events of a batch, at the most.
    batch_events: i64,
    /// Which part of the tenants, of so many; without it, all of them.
    lane: Option<(i32, i32)>,
    /// All tenants up to this one are at their checkpoints, as these were when it was their turn.
    cursor: Uuid,
    /// So many events of one tenant only, while an event is looked for that cannot be written.
    narrow: Option<i64>,
}

/// What came of a batch.
pub(super) struct Step {
    /// So many events were taken in.
    pub(super) events: i64,
    /// Time was left to others.
    pub(super) gives_way: bool,
}

/// A read model of a tenant: where it is, and where it has to come to.
struct Pair {
    position: i64,
    target: i64,
    /// What it has passed over by now.
    skipped: BTreeSet<i64>,
    /// The event it stands before.
    failing: Option<i64>,
}

/// What is read for one tenant, and for which read models.
struct Turn {
    tenant: TenantId,
    after: i64,
    limit: i64,
    pairs: Vec<(usize, Pair)>,
}

/// Why a batch came to nothing.
enum Setback {
    /// Rows of a read model that the database refuses, among so many events of so many tenants, of which the first.
    Refused {
        read_model: &'static str,
        error: String,
        events: i64,
        tenants: usize,
        tenant: TenantId,
        after: i64,
    },
    Failed(ProjectError),
}

impl From<ProjectError> for Setback {
    fn from(error: ProjectError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<sqlx::Error> for Setback {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl<'a> Fill<'a> {
    pub(super) fn new(projector: &'a Projector, models: &'a [Next<'a>]) -> Self {
        Self { projector, models, batch_events: projector.batch_events() * LARGER, lane: None, cursor: Uuid::nil(), narrow: None }
    }

    /// A part of the tenants, while others fill the other parts.
    pub(super) fn lane(projector: &'a Projector, models: &'a [Next<'a>], lane: i32, of: i32) -> Self {
        Self { lane: Some((lane, of)), ..Self::new(projector, models) }
    }

    /// Batch after batch, with a rest behind each.
    pub(super) fn steps(self, pacer: &'a Pacer) -> impl Stream<Item = Result<Step, ProjectError>> + Send + 'a {
        let full = self.batch_events;
        stream::try_unfold((self, pacer, full), async |(mut fill, pacer, full): (Fill<'a>, &'a Pacer, i64)| {
            let (stride, began) = (pacer.stride().await?, Instant::now());
            fill.batch_events = stride.part(full);
            let gives_way = stride.gives_way();
            let taken = fill.step().await?;
            stride.rest(began.elapsed()).await;
            Ok(taken.map(|events| (Step { events, gives_way }, (fill, pacer, full))))
        })
    }

    /// One batch, in a transaction of its own. Answers how many events it took in; nothing once all tenants had their
    /// turn, or the rebuild is not under way any more.
    pub(super) async fn step(&mut self) -> Result<Option<i64>, ProjectError> {
        let mut transaction = begin(self.projector.pool()).await?;
        // What a crash of the server would lose is done again.
        sqlx::query("set local synchronous_commit = off").execute(&mut *transaction).await?;
        let names: Vec<&str> = self.models.iter().map(|next| next.model.table()).collect();
        let under_way = match self.lane {
            None => locked(&mut transaction, &names).await?,
            Some((lane, _)) => shared(&mut transaction, &names, lane).await?,
        };
        if under_way.len() < names.len() {
            return Ok(None);
        }
        match self.batch(&mut transaction).await {
            Ok(done) => {
                transaction.commit().await?;
                self.narrow = self.narrow.map(|limit| limit * 2).filter(|limit| *limit < self.batch_events);
                Ok(done)
            }
            Err(Setback::Failed(error)) => Err(error),
            Err(Setback::Refused { read_model, error, events, tenants, tenant, after }) => {
                transaction.rollback().await?;
                if tenants == 1 && events == 1 {
                    self.stand(tenant, read_model, after, &error).await?;
                    self.narrow = None;
                } else {
                    self.narrow = Some(if tenants == 1 { (events / 2).max(1) } else { events });
                }
                Ok(Some(0))
            }
        }
    }

    /// What is left for these read models, with nobody moving the checkpoints: in the transaction of a swap.
    pub(super) async fn rest(&mut self, connection: &mut PgConnection) -> Result<bool, ProjectError> {
        loop {
            match self.batch(connection).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                // Narrowed down outside, where nobody waits.
                Err(Setback::Refused { .. }) => return Ok(false),
                Err(Setback::Failed(error)) => return Err(error),
            }
        }
    }

    async fn batch(&mut self, connection: &mut PgConnection) -> Result<Option<i64>, Setback> {
        let skips = Skips::load(self.projector.reader(), None).await?;
        let (turns, cursor, end) = self.plan(connection, &skips).await?;
        if turns.is_empty() {
            self.cursor = cursor;
            return Ok((!end).then_some(0));
        }
        let spans: Vec<Span> = turns.iter().map(|turn| Span { tenant: turn.tenant, after: turn.after, limit: turn.limit }).collect();
        let stretches = self.projector.read(&spans).await?;
        let events = stretches.values().map(|stretch| stretch.last - stretch.after).sum();
        let mut reached = Vec::new();
        for (n, next) in self.models.iter().enumerate() {
            let taken = self.take(connection, next, n, &turns, &stretches, &skips, &mut reached).await;
            if let Err(Setback::Refused { read_model, error, .. }) = taken {
                let (tenants, Turn { tenant, after, .. }) = (turns.len(), &turns[0]);
                return Err(Setback::Refused { read_model, error, events, tenants, tenant: *tenant, after: *after });
            }
            taken?;
        }
        set_rebuilt(connection, reached).await?;
        self.cursor = cursor;
        Ok(Some(events))
    }

    /// Whose turn it is, as many tenants and events as a batch takes; the cursor behind it; and whether that is all.
    async fn plan(&self, connection: &mut PgConnection, skips: &Skips) -> Result<(Vec<Turn>, Uuid, bool), ProjectError> {
        let names: Vec<&str> = self.models.iter().map(|next| next.model.table()).collect();
        let rows = sqlx::query(
            "select c.tenant_id, c.position as target, m.n::int as model, coalesce(r.position, 0) as position,
                    coalesce(r.skipped, '{}') as skipped, r.failing
             from (select tenant_id, position from read_models.checkpoints where tenant_id > $2 and position > 0
                     and ($4::int is null or get_byte(uuid_send(tenant_id), 15) % $5 = $4) order by tenant_id limit $3) c
             cross join unnest($1::text[]) with ordinality as m (read_model, n)
             left join read_models.rebuilt r on r.tenant_id = c.tenant_id and r.read_model = m.read_model
             order by c.tenant_id, m.n",
        )
        .bind(&names)
        .bind(self.cursor)
        .bind(if self.narrow.is_some() { 1 } else { TENANTS })
        .bind(self.lane.map(|(lane, _)| lane))
        .bind(self.lane.map(|(_, of)| of))
        .fetch_all(&mut *connection)
        .await?;
        let mut tenants: BTreeMap<Uuid, Vec<(usize, Pair)>> = BTreeMap::new();
        for row in &rows {
            let skipped: Vec<i64> = row.try_get("skipped")?;
            let pair = Pair {
                position: row.try_get("position")?,
                target: row.try_get("target")?,
                skipped: skipped.into_iter().collect(),
                failing: row.try_get("failing")?,
            };
            let model: i32 = row.try_get("model")?;
            tenants.entry(row.try_get("tenant_id")?).or_default().push((usize::try_from(model - 1).unwrap_or(0), pair));
        }
        let Some(last) = tenants.keys().last().copied() else { return Ok((Vec::new(), self.cursor, true)) };
        let mut budget = self.narrow.unwrap_or(self.batch_events);
        let (mut turns, mut cursor) = (Vec::new(), self.cursor);
        for (tenant, mut pairs) in tenants {
            for (n, pair) in &mut pairs {
                self.heed_skips(connection, TenantId(tenant), *n, pair, skips).await?;
            }
            pairs.retain(|(_, pair)| pair.position < pair.target && pair.failing.is_none());
            let Some(after) = pairs.iter().map(|(_, pair)| pair.position).min() else {
                cursor = tenant;
                continue;
            };
            let left = pairs[0].1.target - after;
            let limit = left.min(budget);
            if limit <= 0 {
                break;
            }
            budget -= limit;
            turns.push(Turn { tenant: TenantId(tenant), after, limit, pairs });
            if limit < left {
                break;
            }
            cursor = tenant;
        }
        Ok((
            turns,
            cursor,
            cursor == last && i64::try_from(rows.len() / names.len().max(1)).unwrap_or(0) < TENANTS && self.narrow.is_none(),
        ))
    }

    /// An event that was skipped after it had been taken in makes the tenant begin anew; one that was skipped where the
    /// read model stands lets it go on.
    async fn heed_skips(
        &self,
        connection: &mut PgConnection,
        tenant: TenantId,
        n: usize,
        pair: &mut Pair,
        skips: &Skips,
    ) -> Result<(), ProjectError> {
        let Next { model, table } = &self.models[n];
        let skipped = skips.of(tenant, model.table());
        pair.failing = pair.failing.filter(|failing| !skipped.contains(failing));
        if skipped.range(..=pair.position).all(|position| pair.skipped.contains(position)) {
            return Ok(());
        }
        tracing::info!(read_model = model.table(), %tenant, "an event was skipped that had been taken in; beginning anew");
        table.clear(connection, tenant.0).await?;
        sqlx::query("delete from read_models.rebuilt where tenant_id = $1 and read_model = $2")
            .bind(tenant.0)
            .bind(model.table())
            .execute(connection)
            .await?;
        (pair.position, pair.skipped, pair.failing) = (0, BTreeSet::new(), None);
        Ok(())
    }

    /// Takes what was read into one read model. `reached` says where each tenant is then.
    #[expect(clippy::too_many_arguments, reason = "what one read model takes of a batch")]
    async fn take(
        &self,
        connection: &mut PgConnection,
        Next { model, table }: &Next<'_>,
        n: usize,
        turns: &[Turn],
        stretches: &BTreeMap<TenantId, Stretch>,
        skips: &Skips,
        reached: &mut Vec<Value>,
    ) -> Result<(), Setback> {
        let refuse = |error: String| Setback::Refused {
            read_model: model.table(),
            error,
            events: 0,
            tenants: 0,
            tenant: TenantId(Uuid::nil()),
            after: 0,
        };
        let mut parts = Vec::new();
        for turn in turns {
            let Some((_, pair)) = turn.pairs.iter().find(|(of, _)| *of == n) else { continue };
            let Some(stretch) = stretches.get(&turn.tenant) else { continue };
            // What another read model is still to take in, this one may have.
            if pair.position < stretch.last {
                let skipped = skips.of(turn.tenant, model.table());
                parts.push((turn.tenant, pair, Part::of(*model, stretch, pair.position, skipped)));
            }
        }
        let keys: Vec<(Uuid, &str)> =
            parts.iter().flat_map(|(tenant, _, part)| part.keys.iter().map(|key| (tenant.0, key.as_str()))).collect();
        let mut rows = load(connection, &[(table, keys)]).await?.pop().unwrap_or_default();
        let mut changes = Changes::default();
        for (tenant, _, part) in &mut parts {
            let before = rows.remove(&tenant.0).unwrap_or_default();
            // Kept where it may be needed again: a fold that fails is done once more without the event at fault.
            let mut again = before.clone();
            let mut outcome = model.fold(before, table, &part.events);
            while let Err(FoldError { position: Some(position), .. }) = &outcome {
                let position = *position;
                if let Err(fault) = outcome {
                    part.end_before(position, fault);
                }
                outcome = model.fold(std::mem::take(&mut again), table, &part.events);
            }
            changes.append(outcome.map_err(|fault| refuse(fault.error))?);
            let skipped: Vec<i64> = skips.of(*tenant, model.table()).range(..=part.reached).copied().collect();
            let (failing, error) = match &part.fault {
                Some((position, error)) => (Some(*position), Some(error.replace('\0', "\u{fffd}"))),
                None => (None, None),
            };
            reached.push(json!({
                "tenant_id": tenant.0, "read_model": model.table(), "position": part.reached, "skipped": skipped, "failing": failing,
                "error": error,
            }));
        }
        match write(connection, vec![(table, changes)], &[]).await {
            Err(error) if refused(&error) => Err(refuse(format!("writing: {error}"))),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// The one event after this position cannot be written: the read model stands before it.
    async fn stand(&self, tenant: TenantId, read_model: &str, after: i64, error: &str) -> Result<(), ProjectError> {
        tracing::error!(read_model, %tenant, position = after + 1, error, "an event cannot be taken in; the read model will be parked");
        let mut transaction = begin(self.projector.pool()).await?;
        if !locked(&mut transaction, &[read_model]).await?.is_empty() {
            sqlx::query(
                "insert into read_models.rebuilt (tenant_id, read_model, position, skipped, failing, error) values ($1, $2, $3, '{}', $3 + 1, $4)
                 on conflict (tenant_id, read_model) do update set failing = excluded.failing, error = excluded.error",
            )
            .bind(tenant.0)
            .bind(read_model)
            .bind(after)
            .bind(error.replace('\0', "\u{fffd}"))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// What one read model takes of one tenant's stretch: up to the first event at fault.
struct Part<'s> {
    events: Vec<&'s Recorded>,
    keys: BTreeSet<String>,
    reached: i64,
    fault: Option<(i64, String)>,
}

impl<'s> Part<'s> {
    fn of(model: &dyn Model, stretch: &'s Stretch, after: i64, skipped: &BTreeSet<i64>) -> Self {
        let wanted = |position: i64, kind: &str| position > after && model.reads(kind) && !skipped.contains(&position);
        let events = stretch.events.iter().filter(|event| wanted(event.position, event.aggregate_type)).collect();
        let mut part = Self { events, keys: BTreeSet::new(), reached: stretch.last, fault: None };
        let mut poison = stretch.poison.iter().filter(|poison| wanted(poison.position, &poison.aggregate_type));
        if let Some(poison) = poison.next() {
            let error = format!("event {} cannot be read: {}", poison.position, poison.error);
            part.end_before(poison.position, FoldError { position: Some(poison.position), error });
        }
        // Where nothing was written yet there is nothing to load.
        while after > 0 && model.loads() {
            match model.keys(&part.events) {
                Ok(keys) => part.keys = keys,
                Err(fault) => {
                    let position = fault.position.unwrap_or(after + 1);
                    part.end_before(position, fault);
                    continue;
                }
            }
            break;
        }
        part
    }

    fn end_before(&mut self, position: i64, FoldError { error, .. }: FoldError) {
        self.events.retain(|event| event.position < position);
        self.reached = position - 1;
        self.fault = Some((position, error));
    }
}
