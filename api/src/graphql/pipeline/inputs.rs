//! The inputs of commands with many fields. Their names are the commands' own, so that a command is made from its
//! input as it stands, and the domain's rules speak of the fields by these names.

use async_graphql::{InputObject, MaybeUndefined};
use domain::{PipelineId, StageId, UserId};
use projections::pipeline::{PipelineType, Priority};
use projections::{Date, JsonText, NodeId};
use serde::{Serialize, Serializer};

/// A stage to be made.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewStageInput {
    /// Its name for programs, unique in the pipeline: a-z, 0-9 and _, at most 50.
    key: String,
    /// Its name for people: 1 to 100 characters.
    name: String,
    /// Whether an item that enters it is completed.
    #[graphql(default)]
    is_terminal: bool,
    /// Its colour, `#RRGGBB`.
    color: Option<String>,
    /// The most items it takes, 1 to 10,000; left out, it takes any number.
    wip_limit: Option<i32>,
}

/// A stage to be added.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddStageInput {
    #[graphql(flatten)]
    #[serde(flatten)]
    stage: NewStageInput,
    /// Its place from 0; left out, it is the last.
    order: Option<i32>,
}

/// What is to change of a stage; what is left out stays.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateStageInput {
    /// The stage.
    pub(super) stage_id: NodeId<StageId>,
    /// Its name for people: 1 to 100 characters.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    name: MaybeUndefined<String>,
    /// Its colour, `#RRGGBB`; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    color: MaybeUndefined<String>,
    /// Whether an item that enters it from now on is completed.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    is_terminal: MaybeUndefined<bool>,
    /// The most items it takes, 1 to 10,000; null for any number.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    wip_limit: MaybeUndefined<i32>,
}

/// A pipeline to be made.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatePipelineInput {
    /// Its name for programs, unique in the workspace: a-z, 0-9 and _, at most 50.
    key: String,
    /// Its name for people: 1 to 100 characters.
    name: String,
    /// What it is for.
    #[graphql(name = "type")]
    r#type: PipelineType,
    /// What it is for, in words: at most 10,000 characters.
    description: Option<String>,
    /// Its stages, in order; at most 50.
    #[graphql(default)]
    stages: Vec<NewStageInput>,
}

/// What is to change of a pipeline; what is left out stays.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdatePipelineInput {
    /// Its name for people: 1 to 100 characters.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    name: MaybeUndefined<String>,
    /// What it is for.
    #[graphql(name = "type")]
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    r#type: MaybeUndefined<PipelineType>,
    /// What it is for, in words: at most 10,000 characters; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    description: MaybeUndefined<String>,
}

/// An item to be made.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateItemInput {
    /// The pipeline, which is active.
    pipeline_id: NodeId<PipelineId>,
    /// The stage; left out, the pipeline's first.
    stage_id: Option<NodeId<StageId>>,
    /// Its title: 1 to 200 characters.
    title: String,
    /// What it is about: at most 10,000 characters.
    description: Option<String>,
    /// Whose it is to do: an active member.
    assigned_to: Option<NodeId<UserId>>,
    /// Until when.
    due_date: Option<Date>,
    /// How urgent it is; left out, MEDIUM.
    priority: Option<Priority>,
    /// Anything else: at most 64 KiB of JSON without fractions.
    #[serde(serialize_with = "json")]
    data: Option<JsonText>,
    /// At most 20 tags of 1 to 50 characters.
    #[graphql(default)]
    tags: Vec<String>,
    /// Where it comes from: at most 200 characters.
    source_ref: Option<String>,
    /// Anything about its making: at most 16 KiB of JSON without fractions.
    #[serde(serialize_with = "json")]
    attributes: Option<JsonText>,
}

/// What is to change of an item; what is left out stays.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateItemInput {
    /// Its title: 1 to 200 characters.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    title: MaybeUndefined<String>,
    /// What it is about: at most 10,000 characters; null for nothing.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    description: MaybeUndefined<String>,
    /// Until when; null for no date.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    due_date: MaybeUndefined<Date>,
    /// How urgent it is.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    priority: MaybeUndefined<Priority>,
    /// Anything else: at most 64 KiB of JSON without fractions; null for nothing.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined", serialize_with = "patched_json")]
    data: MaybeUndefined<JsonText>,
}

/// A move of an item.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MoveItemInput {
    /// The stage, of the same pipeline.
    pub(super) to_stage_id: NodeId<StageId>,
    /// The item before which it shall stand.
    pub(super) before: Option<NodeId<domain::ItemId>>,
    /// The item behind which it shall stand.
    pub(super) after: Option<NodeId<domain::ItemId>>,
    /// Why: at most 1,000 characters.
    pub(super) note: Option<String>,
    /// Anything about the move: at most 16 KiB of JSON without fractions.
    pub(super) attributes: Option<JsonText>,
}

/// Something that was done to an item.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordActivityInput {
    /// What was done: 1 to 200 characters.
    name: String,
    /// Where in its life the activity is, such as `start` or `complete`.
    lifecycle: Option<String>,
    /// What came of it: at most 16 KiB of JSON without fractions.
    #[serde(serialize_with = "json")]
    data: Option<JsonText>,
    /// Anything about it: at most 16 KiB of JSON without fractions.
    #[serde(serialize_with = "json")]
    attributes: Option<JsonText>,
}

/// JSON as JSON and not as its text: what commands take.
pub(super) fn json<S: Serializer>(json: &Option<JsonText>, serializer: S) -> Result<S::Ok, S::Error> {
    value(json.as_ref()).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

pub(super) fn patched_json<S: Serializer>(json: &MaybeUndefined<JsonText>, serializer: S) -> Result<S::Ok, S::Error> {
    value(json.value()).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

pub(super) fn value(json: Option<&JsonText>) -> serde_json::Result<Option<serde_json::Value>> {
    json.map(|json| serde_json::from_str(&json.0)).transpose()
}
