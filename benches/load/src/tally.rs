//! What was asked, when, how long the answer took and whether it was a good one.

use serde::Serialize;
use std::time::Duration;

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Operation {
    Board,
    List,
    Item,
    Me,
    CreateItem,
    MoveItem,
    UpdateItem,
    AssignItem,
    AddItemTag,
}

impl Operation {
    pub(crate) const ALL: [Self; 9] = [
        Self::Board,
        Self::List,
        Self::Item,
        Self::Me,
        Self::CreateItem,
        Self::MoveItem,
        Self::UpdateItem,
        Self::AssignItem,
        Self::AddItemTag,
    ];

    pub(crate) fn is_query(self) -> bool {
        self <= Self::Me
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::List => "list of 50, filter and order",
            Self::Item => "item with history",
            Self::Me => "me",
            Self::CreateItem => "createItem",
            Self::MoveItem => "moveItem",
            Self::UpdateItem => "updateItem",
            Self::AssignItem => "assignItem",
            Self::AddItemTag => "addItemTag",
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) operation: Operation,
    /// When it was sent, since the clients began.
    pub(crate) sent: Duration,
    pub(crate) took: Duration,
    pub(crate) good: bool,
}

/// Figures of many requests. Times are milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) requests: usize,
    pub(crate) errors: usize,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// All that was answered, in the order of sending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Vec<Sample>);

impl Tally {
    pub(crate) fn new(mut samples: Vec<Sample>) -> Self {
        samples.sort_by_key(|sample| sample.sent);
        Self(samples)
    }

    /// What was sent within a stretch of time.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Self {
        Self(self.0.iter().filter(|sample| (from..to).contains(&sample.sent)).copied().collect())
    }

    pub(crate) fn of(&self, wanted: impl Fn(Operation) -> bool) -> Self {
        Self(self.0.iter().filter(|sample| wanted(sample.operation)).copied().collect())
    }

    /// `over` is how long it took to send all this.
    pub(crate) fn summary(&self, over: Duration) -> Summary {
        let mut times: Vec<f64> = self.0.iter().map(|sample| sample.took.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        Summary {
            requests: times.len(),
            errors: self.0.iter().filter(|sample| !sample.good).count(),
            per_second: times.len() as f64 / over.as_secs_f64(),
            p50: rank(&times, 0.5),
            p95: rank(&times, 0.95),
            p99: rank(&times, 0.99),
            max: rank(&times, 1.0),
        }
    }

    /// Milliseconds that so many of a hundred requests took at most, for plots.
    pub(crate) fn percentiles(&self, wanted: &[f64]) -> Vec<(f64, f64)> {
        let mut times: Vec<f64> = self.0.iter().map(|sample| sample.took.as_secs_f64() * 1000.0).collect();
        times.sort_by(f64::total_cmp);
        wanted.iter().map(|percent| (*percent, rank(&times, percent / 100.0))).collect()
    }

    /// Answers a second, second by second.
    pub(crate) fn rates(&self, seconds: usize) -> Vec<f64> {
        let mut rates = vec![0.0; seconds];
        for sample in &self.0 {
            let second = (sample.sent + sample.took).as_secs() as usize;
            if let Some(rate) = rates.get_mut(second) {
                *rate += 1.0;
            }
        }
        rates
    }
}

/// By nearest rank; 0 where nothing was measured.
fn rank(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(operation: Operation, sent: u64, took: u64, good: bool) -> Sample {
        Sample { operation, sent: Duration::from_millis(sent), took: Duration::from_millis(took), good }
    }

    #[test]
    fn figures_are_of_the_stretch_and_the_operations_asked_for() {
        let tally = Tally::new(vec![
            sample(Operation::MoveItem, 1500, 40, false),
            sample(Operation::Me, 100, 1, true),
            sample(Operation::Board, 1100, 10, true),
            sample(Operation::List, 1200, 20, true),
        ]);
        let second = Duration::from_secs(1);
        let summary = tally.between(second, 2 * second).summary(second);
        assert_eq!((summary.requests, summary.errors, summary.per_second), (3, 1, 3.0));
        assert_eq!((summary.p50, summary.p99, summary.max), (20.0, 40.0, 40.0));
        assert_eq!(tally.of(Operation::is_query).summary(second).max, 20.0);
        assert_eq!(tally.rates(2), [1.0, 3.0]);
        assert_eq!(Tally::default().summary(second).p99, 0.0);
    }
}
