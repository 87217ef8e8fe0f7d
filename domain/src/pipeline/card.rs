//! What an item decides and how it changes, once it exists.

use super::{Board, ItemChanges, ItemCommand, ItemError, ItemEvent, MAX_TAGS, Priority, Stage, rank};
use crate::roles::PIPELINE_ITEMS_ASSIGN;
use crate::workspace::Membership;
use crate::{Act, Json, Moment, Personal, PipelineId, Rank, StageId, UserId, edit};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// What an item is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The pipeline in which it stands.
    pub pipeline_id: PipelineId,
    /// The stage in which it stands.
    pub stage_id: StageId,
    /// Its place in the stage: an order key; ties go by id.
    pub rank: String,
    /// When it entered the stage.
    pub entered_at: Moment,
    /// Its title.
    pub title: String,
    /// What else is to be said of it.
    pub description: Option<Personal<String>>,
    /// Whose it is to do.
    pub assigned_to: Option<UserId>,
    /// The day by which it is to be done.
    pub due_date: Option<NaiveDate>,
    /// How urgent it is.
    pub priority: Priority,
    /// Free data: canonical JSON.
    pub data: Option<Personal<String>>,
    /// Its tags, in the order they were added.
    pub tags: Vec<String>,
    /// What it came from, outside.
    pub source_ref: Option<String>,
    /// Who created it.
    pub created_by: Option<UserId>,
    /// When it was completed, unless it is open.
    pub completed_at: Option<Moment>,
}

