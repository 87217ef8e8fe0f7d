//! Tenants whose log cannot be read at all, and when each is tried again: they hold up nobody else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The tenants, with the time before which each is left alone and how long that was.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<HashMap<Uuid, (Instant, Duration)>>);

impl Troubles {
    /// Not again before a while, and each time a longer one.
    pub(crate) fn note(&self, tenant: Uuid, first: Duration) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = troubles.get(&tenant).map_or(first, |(_, wait)| (*wait * 2).min(Duration::from_secs(3600)));
        troubles.insert(tenant, (Instant::now() + wait, wait));
    }

    /// The tenants that may be tried now.
    pub(crate) fn without(&self, tenants: &[Uuid]) -> Vec<Uuid> {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Long past their time: whoever has come through since begins anew.
        troubles.retain(|_, (until, wait)| Instant::now() < *until + *wait);
        tenants.iter().filter(|tenant| troubles.get(tenant).is_none_or(|(until, _)| Instant::now() >= *until)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_in_trouble_is_left_alone_for_a_while_and_the_others_are_not() {
        let troubles = Troubles::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        troubles.note(one, Duration::from_secs(60));
        assert_eq!(troubles.without(&[one, other]), [other]);
        troubles.note(other, Duration::ZERO);
        assert_eq!(troubles.without(&[one, other]), [other], "its time has come");
    }
}
