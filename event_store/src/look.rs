//! What the log says now, for many who ask at once: whoever asks while a statement is under way goes with the next one.
//! Invariant: no answer is older than its question.

use crate::StoreError;
use crate::error::is_connection_loss;
use domain::TenantId;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// How long a statement may take that takes a moment, before another connection is tried.
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions that wait, or go with one statement, at the most.
const MOST: usize = 1_000;

/// Key by key along the index, however many are given and whatever the server takes them for.
const LOOK: &str = "select q.n, s.holder, s.reached, s.access
    from unnest($1::int[], $2::uuid[], $3::text[]) with ordinality as q (kind, tenant_id, name, n)
    cross join lateral (
        select null::text as holder, h.position as reached, h.access_position as access
          from event_store.heads h where q.kind = 0 and h.tenant_id = q.tenant_id
        union all
        select null, (select max(e.sequence) from event_store.events e where e.aggregate_id = q.name and e.tenant_id = q.tenant_id), 0
          where q.kind = 1
        union all
        (select c.holder,
                (select max(e.sequence) from event_store.events e where e.aggregate_id = c.holder and e.tenant_id = q.tenant_id), 0
           from event_store.claims c where q.kind = 2 and c.tenant_id = q.tenant_id and c.name = q.name limit 1)
    ) s";

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Head = 0,
    Stream = 1,
    Holder = 2,
}

/// The holder of a claim; where the log or the stream ends, and its last event that changed who may do what.
type Seen = (Option<String>, Option<i64>, i64);

struct Question {
    kind: Kind,
    tenant: TenantId,
    name: String,
    answer: oneshot::Sender<Result<Option<Seen>, Arc<sqlx::Error>>>,
}

/// How far a log has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) position: i64,
    /// Where it last changed who may do what.
    pub(crate) access_position: i64,
}

/// Asks the log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Looks(mpsc::Sender<Question>);

impl Looks {
    /// Asks through this pool, by one connection at a time.
    pub(crate) fn new(loader: PgPool) -> Self {
        let (questions, asked) = mpsc::channel(MOST);
        tokio::spawn(answer(loader, asked));
        Self(questions)
    }

    /// Where a tenant's log ends; nothing where it has not begun.
    pub(crate) async fn head(&self, tenant: TenantId) -> Result<Option<Head>, StoreError> {
        let seen = self.ask(Kind::Head, tenant, String::new()).await?;
        Ok(seen.and_then(|(_, position, access_position)| Some(Head { position: position?, access_position })))
    }

    /// The last sequence of a tenant's aggregate; 0 where there is none.
    pub(crate) async fn stream(&self, tenant: TenantId, id: Uuid) -> Result<i64, StoreError> {
        let seen = self.ask(Kind::Stream, tenant, id.to_string()).await?;
        Ok(seen.and_then(|(_, sequence, _)| sequence).unwrap_or(0))
    }

    /// Who holds a claim of this sealed name, and its last sequence; one of them where there are several.
    pub(crate) async fn holder(&self, tenant: TenantId, name: String) -> Result<Option<(Uuid, i64)>, StoreError> {
        let Some((Some(holder), sequence, _)) = self.ask(Kind::Holder, tenant, name).await? else { return Ok(None) };
        Ok(Some((holder.parse().map_err(|error| StoreError::data("claim", error))?, sequence.unwrap_or(0))))
    }

    async fn ask(&self, kind: Kind, tenant: TenantId, name: String) -> Result<Option<Seen>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let crashed = || StoreError::from(sqlx::Error::WorkerCrashed);
        self.0.send(Question { kind, tenant, name, answer }).await.map_err(|_| crashed())?;
        Ok(answered.await.map_err(|_| crashed())??)
    }
}

/// Answers until nobody can ask any more.
async fn answer(loader: PgPool, mut asked: mpsc::Receiver<Question>) {
    let mut questions = Vec::new();
    while asked.recv_many(&mut questions, MOST).await > 0 {
        let mut seen = look(&loader, &questions).await;
        // Nothing was changed by it, so it can be asked again, of a connection that is not gone.
        if seen.as_ref().is_err_and(|error| is_connection_loss(error) && !matches!(error, sqlx::Error::PoolTimedOut)) {
            seen = look(&loader, &questions).await;
        }
        let mut seen = seen.map_err(Arc::new);
        for (n, Question { answer, .. }) in questions.drain(..).enumerate() {
            let seen = seen.as_mut().map(|seen| seen.get_mut(n).and_then(Option::take)).map_err(|error| Arc::clone(error));
            // Whoever has gone wants no answer.
            let _ = answer.send(seen);
        }
    }
}

async fn look(loader: &PgPool, questions: &[Question]) -> Result<Vec<Option<Seen>>, sqlx::Error> {
    let mut connection = loader.acquire().await?;
    let asking = sqlx::query_as(LOOK)
        .bind(questions.iter().map(|question| question.kind as i32).collect::<Vec<_>>())
        .bind(questions.iter().map(|question| question.tenant.0).collect::<Vec<_>>())
        .bind(questions.iter().map(|question| question.name.as_str()).collect::<Vec<_>>())
        .fetch_all(&mut *connection);
    let rows: Vec<(i64, Option<String>, Option<i64>, i64)> = match tokio::time::timeout(PATIENCE, asking).await {
        Ok(rows) => rows?,
        Err(elapsed) => {
            // It may never answer again, and everybody asks here.
            drop(connection.detach());
            return Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)));
        }
    };
    let mut seen = vec![None; questions.len()];
    for (n, holder, reached, access) in rows {
        let place = usize::try_from(n - 1).ok().and_then(|n| seen.get_mut(n));
        *place.ok_or_else(|| sqlx::Error::Decode("an answer to no question".into()))? = Some((holder, reached, access));
    }
    Ok(seen)
}
