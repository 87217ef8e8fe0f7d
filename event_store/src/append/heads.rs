//! How far the logs have come that this queue writes, as its own last answers told it. A head known here may be
//! behind the log, since other processes write too: the swift call finds out and writes nothing, and the tenant goes
//! through the locking one for a while.

use domain::TenantId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a tenant goes through the locking call once its head was not where it was thought to be: another process
/// writes there too, and every miss costs a call.
const REST: Duration = Duration::from_secs(1);
/// The most heads kept: 64 bytes each. Beyond, all are forgotten and learnt anew, which costs each tenant one locking
/// call.
const MOST: usize = 100_000;

/// The heads of one queue.
#[derive(Debug, Default)]
pub(super) struct Heads(HashMap<TenantId, Head>);

#[derive(Debug)]
struct Head {
    position: i64,
    resting: Option<Instant>,
}

impl Heads {
    /// Where a tenant's log is believed to end, if that may be tried.
    pub(super) fn get(&self, tenant: TenantId, now: Instant) -> Option<i64> {
        self.0.get(&tenant).filter(|head| head.resting.is_none_or(|until| now >= until)).map(|head| head.position)
    }

    /// A log has been written up to this position.
    pub(super) fn note(&mut self, tenant: TenantId, position: i64) {
        if self.0.len() >= MOST && !self.0.contains_key(&tenant) {
            self.0.clear();
        }
        let head = self.0.entry(tenant).or_insert(Head { position, resting: None });
        head.position = head.position.max(position);
    }

    /// A log does not end where it was believed to.
    pub(super) fn missed(&mut self, tenant: TenantId, now: Instant) {
        if let Some(head) = self.0.get_mut(&tenant) {
            head.resting = Some(now + REST);
        }
    }

    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_tenant_that_missed_rests_for_a_while_and_is_then_tried_where_it_was_last_seen() {
        let (tenant, now) = (TenantId(Uuid::from_u128(1)), Instant::now());
        let mut heads = Heads::default();
        assert_eq!(heads.get(tenant, now), None);
        heads.note(tenant, 5);
        assert_eq!(heads.get(tenant, now), Some(5));
        heads.missed(tenant, now);
        heads.note(tenant, 9);
        assert_eq!(heads.get(tenant, now), None);
        assert_eq!(heads.get(tenant, now + REST), Some(9));
        heads.forget();
        assert_eq!(heads.get(tenant, now), None);
    }
}
