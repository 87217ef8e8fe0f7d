//! Pipelines and the items that move through them.
//!
//! - [`Pipeline`]: the stages, in order, and who operates them. Active, it takes new items.
//! - [`PipelineItem`]: a card that stands in one stage of one pipeline.
//! - [`TaskTemplate`]: what a kind of task is made after: its title's pattern, its steps, when it is due.
//! - [`Task`]: something to be done, that may stand in a stage too and goes through its own states.
//! - [`rank`]: the order keys by which the items of a stage are sorted.
//!
//! Pipeline and item hold each other by claims: an item refers to its stage until it is deleted and to its
//! pipeline while it is open, and a stage or pipeline that is referred to does not go. A stage's WIP limit is
//! the capacity of that same set of referring items, so that it counts whoever stands there, however long.
//! Tasks refer likewise, to their stage by a set of their own: they take no place of an item's.

mod board;
mod card;
mod definition;
mod item;
pub mod rank;
mod stage;
mod task;
mod task_template;
mod task_values;
#[cfg(test)]
mod tests;
mod values;
mod work;

pub use board::Board;
pub use card::Card;
pub use definition::{Pipeline, PipelineChanges, PipelineCommand, PipelineError, PipelineEvent};
pub use item::{ItemCommand, ItemError, ItemEvent, PipelineItem};
pub use stage::{MAX_STAGES, NewStage, Stage, StageChanges, WipLimit};
pub use task::{Task, TaskCommand, TaskError, TaskEvent};
pub use task_template::{Pattern, TaskTemplate, TemplateCommand, TemplateError, TemplateEvent};
pub use task_values::{
    AssigneeRule, LlmCall, MAX_STEPS, NewRecipe, Recipe, TaskChanges, TaskSource, TaskStatus, TemplateChanges, TitlePattern,
};
pub use values::{ItemChanges, ItemStatus, MAX_TAGS, PipelineType, Priority};
pub use work::Work;
