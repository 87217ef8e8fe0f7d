//! What an update changes: the patch a command asks for, and the change an event records.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A field of an update command: kept, or set (to nothing, where the field is optional).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Leave the field as it is: what an absent member means.
    #[default]
    Keep,
    /// Set the field.
    Set(T),
}

impl<T> Patch<T> {
    /// True when the field stays as it is.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::Set)
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep => serializer.serialize_none(),
            Self::Set(value) => value.serialize(serializer),
        }
    }
}

/// One field of an update event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change<T> {
    /// What it was.
    pub from: T,
    /// What it is now.
    pub to: T,
}

/// The change a patch makes to a field, if it makes one.
pub fn edit<T: Clone + PartialEq, U>(from: &T, patch: Patch<U>, into: impl FnOnce(U) -> T) -> Option<Change<T>> {
    match patch {
        Patch::Keep => None,
        Patch::Set(to) => {
            let to = into(to);
            (to != *from).then(|| Change { from: from.clone(), to })
        }
    }
}
