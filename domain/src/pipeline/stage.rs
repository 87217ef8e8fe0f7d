//! A stage: one column of a pipeline's board. Its place is its index, so that orders are 0..n-1 by nature.

use crate::{Change, Color, Invalid, Key, Name, StageId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most stages a pipeline has.
pub const MAX_STAGES: usize = 50;

/// The most items that may stand in a stage at once: 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct WipLimit(u32);

impl TryFrom<u32> for WipLimit {
    type Error = Invalid;
    fn try_from(limit: u32) -> Result<Self, Invalid> {
        if (1..=10_000).contains(&limit) { Ok(Self(limit)) } else { Err(Invalid(format!("must be 1 to 10000; it is {limit}"))) }
    }
}

impl From<WipLimit> for u32 {
    fn from(limit: WipLimit) -> u32 {
        limit.0
    }
}

impl fmt::Display for WipLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stage that a command asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewStage {
    /// Its name for programs, unique in the pipeline.
    pub key: Key,
    /// Its name for people.
    pub name: Name,
    /// Whether an item that enters it is completed.
    #[serde(default)]
    pub is_terminal: bool,
    /// Its colour.
    #[serde(default)]
    pub color: Option<Color>,
    /// The most items it takes; none is no limit.
    #[serde(default)]
    pub wip_limit: Option<WipLimit>,
    /// Its id, for imports and fixtures; absent, one is made.
    #[serde(default)]
    pub stage_id: Option<StageId>,
}

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its id.
    pub id: StageId,
    /// Its name for programs.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// Whether an item that enters it is completed.
    pub is_terminal: bool,
    /// Its colour, `#RRGGBB`.
    pub color: Option<String>,
    /// The most items it takes.
    pub wip_limit: Option<u32>,
}

/// What an update changed of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageChanges {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Change<String>>,
    /// Its colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Change<Option<String>>>,
    /// Whether an item that enters it is completed. Items that stand there already stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_terminal: Option<Change<bool>>,
    /// The most items it takes. Items that stand there already stay, above the limit too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wip_limit: Option<Change<Option<u32>>>,
}

impl Stage {
    /// Takes in what an update changed.
    pub(super) fn apply(&mut self, changes: StageChanges) {
        let StageChanges { name, color, is_terminal, wip_limit } = changes;
        name.into_iter().for_each(|change| self.name = change.to);
        color.into_iter().for_each(|change| self.color = change.to);
        is_terminal.into_iter().for_each(|change| self.is_terminal = change.to);
        wip_limit.into_iter().for_each(|change| self.wip_limit = change.to);
    }
}
