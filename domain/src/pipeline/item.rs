//! An item: a card in one stage of one pipeline, open until it reaches a terminal stage. A deleted item never
//! moves. It refers to its stage until it is deleted, and to its pipeline while it is open.

use super::board::Nowhere;
use super::card::create;
use super::{Card, ItemChanges, ItemStatus, MAX_TAGS, Pipeline, Priority};
use crate::roles::{PIPELINE_ITEMS_ASSIGN, PIPELINE_ITEMS_CREATE, PIPELINE_ITEMS_DELETE, PIPELINE_ITEMS_MOVE, PIPELINE_ITEMS_UPDATE};
use crate::workspace::Membership;
use crate::{
    Act, ActivityName, Caller, ClaimChange, ClaimName, Decider, FactRef, Guarded, Json, LongText, Moment, Needs, Patch, Personal,
    PipelineId, Rank, Sealable, ShortText, SourceRef, StageId, Tag, Title, UserId,
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What can happen to an item. Stored for ever: a change of shape needs a new version and an upcaster.
///
/// An event that enters a stage carries the stage's `wip_limit`, since claims derive from events alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
#[allow(missing_docs, reason = "the fields are those of the commands and of the state, where they are explained")]
pub enum ItemEvent {
    /// It exists, open.
    PipelineItemCreated {
        pipeline_id: PipelineId,
        stage_id: StageId,
        rank: String,
        title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assigned_to: Option<UserId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_date: Option<NaiveDate>,
        priority: Priority,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_ref: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attributes: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created_by: Option<UserId>,
        entered_at: Moment,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wip_limit: Option<u32>,
    },
    /// What is said of it changed.
    PipelineItemUpdated { changes: ItemChanges },
    /// It stands in another stage of its pipeline.
    PipelineItemMoved {
        from: StageId,
        to: StageId,
        rank: String,
        left_stage_entered_at: Moment,
        entered_at: Moment,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attributes: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wip_limit: Option<u32>,
    },
    /// It has another place in its stage.
    PipelineItemReordered { rank: String },
    /// It reached a terminal stage of this pipeline.
    PipelineItemCompleted { pipeline_id: PipelineId, completed_at: Moment },
    /// It left a terminal stage for another of this pipeline.
    PipelineItemReopened { pipeline_id: PipelineId },
    /// Something was done to it without moving it.
    PipelineItemActivityRecorded {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lifecycle: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attributes: Option<Personal<String>>,
        at: Moment,
    },
    /// It stands in another pipeline, open or completed as it was (`open`); what changes follows by itself.
    PipelineItemTransferred {
        from_pipeline_id: PipelineId,
        from_stage_id: StageId,
        pipeline_id: PipelineId,
        stage_id: StageId,
        rank: String,
        left_stage_entered_at: Moment,
        entered_at: Moment,
        open: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wip_limit: Option<u32>,
    },
    /// It is somebody's to do.
    PipelineItemAssigned { user_id: UserId },
    /// It is nobody's to do; it was this user's.
    PipelineItemUnassigned { user_id: UserId },
    /// It has one more tag.
    PipelineItemTagged { tag: String },
    /// It has one tag less.
    PipelineItemUntagged { tag: String },
    /// It is gone from its stage.
    PipelineItemDeleted { pipeline_id: PipelineId, stage_id: StageId, was_open: bool },
    /// It is back in its stage, open or completed as it was.
    PipelineItemRestored {
        pipeline_id: PipelineId,
        stage_id: StageId,
        open: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wip_limit: Option<u32>,
    },
}
crate::event!(ItemEvent);

/// What can be asked of an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the state, where they are explained")]
pub enum ItemCommand {
    /// Puts a new item into a stage of an active pipeline: its first one, unless another is named.
    CreateItem {
        pipeline_id: PipelineId,
        #[serde(default)]
        stage_id: Option<StageId>,
        title: Title,
        #[serde(default)]
        description: Option<LongText>,
        #[serde(default)]
        assigned_to: Option<UserId>,
        #[serde(default)]
        due_date: Option<NaiveDate>,
        #[serde(default)]
        priority: Option<Priority>,
        #[serde(default)]
        data: Option<Json<64>>,
        #[serde(default)]
        tags: Vec<Tag>,
        #[serde(default)]
        source_ref: Option<SourceRef>,
        #[serde(default)]
        attributes: Option<Json<16>>,
        #[serde(default)]
        rank: Option<Rank>,
    },
    /// Changes what is said of it.
    UpdateItem {
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        title: Patch<Title>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        description: Patch<Option<LongText>>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        due_date: Patch<Option<NaiveDate>>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        priority: Patch<Priority>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        data: Patch<Option<Json<64>>>,
    },
    /// Moves it to another stage of its pipeline, or, where it stands there already, to another place in it:
    /// then only the rank counts.
    MoveItem {
        to_stage_id: StageId,
        #[serde(default)]
        rank: Option<Rank>,
        #[serde(default)]
        note: Option<ShortText>,
        #[serde(default)]
        attributes: Option<Json<16>>,
    },
    /// Says that something was done to it without moving it. Said twice, it was done twice.
    RecordActivity {
        name: ActivityName,
        #[serde(default)]
        lifecycle: Option<ActivityName>,
        #[serde(default)]
        data: Option<Json<16>>,
        #[serde(default)]
        attributes: Option<Json<16>>,
    },
    /// Moves it to a stage of another pipeline, which is active.
    TransferItem { pipeline_id: PipelineId, stage_id: StageId },
    /// Makes it an active member's to do.
    AssignItem { user_id: UserId },
    /// Makes it nobody's to do.
    UnassignItem,
    /// Adds a tag.
    AddItemTag { tag: Tag },
    /// Takes a tag away.
    RemoveItemTag { tag: Tag },
    /// Deletes it.
    DeleteItem,
    /// Brings it back to its stage.
    RestoreItem,
}

/// Why an item refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ItemError {
    /// There is none of this id.
    #[error("there is no such item in this workspace")]
    NotFound,
    /// There is one of this id.
    #[error("this item exists already")]
    AlreadyExists,
    /// It is deleted.
    #[error("this item is deleted; restore it first")]
    #[strum(serialize = "INVALID_STATE")]
    Deleted,
    /// The pipeline that was named is not there.
    #[error("there is no such pipeline in this workspace")]
    PipelineNotFound,
    /// The pipeline in which the item stands is deleted.
    #[error("the item's pipeline is deleted; restore the pipeline first, or transfer the item to another")]
    #[strum(serialize = "PIPELINE_NOT_FOUND")]
    PipelineGone,
    /// The pipeline that was named takes no new items.
    #[error("this pipeline is not active; activate it first, or name another")]
    PipelineInactive,
    /// The stage that was named is not there.
    #[error("this pipeline has no such stage")]
    StageNotFound,
    /// The stage to move to is not there.
    #[error("the item's pipeline has no such stage; use TransferItem for a stage of another pipeline")]
    #[strum(serialize = "STAGE_NOT_FOUND")]
    ToStageNotFound,
    /// The stage in which the item stood is removed.
    #[error("the stage in which the item stood has been removed; create the item anew in another stage")]
    #[strum(serialize = "STAGE_NOT_FOUND")]
    StageGone,
    /// The pipeline to transfer to is the one in which the item stands.
    #[error("the item stands in this pipeline already; use MoveItem to move it to another of its stages")]
    SamePipeline,
    /// The claim on a place in the stage failed.
    #[error("the stage holds as many items as its limit allows; move one out of it first")]
    WipLimitReached,
    /// Only members are assigned. At creation.
    #[error("there is no such active member in this workspace, and only members are assigned items")]
    #[strum(serialize = "MEMBER_NOT_FOUND")]
    AssigneeNotMember,
    /// Only members are assigned. Later on.
    #[error("there is no such active member in this workspace, and only members are assigned items")]
    #[strum(serialize = "MEMBER_NOT_FOUND")]
    UserNotMember,
    /// At creation, anybody may take the item, and only those who may assign may give it to others.
    #[error("assigning a new item to somebody else needs {}; leave it unassigned or assign it to yourself", PIPELINE_ITEMS_ASSIGN.name())]
    #[strum(serialize = "FORBIDDEN")]
    AssignNotAllowed,
    /// More tags than a card can show.
    #[error("an item has at most {MAX_TAGS} tags; remove one first")]
    TooManyTags,
    /// An order key beside which nothing could ever be placed.
    #[error("this is no order key; leave the rank out, or take one between the ranks of two neighbours")]
    RankInvalid,
}
crate::refusal!(ItemError, {
    Self::PipelineNotFound | Self::PipelineInactive | Self::SamePipeline => "pipelineId",
    Self::StageNotFound => "stageId",
    Self::ToStageNotFound => "toStageId",
    Self::AssigneeNotMember | Self::AssignNotAllowed => "assignedTo",
    Self::UserNotMember => "userId",
    Self::TooManyTags => "tags",
    Self::RankInvalid => "rank",
});

