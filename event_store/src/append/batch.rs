//! Which commands may share a transaction: none that would meet on an aggregate, a name, a limited counter or a
//! key, none behind one of its tenant that moves access; round and round the tenants, so that none waits for
//! another's crowd.

use super::{Append, ClaimStep, Pending};
use domain::TenantId;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use uuid::Uuid;

/// How far into a tenant's queue is looked for a command that may go.
const LOOK_AHEAD: usize = 64;

/// What waits, tenant by tenant.
#[derive(Default)]
pub(super) struct Backlog {
    queues: HashMap<TenantId, VecDeque<(Pending, Points)>>,
    turns: VecDeque<TenantId>,
    commands: usize,
    hasher: RandomState,
}

impl Backlog {
    pub(super) fn push(&mut self, pending: Pending) {
        let tenant = pending.append.tenant;
        let queue = self.queues.entry(tenant).or_default();
        if queue.is_empty() {
            self.turns.push_back(tenant);
        }
        let points = points(&pending.append, &self.hasher);
        queue.push_back((pending, points));
        self.commands += 1;
    }

    /// How many commands wait.
    pub(super) fn len(&self) -> usize {
        self.commands
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// Takes the next batch: at least one command if any waits.
    pub(super) fn take(&mut self, commands: usize, bytes: usize) -> Vec<Pending> {
        let mut batch = Vec::new();
        let mut size = 0;
        let mut meetings = Meetings::default();
        let mut resting = Vec::new();
        while batch.len() < commands && size < bytes {
            let Some(tenant) = self.turns.pop_front() else { break };
            let Some(queue) = self.queues.get_mut(&tenant) else { continue };
            let next = (0..queue.len().min(LOOK_AHEAD)).find(|n| meetings.allow(&queue[*n].1));
            let Some((pending, points)) = next.and_then(|n| queue.remove(n)) else {
                resting.push(tenant);
                continue;
            };
            meetings.add(&points);
            size += pending.append.bytes();
            let closed = pending.append.moves_access();
            batch.push(pending);
            if queue.is_empty() {
                self.queues.remove(&tenant);
            } else if closed {
                resting.push(tenant);
            } else {
                self.turns.push_back(tenant);
            }
        }
        self.turns.extend(resting);
        self.commands -= batch.len();
        batch
    }
}

/// May others meet there too?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Shared,
    Alone,
}

/// The points on which a command can meet others, by their hashes: two that fall together by chance are kept out of
/// one batch, which hurts nobody.
type Points = Vec<(u64, Mode)>;

fn points(append: &Append, hasher: &RandomState) -> Points {
    let aggregate = |id: Uuid| hasher.hash_one((0_u8, id));
    let mut points = Vec::with_capacity(2 + append.guards.len() + append.claims.len());
    points.push((aggregate(append.aggregate_id), Mode::Alone));
    points.extend(append.guards.iter().map(|(id, _)| (aggregate(*id), Mode::Shared)));
    points.extend(append.claims.iter().map(|claim| {
        let mode = match claim.step {
            // References are without bound, and giving one back refuses nobody. Whoever counts stands alone.
            ClaimStep::Take { capacity: None } | ClaimStep::Release => Mode::Shared,
            ClaimStep::Take { capacity: Some(_) } | ClaimStep::RequireNone => Mode::Alone,
        };
        (hasher.hash_one((1_u8, append.tenant, claim.name.as_str())), mode)
    }));
    points.extend(append.key.iter().map(|key| (hasher.hash_one((2_u8, append.tenant, key.actor.as_str(), key.key.as_str())), Mode::Alone)));
    points
}

/// The points of a batch. Their keys are hashes already.
#[derive(Default)]
struct Meetings(HashMap<u64, Mode, BuildHasherDefault<AsItIs>>);

