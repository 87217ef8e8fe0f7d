//! Telling how far a long command has come: one line that changes on a terminal, a line of the log each second elsewhere.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Tells progress. Standard error that nobody reads is no error.
pub(crate) struct Teller {
    terminal: bool,
    told: Instant,
    open: bool,
}

impl Teller {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), told: Instant::now(), open: false }
    }

    /// How often it makes sense to tell something.
    pub(crate) fn every(&self) -> Duration {
        if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(1) }
    }

    /// Tells it, unless something was told just now.
    pub(crate) fn tell(&mut self, now: impl Display) {
        if self.told.elapsed() >= self.every() {
            self.tell_now(now);
        }
    }

    /// Tells it.
    pub(crate) fn tell_now(&mut self, now: impl Display) {
        self.told = Instant::now();
        if self.terminal {
            // The rest of a longer line is cleared (ECMA-48, EL).
            let _ = write!(std::io::stderr(), "\r{now}\x1b[K").and_then(|()| std::io::stderr().flush());
            self.open = true;
        } else {
            tracing::info!("{now}");
        }
    }

    /// Leaves the line.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// Does something, and meanwhile tells again and again how it stands.
pub(crate) async fn telling<T>(stands: impl AsyncFn() -> String, work: impl Future<Output = T>) -> T {
    let mut teller = Teller::new();
    let outcome = {
        tokio::pin!(work);
        let mut ticks = tokio::time::interval(teller.every());
        loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = ticks.tick() => teller.tell(stands().await),
            }
        }
    };
    teller.end();
    outcome
}
