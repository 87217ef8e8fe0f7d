//! A task: something to be done, in one state of its own at a time. A closed task (done or cancelled) takes its state
//! up again only by being reopened, and a deleted one never comes back. Like an item it refers to its stage until
//! it is deleted, and to its pipeline while it is open.

use super::board::Nowhere;
use super::{LlmCall, Pipeline, TaskChanges, TaskSource, TaskStatus, TaskTemplate, Work, work};
use crate::roles::{TASKS_ASSIGN, TASKS_CREATE, TASKS_DELETE, TASKS_REVIEW, TASKS_UPDATE};
use crate::workspace::Membership;
use crate::{
    Act, Caller, ClaimChange, ClaimName, Decider, FactRef, Guarded, Json, Key, LongText, Moment, Name, Needs, Patch, Personal, PipelineId,
    Sealable, ShortText, SourceRef, StageId, TaskTemplateId, Title, UserId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What can happen to a task. Stored for ever: a change of shape needs a new version and an upcaster.
///
/// Events that open or close it carry its pipeline, since claims derive from events alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
#[allow(missing_docs, reason = "the fields are those of the commands and of the state, where they are explained")]
pub enum TaskEvent {
    /// It exists, new.
    TaskCreated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template_id: Option<TaskTemplateId>,
        source: TaskSource,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_ref: Option<String>,
        title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipeline_id: Option<PipelineId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage_id: Option<StageId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assignee_id: Option<UserId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_at: Option<Moment>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<Personal<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created_by: Option<UserId>,
    },
    /// Somebody is at it.
    TaskStarted,
    /// Somebody is to look at it.
    TaskSubmittedForReview {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Personal<String>>,
    },
    /// It was looked at, and is in progress again.
    TaskChangesRequested { note: Personal<String> },
    /// It cannot go on.
    TaskBlocked { reason: Personal<String> },
    /// It can go on, as what it was before.
    TaskUnblocked { status: TaskStatus },
    /// It is done; `approved` if a reviewer said so.
    TaskCompleted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Personal<String>>,
        approved: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipeline_id: Option<PipelineId>,
    },
    /// It will not be done.
    TaskCancelled {
        reason: Personal<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipeline_id: Option<PipelineId>,
    },
    /// It is in progress again.
    TaskReopened {
        reason: Personal<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipeline_id: Option<PipelineId>,
    },
    /// It is somebody's to do.
    TaskAssigned { user_id: UserId },
    /// It is nobody's to do; it was this user's.
    TaskUnassigned { user_id: UserId },
    /// It stands in another stage, open or closed as it was (`open`).
    TaskPlaced {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_pipeline_id: Option<PipelineId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_stage_id: Option<StageId>,
        pipeline_id: PipelineId,
        stage_id: StageId,
        open: bool,
    },
    /// What is said of it changed.
    TaskUpdated { changes: TaskChanges },
    /// The program decided something about it.
    TaskDecisionRecorded {
        event_name: String,
        decision: Personal<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        llm_call: Option<LlmCall>,
        at: Moment,
    },
    /// It is gone.
    TaskDeleted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipeline_id: Option<PipelineId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage_id: Option<StageId>,
    },
}
crate::event!(TaskEvent);

