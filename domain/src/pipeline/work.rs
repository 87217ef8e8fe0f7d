//! What a task decides and how it changes, once it exists.

use super::card::sealed;
use super::task_values::fill;
use super::{AssigneeRule, Board, Recipe, TaskChanges, TaskCommand, TaskError, TaskEvent, TaskSource, TaskStatus, TaskTemplate};
use crate::roles::TASKS_ASSIGN;
use crate::workspace::Membership;
use crate::{Act, Json, Moment, Personal, PipelineId, StageId, TaskTemplateId, Title, UserId, edit};
use chrono::{SubsecRound as _, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a task is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// What it was made after.
    pub template_id: Option<TaskTemplateId>,
    /// Where it comes from.
    pub source: TaskSource,
    /// What it came from, outside.
    pub source_ref: Option<String>,
    /// Its title.
    pub title: String,
    /// What else is to be said of it.
    pub description: Option<Personal<String>>,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// What it was before it was blocked, while it is.
    pub before: Option<TaskStatus>,
    /// Why it is blocked, while it is.
    pub blocked_reason: Option<Personal<String>>,
    /// The pipeline in which it stands.
    pub pipeline_id: Option<PipelineId>,
    /// The stage in which it stands.
    pub stage_id: Option<StageId>,
    /// Whose it is to do.
    pub assignee_id: Option<UserId>,
    /// By when it is to be done.
    pub due_at: Option<Moment>,
    /// Free data: canonical JSON.
    pub data: Option<Personal<String>>,
    /// How many decisions were recorded about it.
    pub decisions: u32,
    /// Who created it.
    pub created_by: Option<UserId>,
}

fn micros(at: Moment) -> Moment {
    at.trunc_subsecs(6)
}

pub(super) fn create(command: TaskCommand, act: &Act) -> Result<Vec<TaskEvent>, TaskError> {
    let created_by = act.user();
    let created = match command {
        TaskCommand::CreateTask { title, description, source, source_ref, pipeline_id, stage_id, assignee_id, due_at, data } => {
            let stage_id = match (pipeline_id, stage_id) {
                (None, Some(_)) => return Err(TaskError::PipelineMissing),
                (None, None) => None,
                (Some(pipeline), stage) => Some(Board::open_stage(act, pipeline, stage)?.id),
            };
            if let Some(user) = assignee_id {
                if created_by != Some(user) && act.caller().grants.scope(TASKS_ASSIGN).is_none() {
                    return Err(TaskError::AssignNotAllowed);
                }
                if !Membership::has(act, user) {
                    return Err(TaskError::AssigneeNotMember);
                }
            }
            TaskEvent::TaskCreated {
                template_id: None,
                source,
                source_ref: source_ref.map(String::from),
                title: title.into(),
                description: description.map(|text| act.free_text(text)),
                pipeline_id,
                stage_id,
                assignee_id,
                due_at: due_at.map(micros),
                data: sealed(data, act),
                created_by,
            }
        }
        TaskCommand::CreateTaskFromTemplate { template_id, variables, source, source_ref, pipeline_id } => {
            let template = act.fact::<TaskTemplate>(template_id).and_then(TaskTemplate::live).ok_or(TaskError::TaskTemplateNotFound)?;
            if !template.is_active {
                return Err(TaskError::TaskTemplateInactive);
            }
            let (title, data) = filled(&template.definition, variables.as_ref())?;
            // A preference, not a condition: without such a pipeline the task stands in none.
            let preferred = |id: &PipelineId| {
                let key = Board::live(act, *id).map(|board| &board.key);
                key.is_some() && key == template.preferred_pipeline_key.as_ref()
            };
            let place = pipeline_id.filter(preferred).and_then(|id| Some((id, Board::open_stage(act, id, None).ok()?.id)));
            TaskEvent::TaskCreated {
                template_id: Some(template_id),
                source,
                source_ref: source_ref.map(String::from),
                title: title.into(),
                description: template.definition.description.clone(),
                pipeline_id: place.map(|(pipeline, _)| pipeline),
                stage_id: place.map(|(_, stage)| stage),
                assignee_id: match template.definition.default_assignee_rule {
                    AssigneeRule::Nobody => None,
                    AssigneeRule::Creator => created_by.filter(|user| Membership::has(act, *user)),
                },
                due_at: template.definition.due_in_hours.map(|hours| act.now() + TimeDelta::hours(hours.get().into())),
                data: sealed(Some(data), act),
                created_by,
            }
        }
        _ => return Err(TaskError::NotFound),
    };
    Ok(vec![created])
}

