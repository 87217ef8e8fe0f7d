//! Wake-up calls between processes, by PostgreSQL's NOTIFY. Invariants: never in the transaction of an append (a
//! global lock at its commit), but on a connection of its own, what came together in an interval as one; and nothing
//! depends on it, since everybody also looks for himself.

use crate::{Pools, Wake};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::TenantId;
use sqlx::postgres::{PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use uuid::Uuid;

const CHANNEL: &str = "annals";
/// Between two notifications of a process, at the least.
const INTERVAL: Duration = Duration::from_millis(5);
/// Between two attempts to reach a database that is away.
const RECONNECT: Duration = Duration::from_millis(250);
/// Bytes of a message: PostgreSQL takes fewer than 8,000.
const MOST_BYTES: usize = 7_900;
/// Tenants of each kind that are gathered; more never fit into one message.
const MOST_TENANTS: usize = 300;

/// What is told of one kind of progress.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Of(BTreeMap<TenantId, i64>),
    /// Too much to list.
    Everything,
}

impl Default for News {
    fn default() -> Self {
        Self::Of(BTreeMap::new())
    }
}

impl News {
    fn add(&mut self, tenant: TenantId, position: i64) {
        let Self::Of(tenants) = self else { return };
        let known = tenants.entry(tenant).or_insert(position);
        *known = position.max(*known);
        if tenants.len() > MOST_TENANTS {
            *self = Self::Everything;
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Of(tenants) if tenants.is_empty())
    }

    fn text(&self) -> String {
        match self {
            Self::Everything => "*".to_owned(),
            Self::Of(tenants) => tenants.iter().fold(String::new(), |mut text, (tenant, position)| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{}:{position},", URL_SAFE_NO_PAD.encode(tenant.0));
                text
            }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everything);
        }
        let entry = |entry: &str| {
            let (tenant, position) = entry.split_once(':')?;
            let tenant = Uuid::from_slice(&URL_SAFE_NO_PAD.decode(tenant).ok()?).ok()?;
            Some((TenantId(tenant), position.parse().ok()?))
        };
        text.split_terminator(',').map(entry).collect::<Option<_>>().map(Self::Of)
    }
}

/// What a process has to tell the others: how far logs and read models have come by its doing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    log: News,
    read_models: News,
}

impl Message {
    fn is_empty(&self) -> bool {
        self.log.is_empty() && self.read_models.is_empty()
    }

    /// The message as text, with whose it is. What does not fit becomes "everything".
    fn text(&self, process: Uuid) -> String {
        let (mut log, mut read_models) = (self.log.text(), self.read_models.text());
        while log.len() + read_models.len() + 40 > MOST_BYTES {
            let longer = if log.len() > read_models.len() { &mut log } else { &mut read_models };
            "*".clone_into(longer);
        }
        format!("{};{log};{read_models}", process.simple())
    }

    fn parse(text: &str) -> Option<(Uuid, Self)> {
        let mut parts = text.split(';');
        let process = Uuid::try_parse(parts.next()?).ok()?;
        Some((process, Self { log: News::parse(parts.next()?)?, read_models: News::parse(parts.next()?)? }))
    }
}

/// What waits to be told. Holds nothing as long as nobody tells it on.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    told: AtomicBool,
    message: Mutex<Message>,
    filled: Notify,
}

impl Outbox {
    pub(crate) fn log(&self, tenant: TenantId, position: i64) {
        self.fill(|message| message.log.add(tenant, position));
    }

    pub(crate) fn read_models(&self, reached: impl IntoIterator<Item = (TenantId, i64)>) {
        self.fill(|message| reached.into_iter().for_each(|(tenant, position)| message.read_models.add(tenant, position)));
    }

    fn fill(&self, add: impl FnOnce(&mut Message)) {
        if !self.told.load(Ordering::Relaxed) {
            return;
        }
        add(&mut self.message.lock().unwrap_or_else(PoisonError::into_inner));
        self.filled.notify_one();
    }

    /// What was lost on the way to the others is told in general.
    fn everything(&self) {
        self.fill(|message| *message = Message { log: News::Everything, read_models: News::Everything });
    }

    fn filled(&self) -> Notified<'_> {
        self.filled.notified()
    }

    fn take(&self) -> Message {
        take(&mut self.message.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells the other processes what this one has done, until the future is dropped or, with what is left, until `stop`.
pub async fn tell(pools: Pools, wake: Wake, stop: impl Future<Output = ()>) {
    let outbox = &wake.outbox;
    outbox.told.store(true, Ordering::Relaxed);
    let mut connection = None;
    tokio::pin!(stop);
    let (mut last, mut away) = (false, false);
    loop {
        if !last {
            tokio::select! {
                () = outbox.filled() => {}
                () = &mut stop => last = true,
            }
        }
        let message = outbox.take();
        let mut pause = INTERVAL;
        if !message.is_empty() {
            match send(&pools, &mut connection, &message).await {
                Ok(()) => {
                    away = false;
                    metrics::counter!("notifications_sent_total").increment(1);
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(%error, "other processes could not be notified; they look for themselves");
                    }
                    (away, connection, pause) = (true, None, RECONNECT);
                    outbox.everything();
                }
            }
        }
        if last {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut stop => last = true,
        }
    }
    outbox.told.store(false, Ordering::Relaxed);
    if let Some(connection) = connection
        && let Err(error) = connection.close().await
    {
        tracing::debug!(%error, "closing the notifying connection");
    }
}

async fn send(pools: &Pools, connection: &mut Option<PgConnection>, message: &Message) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(pools.notify.connect().await?),
    };
    sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(message.text(pools.process)).execute(connection).await?;
    Ok(())
}

