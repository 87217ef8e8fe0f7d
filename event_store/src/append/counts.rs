//! What the queues of a process have done since it started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one process. Cheap to clone; all clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Arc<[AtomicU64; 4]>);

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Swift,
    Locking,
    Missed,
    Lost,
}

/// Counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendCounts {
    /// Commands that were written as a whole batch.
    pub swift: u64,
    /// Commands that were answered each for itself, whatever the answer.
    pub locking: u64,
    /// Batches that were tried swiftly in vain.
    pub missed: u64,
    /// Connections that were lost.
    pub lost: u64,
}

impl Counts {
    pub(super) fn add(&self, count: Count, n: usize) {
        self.0[count as usize].fetch_add(n as u64, Ordering::AcqRel);
    }

    pub(crate) fn now(&self) -> AppendCounts {
        let [swift, locking, missed, lost] = [0, 1, 2, 3].map(|n: usize| self.0[n].load(Ordering::Acquire));
        AppendCounts { swift, locking, missed, lost }
    }
}
