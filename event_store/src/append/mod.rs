//! Group commit: whatever waits becomes one transaction, in which each command stands or falls alone.

mod batch;
mod call;
mod counts;
mod flusher;
mod swift;

use crate::error::StoreError;
use crate::{Pools, Wake};
use chrono::{DateTime, Utc};
pub use counts::AppendCounts;
pub(crate) use counts::Counts;
use domain::TenantId;
use flusher::Flusher;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;

/// An event on its way into the log.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    /// Canonical text, personal data sealed.
    pub(crate) payload: String,
    pub(crate) metadata: String,
    /// Does it change who may do what?
    pub(crate) access: bool,
}

/// What is done to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimStep {
    Take { capacity: Option<u32> },
    Release,
    RequireNone,
}

/// A claim by the name the database knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) holder: String,
    pub(crate) step: ClaimStep,
}

/// An idempotency key with what is kept under it.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) actor: String,
    pub(crate) key: String,
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// The events of one command and everything that must hold for them to be written.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) tenant: TenantId,
    pub(crate) aggregate_type: &'static str,
    pub(crate) aggregate_id: Uuid,
    /// The sequence after which the events come.
    pub(crate) expected: i64,
    pub(crate) command_id: Uuid,
    /// The position to which the grants that were needed were folded.
    pub(crate) fence: Option<i64>,
    pub(crate) key: Option<Key>,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) guards: Vec<(Uuid, i64)>,
    pub(crate) claims: Vec<Claim>,
    /// How often the database had been lost when the deciding began.
    pub(crate) lost: u64,
}

impl Append {
    fn count(&self) -> i64 {
        i64::try_from(self.events.len()).unwrap_or(i64::MAX)
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.payload.len() + event.metadata.len() + 200).sum()
    }

    fn moves_access(&self) -> bool {
        self.events.iter().any(|event| event.access)
    }
}

/// What the log says of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The events stand from this position on.
    Written { first_position: i64 },
    /// They stand already: an earlier attempt got through whose answer was lost.
    WrittenBefore,
    /// The key has been used for this very command.
    KeyUsed { outcome: String },
    /// The key has been used for another command.
    KeyMisused,
    /// Who may do what has changed since the grants were folded.
    AccessMoved,
    /// The stream has moved on.
    StreamMoved,
    /// An aggregate the decision depended on has moved on.
    GuardMoved,
    /// A claim by this name could not be made.
    ClaimRefused { name: String },
}

/// Limits of the appender.
#[derive(Clone, Copy, Debug)]
pub struct AppenderConfig {
    /// Over how many queues, each with a connection of its own, tenants are spread.
    pub groups: usize,
    /// The most commands in one transaction.
    pub batch_commands: usize,
    /// The most bytes of events in one transaction.
    pub batch_bytes: usize,
    /// The most bytes that may wait; beyond, commands are answered OVERLOADED.
    pub waiting_bytes: usize,
    /// How long a lost database is waited for before commands are answered UNAVAILABLE.
    pub patience: Duration,
    /// Whether a batch is first tried as a whole, without asking of each command what might be wrong with it. Off, all
    /// is right and slower.
    pub swift: bool,
}

impl Default for AppenderConfig {
    fn default() -> Self {
        Self {
            groups: 2,
            batch_commands: 500,
            batch_bytes: 4 << 20,
            waiting_bytes: 64 << 20,
            patience: Duration::from_secs(10),
            swift: true,
        }
    }
}

/// Which tenants share a queue. A transaction never touches two groups.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    groups: usize,
}

impl Placement {
    /// A static placement: ranges of the hash of a tenant's id.
    #[must_use]
    pub fn new(groups: usize) -> Self {
        Self { groups: groups.max(1) }
    }

    /// The group of a tenant.
    #[must_use]
    pub fn group(&self, tenant: TenantId) -> usize {
        // FNV-1a (Fowler, Noll, Vo), whose upper half is then scaled to the range.
        let hash = tenant
            .0
            .as_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        usize::try_from(((hash >> 32) * self.groups as u64) >> 32).unwrap_or(0)
    }
}

/// A waiting append, with the room it takes and the one who waits.
pub(crate) struct Pending {
    append: Append,
    answer: oneshot::Sender<Result<Verdict, StoreError>>,
    _room: tokio::sync::OwnedSemaphorePermit,
}

/// The queues of one process.
#[derive(Clone, Debug)]
pub struct Appender {
    placement: Placement,
    queues: Arc<Vec<mpsc::UnboundedSender<Pending>>>,
    /// Bytes that may still wait: the queues are unbounded in number only.
    room: Arc<Semaphore>,
    most: usize,
    counts: Counts,
}

impl Appender {
    /// Starts the queues. They end when the last `Appender` is dropped, after writing what waits.
    #[must_use]
    pub fn start(pools: &Pools, wake: &Wake, config: AppenderConfig) -> Self {
        let placement = Placement::new(config.groups);
        let counts = Counts::default();
        let queues = (0..placement.groups)
            .map(|_| {
                let (queue, waiting) = mpsc::unbounded_channel();
                tokio::spawn(Flusher::new(pools.append.clone(), wake.clone(), config, counts.clone()).run(waiting));
                queue
            })
            .collect();
        let most = config.waiting_bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Self { placement, queues: Arc::new(queues), room: Arc::new(Semaphore::new(most)), most, counts }
    }

    /// What the queues have done.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Writes the events of one command, or says why not.
    pub(crate) async fn append(&self, append: Append) -> Result<Verdict, StoreError> {
        let bytes = u32::try_from(append.bytes().clamp(1, self.most)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).map_err(|_| StoreError::Overloaded)?;
        let (answer, answered) = oneshot::channel();
        let queue = &self.queues[self.placement.group(append.tenant)];
        queue.send(Pending { append, answer, _room: room }).map_err(|_| StoreError::Unavailable)?;
        answered.await.map_err(|_| StoreError::Unavailable)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_spread_over_the_groups() {
        let placement = Placement::new(4);
        let mut counts = [0; 4];
        for n in 0..4000_u128 {
            counts[placement.group(TenantId(Uuid::from_u128(n << 64 | n)))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