pub(super) fn create(command: ItemCommand, act: &Act) -> Result<Vec<ItemEvent>, ItemError> {
    let ItemCommand::CreateItem {
        pipeline_id,
        stage_id,
        title,
        description,
        assigned_to,
        due_date,
        priority,
        data,
        tags,
        source_ref,
        attributes,
        rank,
    } = command
    else {
        return Err(ItemError::NotFound);
    };
    let stage = Board::open_stage(act, pipeline_id, stage_id)?;
    if let Some(user) = assigned_to {
        if act.user() != Some(user) && act.caller().grants.scope(PIPELINE_ITEMS_ASSIGN).is_none() {
            return Err(ItemError::AssignNotAllowed);
        }
        if !Membership::has(act, user) {
            return Err(ItemError::AssigneeNotMember);
        }
    }
    let mut kept: Vec<String> = Vec::new();
    for tag in tags.into_iter().map(String::from) {
        if !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    if kept.len() > MAX_TAGS {
        return Err(ItemError::TooManyTags);
    }
    let entered_at = act.now();
    let created = ItemEvent::PipelineItemCreated {
        pipeline_id,
        stage_id: stage.id,
        rank: place(rank, entered_at)?,
        title: title.into(),
        description: description.map(|text| act.free_text(text)),
        assigned_to,
        due_date,
        priority: priority.unwrap_or_default(),
        data: sealed(data, act),
        tags: kept,
        source_ref: source_ref.map(String::from),
        attributes: sealed(attributes, act),
        created_by: act.user(),
        entered_at,
        wip_limit: stage.wip_limit,
    };
    Ok(std::iter::once(created).chain(turn(true, stage, pipeline_id, entered_at)).collect())
}

impl Card {
    /// Whether it has not reached a terminal stage.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.completed_at.is_none()
    }

    pub(super) fn decide(&self, command: ItemCommand, act: &Act) -> Result<Vec<ItemEvent>, ItemError> {
        use ItemCommand::*;
        Ok(match command {
            CreateItem { .. } => return Err(ItemError::AlreadyExists),
            UpdateItem { title, description, due_date, priority, data } => {
                let changes = ItemChanges {
                    title: edit(&self.title, title, String::from),
                    description: edit(&self.description, description, |text| text.map(|text| act.free_text(text))),
                    due_date: edit(&self.due_date, due_date, |day| day),
                    priority: edit(&self.priority, priority, |priority| priority),
                    data: edit(&self.data, data, |data| sealed(data, act)),
                };
                if changes == ItemChanges::default() { vec![] } else { vec![ItemEvent::PipelineItemUpdated { changes }] }
            }
            MoveItem { to_stage_id, rank, .. } if to_stage_id == self.stage_id => match rank {
                Some(rank) if rank.as_str() != self.rank => vec![ItemEvent::PipelineItemReordered { rank: place(Some(rank), act.now())? }],
                _ => vec![],
            },
            MoveItem { to_stage_id, rank, note, attributes } => {
                let pipeline = Board::live(act, self.pipeline_id).ok_or(ItemError::PipelineGone)?;
                let stage = pipeline.stage(to_stage_id).ok_or(ItemError::ToStageNotFound)?;
                let entered_at = act.now();
                let moved = ItemEvent::PipelineItemMoved {
                    from: self.stage_id,
                    to: to_stage_id,
                    rank: place(rank, entered_at)?,
                    left_stage_entered_at: self.entered_at,
                    entered_at,
                    note: note.map(|note| act.free_text(note)),
                    attributes: sealed(attributes, act),
                    wip_limit: stage.wip_limit,
                };
                std::iter::once(moved).chain(turn(self.is_open(), stage, self.pipeline_id, entered_at)).collect()
            }
            RecordActivity { name, lifecycle, data, attributes } => vec![ItemEvent::PipelineItemActivityRecorded {
                name: name.into(),
                lifecycle: lifecycle.map(String::from),
                data: sealed(data, act),
                attributes: sealed(attributes, act),
                at: act.now(),
            }],
            TransferItem { pipeline_id, stage_id } if pipeline_id == self.pipeline_id && stage_id == self.stage_id => vec![],
            TransferItem { pipeline_id, .. } if pipeline_id == self.pipeline_id => return Err(ItemError::SamePipeline),
            TransferItem { pipeline_id, stage_id } => {
                let stage = Board::open_stage(act, pipeline_id, Some(stage_id))?;
                let entered_at = act.now();
                let transferred = ItemEvent::PipelineItemTransferred {
                    from_pipeline_id: self.pipeline_id,
                    from_stage_id: self.stage_id,
                    pipeline_id,
                    stage_id,
                    rank: rank::at(entered_at),
                    left_stage_entered_at: self.entered_at,
                    entered_at,
                    open: self.is_open(),
                    wip_limit: stage.wip_limit,
                };
                std::iter::once(transferred).chain(turn(self.is_open(), stage, pipeline_id, entered_at)).collect()
            }
            AssignItem { user_id } if self.assigned_to == Some(user_id) => vec![],
            AssignItem { user_id } if !Membership::has(act, user_id) => return Err(ItemError::UserNotMember),
            AssignItem { user_id } => vec![ItemEvent::PipelineItemAssigned { user_id }],
            UnassignItem => self.assigned_to.map(|user_id| ItemEvent::PipelineItemUnassigned { user_id }).into_iter().collect(),
            AddItemTag { tag } if self.has(tag.as_str()) => vec![],
            AddItemTag { .. } if self.tags.len() >= MAX_TAGS => return Err(ItemError::TooManyTags),
            AddItemTag { tag } => vec![ItemEvent::PipelineItemTagged { tag: tag.into() }],
            RemoveItemTag { tag } if !self.has(tag.as_str()) => vec![],
            RemoveItemTag { tag } => vec![ItemEvent::PipelineItemUntagged { tag: tag.into() }],
            DeleteItem => {
                vec![ItemEvent::PipelineItemDeleted { pipeline_id: self.pipeline_id, stage_id: self.stage_id, was_open: self.is_open() }]
            }
            RestoreItem => vec![],
        })
    }

    pub(super) fn restore(&self, act: &Act) -> Result<Vec<ItemEvent>, ItemError> {
        let pipeline = Board::live(act, self.pipeline_id).ok_or(ItemError::PipelineGone)?;
        let stage = pipeline.stage(self.stage_id).ok_or(ItemError::StageGone)?;
        let (pipeline_id, stage_id, wip_limit) = (self.pipeline_id, stage.id, stage.wip_limit);
        Ok(vec![ItemEvent::PipelineItemRestored { pipeline_id, stage_id, open: self.is_open(), wip_limit }])
    }

    pub(super) fn apply(&mut self, event: ItemEvent) {
        use ItemEvent::*;
        match event {
            PipelineItemUpdated { changes: ItemChanges { title, description, due_date, priority, data } } => {
                title.into_iter().for_each(|change| self.title = change.to);
                description.into_iter().for_each(|change| self.description = change.to);
                due_date.into_iter().for_each(|change| self.due_date = change.to);
                priority.into_iter().for_each(|change| self.priority = change.to);
                data.into_iter().for_each(|change| self.data = change.to);
            }
            PipelineItemMoved { to, rank, entered_at, .. } => {
                (self.stage_id, self.rank, self.entered_at) = (to, rank, entered_at);
            }
            PipelineItemTransferred { pipeline_id, stage_id, rank, entered_at, .. } => {
                (self.pipeline_id, self.stage_id, self.rank, self.entered_at) = (pipeline_id, stage_id, rank, entered_at);
            }
            PipelineItemReordered { rank } => self.rank = rank,
            PipelineItemCompleted { completed_at, .. } => self.completed_at = Some(completed_at),
            PipelineItemReopened { .. } => self.completed_at = None,
            PipelineItemAssigned { user_id } => self.assigned_to = Some(user_id),
            PipelineItemUnassigned { .. } => self.assigned_to = None,
            PipelineItemTagged { tag } => self.tags.push(tag),
            PipelineItemUntagged { tag } => self.tags.retain(|other| *other != tag),
            PipelineItemActivityRecorded { .. } | PipelineItemCreated { .. } | PipelineItemDeleted { .. } | PipelineItemRestored { .. } => {
            }
        }
    }

    fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|other| other == tag)
    }
}

/// What entering a stage does to an item beside placing it there.
fn turn(is_open: bool, stage: &Stage, pipeline_id: PipelineId, at: Moment) -> Option<ItemEvent> {
    match (is_open, stage.is_terminal) {
        (true, true) => Some(ItemEvent::PipelineItemCompleted { pipeline_id, completed_at: at }),
        (false, false) => Some(ItemEvent::PipelineItemReopened { pipeline_id }),
        (true, false) | (false, true) => None,
    }
}

fn place(rank: Option<Rank>, now: Moment) -> Result<String, ItemError> {
    match rank {
        None => Ok(rank::at(now)),
        Some(rank) if rank::is_rank(rank.as_str()) => Ok(rank.into()),
        Some(_) => Err(ItemError::RankInvalid),
    }
}

pub(super) fn sealed<const KIB: usize>(json: Option<Json<KIB>>, act: &Act) -> Option<Personal<String>> {
    json.map(|json| act.free_text(json))
}
