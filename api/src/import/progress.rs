//! How far an import has come, told once a second: rate and time left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    known: AtomicU64,
}

/// Counts events, and tells.
#[derive(Debug)]
pub(super) struct Progress {
    counts: Arc<Counts>,
    started: Instant,
    teller: JoinHandle<()>,
}

impl Progress {
    pub(super) fn start(of: u64) -> Self {
        let counts = Arc::<Counts>::default();
        let started = Instant::now();
        let told = Arc::clone(&counts);
        let teller = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            tick.tick().await;
            loop {
                tick.tick().await;
                tracing::info!("{}", line(told.done.load(Ordering::Relaxed), of, started.elapsed()));
            }
        });
        Self { counts, started, teller }
    }

    /// One event more, which an earlier run may have carried over.
    pub(super) fn event(&self, known: bool) {
        self.counts.done.fetch_add(1, Ordering::Relaxed);
        if known {
            self.counts.known.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.counts.done.load(Ordering::Relaxed)
    }

    pub(super) fn known(&self) -> u64 {
        self.counts.known.load(Ordering::Relaxed)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn end(&self) {
        self.teller.abort();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.teller.abort();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn line(done: u64, of: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let left =
        if rate > 0.0 { format!("{:.0} s left", of.saturating_sub(done) as f64 / rate) } else { "time left not known yet".to_owned() };
    format!("{done} of {of} events, {rate:.0} a second, {left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_rate_and_time_left() {
        assert_eq!(line(50, 200, Duration::from_secs(5)), "50 of 200 events, 10 a second, 15 s left");
        assert_eq!(line(0, 200, Duration::from_secs(5)), "0 of 200 events, 0 a second, time left not known yet");
    }
}
