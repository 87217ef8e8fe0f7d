//! The one place that reads the clock and makes ids. Everything below is handed them.

use chrono::{DateTime, SubsecRound, Utc};
use domain::TypedId;
use uuid::Uuid;

/// The time, cut to microseconds: what the log keeps.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// A new id (UUIDv7).
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where ids are made")]
pub fn new_id<T: TypedId>() -> T {
    T::from(Uuid::now_v7())
}

/// A new id of nothing in particular: commands, correlations, secrets.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where ids are made")]
pub fn new_uuid() -> Uuid {
    Uuid::now_v7()
}
