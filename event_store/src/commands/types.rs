//! What a command comes with and what comes of it.

use crate::StoreError;
use chrono::{DateTime, Utc};
use domain::{ClientInfo, Denied, Principal, Refusal, SessionId, TenantId, UserId};
use serde::Deserialize;
use thiserror::Error;
use uuid::Uuid;

/// Everything about a command that is not the command.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who sends it.
    pub principal: Principal,
    /// To which log.
    pub tenant: TenantId,
    /// For whom, when the program acts for a user.
    pub on_behalf_of: Option<UserId>,
    /// The session of a signed-in user.
    pub session: Option<SessionId>,
    /// What this command and others have come from: one request of a client.
    pub correlation_id: Uuid,
    /// The event or command that made the program send this one.
    pub causation_id: Option<Uuid>,
    /// Where the request came from.
    pub client: Option<ClientInfo>,
    /// When it happened in the world, if not now.
    pub occurred_at: Option<DateTime<Utc>>,
    /// True for what an import carries over.
    pub imported: bool,
    /// Makes the command happen once, however often it is sent. At most 200 bytes.
    pub key: Option<String>,
    /// Remember the key for ever: imports and reactors.
    pub keep_key: bool,
    /// What the client said, where the command holds what was worked out from it and may come out differently the
    /// next time: it is this that a repeat is recognised by.
    pub said: Option<String>,
    /// The clock.
    pub now: DateTime<Utc>,
    /// Names the command: a new UUIDv7.
    pub command_id: Uuid,
}

impl Request {
    /// A request with nothing special about it; set the fields that are. `command_id` and `correlation_id` are new ids.
    #[must_use]
    pub fn new(principal: Principal, tenant: TenantId, now: DateTime<Utc>, command_id: Uuid, correlation_id: Uuid) -> Self {
        Self {
            principal,
            tenant,
            on_behalf_of: None,
            session: None,
            correlation_id,
            causation_id: None,
            client: None,
            occurred_at: None,
            imported: false,
            key: None,
            keep_key: false,
            said: None,
            now,
            command_id,
        }
    }
}

/// Whom a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An aggregate that may exist.
    Existing(Uuid),
    /// A new aggregate under an id that was just made and that nobody else can have.
    New(Uuid),
}

impl Target {
    pub(crate) fn id(self) -> Uuid {
        match self {
            Self::Existing(id) | Self::New(id) => id,
        }
    }
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Committed {
    /// The aggregate: for a repeated creation, the one that was made the first time.
    pub aggregate_id: Uuid,
    /// The position of its first event.
    pub first_position: i64,
    /// How many events it had; none when nothing changed.
    pub events: i64,
    /// The sequence of the aggregate afterwards.
    pub sequence: i64,
    /// True when this is the first outcome of a key that was used before.
    #[serde(skip, default = "yes")]
    pub replayed: bool,
}

/// Outcomes are only read back from where keys are kept.
fn yes() -> bool {
    true
}

impl Committed {
    /// The position of the last event, for those who want to read what was written.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.first_position + self.events - 1
    }
}

/// Why a command did nothing.
#[derive(Debug, Error)]
pub enum ExecuteError<E: Refusal> {
    /// The caller may not.
    #[error(transparent)]
    Denied(Denied),
    /// A business rule stands against it.
    #[error(transparent)]
    Refused(E),
    /// The id is taken, by something of which no more is said.
    #[error("this id is taken; make a new one")]
    IdTaken,
    /// The key was used for another command.
    #[error("this Idempotency-Key was used for another command; use a new key for a new command")]
    KeyMisused,
    /// The aggregate changes faster than this command can be decided.
    #[error("this changes too fast just now; try again")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