impl From<Nowhere> for ItemError {
    fn from(nowhere: Nowhere) -> Self {
        match nowhere {
            Nowhere::PipelineNotFound => Self::PipelineNotFound,
            Nowhere::PipelineInactive => Self::PipelineInactive,
            Nowhere::StageNotFound => Self::StageNotFound,
        }
    }
}

/// An item as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum PipelineItem {
    /// Never created.
    #[default]
    Absent,
    /// On the board, open or completed.
    Live(Card),
    /// Deleted, and as it was.
    Deleted(Card),
}

impl PipelineItem {
    /// Where it is in its life; nothing for one that never was.
    #[must_use]
    pub fn status(&self) -> Option<ItemStatus> {
        match self {
            Self::Absent => None,
            Self::Live(card) if card.is_open() => Some(ItemStatus::Open),
            Self::Live(_) => Some(ItemStatus::Completed),
            Self::Deleted(_) => Some(ItemStatus::Deleted),
        }
    }

    /// What it is, or was before it was deleted.
    #[must_use]
    pub fn card(&self) -> Option<&Card> {
        match self {
            Self::Live(card) | Self::Deleted(card) => Some(card),
            Self::Absent => None,
        }
    }

    fn card_mut(&mut self) -> Option<&mut Card> {
        match self {
            Self::Live(card) | Self::Deleted(card) => Some(card),
            Self::Absent => None,
        }
    }
}

