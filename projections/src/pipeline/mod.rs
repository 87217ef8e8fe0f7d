//! Pipelines and the items that move through them.
//!
//! - [`Pipeline`]: with its stages' ids in order; a stage's place stands there and nowhere else.
//! - [`Stage`], [`Operator`]: what else belongs to a pipeline.
//! - [`Item`]: a card, with [`ItemTag`] beside it to find it by tag.
//! - [`ItemHistory`]: what happened to items, event by event.
//! - [`ItemCount`]: how many items stand in a stage, and how many open ones a pipeline has.
//! - [`StageDay`]: how many items entered and left a stage on a day.
//! - [`TaskTemplate`], [`Task`], [`TaskDecision`]: what is to be done, and what was decided about it.

mod board;
mod decisions;
mod history;
mod item_counts;
mod item_filter;
mod items;
mod metrics;
mod operators;
mod pipelines;
mod stages;
mod tags;
mod task_templates;
#[cfg(test)]
mod task_tests;
mod tasks;
#[cfg(test)]
mod tests;

pub use board::{AssigneeCount, items_by_assignee, items_by_stage, neighbour_ranks};
pub use decisions::{TaskDecision, task_decisions};
pub use history::{HistoryKind, ItemHistory, StageTime, item_history, time_in_stage};
pub use item_counts::{ItemCount, item_counts_by_pipeline, item_counts_by_stage};
pub use item_filter::{ItemFilter, ItemOrder};
pub use items::{Item, ItemStatus, Priority, count_items, item, items, items_by_id};
pub use metrics::{StageDay, stage_days};
pub use operators::{Operator, operators_by_pipeline};
pub use pipelines::{
    Pipeline, PipelineFilter, PipelineOrder, PipelineType, count_pipelines, pipeline, pipeline_by_key, pipelines, pipelines_by_id,
};
pub use stages::{Stage, stages_by_id, stages_by_pipeline};
pub use tags::ItemTag;
pub use task_templates::{
    AssigneeRule, TaskTemplate, TaskTemplateFilter, count_task_templates, task_template, task_templates, task_templates_by_id,
};
pub use tasks::{Task, TaskFilter, TaskOrder, TaskSource, TaskStatus, count_tasks, task, tasks};