/// What can be asked of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the state, where they are explained")]
pub enum TaskCommand {
    /// Creates it, new: in no pipeline, or in a stage of an active one, its first unless another is named.
    CreateTask {
        title: Title,
        #[serde(default)]
        description: Option<LongText>,
        #[serde(default)]
        source: TaskSource,
        #[serde(default)]
        source_ref: Option<SourceRef>,
        #[serde(default)]
        pipeline_id: Option<PipelineId>,
        #[serde(default)]
        stage_id: Option<StageId>,
        #[serde(default)]
        assignee_id: Option<UserId>,
        #[serde(default)]
        due_at: Option<Moment>,
        #[serde(default)]
        data: Option<Json<64>>,
    },
    /// Creates it after an active template, whose title's placeholders the string members of `variables` fill. It
    /// stands in the first stage of `pipeline_id`, if that is the active pipeline whose key the template prefers.
    CreateTaskFromTemplate {
        template_id: TaskTemplateId,
        #[serde(default)]
        variables: Option<Json<16>>,
        #[serde(default)]
        source: TaskSource,
        #[serde(default)]
        source_ref: Option<SourceRef>,
        #[serde(default)]
        pipeline_id: Option<PipelineId>,
    },
    /// Begins a new one.
    StartTask,
    /// Says that one in progress is to be looked at.
    SubmitTaskForReview {
        #[serde(default)]
        note: Option<ShortText>,
    },
    /// Sends one that was looked at back.
    RequestTaskChanges { note: ShortText },
    /// Says that one that was looked at is done.
    ApproveTask,
    /// Says that an open one cannot go on.
    BlockTask { reason: ShortText },
    /// Says that it can go on.
    UnblockTask,
    /// Says that one in progress is done; one in review is approved instead.
    CompleteTask {
        #[serde(default)]
        outcome: Option<ShortText>,
    },
    /// Says that an open one will not be done.
    CancelTask { reason: ShortText },
    /// Takes a closed one up again.
    ReopenTask { reason: ShortText },
    /// Makes it an active member's to do.
    AssignTask { user_id: UserId },
    /// Makes it nobody's to do.
    UnassignTask,
    /// Puts it into a stage of an active pipeline.
    PlaceTask { pipeline_id: PipelineId, stage_id: StageId },
    /// Changes what is said of it.
    UpdateTask {
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        title: Patch<Title>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        description: Patch<Option<LongText>>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        due_at: Patch<Option<Moment>>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        data: Patch<Option<Json<64>>>,
    },
    /// Records what the program decided about it. Said twice, it was decided twice.
    RecordTaskDecision {
        event_name: Key,
        decision: Json<32>,
        #[serde(default)]
        llm_call: Option<LlmCall<Name>>,
    },
    /// Deletes it.
    DeleteTask,
}

/// Why a task refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskError {
    /// There is none of this id.
    #[error("there is no such task in this workspace")]
    NotFound,
    /// There is one of this id.
    #[error("this task exists already")]
    AlreadyExists,
    /// It is deleted.
    #[error("this task is deleted; create another")]
    #[strum(serialize = "INVALID_STATE")]
    Deleted,
    /// Its state has no such way out.
    #[error("this task is {}, and this is for one that is {wanted}", <&'static str>::from(.status))]
    InvalidState {
        /// What it is.
        status: TaskStatus,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// The template that was named is not there.
    #[error("there is no such task template in this workspace")]
    TaskTemplateNotFound,
    /// The template that was named makes no tasks.
    #[error("this task template is not active; activate it first, or name another")]
    TaskTemplateInactive,
    /// What fills the title is no object.
    #[error("the variables must be an object, such as {{\"customer\": \"Ada\"}}")]
    VariablesInvalid,
    /// A placeholder of the title has no value.
    #[error("the template's title needs the variable `{0}`, a string; give it among the variables")]
    VariableMissing(String),
    /// The title, filled, is none.
    #[error("the template's title with these variables {0}; shorten them, or the template's title")]
    TitleInvalid(String),
    /// Steps and variables are more than a task's data.
    #[error("the template's steps and these variables {0}; leave some variables out")]
    DataTooLarge(String),
    /// The pipeline that was named is not there.
    #[error("there is no such pipeline in this workspace")]
    PipelineNotFound,
    /// The pipeline in which the task stands is deleted.
    #[error("the task's pipeline is deleted; restore the pipeline first, or place the task in another")]
    #[strum(serialize = "PIPELINE_NOT_FOUND")]
    PipelineGone,
    /// The pipeline that was named takes nothing new.
    #[error("this pipeline is not active; activate it first, or name another")]
    PipelineInactive,
    /// The stage that was named is not there.
    #[error("this pipeline has no such stage")]
    StageNotFound,
    /// A stage without its pipeline.
    #[error("a stage needs its pipeline; give pipelineId too, or leave stageId out")]
    PipelineMissing,
    /// Only members are assigned. At creation.
    #[error("there is no such active member in this workspace, and only members are assigned tasks")]
    #[strum(serialize = "MEMBER_NOT_FOUND")]
    AssigneeNotMember,
    /// Only members are assigned. Later on.
    #[error("there is no such active member in this workspace, and only members are assigned tasks")]
    #[strum(serialize = "MEMBER_NOT_FOUND")]
    UserNotMember,
    /// At creation, anybody may take the task, and only those who may assign may give it to others.
    #[error("assigning a new task to somebody else needs {}; leave it unassigned or assign it to yourself", TASKS_ASSIGN.name())]
    #[strum(serialize = "FORBIDDEN")]
    AssignNotAllowed,
}
crate::refusal!(TaskError, {
    Self::TaskTemplateNotFound | Self::TaskTemplateInactive => "templateId",
    Self::VariablesInvalid | Self::VariableMissing(_) | Self::TitleInvalid(_) | Self::DataTooLarge(_) => "variables",
    Self::PipelineNotFound | Self::PipelineInactive | Self::PipelineMissing => "pipelineId",
    Self::StageNotFound => "stageId",
    Self::AssigneeNotMember | Self::AssignNotAllowed => "assigneeId",
    Self::UserNotMember => "userId",
});