impl Guarded<PipelineItem> for ItemCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, item: &PipelineItem, _: &Caller) -> Needs {
        let permission = match self {
            Self::CreateItem { .. } => return Needs::new(PIPELINE_ITEMS_CREATE),
            Self::MoveItem { .. } | Self::TransferItem { .. } => PIPELINE_ITEMS_MOVE,
            Self::AssignItem { .. } | Self::UnassignItem => PIPELINE_ITEMS_ASSIGN,
            Self::DeleteItem | Self::RestoreItem => PIPELINE_ITEMS_DELETE,
            Self::UpdateItem { .. } | Self::RecordActivity { .. } | Self::AddItemTag { .. } | Self::RemoveItemTag { .. } => {
                PIPELINE_ITEMS_UPDATE
            }
        };
        match item.card() {
            Some(card) => Needs::owned_by(permission, card.created_by.into_iter().chain(card.assigned_to)),
            None => Needs::new(permission),
        }
    }

    fn facts(&self, item: &PipelineItem, caller: &Caller) -> Vec<FactRef> {
        let own = || item.card().map(|card| FactRef::of::<Pipeline>(card.pipeline_id)).into_iter().collect();
        let member = |user| Membership::wanted(caller, user);
        match self {
            Self::CreateItem { pipeline_id, assigned_to, .. } => {
                std::iter::once(FactRef::of::<Pipeline>(*pipeline_id)).chain(assigned_to.map(member)).collect()
            }
            Self::TransferItem { pipeline_id, .. } => vec![FactRef::of::<Pipeline>(*pipeline_id)],
            Self::MoveItem { .. } | Self::RestoreItem => own(),
            Self::AssignItem { user_id } => vec![member(*user_id)],
            _ => vec![],
        }
    }
}

impl Decider for PipelineItem {
    const TYPE: &'static str = "pipeline_item";
    type Command = ItemCommand;
    type Event = ItemEvent;
    type Error = ItemError;

