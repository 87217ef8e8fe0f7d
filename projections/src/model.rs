//! What a read model is: a row and a pure fold. Everything else is done once for all of them.

use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};
use domain::{Change, Personal, Recorded, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

use crate::{JsonText, NodeId};

/// A table of rows, each a fold of the events that touch its key.
pub trait ReadModel: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static {
    /// The table, without its schema: `pipeline_items`.
    const TABLE: &'static str;
    /// Raised when the fold or the row changes: the rows are then made anew.
    const VERSION: i32 = 1;
    /// The aggregates whose events it reads, by type.
    const READS: &'static [&'static str];
    /// Whether each row is of one event and never changes, its key holding the event's position: nothing needs to be
    /// loaded to write it.
    const OF_ONE_EVENT: bool = false;
    /// The primary key after tenant_id: one value, or a tuple in the order of the key's columns. No floats and
    /// no times, whose text differs between JSON and the database.
    type Key: Serialize + Clone + Ord + Debug;

    /// The rows an event touches, from the event alone.
    fn keys(event: &Recorded) -> Vec<Self::Key>;

    /// The row after the event; `None` where there is none.
    fn fold(row: Option<Self>, key: &Self::Key, event: &Recorded) -> Option<Self>;
}

/// The columns every read model has, filled by the projector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
pub struct Common {
    /// How many events its aggregate had when the row last changed.
    pub sequence: i64,
    /// When it came to be: in the world, as far as known.
    pub created_at: DateTime<Utc>,
    /// The user who made it, or for whom it was made.
    pub created_by: Option<NodeId<UserId>>,
    /// When it last changed: in the world, as far as known.
    pub updated_at: DateTime<Utc>,
    /// The user who last changed it, or for whom it was changed.
    pub updated_by: Option<NodeId<UserId>>,
}

impl Common {
    /// The names of the columns.
    pub const COLUMNS: [&'static str; 5] = ["sequence", "created_at", "created_by", "updated_at", "updated_by"];

    pub(crate) fn of(event: &Recorded) -> Self {
        let (at, by) = (event.at(), event.actor.user().map(NodeId));
        Self { sequence: event.sequence, created_at: at, created_by: by, updated_at: at, updated_by: by }
    }

    pub(crate) fn touched(self, event: &Recorded) -> Self {
        let new = Self::of(event);
        Self { created_at: self.created_at, created_by: self.created_by, ..new }
    }
}

/// A row with the columns every row has.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<R> {
    /// What the fold made.
    pub row: R,
    /// What the projector filled in.
    pub common: Common,
}

/// What a row shows in the place of personal data whose key is destroyed: erased, never missing.
pub const ERASED: &str = "[erased]";

/// Personal data as rows show it: in clear, or erased.
pub(crate) fn shown(value: &Personal<String>) -> String {
    value.open().map_or_else(|| ERASED.to_owned(), Clone::clone)
}

/// Personal data that is JSON: erased, it is the JSON string that says so.
pub(crate) fn shown_json(value: &Personal<String>) -> JsonText {
    JsonText(value.open().map_or_else(|| format!("\"{ERASED}\""), Clone::clone))
}

/// Takes one field of an update over into a row.
pub(crate) fn take<T, U>(field: &mut U, change: Option<&Change<T>>, into: impl FnOnce(&T) -> U) {
    if let Some(change) = change {
        *field = into(&change.to);
    }
}