/// Hashes what is a hash.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Meetings {
    fn allow(&self, points: &[(u64, Mode)]) -> bool {
        self.0.is_empty()
            || points.iter().all(|(point, mode)| match self.0.get(point) {
                None => true,
                Some(other) => *other == Mode::Shared && *mode == Mode::Shared,
            })
    }

    fn add(&mut self, points: &[(u64, Mode)]) {
        for (point, mode) in points {
            // A command may meet itself: the stricter of its wishes counts.
            let entry = self.0.entry(*point).or_insert(*mode);
            if *mode == Mode::Alone {
                *entry = Mode::Alone;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Claim, Key, NewEvent};
    use super::*;
    use std::sync::Arc;
    use tokio::sync::{Semaphore, oneshot};

    fn append(tenant: u128, aggregate: u128) -> Append {
        Append {
            tenant: TenantId(Uuid::from_u128(tenant)),
            aggregate_type: "test",
            aggregate_id: Uuid::from_u128(aggregate),
            expected: 0,
            command_id: Uuid::nil(),
            fence: None,
            key: None,
            events: vec![],
            guards: vec![],
            claims: vec![],
            lost: 0,
        }
    }

    fn batches(appends: Vec<Append>, commands: usize) -> Vec<Vec<(u128, u128)>> {
        let room = Arc::new(Semaphore::new(1000));
        let mut backlog = Backlog::default();
        for append in appends {
            let room = Arc::clone(&room).try_acquire_owned().unwrap();
            backlog.push(Pending { append, answer: oneshot::channel().0, _room: room });
        }
        std::iter::from_fn(|| {
            let batch = backlog.take(commands, usize::MAX);
            (!batch.is_empty()).then(|| batch.iter().map(|p| (p.append.tenant.0.as_u128(), p.append.aggregate_id.as_u128())).collect())
        })
        .collect()
    }

    fn claim(step: ClaimStep) -> Vec<Claim> {
        vec![Claim { name: "n:1".into(), holder: "h".into(), step }]
    }

    #[test]
    fn writers_of_one_aggregate_go_one_after_the_other() {
        assert_eq!(batches(vec![append(1, 1), append(1, 1), append(1, 2)], 500), [vec![(1, 1), (1, 2)], vec![(1, 1)]]);
    }

    #[test]
    fn a_crowded_tenant_does_not_hold_up_the_others() {
        let crowd = (1..=5).map(|n| append(1, n)).chain([append(2, 9)]).collect();
        assert_eq!(batches(crowd, 2)[0], [(1, 1), (2, 9)]);
    }

    #[test]
    fn guards_share_but_not_with_a_writer() {
        let guard = |n| Append { guards: vec![(Uuid::from_u128(50), 1)], ..append(1, n) };
        assert_eq!(batches(vec![guard(1), guard(2), append(1, 50)], 500), [vec![(1, 1), (1, 2)], vec![(1, 50)]]);
        assert_eq!(batches(vec![append(1, 50), guard(1)], 500).len(), 2);
    }

    #[test]
    fn references_share_but_not_with_one_who_requires_none_and_names_never() {
        let with = |n, step| Append { claims: claim(step), ..append(1, n) };
        let refer = ClaimStep::Take { capacity: None };
        let name = ClaimStep::Take { capacity: Some(1) };
        assert_eq!(batches(vec![with(1, refer), with(2, refer)], 500).len(), 1);
        assert_eq!(batches(vec![with(1, refer), with(2, ClaimStep::RequireNone)], 500).len(), 2);
        assert_eq!(batches(vec![with(1, name), with(2, name)], 500).len(), 2);
        assert_eq!(batches(vec![with(1, ClaimStep::Release), with(2, name)], 500).len(), 2);
    }

    #[test]
    fn a_command_that_moves_access_is_the_last_of_its_tenant() {
        let moving = Append {
            events: vec![NewEvent {
                event_type: String::new(),
                event_version: String::new(),
                payload: String::new(),
                metadata: String::new(),
                access: true,
            }],
            ..append(1, 1)
        };
        assert_eq!(batches(vec![moving, append(1, 2), append(2, 3)], 500), [vec![(1, 1), (2, 3)], vec![(1, 2)]]);
    }

    #[test]
    fn one_key_is_used_once_in_a_batch() {
        let keyed =
            |n| Append { key: Some(Key { actor: "a".into(), key: "k".into(), fingerprint: vec![], expires_at: None }), ..append(1, n) };
        assert_eq!(batches(vec![keyed(1), keyed(2)], 500).len(), 2);
    }
}
