//! Tenants whose log cannot be read at all, and when each is tried again: they hold up nobody else. Each process knows
//! its own; the table says so to operators, who may have one tried at once.

use sqlx::PgPool;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The tenants, with the time before which each is left alone and how long that was.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<HashMap<Uuid, (Instant, Duration)>>);

impl Troubles {
    /// Not again before a while, and each time a longer one.
    pub(crate) async fn note(&self, pool: &PgPool, tenant: Uuid, error: &str, first: Duration) -> Result<(), sqlx::Error> {
        let wait = self.wait(tenant, first);
        sqlx::query(
            "insert into read_models.troubles as t (tenant_id, position, error, retry_at)
             select $1, coalesce((select c.position from read_models.checkpoints c where c.tenant_id = $1), 0), $2, clock_timestamp() + $3
             on conflict (tenant_id) do update set position = excluded.position, error = excluded.error, retry_at = excluded.retry_at,
               attempts = case when t.position = excluded.position then t.attempts + 1 else 1 end,
               since = case when t.position = excluded.position then t.since else excluded.since end",
        )
        .bind(tenant)
        .bind(error.replace('\0', "\u{fffd}"))
        .bind(wait)
        .execute(pool)
        .await?;
        Ok(())
    }

    fn wait(&self, tenant: Uuid, first: Duration) -> Duration {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = troubles.get(&tenant).map_or(first, |(_, wait)| (*wait * 2).min(Duration::from_secs(3600)));
        troubles.insert(tenant, (Instant::now() + wait, wait));
        wait
    }

    /// Forgets those that have come through, and lets those be tried that an operator wants tried.
    pub(crate) async fn forgive(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(());
        }
        let over = "delete from read_models.troubles t using read_models.checkpoints c where c.tenant_id = t.tenant_id and c.position > t.position";
        sqlx::query(over).execute(pool).await?;
        let waiting: Vec<Uuid> =
            sqlx::query_scalar("select tenant_id from read_models.troubles where retry_at > clock_timestamp()").fetch_all(pool).await?;
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, (until, _)) in troubles.iter_mut() {
            if !waiting.contains(tenant) {
                *until = Instant::now();
            }
        }
        Ok(())
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
        assert_eq!(troubles.wait(one, Duration::from_secs(60)), Duration::from_secs(60));
        assert_eq!(troubles.without(&[one, other]), [other]);
        troubles.wait(other, Duration::ZERO);
        assert_eq!(troubles.without(&[one, other]), [other], "its time has come");
        assert_eq!(troubles.wait(one, Duration::from_secs(60)), Duration::from_secs(120));
    }
}