/// What other processes have to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// These logs have come to these positions.
    Log(Vec<(TenantId, i64)>),
    /// The read models of these tenants have come to these positions; at 0, something has changed there.
    ReadModels(Vec<(TenantId, i64)>),
    /// Something may have changed anywhere: much has, or nobody listened for a while.
    Everything,
    /// Nothing is heard from here on, until the next [`Heard::Everything`].
    Nothing,
}

/// Listens to the other processes until `stop`, when it gives up its connection in order. A lost one is made anew.
pub async fn listen(pools: Pools, hear: impl Fn(Heard), stop: impl Future<Output = ()>) {
    let mut away = false;
    tokio::pin!(stop);
    loop {
        let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = options.connect_lazy_with(pools.notify.clone());
        let Err(error) = tokio::select! {
            outcome = listen_once(&pools, &pool, &hear, &mut away) => outcome,
            // Waits for the listener's, which was dropped just now.
            () = &mut stop => return pool.close().await,
        };
        hear(Heard::Nothing);
        if !away {
            tracing::warn!(%error, "other processes are not heard; looking for ourselves");
        }
        away = true;
        tokio::select! {
            () = tokio::time::sleep(RECONNECT) => {}
            () = &mut stop => return,
        }
    }
}

async fn listen_once(pools: &Pools, pool: &PgPool, hear: &impl Fn(Heard), away: &mut bool) -> Result<Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    // What is missed between two connections must be known.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    *away = false;
    hear(Heard::Everything);
    loop {
        let notification = listener.try_recv().await?.ok_or(sqlx::Error::WorkerCrashed)?;
        match Message::parse(notification.payload()) {
            Some((process, _)) if process == pools.process => {}
            Some((_, message)) => {
                metrics::counter!("notifications_received_total").increment(1);
                pass_on(message.log, Heard::Log, hear);
                pass_on(message.read_models, Heard::ReadModels, hear);
            }
            // Another version of the program knows more than we do.
            None => hear(Heard::Everything),
        }
    }
}

fn pass_on(news: News, kind: impl Fn(Vec<(TenantId, i64)>) -> Heard, hear: &impl Fn(Heard)) {
    match news {
        News::Of(tenants) if tenants.is_empty() => {}
        News::Of(tenants) => hear(kind(tenants.into_iter().collect())),
        News::Everything => hear(Heard::Everything),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(count: usize) -> News {
        let mut news = News::default();
        (0..count).for_each(|n| news.add(TenantId(Uuid::from_u128(u128::MAX - n as u128)), i64::MAX - n as i64));
        news
    }

    #[test]
    fn a_message_says_whose_it_is_and_what_has_come_how_far() {
        let message = Message { log: news(3), read_models: News::Everything };
        let process = Uuid::from_u128(7);
        assert_eq!(Message::parse(&message.text(process)), Some((process, message)));
        let none = Message::default();
        assert_eq!(Message::parse(&none.text(process)), Some((process, none)));
        for strange in ["", "7", "x;;", "00000000000000000000000000000007;what:1,;", "00000000000000000000000000000007;*"] {
            assert_eq!(Message::parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_message_never_outgrows_what_the_database_takes() {
        for (log, read_models) in [(300, 0), (0, 300), (100, 200), (300, 300), (301, 5), (80, 80)] {
            let text = Message { log: news(log), read_models: news(read_models) }.text(Uuid::from_u128(7));
            assert!(text.len() < 8_000, "{log} and {read_models}: {}", text.len());
        }
        let (_, message) = Message::parse(&Message { log: news(300), read_models: news(5) }.text(Uuid::from_u128(7))).unwrap();
        assert_eq!(message, Message { log: News::Everything, read_models: news(5) }, "what fits is still told");
    }

    #[test]
    fn an_outbox_that_nobody_empties_stays_empty_and_one_that_is_told_keeps_the_furthest_position() {
        let (outbox, tenant) = (Outbox::default(), TenantId(Uuid::from_u128(1)));
        outbox.log(tenant, 5);
        assert!(outbox.take().is_empty());
        outbox.told.store(true, Ordering::Relaxed);
        for position in [5, 9, 7] {
            outbox.log(tenant, position);
        }
        assert_eq!(outbox.take().log, News::Of(BTreeMap::from([(tenant, 9)])));
        assert!(outbox.take().is_empty());
    }
}
