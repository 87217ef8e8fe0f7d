//! A pipeline: its stages in order and its operators. While it is active, some stage is not terminal; its key
//! is its own until it is deleted.

use super::{Board, MAX_STAGES, NewStage, PipelineType, StageChanges, WipLimit, board};
use crate::roles::{PIPELINES_CREATE, PIPELINES_DELETE, PIPELINES_UPDATE};
use crate::workspace::{Membership, Workspace};
use crate::{
    Act, Caller, Change, ClaimChange, ClaimName, Color, Decider, FactRef, Guarded, Key, LongText, Name, Needs, Patch, Personal, Sealable,
    StageId, UserId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What can happen to a pipeline. Stored for ever: a change of shape needs a new version and an upcaster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
#[allow(missing_docs, reason = "the fields are those of the commands and of the state, where they are explained")]
pub enum PipelineEvent {
    /// It exists, inactive.
    PipelineCreated {
        key: String,
        name: String,
        pipeline_type: PipelineType,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created_by: Option<UserId>,
    },
    /// What is said of it changed.
    PipelineUpdated { changes: PipelineChanges },
    /// It takes new items, as one of at most `limit` of the workspace's pipelines.
    PipelineActivated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
    /// It takes no new items.
    PipelineDeactivated,
    /// It has one more stage, at place `order` from 0; those at and behind that place move back by one.
    StageAdded {
        stage_id: StageId,
        key: String,
        name: String,
        order: u32,
        is_terminal: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        color: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wip_limit: Option<u32>,
    },
    /// What is said of a stage changed.
    StageUpdated { stage_id: StageId, changes: StageChanges },
    /// All stages, in their new order.
    StagesReordered { stage_ids: Vec<StageId> },
    /// A stage is gone; those behind it move up by one.
    StageRemoved { stage_id: StageId },
    /// A member operates it.
    OperatorAssigned { user_id: UserId },
    /// A user operates it no longer.
    OperatorUnassigned { user_id: UserId },
    /// It is gone, and its key is free.
    PipelineDeleted { key: String },
    /// It is there again under its key, inactive.
    PipelineRestored { key: String },
}
crate::event!(PipelineEvent);

/// What an update changed of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PipelineChanges {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Change<String>>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_type: Option<Change<PipelineType>>,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Change<Option<Personal<String>>>>,
}

/// What can be asked of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the state, where they are explained")]
pub enum PipelineCommand {
    /// Creates it, inactive, with these stages in this order.
    CreatePipeline {
        key: Key,
        name: Name,
        #[serde(rename = "type")]
        kind: PipelineType,
        #[serde(default)]
        description: Option<LongText>,
        #[serde(default)]
        stages: Vec<NewStage>,
    },
    /// Changes what is said of it.
    UpdatePipeline {
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        name: Patch<Name>,
        #[serde(default, rename = "type", skip_serializing_if = "Patch::is_keep")]
        kind: Patch<PipelineType>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        description: Patch<Option<LongText>>,
    },
    /// Lets it take new items; the plan limits how many pipelines may.
    ActivatePipeline,
    /// Lets it take no new items; those it has go on.
    DeactivatePipeline,
    /// Adds a stage at place `order` from 0, or behind the last one.
    AddStage {
        #[serde(flatten)]
        stage: NewStage,
        #[serde(default)]
        order: Option<u32>,
    },
    /// Changes what is said of a stage. Items that stand in it stay, as open or completed as they are.
    UpdateStage {
        stage_id: StageId,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        name: Patch<Name>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        color: Patch<Option<Color>>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        is_terminal: Patch<bool>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        wip_limit: Patch<Option<WipLimit>>,
    },
    /// Puts all stages in this order.
    ReorderStages { stage_ids: Vec<StageId> },
    /// Removes a stage in which no items or tasks stand.
    RemoveStage { stage_id: StageId },
    /// Lets an active member operate it.
    AssignOperator { user_id: UserId },
    /// Lets a user operate it no longer.
    UnassignOperator { user_id: UserId },
    /// Deletes it, if it has no open items or tasks.
    DeletePipeline,
    /// Brings it back, inactive.
    RestorePipeline,
}