impl From<Nowhere> for TaskError {
    fn from(nowhere: Nowhere) -> Self {
        match nowhere {
            Nowhere::PipelineNotFound => Self::PipelineNotFound,
            Nowhere::PipelineInactive => Self::PipelineInactive,
            Nowhere::StageNotFound => Self::StageNotFound,
        }
    }
}

/// A task as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Task {
    /// Never created.
    #[default]
    Absent,
    /// There, open or closed.
    Live(Work),
    /// Deleted, and as it was.
    Deleted(Work),
}

impl Task {
    /// What it is, or was before it was deleted.
    #[must_use]
    pub fn work(&self) -> Option<&Work> {
        match self {
            Self::Live(work) | Self::Deleted(work) => Some(work),
            Self::Absent => None,
        }
    }
}

impl Guarded<Task> for TaskCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, task: &Task, _: &Caller) -> Needs {
        let permission = match self {
            Self::CreateTask { .. } => return Needs::new(TASKS_CREATE),
            Self::CreateTaskFromTemplate { .. } => return Needs::new(TASKS_CREATE).or(Needs::System),
            Self::RecordTaskDecision { .. } => return Needs::System,
            Self::ApproveTask | Self::RequestTaskChanges { .. } => TASKS_REVIEW,
            Self::AssignTask { .. } | Self::UnassignTask => TASKS_ASSIGN,
            Self::DeleteTask => TASKS_DELETE,
            _ => TASKS_UPDATE,
        };
        match task.work() {
            Some(work) => Needs::owned_by(permission, work.created_by.into_iter().chain(work.assignee_id)),
            None => Needs::new(permission),
        }
    }

    fn facts(&self, task: &Task, caller: &Caller) -> Vec<FactRef> {
        let pipeline = |id: PipelineId| FactRef::of::<Pipeline>(id);
        let member = |user| Membership::wanted(caller, user);
        match self {
            Self::CreateTask { pipeline_id, assignee_id, .. } => {
                pipeline_id.map(pipeline).into_iter().chain(assignee_id.map(member)).collect()
            }
            Self::CreateTaskFromTemplate { template_id, pipeline_id, .. } => std::iter::once(FactRef::of::<TaskTemplate>(*template_id))
                .chain(pipeline_id.map(pipeline))
                .chain(caller.principal.user().or(caller.on_behalf_of).map(member))
                .collect(),
            Self::ReopenTask { .. } => task.work().and_then(|work| work.pipeline_id).map(pipeline).into_iter().collect(),
            Self::PlaceTask { pipeline_id, .. } => vec![pipeline(*pipeline_id)],
            Self::AssignTask { user_id } => vec![member(*user_id)],
            _ => vec![],
        }
    }
}

