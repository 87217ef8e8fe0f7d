//! The swift call: for tenants whose heads are known, the places of all events are worked out here, and one function
//! compares and swaps the heads and writes. It answers yes or no for the whole batch, and no means that nothing was
//! written; who was at fault is for the locking call to say.

use super::call::{capacity, query};
use super::heads::Heads;
use super::{Append, Verdict};
use domain::TenantId;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

const APPEND: &str = "select event_store.append_at(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)";

/// The head of one tenant, from where to where it moves.
struct Swap {
    from: i64,
    to: i64,
    /// The oldest position to which grants were folded that some command needs.
    fence: i64,
    access: Option<i64>,
}

/// Whether a command may go this way at all: one without events has no sequence whose uniqueness would find out that
/// its stream has moved.
pub(super) fn may(append: &Append, heads: &Heads, now: Instant) -> bool {
    !append.events.is_empty() && heads.get(append.tenant, now).is_some()
}

/// Appends a batch, all of it or nothing. The verdicts are all [`Verdict::Written`], in the order of the batch.
pub(super) async fn append(
    connection: &mut PgConnection,
    batch: &[&Append],
    heads: &Heads,
    now: Instant,
) -> Result<Vec<Verdict>, sqlx::Error> {
    let (swaps, firsts) = places(batch, heads, now);
    let events = || {
        batch
            .iter()
            .zip(&firsts)
            .flat_map(|(append, first)| append.events.iter().zip(0_i64..).map(move |(event, index)| (append, event, index, first + index)))
    };
    // Many commands depend on the same aggregate as it was then.
    let guards: HashSet<_> =
        batch.iter().flat_map(|append| append.guards.iter().map(|(id, sequence)| (append.tenant, *id, *sequence))).collect();
    let claims = || batch.iter().flat_map(|append| append.claims.iter().map(move |claim| (append.tenant.0, claim)));
    let keys = || batch.iter().zip(&firsts).filter_map(|(append, first)| Some((append, append.key.as_ref()?, *first)));

    query(APPEND, batch)
        .bind(batch.first().map(|append| append.tenant.0))
        .bind(swaps.keys().map(|tenant| tenant.0).collect::<Vec<_>>())
        .bind(swaps.values().map(|swap| swap.from).collect::<Vec<_>>())
        .bind(swaps.values().map(|swap| swap.to).collect::<Vec<_>>())
        .bind(swaps.values().map(|swap| swap.fence).collect::<Vec<_>>())
        .bind(swaps.values().map(|swap| swap.access).collect::<Vec<_>>())
        .bind(events().map(|(append, ..)| append.tenant.0).collect::<Vec<_>>())
        .bind(events().map(|(.., position)| position).collect::<Vec<_>>())
        .bind(events().map(|(append, _, index, _)| append.expected + index + 1).collect::<Vec<_>>())
        .bind(events().map(|(append, ..)| append.aggregate_type).collect::<Vec<_>>())
        .bind(events().map(|(append, ..)| append.aggregate_id.to_string()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.event_type.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.event_version.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.payload.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.metadata.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.access).collect::<Vec<_>>())
        .bind(guards.iter().map(|(tenant, ..)| tenant.0).collect::<Vec<_>>())
        .bind(guards.iter().map(|(_, id, _)| id.to_string()).collect::<Vec<_>>())
        .bind(guards.iter().map(|(.., sequence)| *sequence).collect::<Vec<_>>())
        .bind(claims().map(|(tenant, _)| tenant).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| claim.name.as_str()).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| claim.holder.as_str()).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| capacity(claim.step)).collect::<Vec<_>>())
        .bind(keys().map(|(append, ..)| append.tenant.0).collect::<Vec<_>>())
        .bind(keys().map(|(_, key, _)| key.actor.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|(_, key, _)| key.key.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|(_, key, _)| key.fingerprint.as_slice()).collect::<Vec<_>>())
        .bind(keys().map(|(append, _, first)| outcome(append, first)).collect::<Vec<_>>())
        .bind(keys().map(|(_, key, _)| key.expires_at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(firsts.into_iter().map(|first_position| Verdict::Written { first_position }).collect())
}

/// Where the heads move, and the first position of each command.
fn places(batch: &[&Append], heads: &Heads, now: Instant) -> (BTreeMap<TenantId, Swap>, Vec<i64>) {
    let mut swaps: BTreeMap<TenantId, Swap> = BTreeMap::new();
    let firsts = batch
        .iter()
        .map(|append| {
            let swap = swaps.entry(append.tenant).or_insert_with(|| {
                let from = heads.get(append.tenant, now).unwrap_or(0);
                Swap { from, to: from, fence: i64::MAX, access: None }
            });
            let first = swap.to + 1;
            for event in &append.events {
                swap.to += 1;
                swap.access = if event.access { Some(swap.to) } else { swap.access };
            }
            swap.fence = append.fence.map_or(swap.fence, |fence| fence.min(swap.fence));
            first
        })
        .collect();
    (swaps, firsts)
}

/// What is kept under a key, as `event_store.append` writes it.
fn outcome(append: &Append, first_position: i64) -> String {
    let events = i64::try_from(append.events.len()).unwrap_or(i64::MAX);
    serde_json::json!({
        "aggregate_id": append.aggregate_id, "first_position": first_position, "events": events, "sequence": append.expected + events
    })
    .to_string()
}

/// The tenants whose heads were elsewhere, if that is what the database says.
pub(super) fn missed(error: &sqlx::Error) -> Vec<TenantId> {
    let Some(error) = error.as_database_error().filter(|error| error.code().is_some_and(|code| code == "AN001")) else { return vec![] };
    let detail = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::detail).unwrap_or_default();
    detail.split(' ').filter_map(|tenant| tenant.parse().ok().map(TenantId)).collect()
}

/// True for what the function itself refuses, and for a place that is taken: nothing to wonder at.
pub(super) fn is_miss(error: &sqlx::Error) -> bool {
    // 23505 unique violation, 40001 serialization failure, 40P01 deadlock (PostgreSQL, appendix A).
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(&*code, "AN001" | "AN002" | "AN003" | "23505" | "40001" | "40P01"))
}
