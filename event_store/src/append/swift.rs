//! The swift call: one function moves the heads and writes, all of a batch or nothing. No means that nothing was
//! written; who was at fault is for the locking call to say.

use super::call::{capacity, query};
use super::{Append, Verdict};
use crate::error::StoreError;
use domain::TenantId;
use sqlx::Row;
use sqlx::postgres::PgConnection;
use std::collections::{BTreeMap, HashSet};

const APPEND: &str = "select event_store.append_all(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, \
    $30, $31)";

/// What a batch does to the log of one tenant.
#[derive(Clone, Copy)]
struct Move {
    /// Its place among the tenants, from 1.
    at: i32,
    events: i64,
    /// The oldest position to which grants were folded that some command needs.
    fence: i64,
    /// Which event is the last that changes who may do what, from 1.
    access: Option<i64>,
}

/// Where the events of a command come: its tenant's place, and which of that tenant's events is its first.
#[derive(Clone, Copy)]
struct Place {
    at: i32,
    nth: i64,
}

/// Whether a command may go this way at all: one without events has no sequence whose uniqueness would find out that
/// its stream has moved; and one that was decided before the database was last lost may know more than the log does.
pub(super) fn may(append: &Append, lost: u64) -> bool {
    !append.events.is_empty() && append.lost == lost
}

/// Appends a batch, all of it or nothing. The verdicts are all [`Verdict::Written`], in the order of the batch.
pub(super) async fn append(connection: &mut PgConnection, batch: &[&Append]) -> Result<Vec<Verdict>, sqlx::Error> {
    let (moves, places) = places(batch);
    let placed = || batch.iter().zip(&places);
    let events =
        || placed().flat_map(|(append, place)| append.events.iter().zip(0_i64..).map(move |(event, index)| (append, event, index, place)));
    // Many commands depend on the same aggregate as it was then.
    let guards: HashSet<_> =
        placed().flat_map(|(append, place)| append.guards.iter().map(move |(id, sequence)| (place.at, *id, *sequence))).collect();
    let claims = || placed().flat_map(|(append, place)| append.claims.iter().map(move |claim| (place.at, claim)));
    let keys = || placed().filter_map(|(append, place)| Some((append, append.key.as_ref()?, place)));

    let row = query(APPEND, batch)
        .bind(batch.first().map(|append| append.tenant.0))
        .bind(moves.keys().map(|tenant| tenant.0).collect::<Vec<_>>())
        .bind(moves.values().map(|to| to.events).collect::<Vec<_>>())
        .bind(moves.values().map(|to| to.fence).collect::<Vec<_>>())
        .bind(moves.values().map(|to| to.access).collect::<Vec<_>>())
        .bind(events().map(|(.., place)| place.at).collect::<Vec<_>>())
        .bind(events().map(|(_, _, index, place)| place.nth + index).collect::<Vec<_>>())
        .bind(events().map(|(append, _, index, _)| append.expected + index + 1).collect::<Vec<_>>())
        .bind(events().map(|(append, ..)| append.aggregate_type).collect::<Vec<_>>())
        .bind(events().map(|(append, ..)| append.aggregate_id.to_string()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.event_type.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.event_version.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.payload.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.metadata.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, event, ..)| event.access).collect::<Vec<_>>())
        .bind(guards.iter().map(|(at, ..)| *at).collect::<Vec<_>>())
        .bind(guards.iter().map(|(_, id, _)| id.to_string()).collect::<Vec<_>>())
        .bind(guards.iter().map(|(.., sequence)| *sequence).collect::<Vec<_>>())
        .bind(claims().map(|(at, _)| at).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| claim.name.as_str()).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| claim.holder.as_str()).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| capacity(claim.step)).collect::<Vec<_>>())
        .bind(keys().map(|(.., place)| place.at).collect::<Vec<_>>())
        .bind(keys().map(|(.., place)| place.nth).collect::<Vec<_>>())
        .bind(keys().map(|(_, key, _)| key.actor.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|(_, key, _)| key.key.as_str()).collect::<Vec<_>>())
        .bind(keys().map(|(_, key, _)| key.fingerprint.as_slice()).collect::<Vec<_>>())
        .bind(keys().map(|(append, ..)| append.aggregate_id.to_string()).collect::<Vec<_>>())
        .bind(keys().map(|(append, ..)| append.count()).collect::<Vec<_>>())
        .bind(keys().map(|(append, ..)| append.expected + append.count()).collect::<Vec<_>>())
        .bind(keys().map(|(_, key, _)| key.expires_at).collect::<Vec<_>>())
        .fetch_one(connection)
        .await?;
    let ends: Vec<i64> = row.try_get(0)?;
    let end = |at: i32| usize::try_from(at - 1).ok().and_then(|at| ends.get(at)).copied();
    let verdict = |place: &Place| end(place.at).map(|end| Verdict::Written { first_position: end + place.nth });
    places.iter().map(verdict).collect::<Option<_>>().ok_or_else(|| {
        sqlx::Error::Decode(Box::new(StoreError::data(
            "event_store.append_all",
            "it answered another number of heads than there were tenants",
        )))
    })
}

/// What the batch does to each log, and where each command comes.
fn places(batch: &[&Append]) -> (BTreeMap<TenantId, Move>, Vec<Place>) {
    let mut moves: BTreeMap<TenantId, Move> =
        batch.iter().map(|append| (append.tenant, Move { at: 0, events: 0, fence: i64::MAX, access: None })).collect();
    moves.values_mut().zip(1_i32..).for_each(|(to, at)| to.at = at);
    let places = batch
        .iter()
        .filter_map(|append| {
            let to = moves.get_mut(&append.tenant)?;
            let place = Place { at: to.at, nth: to.events + 1 };
            for event in &append.events {
                to.events += 1;
                to.access = if event.access { Some(to.events) } else { to.access };
            }
            to.fence = append.fence.map_or(to.fence, |fence| fence.min(to.fence));
            Some(place)
        })
        .collect();
    (moves, places)
}

/// True for what the function itself refuses, and for a place that is taken: nothing to wonder at.
pub(super) fn is_miss(error: &sqlx::Error) -> bool {
    // 23505 unique violation, 40001 serialization failure, 40P01 deadlock (PostgreSQL, appendix A).
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(&*code, "AN001" | "AN002" | "AN003" | "23505" | "40001" | "40P01"))
}