    fn decide(&self, command: ItemCommand, act: &Act) -> Result<Vec<ItemEvent>, ItemError> {
        match (self, command) {
            (Self::Absent, command @ ItemCommand::CreateItem { .. }) => create(command, act),
            (Self::Live(_) | Self::Deleted(_), ItemCommand::CreateItem { .. }) => Err(ItemError::AlreadyExists),
            (Self::Absent, _) => Err(ItemError::NotFound),
            (Self::Live(card), command) => card.decide(command, act),
            (Self::Deleted(_), ItemCommand::DeleteItem) => Ok(vec![]),
            (Self::Deleted(card), ItemCommand::RestoreItem) => card.restore(act),
            (Self::Deleted(_), _) => Err(ItemError::Deleted),
        }
    }

    fn apply(&mut self, event: ItemEvent) {
        use ItemEvent::*;
        match event {
            PipelineItemCreated {
                pipeline_id,
                stage_id,
                rank,
                title,
                description,
                assigned_to,
                due_date,
                priority,
                data,
                tags,
                source_ref,
                created_by,
                entered_at,
                ..
            } => {
                *self = Self::Live(Card {
                    pipeline_id,
                    stage_id,
                    rank,
                    entered_at,
                    title,
                    description,
                    assigned_to,
                    due_date,
                    priority,
                    data,
                    tags,
                    source_ref,
                    created_by,
                    completed_at: None,
                });
            }
            PipelineItemDeleted { .. } => {
                *self = match std::mem::take(self) {
                    Self::Live(card) | Self::Deleted(card) => Self::Deleted(card),
                    Self::Absent => Self::Absent,
                }
            }
            PipelineItemRestored { .. } => {
                *self = match std::mem::take(self) {
                    Self::Live(card) | Self::Deleted(card) => Self::Live(card),
                    Self::Absent => Self::Absent,
                }
            }
            event => {
                if let Some(card) = self.card_mut() {
                    card.apply(event);
                }
            }
        }
    }

    fn personal(&mut self, visit: &mut dyn FnMut(&mut dyn Sealable)) {
        if let Some(card) = self.card_mut() {
            for sealable in [card.description.as_mut(), card.data.as_mut()].into_iter().flatten() {
                visit(sealable);
            }
        }
    }

    fn claims(event: &ItemEvent, _: Uuid) -> Vec<ClaimChange> {
        use ItemEvent::*;
        // The stage's capacity is its WIP limit: who refers to it is who stands in it.
        let enter = |stage: &StageId, limit: &Option<u32>| Some(ClaimChange::count(ClaimName::clear("stage", stage), *limit));
        let leave = |stage: &StageId| Some(ClaimChange::release(ClaimName::clear("stage", stage)));
        let open = |pipeline: &PipelineId| Some(ClaimChange::refer(ClaimName::clear("pipeline", pipeline)));
        let close = |pipeline: &PipelineId| Some(ClaimChange::release(ClaimName::clear("pipeline", pipeline)));
        let changes = match event {
            PipelineItemCreated { pipeline_id, stage_id, wip_limit, .. } => [enter(stage_id, wip_limit), open(pipeline_id), None, None],
            PipelineItemMoved { from, to, wip_limit, .. } => [leave(from), enter(to, wip_limit), None, None],
            PipelineItemCompleted { pipeline_id, .. } => [close(pipeline_id), None, None, None],
            PipelineItemReopened { pipeline_id } => [open(pipeline_id), None, None, None],
            PipelineItemTransferred { from_pipeline_id, from_stage_id, pipeline_id, stage_id, open: is_open, wip_limit, .. } => [
                leave(from_stage_id),
                enter(stage_id, wip_limit),
                is_open.then(|| close(from_pipeline_id)).flatten(),
                is_open.then(|| open(pipeline_id)).flatten(),
            ],
            PipelineItemDeleted { pipeline_id, stage_id, .. } => [leave(stage_id), close(pipeline_id), None, None],
            PipelineItemRestored { pipeline_id, stage_id, open: is_open, wip_limit } => {
                [enter(stage_id, wip_limit), is_open.then(|| open(pipeline_id)).flatten(), None, None]
            }
            _ => return vec![],
        };
        changes.into_iter().flatten().collect()
    }

    fn claim_refused(kind: &str) -> Option<ItemError> {
        match kind {
            "stage" => Some(ItemError::WipLimitReached),
            // Without bound, so never refused; named because every kind is.
            "pipeline" => Some(ItemError::PipelineNotFound),
            _ => None,
        }
    }
}