/// The title and the data that a template makes of variables.
fn filled(recipe: &Recipe, variables: Option<&Json<16>>) -> Result<(Title, Json<64>), TaskError> {
    let variables: Value = variables.map_or_else(|| Ok(json!({})), |json| serde_json::from_str(json.as_str())).unwrap_or(Value::Null);
    let object = variables.as_object().ok_or(TaskError::VariablesInvalid)?;
    let title = fill(&recipe.title_pattern, |name| object.get(name).and_then(Value::as_str)).map_err(TaskError::VariableMissing)?;
    let title = Title::try_from(title).map_err(|rule| TaskError::TitleInvalid(rule.to_string()))?;
    let data = json!({ "priority": recipe.priority, "steps": recipe.steps, "variables": object });
    Ok((title, Json::try_from(data).map_err(|rule| TaskError::DataTooLarge(rule.to_string()))?))
}

impl Work {
    pub(super) fn created(event: TaskEvent) -> Option<Self> {
        let TaskEvent::TaskCreated {
            template_id,
            source,
            source_ref,
            title,
            description,
            pipeline_id,
            stage_id,
            assignee_id,
            due_at,
            data,
            created_by,
        } = event
        else {
            return None;
        };
        let (status, before, blocked_reason, decisions) = (TaskStatus::New, None, None, 0);
        Some(Self {
            template_id,
            source,
            source_ref,
            title,
            description,
            status,
            before,
            blocked_reason,
            pipeline_id,
            stage_id,
            assignee_id,
            due_at,
            data,
            decisions,
            created_by,
        })
    }

