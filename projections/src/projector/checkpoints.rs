//! Where the read models of each tenant stand, locked for as long as a transaction lasts. Invariant: whoever has leases
//! locks only what is theirs.

use super::Projector;
use domain::TenantId;
use sqlx::Row;
use sqlx::postgres::PgConnection;
use std::collections::BTreeSet;
use uuid::Uuid;

impl Projector {
    /// Locks the checkpoints of these tenants that no other worker is at, and with them the leases, where there are any;
    /// makes those that are missing. With leases they stay ours until the transaction ends, since whoever takes a lease
    /// waits for this lock.
    pub(super) async fn lock(&self, connection: &mut PgConnection, tenants: &[Uuid]) -> Result<Vec<(TenantId, i64)>, sqlx::Error> {
        let Some(leases) = &self.leases else { return lock_checkpoints(connection, tenants).await };
        let claim = leases.claim(tenants);
        let (shards, tokens): (Vec<i32>, Vec<i64>) = claim.iter().map(|(shard, token)| (*shard, *token)).unzip();
        let (held, checkpoints) = lock(connection, tenants, Some((leases.worker(), shards, tokens))).await?;
        leases.confirm(&claim, &held);
        Ok(checkpoints)
    }
}

/// Locks the checkpoints of these tenants, whoever has the leases.
pub(crate) async fn lock_checkpoints(connection: &mut PgConnection, tenants: &[Uuid]) -> Result<Vec<(TenantId, i64)>, sqlx::Error> {
    Ok(lock(connection, tenants, None).await?.1)
}

/// The shards whose leases are held under the same token still, and the checkpoints. Only the tenants of these are looked
/// at, once the leases are locked; a checkpoint that has moved since the statement began is seen as it is when locked.
async fn lock(
    connection: &mut PgConnection,
    tenants: &[Uuid],
    claim: Option<(Uuid, Vec<i32>, Vec<i64>)>,
) -> Result<(BTreeSet<i32>, Vec<(TenantId, i64)>), sqlx::Error> {
    let (worker, shards, tokens) = claim.map_or_else(Default::default, |(worker, shards, tokens)| (Some(worker), shards, tokens));
    let rows = sqlx::query(
        "with held as materialized (
           select l.shard from unnest($3::int[], $4::bigint[]) as mine (shard, token)
           join read_models.leases l on l.shard = mine.shard and l.token = mine.token
           where l.holder = $2 order by l.shard for share of l),
         ours as materialized (
           select t as tenant_id from unnest($1::uuid[]) as t
           where $2::uuid is null or (get_byte(uuid_send(t), 15) & 63) = any (array(select shard from held))),
         made as (
           insert into read_models.checkpoints (tenant_id, position) select o.tenant_id, 0 from ours o
           where not exists (select from read_models.checkpoints c where c.tenant_id = o.tenant_id)
           order by o.tenant_id on conflict do nothing returning tenant_id, position),
         locked as materialized (
           select tenant_id, position from read_models.checkpoints
           where tenant_id = any (array(select tenant_id from ours)) order by tenant_id for update skip locked)
         select shard, null::uuid as tenant_id, null::bigint as position from held
         union all select null, tenant_id, position from made
         union all select null, tenant_id, position from locked",
    )
    .bind(tenants)
    .bind(worker)
    .bind(shards)
    .bind(tokens)
    .fetch_all(connection)
    .await?;
    let (mut held, mut checkpoints) = (BTreeSet::new(), Vec::new());
    for row in rows {
        match row.try_get("shard")? {
            Some(shard) => drop(held.insert(shard)),
            None => checkpoints.push((TenantId(row.try_get("tenant_id")?), row.try_get("position")?)),
        }
    }
    Ok((held, checkpoints))
}