impl Decider for Task {
    const TYPE: &'static str = "task";
    type Command = TaskCommand;
    type Event = TaskEvent;
    type Error = TaskError;

    fn decide(&self, command: TaskCommand, act: &Act) -> Result<Vec<TaskEvent>, TaskError> {
        use TaskCommand::*;
        match (self, command) {
            (Self::Absent, command @ (CreateTask { .. } | CreateTaskFromTemplate { .. })) => work::create(command, act),
            (_, CreateTask { .. } | CreateTaskFromTemplate { .. }) => Err(TaskError::AlreadyExists),
            (Self::Absent, _) => Err(TaskError::NotFound),
            (Self::Live(work), command) => work.decide(command, act),
            (Self::Deleted(_), DeleteTask) => Ok(vec![]),
            (Self::Deleted(_), _) => Err(TaskError::Deleted),
        }
    }

    fn apply(&mut self, event: TaskEvent) {
        match (&mut *self, event) {
            (_, created @ TaskEvent::TaskCreated { .. }) => *self = Work::created(created).map_or(Self::Absent, Self::Live),
            (Self::Live(work), TaskEvent::TaskDeleted { .. }) => *self = Self::Deleted(work.clone()),
            (Self::Live(work), event) => work.apply(event),
            // What cannot follow changes nothing: a fold never fails.
            (Self::Absent | Self::Deleted(_), _) => {}
        }
    }

    fn personal(&mut self, visit: &mut dyn FnMut(&mut dyn Sealable)) {
        if let Self::Live(work) | Self::Deleted(work) = self {
            for sealable in [work.description.as_mut(), work.data.as_mut(), work.blocked_reason.as_mut()].into_iter().flatten() {
                visit(sealable);
            }
        }
    }

    fn claims(event: &TaskEvent, _: Uuid) -> Vec<ClaimChange> {
        use TaskEvent::*;
        // Not the items' set: that one's capacity is the stage's WIP limit.
        let stage = |id: &StageId| ClaimName::clear("task_stage", id);
        let pipeline = |id: &PipelineId| ClaimName::clear("pipeline", id);
        let refer = |name| ClaimChange::refer(name);
        let (enter, leave) = (|id| refer(stage(id)), |id| ClaimChange::release(stage(id)));
        let (open, close) = (|id| refer(pipeline(id)), |id| ClaimChange::release(pipeline(id)));
        match event {
            TaskCreated { pipeline_id, stage_id, .. } => pipeline_id.iter().map(open).chain(stage_id.iter().map(enter)).collect(),
            TaskReopened { pipeline_id, .. } => pipeline_id.iter().map(open).collect(),
            TaskCompleted { pipeline_id, .. } | TaskCancelled { pipeline_id, .. } => pipeline_id.iter().map(close).collect(),
            TaskPlaced { from_pipeline_id, from_stage_id, pipeline_id, stage_id, open: is_open } => {
                let moves = *is_open && *from_pipeline_id != Some(*pipeline_id);
                let pipelines = || from_pipeline_id.iter().map(close).chain([open(pipeline_id)]);
                let stages = from_stage_id.iter().map(leave).chain([enter(stage_id)]);
                stages.chain(moves.then(pipelines).into_iter().flatten()).collect()
            }
            TaskDeleted { pipeline_id, stage_id } => pipeline_id.iter().map(close).chain(stage_id.iter().map(leave)).collect(),
            _ => vec![],
        }
    }

    fn claim_refused(kind: &str) -> Option<TaskError> {
        // Both without bound, so never refused; named because every kind is.
        match kind {
            "task_stage" => Some(TaskError::StageNotFound),
            "pipeline" => Some(TaskError::PipelineNotFound),
            _ => None,
        }
    }
}