    pub(super) fn decide(&self, command: TaskCommand, act: &Act) -> Result<Vec<TaskEvent>, TaskError> {
        use TaskCommand::*;
        use TaskStatus::*;
        let said = |text| act.free_text(text);
        let pipeline_id = self.pipeline_id;
        let refused = |wanted| Err(TaskError::InvalidState { status: self.status, wanted });
        let one = match (self.status, command) {
            (_, CreateTask { .. } | CreateTaskFromTemplate { .. }) => return Err(TaskError::AlreadyExists),
            (New, StartTask) => TaskEvent::TaskStarted,
            (InProgress, SubmitTaskForReview { note }) => TaskEvent::TaskSubmittedForReview { note: note.map(said) },
            (NeedsReview, RequestTaskChanges { note }) => TaskEvent::TaskChangesRequested { note: said(note) },
            (NeedsReview, ApproveTask) => TaskEvent::TaskCompleted { outcome: None, approved: true, pipeline_id },
            (InProgress, CompleteTask { outcome }) => TaskEvent::TaskCompleted { outcome: outcome.map(said), approved: false, pipeline_id },
            (New | InProgress | NeedsReview, BlockTask { reason }) => TaskEvent::TaskBlocked { reason: said(reason) },
            (Blocked, UnblockTask) => TaskEvent::TaskUnblocked { status: self.before.unwrap_or(New) },
            (New | InProgress | NeedsReview | Blocked, CancelTask { reason }) => {
                TaskEvent::TaskCancelled { reason: said(reason), pipeline_id }
            }
            (Done | Cancelled, ReopenTask { reason }) => {
                if pipeline_id.is_some_and(|id| Board::live(act, id).is_none()) {
                    return Err(TaskError::PipelineGone);
                }
                TaskEvent::TaskReopened { reason: said(reason), pipeline_id }
            }
            // What is so already changes nothing.
            (InProgress, StartTask)
            | (NeedsReview, SubmitTaskForReview { .. })
            | (Blocked, BlockTask { .. })
            | (Done, CompleteTask { .. } | ApproveTask)
            | (Cancelled, CancelTask { .. }) => return Ok(vec![]),
            (_, StartTask) => return refused("NEW"),
            (_, SubmitTaskForReview { .. } | CompleteTask { .. }) => return refused("IN_PROGRESS"),
            (_, RequestTaskChanges { .. } | ApproveTask) => return refused("NEEDS_REVIEW"),
            (_, UnblockTask) => return refused("BLOCKED"),
            (_, BlockTask { .. } | CancelTask { .. }) => return refused("open"),
            (_, ReopenTask { .. }) => return refused("DONE or CANCELLED"),
            (_, AssignTask { user_id }) if self.assignee_id == Some(user_id) => return Ok(vec![]),
            (_, AssignTask { user_id }) if !Membership::has(act, user_id) => return Err(TaskError::UserNotMember),
            (_, AssignTask { user_id }) => TaskEvent::TaskAssigned { user_id },
            (_, UnassignTask) => return Ok(self.assignee_id.map(|user_id| TaskEvent::TaskUnassigned { user_id }).into_iter().collect()),
            (_, PlaceTask { pipeline_id, stage_id }) if (self.pipeline_id, self.stage_id) == (Some(pipeline_id), Some(stage_id)) => {
                return Ok(vec![]);
            }
            (_, PlaceTask { pipeline_id, stage_id }) => TaskEvent::TaskPlaced {
                from_pipeline_id: self.pipeline_id,
                from_stage_id: self.stage_id,
                pipeline_id,
                stage_id: Board::open_stage(act, pipeline_id, Some(stage_id))?.id,
                open: self.status.is_open(),
            },
            (_, UpdateTask { title, description, due_at, data }) => {
                let changes = TaskChanges {
                    title: edit(&self.title, title, String::from),
                    description: edit(&self.description, description, |text| text.map(|text| act.free_text(text))),
                    due_at: edit(&self.due_at, due_at, |at| at.map(micros)),
                    data: edit(&self.data, data, |data| sealed(data, act)),
                };
                if changes == TaskChanges::default() {
                    return Ok(vec![]);
                }
                TaskEvent::TaskUpdated { changes }
            }
            (_, RecordTaskDecision { event_name, decision, llm_call }) => TaskEvent::TaskDecisionRecorded {
                event_name: event_name.into(),
                decision: act.free_text(decision),
                llm_call: llm_call.map(|call| call.map(String::from)),
                at: act.now(),
            },
            (_, DeleteTask) => TaskEvent::TaskDeleted { pipeline_id, stage_id: self.stage_id },
        };
        Ok(vec![one])
    }

    pub(super) fn apply(&mut self, event: TaskEvent) {
        use TaskEvent::*;
        match event {
            TaskStarted | TaskChangesRequested { .. } | TaskReopened { .. } => self.status = TaskStatus::InProgress,
            TaskSubmittedForReview { .. } => self.status = TaskStatus::NeedsReview,
            TaskBlocked { reason } => {
                self.before = Some(std::mem::replace(&mut self.status, TaskStatus::Blocked));
                self.blocked_reason = Some(reason);
            }
            TaskUnblocked { status } => (self.status, self.before, self.blocked_reason) = (status, None, None),
            TaskCompleted { .. } => self.status = TaskStatus::Done,
            TaskCancelled { .. } => (self.status, self.before, self.blocked_reason) = (TaskStatus::Cancelled, None, None),
            TaskAssigned { user_id } => self.assignee_id = Some(user_id),
            TaskUnassigned { .. } => self.assignee_id = None,
            TaskPlaced { pipeline_id, stage_id, .. } => (self.pipeline_id, self.stage_id) = (Some(pipeline_id), Some(stage_id)),
            TaskUpdated { changes: TaskChanges { title, description, due_at, data } } => {
                title.into_iter().for_each(|change| self.title = change.to);
                description.into_iter().for_each(|change| self.description = change.to);
                due_at.into_iter().for_each(|change| self.due_at = change.to);
                data.into_iter().for_each(|change| self.data = change.to);
            }
            TaskDecisionRecorded { .. } => self.decisions = self.decisions.saturating_add(1),
            TaskCreated { .. } | TaskDeleted { .. } => {}
        }
    }
}
