//! What every aggregate stands on: ids, text, time, personal data, callers, envelopes, claims.

mod access;
mod caller;
mod canonical;
mod change;
mod claim;
mod decider;
mod envelope;
mod facts;
mod id;
mod personal;
mod recorded;
mod text;

pub use access::{Access, AccessChange};
pub use caller::{Authority, Caller, ClientInfo, Principal, SystemCaller};
pub use canonical::{CanonicalError, canonical_json, check_canonical};
pub use change::{Change, Patch, edit};
pub use claim::{ClaimChange, ClaimName, ClaimOp};
pub use decider::{Decider, EventPayload, Refusal, Rejection, Root};
pub use envelope::{Act, Denied, Envelope, Guarded, Moment, Needs, authorise};
pub use facts::{FactRef, Facts};
pub use id::*;
pub use personal::{Personal, Sealable, for_the_store};
pub use recorded::{Actor, Recorded};
pub use text::*;
