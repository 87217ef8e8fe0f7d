//! Which tenants are this worker's to project. Tenants fall into [`SHARDS`], each leased by one worker at a time.
//! Invariant: a projector writes only in transactions that hold its lease, whose token has not moved; so a worker that
//! was given up for dead and wakes late cannot write.

mod sql;

use crate::registry::Models;
use sqlx::PgPool;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Into how many parts the tenants are divided; also a constraint of the table.
pub const SHARDS: usize = 64;

/// The part of a tenant: the last six bits of its id, which are random (v7) or a hash's (v5). SQL says the same.
#[must_use]
pub fn shard(tenant: Uuid) -> i32 {
    i32::from(tenant.as_bytes()[15] & 63)
}

/// How leases are kept.
#[derive(Clone, Copy, Debug)]
pub struct LeaseConfig {
    /// How long a worker that says nothing is believed to live, by the database's clock.
    pub lives: Duration,
    /// How often it says that it lives, and looks what there is to take or to give up.
    pub beat: Duration,
}

impl Default for LeaseConfig {
    /// So that a worker that is killed or stopped is replaced well within 5 s.
    fn default() -> Self {
        Self { lives: Duration::from_secs(3), beat: Duration::from_millis(500) }
    }
}

/// Shards and the tokens under which they are held.
pub(crate) type Held = BTreeMap<i32, i64>;

/// Why a projector that runs does nothing; [`None`] when it does.
#[derive(Clone, Debug)]
pub struct Standing(watch::Receiver<Option<String>>);

impl Standing {
    /// Of a projector without leases: nobody takes its work.
    pub(crate) fn always() -> Self {
        Self(watch::Sender::default().subscribe())
    }

    /// The reason, for operators: a newer program has made the read models its own.
    #[must_use]
    pub fn down(&self) -> Option<String> {
        self.0.borrow().clone()
    }
}

/// The leases of one worker. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Leases(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    worker: Uuid,
    config: LeaseConfig,
    names: Vec<String>,
    versions: Vec<i32>,
    held: watch::Sender<Held>,
    standing: watch::Sender<Option<String>>,
    again: Notify,
}

impl Leases {
    pub(crate) fn new(pool: PgPool, worker: Uuid, models: &Models, config: LeaseConfig) -> Self {
        let (names, versions) = models.iter().map(|model| (model.table().to_owned(), model.version())).unzip();
        let (held, standing) = (watch::Sender::default(), watch::Sender::default());
        Self(Arc::new(Inner { pool, worker, config, names, versions, held, standing, again: Notify::new() }))
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing(self.0.standing.subscribe())
    }

    /// The shards that are ours as far as we know, and news of them.
    pub(crate) fn watch(&self) -> watch::Receiver<Held> {
        self.0.held.subscribe()
    }

    pub(crate) fn shards(&self) -> BTreeSet<i32> {
        self.0.held.borrow().keys().copied().collect()
    }

    pub(crate) fn worker(&self) -> Uuid {
        self.0.worker
    }

    /// The leases of these tenants that are ours as far as we know.
    pub(crate) fn claim(&self, tenants: &[Uuid]) -> Held {
        let wanted: BTreeSet<i32> = tenants.iter().copied().map(shard).collect();
        self.0.held.borrow().iter().filter(|(shard, _)| wanted.contains(shard)).map(|(k, v)| (*k, *v)).collect()
    }

    /// Of what was claimed the database knows these shards alone to be ours: the others are lost.
    pub(crate) fn confirm(&self, claim: &Held, ours: &BTreeSet<i32>) {
        let lost: Held = claim.iter().filter(|(shard, _)| !ours.contains(shard)).map(|(k, v)| (*k, *v)).collect();
        if !lost.is_empty() {
            self.lose(&lost);
            // Perhaps they may be had again.
            self.0.again.notify_one();
        }
    }

    /// Another worker has taken these from us.
    fn lose(&self, lost: &Held) {
        let shards: Vec<&i32> = lost.keys().collect();
        tracing::warn!(?shards, "leases are lost: another worker took them, or they were revoked; nothing is written under them");
        metrics::counter!("projection_leases_lost_total").increment(lost.len() as u64);
        self.change(|held| held.retain(|shard, token| lost.get(shard) != Some(token)));
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        self.0.held.send_if_modified(|held| {
            let before = held.clone();
            change(held);
            #[expect(clippy::cast_precision_loss, reason = "64 at the most")]
            metrics::gauge!("projection_leases").set(held.len() as f64);
            *held != before
        });
    }

    /// Says that this worker lives, and takes what is its due or gives up what is beyond.
    ///
    /// # Errors
    /// The database.
    pub(crate) async fn beat(&self) -> Result<(), sqlx::Error> {
        let Inner { pool, worker, config, names, versions, .. } = &*self.0;
        if let Some(newer) = sql::newer(pool, names, versions).await? {
            return self.stand_down(&newer).await;
        }
        if self.0.standing.send_replace(None).is_some() {
            tracing::info!("the read models are this program's again; projecting");
        }
        sql::live(pool, *worker, config.lives).await?;
        let dead = sql::bury(pool, *worker, config.lives, config.lives.saturating_sub(config.beat * 2)).await?;
        if !dead.is_empty() {
            tracing::warn!(?dead, "workers are gone; their leases are free");
        }
        let sql::Shared { held, free, workers } = sql::shared(pool, *worker).await?;
        let share = SHARDS.div_ceil(workers.max(1));
        let held = if held.len() > share {
            let surplus: Vec<i32> = held.keys().skip(share).copied().collect();
            self.change(|held| held.retain(|shard, _| !surplus.contains(shard)));
            sql::give_up(pool, *worker, &surplus).await?;
            sql::shared(pool, *worker).await?.held
        } else if held.len() < share && free > 0 {
            sql::take(pool, *worker, share - held.len(), names, versions).await?;
            sql::shared(pool, *worker).await?.held
        } else {
            held
        };
        let lost: Held =
            self.0.held.borrow().iter().filter(|(shard, token)| held.get(shard) != Some(token)).map(|(k, v)| (*k, *v)).collect();
        if !lost.is_empty() {
            self.lose(&lost);
        }
        self.change(|known| *known = held);
        Ok(())
    }

    /// A newer program writes the read models now: ours would be wrong.
    async fn stand_down(&self, newer: &sql::Newer) -> Result<(), sqlx::Error> {
        let reason = newer.to_string();
        if self.0.standing.send_replace(Some(reason.clone())).is_none() {
            tracing::error!("{reason}");
        }
        self.release().await
    }

    /// Beats until told to stop.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.0.config.beat) => {}
                () = self.0.again.notified() => {}
                () = stop.cancelled() => return,
            }
            match self.beat().await {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!(%error, "keeping leases"),
                Err(error) => {
                    tracing::warn!(%error, "leases could not be kept; trying again");
                    failing = true;
                }
            }
        }
    }

    /// Leaves all leases to the others.
    ///
    /// # Errors
    /// The database; the leases run out by themselves then.
    pub(crate) async fn release(&self) -> Result<(), sqlx::Error> {
        self.change(Held::clear);
        sql::leave(&self.0.pool, self.0.worker).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_its_part_of_new_tenants() {
        let mut shards = [0; SHARDS];
        for n in 0..64_000_u32 {
            let tenant = Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes());
            shards[usize::try_from(shard(tenant)).unwrap()] += 1;
        }
        assert!(shards.iter().all(|count| (800..1_200).contains(count)), "{shards:?}");
    }
}
