//! The locking call: a batch as arrays, and a verdict for each command.

use super::{Append, ClaimStep, Verdict};
use crate::error::StoreError;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::{Arguments, Postgres, Row};

const APPEND: &str = "select status, detail, first_position from event_store.append(\
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)";

/// Appends a batch in one autocommitted call. Verdicts come in the order of the batch.
pub(super) async fn append(connection: &mut PgConnection, batch: &[&Append]) -> Result<Vec<Verdict>, sqlx::Error> {
    let commands = || batch.iter().zip(1_i32..);
    let events =
        || commands().flat_map(|(append, n)| append.events.iter().zip(0_i32..).map(move |(event, index)| (append, n, event, index)));
    let guards = || commands().flat_map(|(append, n)| append.guards.iter().map(move |guard| (n, guard)));
    let claims = || commands().flat_map(|(append, n)| append.claims.iter().map(move |claim| (n, claim)));

    let row = query(APPEND, batch)
        .bind(batch.first().map(|append| append.tenant.0))
        .bind(batch.iter().map(|append| append.tenant.0).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| append.aggregate_id.to_string()).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| append.expected).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| i32::try_from(append.events.len()).unwrap_or(i32::MAX)).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| append.command_id.to_string()).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| append.fence).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| append.key.as_ref().map(|key| key.actor.as_str())).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| append.key.as_ref().map(|key| key.key.as_str())).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| append.key.as_ref().map(|key| key.fingerprint.as_slice())).collect::<Vec<_>>())
        .bind(batch.iter().map(|append| append.key.as_ref().and_then(|key| key.expires_at)).collect::<Vec<_>>())
        .bind(events().map(|(_, n, _, _)| n).collect::<Vec<_>>())
        .bind(events().map(|(_, _, _, index)| index).collect::<Vec<_>>())
        .bind(events().map(|(append, ..)| append.tenant.0).collect::<Vec<_>>())
        .bind(events().map(|(append, ..)| append.aggregate_type).collect::<Vec<_>>())
        .bind(events().map(|(append, ..)| append.aggregate_id.to_string()).collect::<Vec<_>>())
        .bind(events().map(|(_, _, event, _)| event.event_type.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, _, event, _)| event.event_version.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, _, event, _)| event.payload.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, _, event, _)| event.metadata.as_str()).collect::<Vec<_>>())
        .bind(events().map(|(_, _, event, _)| event.access).collect::<Vec<_>>())
        .bind(guards().map(|(n, _)| n).collect::<Vec<_>>())
        .bind(guards().map(|(_, (id, _))| id.to_string()).collect::<Vec<_>>())
        .bind(guards().map(|(_, (_, sequence))| *sequence).collect::<Vec<_>>())
        .bind(claims().map(|(n, _)| n).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| claim.name.as_str()).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| claim.holder.as_str()).collect::<Vec<_>>())
        .bind(claims().map(|(_, claim)| capacity(claim.step)).collect::<Vec<_>>())
        .fetch_one(connection)
        .await?;

    let statuses: Vec<i32> = row.try_get("status")?;
    let details: Option<Vec<Option<String>>> = row.try_get("detail")?;
    let positions: Vec<i64> = row.try_get("first_position")?;
    if statuses.len() != batch.len() || positions.len() != batch.len() {
        return Err(unexpected("another number of verdicts than there were commands"));
    }
    let mut details = details.unwrap_or_default().into_iter();
    statuses.into_iter().zip(positions).map(|(status, position)| verdict(status, position, details.next().flatten())).collect()
}

/// A query with room for the batch: growing step by step would copy it several times over.
pub(super) fn query<'q>(sql: &'q str, batch: &[&Append]) -> Query<'q, Postgres, PgArguments> {
    // A guess at ids, names, claims and lengths; short of it, there is one more step.
    let bytes = batch.iter().map(|append| append.bytes() + 400).sum();
    let mut arguments = PgArguments::default();
    arguments.reserve(32, bytes);
    sqlx::query_with(sql, arguments)
}

/// How the function is told what to do with a claim.
pub(super) fn capacity(step: ClaimStep) -> i32 {
    match step {
        ClaimStep::Take { capacity: Some(most) } => i32::try_from(most).unwrap_or(i32::MAX),
        ClaimStep::Take { capacity: None } => -1,
        ClaimStep::Release => -2,
        ClaimStep::RequireNone => -3,
    }
}

fn verdict(status: i32, first_position: i64, detail: Option<String>) -> Result<Verdict, sqlx::Error> {
    Ok(match status {
        0 => Verdict::Written { first_position },
        1 => Verdict::WrittenBefore,
        2 => Verdict::KeyUsed { outcome: detail.unwrap_or_default() },
        3 => Verdict::KeyMisused,
        4 => Verdict::AccessMoved,
        5 => Verdict::StreamMoved,
        6 => Verdict::GuardMoved,
        7 => Verdict::ClaimRefused { name: detail.unwrap_or_default() },
        other => return Err(unexpected(&format!("the unknown status {other}"))),
    })
}

fn unexpected(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(StoreError::data("event_store.append", format!("it answered {what}"))))
}
