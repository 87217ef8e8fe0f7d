//! One cell of the table: so many callers at once, warmed up, then counted for a while.

use crate::machine::{Cpu, Spent};
use anyhow::{Context, Result};
use serde::Serialize;
use sqlx::PgConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Somebody who sends one command after another.
pub trait Caller: Send + 'static {
    /// Sends the next one and waits until it is durable; answers how many events it had.
    fn command(&mut self) -> impl Future<Output = Result<u64>> + Send;
}

/// What was counted in one cell.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Per second.
    pub commands: f64,
    /// Per second.
    pub events: f64,
    /// Milliseconds.
    pub p50: f64,
    /// Milliseconds.
    pub p99: f64,
    /// Microseconds of this program for each command, where the system tells.
    pub program_cpu: Option<f64>,
    /// Microseconds of the whole server for each command, where the system tells.
    pub postgres_cpu: Option<f64>,
    /// The part of the machine's processors that others had meanwhile, where the system tells.
    pub others: Option<f64>,
    /// Bytes of the write-ahead log for each command.
    pub wal: f64,
}

/// How long a cell takes.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Before it is counted.
    pub warm_up: Duration,
    /// While it is counted.
    pub counted: Duration,
}

#[derive(Default)]
struct Signals {
    counting: AtomicBool,
    stop: AtomicBool,
}

/// Lets all callers go at once, and gives them back for another round.
pub async fn measure<C: Caller>(admin: &mut PgConnection, callers: Vec<C>, times: Times, cpu: &Cpu) -> Result<(Sample, Vec<C>)> {
    let signals = Arc::new(Signals::default());
    let mut tasks = JoinSet::new();
    let number = callers.len();
    for caller in callers {
        let signals = Arc::clone(&signals);
        tasks.spawn(drive(caller, signals));
    }
    tokio::time::sleep(times.warm_up).await;
    let (before, written) = (cpu.read(), wal(admin).await?);
    let begun = Instant::now();
    signals.counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(times.counted).await;
    signals.counting.store(false, Ordering::Relaxed);
    let seconds = begun.elapsed().as_secs_f64();
    let (after, written) = (cpu.read(), wal(admin).await? - written);
    signals.stop.store(true, Ordering::Relaxed);

    let mut callers = Vec::with_capacity(number);
    let (mut latencies, mut events) = (Vec::new(), 0);
    while let Some(task) = tasks.join_next().await {
        let (caller, some, more) = task.context("a caller ended")??;
        callers.push(caller);
        latencies.extend(some);
        events += more;
    }
    latencies.sort_unstable();
    anyhow::ensure!(!latencies.is_empty(), "not one command was done in {:?}; is the database stuck?", times.counted);
    let commands = latencies.len() as f64;
    let spent = |part: fn(&Spent) -> Option<f64>| Some((part(&after)? - part(&before)?) / commands);
    let sample = Sample {
        commands: commands / seconds,
        events: events as f64 / seconds,
        p50: percentile(&latencies, 50),
        p99: percentile(&latencies, 99),
        program_cpu: spent(|spent| spent.program),
        postgres_cpu: spent(|spent| spent.postgres),
        others: others(&before, &after, seconds),
        wal: written / commands,
    };
    Ok((sample, callers))
}

fn others(before: &Spent, after: &Spent, seconds: f64) -> Option<f64> {
    let cores = std::thread::available_parallelism().ok()?.get() as f64;
    let ours = (after.program? - before.program?) + (after.postgres? - before.postgres?);
    Some(((after.machine? - before.machine? - ours) / (seconds * 1e6 * cores)).max(0.0))
}

/// Bytes that the server has written so far.
async fn wal(admin: &mut PgConnection) -> sqlx::Result<f64> {
    sqlx::query_scalar("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8").fetch_one(admin).await
}

async fn drive<C: Caller>(mut caller: C, signals: Arc<Signals>) -> Result<(C, Vec<u32>, u64)> {
    let (mut latencies, mut events) = (Vec::new(), 0);
    while !signals.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let written = caller.command().await?;
        if signals.counting.load(Ordering::Relaxed) {
            latencies.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
            events += written;
        }
    }
    Ok((caller, latencies, events))
}

/// In milliseconds, by nearest rank, of sorted microseconds.
fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len());
    f64::from(sorted[rank - 1]) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<u32> = (1..=200).map(|n| n * 1000).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (100.0, 198.0));
        assert_eq!(percentile(&[7000], 99), 7.0);
    }
}
