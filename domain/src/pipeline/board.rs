//! What a pipeline decides and how it changes, once it exists.

use super::{
    MAX_STAGES, NewStage, Pipeline, PipelineChanges, PipelineCommand, PipelineError, PipelineEvent, PipelineType, Stage, StageChanges,
};
use crate::workspace::{Membership, Plan, Workspace};
use crate::{Act, Decider, Personal, PipelineId, StageId, UserId, edit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a pipeline is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// Its name for programs, unique in the workspace.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    pub pipeline_type: PipelineType,
    /// What else is to be said of it.
    pub description: Option<Personal<String>>,
    /// Whether it takes new items.
    pub is_active: bool,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
    /// Who operates it.
    pub operators: BTreeSet<UserId>,
    /// Who created it.
    pub created_by: Option<UserId>,
}

/// Why nothing can be put somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// There is no such pipeline, or it is deleted.
    PipelineNotFound,
    /// It takes nothing new.
    PipelineInactive,
    /// It has no such stage.
    StageNotFound,
}

impl Board {
    /// A pipeline that is a fact of the decision, unless it is deleted or never was.
    pub(super) fn live(act: &Act, id: PipelineId) -> Option<&Self> {
        act.fact::<Pipeline>(id).and_then(Pipeline::live)
    }

    /// A stage of an active pipeline that is a fact of the decision: its first one, unless another is named.
    pub(super) fn open_stage(act: &Act, pipeline_id: PipelineId, stage_id: Option<StageId>) -> Result<&Stage, Nowhere> {
        let pipeline = Self::live(act, pipeline_id).ok_or(Nowhere::PipelineNotFound)?;
        if !pipeline.is_active {
            return Err(Nowhere::PipelineInactive);
        }
        stage_id.map_or(pipeline.stages.first(), |id| pipeline.stage(id)).ok_or(Nowhere::StageNotFound)
    }

