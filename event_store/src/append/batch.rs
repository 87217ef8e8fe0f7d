//! Which commands may share a transaction: none that would meet on an aggregate, a name, a limited counter or a
//! key, none behind one of its tenant that moves access; round and round the tenants, so that none waits for
//! another's crowd.

use super::{Append, ClaimStep, Pending};
use domain::TenantId;
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;

/// How far into a tenant's queue is looked for a command that may go.
const LOOK_AHEAD: usize = 64;

/// What waits, tenant by tenant.
#[derive(Default)]
pub(super) struct Backlog {
    queues: HashMap<TenantId, VecDeque<Pending>>,
    turns: VecDeque<TenantId>,
}

impl Backlog {
    pub(super) fn push(&mut self, pending: Pending) {
        let tenant = pending.append.tenant;
        let queue = self.queues.entry(tenant).or_default();
        if queue.is_empty() {
            self.turns.push_back(tenant);
        }
        queue.push_back(pending);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
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
            let next = (0..queue.len().min(LOOK_AHEAD)).find(|n| meetings.allow(&queue[*n].append));
            let Some(pending) = next.and_then(|n| queue.remove(n)) else {
                resting.push(tenant);
                continue;
            };
            meetings.add(&pending.append);
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
        batch
    }
}

/// Something on which commands can meet.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Point<'a> {
    Aggregate(Uuid),
    Claim(TenantId, std::borrow::Cow<'a, str>),
    Key(TenantId, std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>),
}

impl Point<'_> {
    fn owned(self) -> Point<'static> {
        match self {
            Self::Aggregate(id) => Point::Aggregate(id),
            Self::Claim(tenant, name) => Point::Claim(tenant, name.into_owned().into()),
            Self::Key(tenant, actor, key) => Point::Key(tenant, actor.into_owned().into(), key.into_owned().into()),
        }
    }
}

/// May others meet there too?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shared,
    Alone,
}

#[derive(Default)]
struct Meetings(HashMap<Point<'static>, Mode>);

fn points(append: &Append) -> impl Iterator<Item = (Point<'_>, Mode)> {
    let aggregate = std::iter::once((Point::Aggregate(append.aggregate_id), Mode::Alone));
    let guards = append.guards.iter().map(|(id, _)| (Point::Aggregate(*id), Mode::Shared));
    let claims = append.claims.iter().map(|claim| {
        let mode = match claim.step {
            // References are without bound, and giving one back refuses nobody. Whoever counts stands alone.
            ClaimStep::Take { capacity: None } | ClaimStep::Release => Mode::Shared,
            ClaimStep::Take { capacity: Some(_) } | ClaimStep::RequireNone => Mode::Alone,
        };
        (Point::Claim(append.tenant, claim.name.as_str().into()), mode)
    });
    let key = append.key.iter().map(|key| (Point::Key(append.tenant, key.actor.as_str().into(), key.key.as_str().into()), Mode::Alone));
    aggregate.chain(guards).chain(claims).chain(key)
}

impl Meetings {
    fn allow(&self, append: &Append) -> bool {
        self.0.is_empty() || points(append).all(|(point, mode)| match self.0.get(&point) {
            None => true,
            Some(other) => *other == Mode::Shared && mode == Mode::Shared,
        })
    }

    fn add(&mut self, append: &Append) {
        for (point, mode) in points(append) {
            // A command may meet itself: the stricter of its wishes counts.
            let entry = self.0.entry(point.owned()).or_insert(mode);
            if mode == Mode::Alone {
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
            events: vec![NewEvent { event_type: String::new(), event_version: String::new(), payload: String::new(), metadata: String::new(), access: true }],
            ..append(1, 1)
        };
        assert_eq!(batches(vec![moving, append(1, 2), append(2, 3)], 500), [vec![(1, 1), (2, 3)], vec![(1, 2)]]);
    }

    #[test]
    fn one_key_is_used_once_in_a_batch() {
        let keyed = |n| Append { key: Some(Key { actor: "a".into(), key: "k".into(), fingerprint: vec![], expires_at: None }), ..append(1, n) };
        assert_eq!(batches(vec![keyed(1), keyed(2)], 500).len(), 2);
    }
}