/// Why a pipeline refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum PipelineError {
    /// There is none of this id.
    #[error("there is no such pipeline in this workspace")]
    NotFound,
    /// There is one of this id.
    #[error("this pipeline exists already")]
    AlreadyExists,
    /// It is deleted.
    #[error("this pipeline is deleted; restore it first")]
    #[strum(serialize = "INVALID_STATE")]
    Deleted,
    /// The claim on its key failed.
    #[error("another pipeline of this workspace has this key; choose another key, or delete that pipeline")]
    KeyTaken,
    /// The claim on a place among the active pipelines failed.
    #[error("the workspace's plan allows no more active pipelines; deactivate one or change the plan")]
    QuotaExceeded,
    /// An active pipeline without an open end takes items that are completed at birth.
    #[error("an active pipeline needs at least one stage that is not terminal; add one first, or deactivate the pipeline")]
    NoOpenStage,
    /// No stage of this id.
    #[error("this pipeline has no such stage")]
    StageNotFound,
    /// A stage to be added has the key of another.
    #[error("a stage of this pipeline has the key `{0}` already; choose another")]
    StageKeyTaken(String),
    /// Two stages of a new pipeline have the same key.
    #[error("two of the stages have the key `{0}`; give each its own")]
    #[strum(serialize = "STAGE_KEY_TAKEN")]
    StageKeyRepeated(String),
    /// A stage to be added has the id of another.
    #[error("a stage of this pipeline has the id {0} already; leave the id out and one is made")]
    #[strum(serialize = "CONFLICT")]
    StageIdTaken(StageId),
    /// More stages than a board can show.
    #[error("a pipeline has at most {MAX_STAGES} stages")]
    TooManyStages,
    /// A place behind the end.
    #[error("the order of a new stage is 0 to {0} here; leave it out to add the stage behind the last one")]
    OrderOutOfRange(u32),
    /// Not a permutation.
    #[error("name each of the pipeline's stages exactly once")]
    NotAllStages,
    /// The claim that nothing stands in the stage failed.
    #[error("items or tasks stand in this stage; move or delete them first")]
    StageInUse,
    /// The claim that the pipeline has no open items or tasks failed.
    #[error("this pipeline has open items or tasks; complete, transfer or delete them first")]
    PipelineInUse,
    /// One of the stages named is none of this pipeline's.
    #[error("one of these is no stage of this pipeline; name each of its stages exactly once")]
    #[strum(serialize = "STAGE_NOT_FOUND")]
    NoSuchStage,
    /// Only members operate.
    #[error("there is no such active member in this workspace, and only members operate pipelines")]
    #[strum(serialize = "MEMBER_NOT_FOUND")]
    OperatorNotMember,
}
crate::refusal!(PipelineError, {
    Self::KeyTaken | Self::StageKeyTaken(_) => "key",
    Self::StageKeyRepeated(_) | Self::TooManyStages => "stages",
    Self::StageNotFound | Self::StageIdTaken(_) => "stageId",
    Self::OrderOutOfRange(_) => "order",
    Self::NotAllStages | Self::NoSuchStage => "stageIds",
    Self::OperatorNotMember => "userId",
});

/// A pipeline as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Pipeline {
    /// Never created.
    #[default]
    Absent,
    /// In use, active or not.
    Live(Board),
    /// Deleted, and as it was but inactive.
    Deleted(Board),
}

impl Pipeline {
    /// What it is, unless it is deleted or never was.
    #[must_use]
    pub fn live(&self) -> Option<&Board> {
        match self {
            Self::Live(board) => Some(board),
            Self::Absent | Self::Deleted(_) => None,
        }
    }

    fn board(&self) -> Option<&Board> {
        match self {
            Self::Live(board) | Self::Deleted(board) => Some(board),
            Self::Absent => None,
        }
    }

    fn board_mut(&mut self) -> Option<&mut Board> {
        match self {
            Self::Live(board) | Self::Deleted(board) => Some(board),
            Self::Absent => None,
        }
    }
}

impl Guarded<Pipeline> for PipelineCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, pipeline: &Pipeline, _: &Caller) -> Needs {
        let permission = match self {
            Self::CreatePipeline { .. } => return Needs::new(PIPELINES_CREATE),
            Self::DeletePipeline | Self::RestorePipeline => PIPELINES_DELETE,
            _ => PIPELINES_UPDATE,
        };
        match pipeline.board() {
            Some(board) => Needs::owned_by(permission, board.operators.iter().copied().chain(board.created_by)),
            None => Needs::new(permission),
        }
    }

    fn facts(&self, _: &Pipeline, caller: &Caller) -> Vec<FactRef> {
        match self {
            Self::ActivatePipeline => vec![FactRef::of::<Workspace>(caller.tenant)],
            Self::AssignOperator { user_id } | Self::UnassignOperator { user_id } => vec![Membership::wanted(caller, *user_id)],
            _ => vec![],
        }
    }
}

