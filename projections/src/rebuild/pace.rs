//! How much of the machine a rebuild takes. Whoever asks while it runs waits for a processor, not for a lock: so by
//! itself it gives way while somebody asks, and takes what there is while nobody does.

use sqlx::PgPool;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// So much smaller is a batch of a rebuild that leaves time to others.
const SMALLER: i64 = 40;
/// How much of the time is worked, in percent, while others are at work. Queries had 2.5 times their usual p99 beside a
/// rebuild that worked 60 % of the time, 1.8 times with 40 % (docs/performance.md).
const GIVING_WAY: u8 = 50;
/// How long transactions are counted before they are judged. PostgreSQL's sessions tell the statistics of what they did
/// once a second at the most (`PGSTAT_MIN_INTERVAL`).
const WINDOW: Duration = Duration::from_secs(2);
/// So many transactions a second are what programs at rest ask of the database: workers look at heads and leases.
const AT_REST: i64 = 25;

/// So many transactions besides its own a batch of the rebuild may come to.
const BESIDES: i64 = 4;

/// How much of the time a rebuild works. What it leaves is others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(Wanted);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Auto,
    Percent(u8),
}

/// What is said of a pace that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be auto, or 1 to 100, the percentage of the time to work")]
pub struct NoPace;

impl Pace {
    /// Half of the time while others ask anything of the database, all of it while nobody does.
    pub const AUTO: Self = Self(Wanted::Auto);
    /// All of the time, and in two lanes.
    pub const FULL: Self = Self(Wanted::Percent(100));

    /// So much of the time, from 1 to 100 percent. Below 100 it goes in one lane and by small batches, so that whoever
    /// waits for a processor or a lock does not wait for long.
    #[must_use]
    pub fn percent(percent: u8) -> Option<Self> {
        (1..=100).contains(&percent).then_some(Self(Wanted::Percent(percent)))
    }

    /// Whether it ever works in several lanes.
    pub(super) fn has_lanes(self) -> bool {
        matches!(self.0, Wanted::Auto | Wanted::Percent(100))
    }
}

impl FromStr for Pace {
    type Err = NoPace;

    fn from_str(text: &str) -> Result<Self, NoPace> {
        if text == "auto" {
            return Ok(Self::AUTO);
        }
        text.parse().ok().and_then(Self::percent).ok_or(NoPace)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Wanted::Auto => f.write_str("auto"),
            Wanted::Percent(percent) => percent.fmt(f),
        }
    }
}

/// The pace of one rebuild, which all its lanes keep.
pub(super) struct Pacer {
    pace: Pace,
    pool: PgPool,
    /// Who has it works; the others rest. Nobody needs it at full pace.
    turn: Arc<Mutex<()>>,
    traffic: Mutex<Traffic>,
    /// The rebuild's own transactions.
    own: AtomicI64,
}

/// What was last seen of everybody's transactions.
struct Traffic {
    seen: Option<Seen>,
    /// Until it is known: to give way for a moment costs less than to be in the way.
    others: bool,
}

#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    all: i64,
    own: i64,
}

/// How the next batch is to be done.
pub(super) struct Stride {
    percent: u8,
    /// Held until it has rested.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Pacer {
    pub(super) fn new(pace: Pace, pool: PgPool) -> Self {
        Self { pace, pool, turn: Arc::default(), traffic: Mutex::new(Traffic { seen: None, others: true }), own: AtomicI64::new(0) }
    }

    /// How to do what comes next, which is one transaction of the rebuild's own. Waits for its turn.
    pub(super) async fn stride(&self) -> Result<Stride, sqlx::Error> {
        self.own.fetch_add(1, Ordering::Relaxed);
        let percent = match self.pace.0 {
            Wanted::Percent(percent) => percent,
            Wanted::Auto if self.others_at_work().await? => GIVING_WAY,
            Wanted::Auto => 100,
        };
        let turn = if percent < 100 { Some(Arc::clone(&self.turn).lock_owned().await) } else { None };
        Ok(Stride { percent, _turn: turn })
    }

    /// Does anybody else ask anything of the database? Looked at anew in each [`WINDOW`].
    async fn others_at_work(&self) -> Result<bool, sqlx::Error> {
        let mut traffic = self.traffic.lock().await;
        if traffic.seen.is_none_or(|seen| seen.at.elapsed() >= WINDOW) {
            let sql = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
            let all: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
            let now = Seen { at: Instant::now(), all, own: self.own.fetch_add(1, Ordering::Relaxed) };
            if let Some(before) = traffic.seen.replace(now) {
                traffic.others = others_at_work(now.at - before.at, now.all - before.all, now.own - before.own);
            }
        }
        Ok(traffic.others)
    }
}

/// Judges by the transactions of a window, and how many batches the rebuild did in it. Reading the log for a batch is a
/// transaction or two besides, and what a session did may be told a second late: so each may stand for several.
fn others_at_work(window: Duration, all: i64, own: i64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds")]
    let (others, besides) = ((all - own) as f64, (BESIDES * own) as f64);
    others > AT_REST as f64 * window.as_secs_f64() + besides
}

impl Stride {
    /// What a batch holds of a full one.
    pub(super) fn part(&self, full: i64) -> i64 {
        if self.percent == 100 { full } else { (full / SMALLER).max(1) }
    }

    /// Whether time is left to others.
    pub(super) fn gives_way(&self) -> bool {
        self.percent < 100
    }

    /// Leaves the machine to others after so much work.
    pub(super) async fn rest(self, worked: Duration) {
        tokio::time::sleep(self.pause(worked)).await;
    }

    fn pause(&self, worked: Duration) -> Duration {
        worked * u32::from(100 - self.percent) / u32::from(self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_leaves_the_rest_of_the_time_to_others() {
        let stride = |percent| Stride { percent, _turn: None };
        assert_eq!(stride(100).pause(Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(stride(25).pause(Duration::from_secs(1)), Duration::from_secs(3));
        assert_eq!((stride(100).part(20_000), stride(50).part(20_000), stride(50).part(3)), (20_000, 500, 1));
        assert_eq!([100, 99].map(|percent| stride(percent).gives_way()), [false, true]);
    }

    #[test]
    fn a_pace_is_read_as_it_is_written() {
        for text in ["auto", "1", "40", "100"] {
            assert_eq!(text.parse::<Pace>().unwrap().to_string(), text);
        }
        for text in ["", "0", "101", "-1", "fast", "AUTO"] {
            assert_eq!(text.parse::<Pace>(), Err(NoPace), "{text}");
        }
        assert_eq!([0, 101].map(Pace::percent), [None, None]);
    }

    #[test]
    fn others_are_at_work_when_more_is_done_than_by_the_rebuild_and_programs_at_rest() {
        let two = Duration::from_secs(2);
        // Nobody; programs at rest; the rebuild alone, told on time, late, and early, and with what it reads.
        for (all, own) in [(0, 0), (40, 0), (400, 400), (200, 400), (600, 400), (1_600, 400)] {
            assert!(!others_at_work(two, all, own), "{all} of which {own}");
        }
        for (all, own) in [(60, 0), (2_100, 400), (2_000, 10)] {
            assert!(others_at_work(two, all, own), "{all} of which {own}");
        }
    }
}