    /// Its stage of this id.
    #[must_use]
    pub fn stage(&self, id: StageId) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.id == id)
    }

    /// Whether some stage other than `except` is not terminal.
    fn has_open_stage(&self, except: Option<StageId>) -> bool {
        self.stages.iter().any(|stage| !stage.is_terminal && Some(stage.id) != except)
    }

    fn add(&self, stage: NewStage, order: Option<u32>, act: &Act) -> Result<PipelineEvent, PipelineError> {
        let count = u32::try_from(self.stages.len()).unwrap_or(u32::MAX);
        if self.stages.len() >= MAX_STAGES {
            return Err(PipelineError::TooManyStages);
        }
        if self.stages.iter().any(|other| other.key == stage.key.as_str()) {
            return Err(PipelineError::StageKeyTaken(stage.key.into()));
        }
        if let Some(taken) = stage.stage_id.filter(|id| self.stage(*id).is_some()) {
            return Err(PipelineError::StageIdTaken(taken));
        }
        let order = order.unwrap_or(count);
        if order > count {
            return Err(PipelineError::OrderOutOfRange(count));
        }
        Ok(PipelineEvent::StageAdded {
            stage_id: stage.stage_id.unwrap_or_else(|| act.new_id()),
            key: stage.key.into(),
            name: stage.name.into(),
            order,
            is_terminal: stage.is_terminal,
            color: stage.color.map(String::from),
            wip_limit: stage.wip_limit.map(u32::from),
        })
    }

    pub(super) fn decide(&self, command: PipelineCommand, act: &Act) -> Result<Vec<PipelineEvent>, PipelineError> {
        use PipelineCommand::*;
        Ok(match command {
            CreatePipeline { .. } => return Err(PipelineError::AlreadyExists),
            UpdatePipeline { name, kind, description } => {
                let changes = PipelineChanges {
                    name: edit(&self.name, name, String::from),
                    pipeline_type: edit(&self.pipeline_type, kind, |kind| kind),
                    description: edit(&self.description, description, |text| text.map(|text| act.free_text(text))),
                };
                if changes == PipelineChanges::default() { vec![] } else { vec![PipelineEvent::PipelineUpdated { changes }] }
            }
            ActivatePipeline if self.is_active => vec![],
            ActivatePipeline if !self.has_open_stage(None) => return Err(PipelineError::NoOpenStage),
            ActivatePipeline => {
                // Without a workspace there is no plan, and without a plan no place.
                let plan = act.fact::<Workspace>(act.caller().tenant).and_then(Workspace::plan);
                vec![PipelineEvent::PipelineActivated { limit: plan.map_or(Some(0), Plan::active_pipelines) }]
            }
            DeactivatePipeline if !self.is_active => vec![],
            DeactivatePipeline => vec![PipelineEvent::PipelineDeactivated],
            AddStage { stage, order } => vec![self.add(stage, order, act)?],
            UpdateStage { stage_id, name, color, is_terminal, wip_limit } => {
                let stage = self.stage(stage_id).ok_or(PipelineError::StageNotFound)?;
                let changes = StageChanges {
                    name: edit(&stage.name, name, String::from),
                    color: edit(&stage.color, color, |color| color.map(String::from)),
                    is_terminal: edit(&stage.is_terminal, is_terminal, |is_terminal| is_terminal),
                    wip_limit: edit(&stage.wip_limit, wip_limit, |limit| limit.map(u32::from)),
                };
                let closes = changes.is_terminal.as_ref().is_some_and(|change| change.to);
                if closes && self.is_active && !self.has_open_stage(Some(stage_id)) {
                    return Err(PipelineError::NoOpenStage);
                }
                if changes == StageChanges::default() { vec![] } else { vec![PipelineEvent::StageUpdated { stage_id, changes }] }
            }
            ReorderStages { stage_ids } => {
                if stage_ids.iter().any(|id| self.stage(*id).is_none()) {
                    return Err(PipelineError::NoSuchStage);
                }
                let named: BTreeSet<StageId> = stage_ids.iter().copied().collect();
                if stage_ids.len() != self.stages.len() || !self.stages.iter().all(|stage| named.contains(&stage.id)) {
                    return Err(PipelineError::NotAllStages);
                }
                let unchanged = self.stages.iter().map(|stage| stage.id).eq(stage_ids.iter().copied());
                if unchanged { vec![] } else { vec![PipelineEvent::StagesReordered { stage_ids }] }
            }
            RemoveStage { stage_id } => {
                self.stage(stage_id).ok_or(PipelineError::StageNotFound)?;
                if self.is_active && !self.has_open_stage(Some(stage_id)) {
                    return Err(PipelineError::NoOpenStage);
                }
                vec![PipelineEvent::StageRemoved { stage_id }]
            }
            AssignOperator { user_id } if self.operators.contains(&user_id) => vec![],
            AssignOperator { user_id } if !Membership::has(act, user_id) => return Err(PipelineError::OperatorNotMember),
            AssignOperator { user_id } => vec![PipelineEvent::OperatorAssigned { user_id }],
            // Whoever has left since may still stand there.
            UnassignOperator { user_id } if self.operators.contains(&user_id) => vec![PipelineEvent::OperatorUnassigned { user_id }],
            UnassignOperator { user_id } if !Membership::has(act, user_id) => return Err(PipelineError::OperatorNotMember),
            UnassignOperator { .. } => vec![],
            DeletePipeline => vec![PipelineEvent::PipelineDeleted { key: self.key.clone() }],
            RestorePipeline => vec![],
        })
    }

    pub(super) fn apply(&mut self, event: PipelineEvent) {
        use PipelineEvent::*;
        match event {
            PipelineUpdated { changes: PipelineChanges { name, pipeline_type, description } } => {
                name.into_iter().for_each(|change| self.name = change.to);
                pipeline_type.into_iter().for_each(|change| self.pipeline_type = change.to);
                description.into_iter().for_each(|change| self.description = change.to);
            }
            PipelineActivated { .. } => self.is_active = true,
            PipelineDeactivated => self.is_active = false,
            StageAdded { stage_id, key, name, order, is_terminal, color, wip_limit } => {
                let place = self.stages.len().min(order as usize);
                self.stages.insert(place, Stage { id: stage_id, key, name, is_terminal, color, wip_limit });
            }
            StageUpdated { stage_id, changes } => {
                if let Some(stage) = self.stages.iter_mut().find(|stage| stage.id == stage_id) {
                    stage.apply(changes);
                }
            }
            StagesReordered { stage_ids } => self.stages.sort_by_key(|stage| stage_ids.iter().position(|id| *id == stage.id)),
            StageRemoved { stage_id } => self.stages.retain(|stage| stage.id != stage_id),
            OperatorAssigned { user_id } => drop(self.operators.insert(user_id)),
            OperatorUnassigned { user_id } => drop(self.operators.remove(&user_id)),
            PipelineCreated { .. } | PipelineDeleted { .. } | PipelineRestored { .. } => {}
        }
    }
}

pub(super) fn with_stages(created: PipelineEvent, stages: Vec<NewStage>, act: &Act) -> Result<Vec<PipelineEvent>, PipelineError> {
    let mut pipeline = Pipeline::default();
    pipeline.apply(created.clone());
    let mut events = vec![created];
    for stage in stages {
        let Some(board) = pipeline.live() else { break };
        let added = board.add(stage, None, act).map_err(|error| match error {
            PipelineError::StageKeyTaken(key) => PipelineError::StageKeyRepeated(key),
            error => error,
        })?;
        pipeline.apply(added.clone());
        events.push(added);
    }
    Ok(events)
}
