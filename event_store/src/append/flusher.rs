//! One queue's writer: takes batches, calls the database, answers. It never decides: what fails is tried again
//! as it is, or split until the one culprit is left.

use super::batch::Backlog;
use super::{Append, AppenderConfig, Pending, Verdict, call};
use crate::Wake;
use crate::error::{StoreError, is_connection_loss};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

/// Between two attempts to reach a database that is away.
const RECONNECT: Duration = Duration::from_millis(100);
/// How often a deadlock or serialization failure is tried again before it counts as an error like any other.
const COLLISIONS: u32 = 10;

pub(super) struct Flusher {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    wake: Wake,
    config: AppenderConfig,
}

impl Flusher {
    pub(super) fn new(options: PgConnectOptions, wake: Wake, config: AppenderConfig) -> Self {
        Self { options, connection: None, wake, config }
    }

    pub(super) async fn run(mut self, mut waiting: UnboundedReceiver<Pending>) {
        let mut backlog = Backlog::default();
        loop {
            if backlog.is_empty() {
                let Some(first) = waiting.recv().await else { break };
                backlog.push(first);
            }
            while let Ok(more) = waiting.try_recv() {
                backlog.push(more);
            }
            self.flush(backlog.take(self.config.batch_commands, self.config.batch_bytes)).await;
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing the append connection");
        }
    }

    /// Writes a batch. One that the database refuses for a reason nobody foresaw is halved until the command at
    /// fault stands alone.
    async fn flush(&mut self, batch: Vec<Pending>) {
        let mut parts = VecDeque::from([batch]);
        while let Some(mut part) = parts.pop_front() {
            let outcome = {
                let appends: Vec<&Append> = part.iter().map(|pending| &pending.append).collect();
                self.write(&appends).await
            };
            match outcome {
                Ok(verdicts) => {
                    self.tell(&part, &verdicts);
                    for (pending, verdict) in part.into_iter().zip(verdicts) {
                        // Whoever gave up waiting needs no answer.
                        let _ = pending.answer.send(Ok(verdict));
                    }
                }
                Err(error) if part.len() > 1 && !error.is_transient() => {
                    tracing::warn!(%error, commands = part.len(), "a batch was refused; splitting it");
                    let rest = part.split_off(part.len() / 2);
                    parts.push_front(rest);
                    parts.push_front(part);
                }
                Err(error) => {
                    let transient = error.is_transient();
                    let mut error = Some(error);
                    for pending in part {
                        let error = if transient { StoreError::Unavailable } else { error.take().unwrap_or(StoreError::Unavailable) };
                        let _ = pending.answer.send(Err(error));
                    }
                }
            }
        }
    }

    /// One call, until it has an answer or patience ends. A lost connection leaves the outcome unknown, and the
    /// same call again finds out: it waits for the old transaction at the lock of the head, and knows its own
    /// events by the command's id.
    async fn write(&mut self, batch: &[&Append]) -> Result<Vec<Verdict>, StoreError> {
        let deadline = Instant::now() + self.config.patience;
        let mut collisions = 0;
        loop {
            let attempt = tokio::time::timeout_at(deadline, self.attempt(batch)).await;
            let error = match attempt {
                Ok(Ok(verdicts)) => return Ok(verdicts),
                Ok(Err(error)) => error,
                Err(_) => {
                    self.connection = None;
                    return Err(StoreError::Unavailable);
                }
            };
            // 40001 serialization failure, 40P01 deadlock (PostgreSQL, appendix A): nothing was written.
            let collision =
                error.as_database_error().and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "40001" | "40P01"));
            if collision && collisions < COLLISIONS {
                collisions += 1;
            } else if is_connection_loss(&error) {
                self.connection = None;
                tracing::warn!(%error, "lost the append connection");
                if Instant::now() + RECONNECT >= deadline {
                    return Err(StoreError::Unavailable);
                }
                tokio::time::sleep(RECONNECT).await;
            } else {
                return Err(error.into());
            }
        }
    }

    async fn attempt(&mut self, batch: &[&Append]) -> Result<Vec<Verdict>, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.options.connect().await?),
        };
        call::append(connection, batch).await
    }

    fn tell(&self, part: &[Pending], verdicts: &[Verdict]) {
        let mut heads = HashMap::new();
        for (pending, verdict) in part.iter().zip(verdicts) {
            if let Verdict::Written { first_position } = verdict {
                let last = first_position + i64::try_from(pending.append.events.len()).unwrap_or(0) - 1;
                let head = heads.entry(pending.append.tenant).or_insert(last);
                *head = last.max(*head);
            }
        }
        for (tenant, position) in heads {
            self.wake.note(tenant, position);
        }
    }
}
