//! Pipelines and items: the board, lists, history and times, and every command.

mod entities;
mod inputs;
mod mutations;
mod queries;
mod ranks;
mod task_inputs;
mod task_mutations;
mod tasks;

pub(super) use entities::{Item, Pipeline};
pub(super) use mutations::PipelineMutation;
pub(super) use queries::PipelineQuery;
pub(super) use task_mutations::TaskMutation;
pub(super) use tasks::{Task, TaskQuery, TaskTemplate};
