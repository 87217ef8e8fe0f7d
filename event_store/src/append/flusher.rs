//! One queue's writer: takes batches, calls the database, answers. It never decides: what fails is tried again
//! as it is, or split until the one culprit is left.

use super::batch::Backlog;
use super::counts::{Count, Counts};
use super::{Append, AppenderConfig, Pending, Verdict, call, swift};
use crate::Wake;
use crate::error::{StoreError, is_connection_loss};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;

/// Between two attempts to reach a database that is away.
const RECONNECT: Duration = Duration::from_millis(100);
/// How often a deadlock or serialization failure is tried again before it counts as an error like any other.
const COLLISIONS: u32 = 10;

/// The most turns that are given to others before a batch goes.
const TURNS: usize = 8;

pub(super) struct Flusher {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    wake: Wake,
    config: AppenderConfig,
    counts: Counts,
}

impl Flusher {
    pub(super) fn new(options: PgConnectOptions, wake: Wake, config: AppenderConfig, counts: Counts) -> Self {
        Self { options, connection: None, wake, config, counts }
    }

    pub(super) async fn run(mut self, mut waiting: UnboundedReceiver<Pending>) {
        let mut backlog = Backlog::default();
        loop {
            if backlog.is_empty() {
                let Some(first) = waiting.recv().await else { break };
                backlog.push(first);
            }
            gather(&mut waiting, &mut backlog, self.config.batch_commands).await;
            self.flush(backlog.take(self.config.batch_commands, self.config.batch_bytes)).await;
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing the append connection");
        }
    }

    /// Writes a batch: those that may in one swift call; the others, and all of them if that call says no, by the
    /// locking one.
    async fn flush(&mut self, batch: Vec<Pending>) {
        let lost = self.counts.now().lost;
        let (swift, locking) = batch.into_iter().partition(|pending| self.config.swift && swift::may(&pending.append, lost));
        for part in [self.flush_swiftly(swift).await, locking] {
            self.flush_locking(part).await;
        }
    }

    /// Writes all of these or none, and then answers those that are still to be written.
    async fn flush_swiftly(&mut self, part: Vec<Pending>) -> Vec<Pending> {
        let Some(connection) = self.connection.as_mut().filter(|_| !part.is_empty()) else { return part };
        let appends: Vec<&Append> = part.iter().map(|pending| &pending.append).collect();
        match tokio::time::timeout(self.config.patience, swift::append(connection, &appends)).await {
            Ok(Ok(verdicts)) => {
                self.counts.add(Count::Swift, part.len());
                self.answer(part, verdicts);
                return Vec::new();
            }
            Ok(Err(error)) if is_connection_loss(&error) => self.lost(&error),
            Ok(Err(error)) => {
                if !swift::is_miss(&error) {
                    tracing::warn!(%error, commands = part.len(), "a batch was refused; going on under locks");
                }
            }
            Err(elapsed) => self.lost(&elapsed),
        }
        self.counts.add(Count::Missed, 1);
        part
    }

    /// The connection is gone, or in an unknown state: whatever it was doing has an unknown outcome.
    fn lost(&mut self, error: &dyn std::fmt::Display) {
        tracing::warn!(%error, "lost the append connection");
        self.connection = None;
        self.counts.add(Count::Lost, 1);
    }

    /// Writes a part under locks. One that the database refuses for a reason nobody foresaw is halved until the
    /// command at fault stands alone.
    async fn flush_locking(&mut self, part: Vec<Pending>) {
        let mut parts = VecDeque::from([part]);
        while let Some(mut part) = parts.pop_front().filter(|part| !part.is_empty()) {
            let outcome = {
                let appends: Vec<&Append> = part.iter().map(|pending| &pending.append).collect();
                self.write(&appends).await
            };
            match outcome {
                Ok(verdicts) => {
                    self.counts.add(Count::Locking, part.len());
                    self.answer(part, verdicts);
                }
                Err(error) if part.len() > 1 && !error.is_transient() => {
                    tracing::warn!(%error, commands = part.len(), "a batch was refused; splitting it");
                    let rest = part.split_off(part.len() / 2);
                    parts.push_front(rest);
                    parts.push_front(part);
                }
                Err(error) => {
                    let transient = error.is_transient();
                    if transient {
                        tracing::warn!(%error, commands = part.len(), "a batch could not be written; whoever sent it may try again");
                    }
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
            let attempt = tokio::time::timeout_at(deadline.into(), self.attempt(batch)).await;
            let error = match attempt {
                Ok(Ok(verdicts)) => return Ok(verdicts),
                Ok(Err(error)) => error,
                Err(elapsed) => {
                    self.lost(&elapsed);
                    return Err(StoreError::Unavailable);
                }
            };
            // 40001 serialization failure, 40P01 deadlock (PostgreSQL, appendix A): nothing was written.
            let collision =
                error.as_database_error().and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "40001" | "40P01"));
            if collision && collisions < COLLISIONS {
                collisions += 1;
            } else if is_connection_loss(&error) {
                self.lost(&error);
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

    /// Answers those who wait, and notes how far the logs have come.
    fn answer(&mut self, part: Vec<Pending>, verdicts: Vec<Verdict>) {
        let mut written = HashMap::new();
        for (pending, verdict) in part.into_iter().zip(verdicts) {
            if let Verdict::Written { first_position } = verdict {
                let last = first_position + pending.append.count() - 1;
                // In a batch the positions of a tenant grow.
                written.insert(pending.append.tenant, last);
            }
            // Whoever gave up waiting needs no answer.
            let _ = pending.answer.send(Ok(verdict));
        }
        for (tenant, position) in written {
            self.wake.note(tenant, position);
        }
    }
}

/// Takes in what waits, and lets those who have just been answered, and are ready to run, come back with their next
/// command: fewer and larger batches cost the server less than half as much a command where there are 64 callers
/// (docs/performance.md). Nobody waits for somebody who may not come: it ends with the first turn that brings nothing.
async fn gather(waiting: &mut UnboundedReceiver<Pending>, backlog: &mut Backlog, enough: usize) {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
        let before = backlog.len();
        while let Ok(more) = waiting.try_recv() {
            backlog.push(more);
        }
        if backlog.len() == before || backlog.len() >= enough {
            return;
        }
    }
}
