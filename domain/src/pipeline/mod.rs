//! Pipelines and the items that move through them.
//!
//! - [`Pipeline`]: the stages, in order, and who operates them. Active, it takes new items.
//! - [`PipelineItem`]: a card that stands in one stage of one pipeline.
//! - [`rank`]: the order keys by which the items of a stage are sorted.
//!
//! Pipeline and item hold each other by claims: an item refers to its stage until it is deleted and to its
//! pipeline while it is open, and a stage or pipeline that is referred to does not go. A stage's WIP limit is
//! the capacity of that same set of referring items, so that it counts whoever stands there, however long.

mod board;
mod card;
mod definition;
mod item;
pub mod rank;
mod stage;
#[cfg(test)]
mod tests;
mod values;

pub use board::Board;
pub use card::Card;
pub use definition::{Pipeline, PipelineChanges, PipelineCommand, PipelineError, PipelineEvent};
pub use item::{ItemCommand, ItemError, ItemEvent, PipelineItem};
pub use stage::{MAX_STAGES, NewStage, Stage, StageChanges, WipLimit};
pub use values::{ItemChanges, ItemStatus, MAX_TAGS, PipelineType, Priority};
