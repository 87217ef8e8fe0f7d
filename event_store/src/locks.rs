//! One command at a time for each aggregate of this process: those that would lose the race for the next
//! sequence wait for their turn instead of deciding in vain.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The locks that are held or waited for; none is kept longer.
#[derive(Debug, Default)]
pub(crate) struct Locks(Mutex<HashMap<Uuid, Lock>>);

/// A turn.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    locks: &'a Locks,
    id: Uuid,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Locks {
    /// Waits for the turn of one who wants this aggregate.
    pub(crate) async fn turn(&self, id: Uuid) -> Turn<'_> {
        let lock = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default());
        // Made before the wait, so that one who gives up waiting cleans up too.
        let mut turn = Turn { locks: self, id, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut locks = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        // Under the map's lock nobody can come to share it any more: one reference is the map's own.
        if locks.get(&self.id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn turns_exclude_each_other_and_leave_nothing_behind() {
        let locks = Arc::new(Locks::default());
        let inside = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let (locks, inside) = (Arc::clone(&locks), Arc::clone(&inside));
                tokio::spawn(async move {
                    let _turn = locks.turn(Uuid::from_u128(n % 3)).await;
                    assert!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(locks.0.lock().unwrap().is_empty());
    }
}
