//! The inputs of the commands of tasks and their templates, named as the commands' own fields are.

use super::inputs::{json, patched_json};
use async_graphql::{InputObject, MaybeUndefined};
use chrono::{DateTime, Utc};
use domain::{PipelineId, StageId, TaskTemplateId, UserId};
use projections::pipeline::{AssigneeRule, Priority, TaskSource};
use projections::{JsonText, NodeId};
use serde::Serialize;

/// What a template's tasks are made of.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskDefinitionInput {
    /// The title, 1 to 200 characters, in which `{{name}}` stands for a variable; names are of a-z, 0-9 and _.
    title_pattern: String,
    /// What the tasks are about: at most 10,000 characters.
    description: Option<String>,
    /// The steps, in order: at most 50 of 1 to 200 characters.
    #[graphql(default)]
    steps: Vec<String>,
    /// Whose the tasks are at first; left out, NOBODY's.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_assignee_rule: Option<AssigneeRule>,
    /// In how many hours the tasks are due: 1 to 65,535; left out, never.
    due_in_hours: Option<i32>,
    /// How urgent the tasks are; left out, MEDIUM.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
}

/// A task template to be made.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateTaskTemplateInput {
    /// Its label: 1 to 100 characters.
    label: String,
    /// Its category: 1 to 100 characters.
    category: String,
    /// The key of the pipeline in whose first stage its tasks shall stand, if there is such an active pipeline.
    preferred_pipeline_key: Option<String>,
    /// What its tasks are made of.
    definition: TaskDefinitionInput,
}

/// What is to change of a task template; what is left out stays.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateTaskTemplateInput {
    /// Its label: 1 to 100 characters.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    label: MaybeUndefined<String>,
    /// Its category: 1 to 100 characters.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    category: MaybeUndefined<String>,
    /// The key of the pipeline in whose first stage its tasks shall stand; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    preferred_pipeline_key: MaybeUndefined<String>,
    /// What its tasks are made of, as a whole.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    definition: MaybeUndefined<TaskDefinitionInput>,
}

/// A task to be made.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateTaskInput {
    /// Its title: 1 to 200 characters.
    title: String,
    /// What it is about: at most 10,000 characters.
    description: Option<String>,
    /// Where it comes from; left out, MANUAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<TaskSource>,
    /// What it comes from, outside: at most 200 characters.
    source_ref: Option<String>,
    /// The pipeline, which is active; left out, it stands in none.
    pipeline_id: Option<NodeId<PipelineId>>,
    /// The stage of that pipeline; left out, its first.
    stage_id: Option<NodeId<StageId>>,
    /// Whose it is to do: an active member.
    assignee_id: Option<NodeId<UserId>>,
    /// By when it is to be done.
    due_at: Option<DateTime<Utc>>,
    /// Anything else: at most 64 KiB of JSON without fractions.
    #[serde(serialize_with = "json")]
    data: Option<JsonText>,
}

/// A task to be made after a template.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateTaskFromTemplateInput {
    /// The template, which is active.
    pub(super) template_id: NodeId<TaskTemplateId>,
    /// An object, at most 16 KiB of JSON, whose strings fill the placeholders of the template's title.
    #[serde(serialize_with = "json")]
    variables: Option<JsonText>,
    /// Where it comes from; left out, MANUAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<TaskSource>,
    /// What it comes from, outside: at most 200 characters.
    source_ref: Option<String>,
}

/// What is to change of a task; what is left out stays.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateTaskInput {
    /// Its title: 1 to 200 characters.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    title: MaybeUndefined<String>,
    /// What it is about: at most 10,000 characters; null for nothing.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    description: MaybeUndefined<String>,
    /// By when it is to be done; null for never.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    due_at: MaybeUndefined<DateTime<Utc>>,
    /// Anything else: at most 64 KiB of JSON without fractions; null for nothing.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined", serialize_with = "patched_json")]
    data: MaybeUndefined<JsonText>,
}