impl Decider for Pipeline {
    const TYPE: &'static str = "pipeline";
    type Command = PipelineCommand;
    type Event = PipelineEvent;
    type Error = PipelineError;

    fn decide(&self, command: PipelineCommand, act: &Act) -> Result<Vec<PipelineEvent>, PipelineError> {
        match (self, command) {
            (Self::Absent, PipelineCommand::CreatePipeline { key, name, kind, description, stages }) => {
                let created = PipelineEvent::PipelineCreated {
                    key: key.into(),
                    name: name.into(),
                    pipeline_type: kind,
                    description: description.map(|text| act.free_text(text)),
                    created_by: act.user(),
                };
                board::with_stages(created, stages, act)
            }
            (Self::Absent, _) => Err(PipelineError::NotFound),
            (Self::Live(board), command) => board.decide(command, act),
            (Self::Deleted(_), PipelineCommand::CreatePipeline { .. }) => Err(PipelineError::AlreadyExists),
            (Self::Deleted(_), PipelineCommand::DeletePipeline) => Ok(vec![]),
            (Self::Deleted(board), PipelineCommand::RestorePipeline) => {
                Ok(vec![PipelineEvent::PipelineRestored { key: board.key.clone() }])
            }
            (Self::Deleted(_), _) => Err(PipelineError::Deleted),
        }
    }

    fn apply(&mut self, event: PipelineEvent) {
        match event {
            PipelineEvent::PipelineCreated { key, name, pipeline_type, description, created_by } => {
                let (stages, operators) = (Vec::new(), BTreeSet::new());
                *self = Self::Live(Board { key, name, pipeline_type, description, is_active: false, stages, operators, created_by });
            }
            PipelineEvent::PipelineDeleted { .. } => {
                *self = match std::mem::take(self) {
                    Self::Live(board) | Self::Deleted(board) => Self::Deleted(Board { is_active: false, ..board }),
                    Self::Absent => Self::Absent,
                }
            }
            PipelineEvent::PipelineRestored { .. } => {
                *self = match std::mem::take(self) {
                    Self::Live(board) | Self::Deleted(board) => Self::Live(board),
                    Self::Absent => Self::Absent,
                }
            }
            event => {
                if let Some(board) = self.board_mut() {
                    board.apply(event);
                }
            }
        }
    }

    fn personal(&mut self, visit: &mut dyn FnMut(&mut dyn Sealable)) {
        if let Some(description) = self.board_mut().and_then(|board| board.description.as_mut()) {
            visit(description);
        }
    }

    fn claims(event: &PipelineEvent, id: Uuid) -> Vec<ClaimChange> {
        use PipelineEvent::*;
        let name = |key: &str| ClaimName::clear("pipeline_key", key);
        let active = || ClaimName::clear("active_pipelines", "workspace");
        match event {
            PipelineCreated { key, .. } | PipelineRestored { key } => vec![ClaimChange::take(name(key))],
            PipelineActivated { limit } => vec![ClaimChange::count(active(), *limit)],
            PipelineDeactivated => vec![ClaimChange::release(active())],
            StageRemoved { stage_id } => {
                ["stage", "task_stage"].map(|kind| ClaimChange::require_none(ClaimName::clear(kind, stage_id))).to_vec()
            }
            PipelineDeleted { key } => vec![
                ClaimChange::require_none(ClaimName::clear("pipeline", id)),
                ClaimChange::release(name(key)),
                ClaimChange::release(active()),
            ],
            _ => vec![],
        }
    }

    fn claim_refused(kind: &str) -> Option<PipelineError> {
        Some(match kind {
            "pipeline_key" => PipelineError::KeyTaken,
            "active_pipelines" => PipelineError::QuotaExceeded,
            "stage" | "task_stage" => PipelineError::StageInUse,
            "pipeline" => PipelineError::PipelineInUse,
            _ => return None,
        })
    }
}
