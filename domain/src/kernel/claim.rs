//! Claims: sets of holders kept beside the log and changed only by events. A unique name is a set of one
//! holder, a limited counter a set of at most n, a reference a set without bound that a deletion wants empty.

/// What is claimed: a kind and a value, unique within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimName {
    /// `email`, `slug`, `pipeline`: lower case, without a colon.
    pub kind: &'static str,
    /// The value; a personal one is kept by the store as an HMAC only.
    pub value: String,
    /// True for personal values such as an e-mail address.
    pub personal: bool,
}

impl ClaimName {
    /// A name that is nobody's personal data.
    pub fn clear(kind: &'static str, value: impl ToString) -> Self {
        Self { kind, value: value.to_string(), personal: false }
    }

    /// A name that is personal data: stored as an HMAC.
    pub fn personal(kind: &'static str, value: impl Into<String>) -> Self {
        Self { kind, value: value.into(), personal: true }
    }
}

/// What an event does to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimOp {
    /// Hold it, if fewer than `capacity` others do; `None` is without bound. Holding twice is holding once.
    Take {
        /// The most holders the set may have.
        capacity: Option<u32>,
    },
    /// Hold it no longer.
    Release,
    /// Go on only if nobody holds it.
    RequireNone,
}

/// A change of a claim by the aggregate that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimChange {
    /// Which claim.
    pub name: ClaimName,
    /// What is done to it.
    pub op: ClaimOp,
}

impl ClaimChange {
    /// Take a unique name.
    pub fn take(name: ClaimName) -> Self {
        Self { name, op: ClaimOp::Take { capacity: Some(1) } }
    }

    /// Take one of at most `capacity` places; no capacity is no limit.
    pub fn count(name: ClaimName, capacity: Option<u32>) -> Self {
        Self { name, op: ClaimOp::Take { capacity } }
    }

    /// Refer to something that must not go while it is referred to.
    pub fn refer(name: ClaimName) -> Self {
        Self { name, op: ClaimOp::Take { capacity: None } }
    }

    /// Give a name, a place or a reference back.
    pub fn release(name: ClaimName) -> Self {
        Self { name, op: ClaimOp::Release }
    }

    /// Refuse while anybody refers to it.
    pub fn require_none(name: ClaimName) -> Self {
        Self { name, op: ClaimOp::RequireNone }
    }
}
