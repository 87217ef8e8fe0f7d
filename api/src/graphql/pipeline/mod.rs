//! Pipelines and items: the board, lists, history and times, and every command.

mod entities;
mod inputs;
mod mutations;
mod queries;
mod ranks;

pub(super) use entities::{Item, Pipeline};
pub(super) use mutations::PipelineMutation;
pub(super) use queries::PipelineQuery;
