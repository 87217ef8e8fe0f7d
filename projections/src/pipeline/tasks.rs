//! Tasks. A deleted one keeps its row. Whether one is overdue is asked of the clock, not stored.

use crate::model::{shown, shown_json, take};
use crate::query::{Page, PageArgs, QueryError, Scope, Sort, count, page, row};
use crate::{JsonText, NodeId, ReadModel, Stored};
use async_graphql::{Enum, InputObject, SimpleObject};
use chrono::{DateTime, Utc};
use domain::pipeline::{TaskChanges, TaskEvent};
use domain::{Decider, PipelineId, Recorded, StageId, TaskId, TaskTemplateId, UserId};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::pipeline::TaskStatus")]
pub enum TaskStatus {
    /// Nobody has begun.
    New,
    /// Somebody is at it.
    InProgress,
    /// It is said to be done, and somebody is to look at it.
    NeedsReview,
    /// It cannot go on; unblocked, it is what it was before.
    Blocked,
    /// It is done.
    Done,
    /// It will not be done.
    Cancelled,
}

/// Where a task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::pipeline::TaskSource")]
pub enum TaskSource {
    /// Somebody made it.
    Manual,
    /// Something that came in.
    Intake,
    /// An agent.
    Agent,
    /// The calendar.
    Scheduling,
    /// An automation.
    Automation,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "TaskRow")]
pub struct Task {
    /// The id.
    pub id: NodeId<TaskId>,
    /// The template after which it was made.
    pub template_id: Option<NodeId<TaskTemplateId>>,
    /// Where it comes from.
    pub source: TaskSource,
    /// What it came from, outside.
    pub source_ref: Option<String>,
    /// Its title.
    pub title: String,
    /// What else is to be said of it; `[erased]` once that is forgotten.
    pub description: Option<String>,
    /// Where it is in its life.
    pub status: TaskStatus,
    /// The pipeline in which it stands.
    pub pipeline_id: Option<NodeId<PipelineId>>,
    /// The stage in which it stands.
    pub stage_id: Option<NodeId<StageId>>,
    /// Whose it is to do.
    pub assignee_id: Option<NodeId<UserId>>,
    /// By when it is to be done.
    pub due_at: Option<DateTime<Utc>>,
    /// Free data.
    pub data: Option<JsonText>,
    /// Why it is blocked, while it is; `[erased]` once that is forgotten.
    pub blocked_reason: Option<String>,
    /// How many decisions were recorded about it.
    pub decision_count: i64,
    /// When it was deleted, if it is.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl ReadModel for Task {
    const TABLE: &'static str = "pipeline_tasks";
    const READS: &'static [&'static str] = &[domain::pipeline::Task::TYPE];
    type Key = TaskId;

    fn keys(event: &Recorded) -> Vec<TaskId> {
        event.of::<TaskEvent>().map(|_| TaskId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &TaskId, event: &Recorded) -> Option<Self> {
        use TaskEvent::*;
        let Some(change) = event.of::<TaskEvent>() else { return row };
        if let TaskCreated {
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
            created_by: _,
        } = change
        {
            return Some(Self {
                id: NodeId(*key),
                template_id: template_id.map(NodeId),
                source: (*source).into(),
                source_ref: source_ref.clone(),
                title: title.clone(),
                description: description.as_ref().map(shown),
                status: TaskStatus::New,
                pipeline_id: pipeline_id.map(NodeId),
                stage_id: stage_id.map(NodeId),
                assignee_id: assignee_id.map(NodeId),
                due_at: *due_at,
                data: data.as_ref().map(shown_json),
                blocked_reason: None,
                decision_count: 0,
                deleted_at: None,
            });
        }
        let mut row = row?;
        match change {
            TaskStarted | TaskChangesRequested { .. } | TaskReopened { .. } => row.status = TaskStatus::InProgress,
            TaskSubmittedForReview { .. } => row.status = TaskStatus::NeedsReview,
            TaskBlocked { reason } => (row.status, row.blocked_reason) = (TaskStatus::Blocked, Some(shown(reason))),
            TaskUnblocked { status } => (row.status, row.blocked_reason) = ((*status).into(), None),
            TaskCompleted { .. } => row.status = TaskStatus::Done,
            TaskCancelled { .. } => (row.status, row.blocked_reason) = (TaskStatus::Cancelled, None),
            TaskAssigned { user_id } => row.assignee_id = Some(NodeId(*user_id)),
            TaskUnassigned { .. } => row.assignee_id = None,
            TaskPlaced { pipeline_id, stage_id, .. } => {
                (row.pipeline_id, row.stage_id) = (Some(NodeId(*pipeline_id)), Some(NodeId(*stage_id)));
            }
            TaskUpdated { changes: TaskChanges { title, description, due_at, data } } => {
                take(&mut row.title, title.as_ref(), Clone::clone);
                take(&mut row.description, description.as_ref(), |text| text.as_ref().map(shown));
                take(&mut row.due_at, due_at.as_ref(), |at| *at);
                take(&mut row.data, data.as_ref(), |data| data.as_ref().map(shown_json));
            }
            TaskDecisionRecorded { .. } => row.decision_count += 1,
            TaskDeleted { .. } => row.deleted_at = Some(event.at()),
            TaskCreated { .. } => {}
        }
        Some(row)
    }
}

/// Which tasks: those for which all that is said here holds.
#[derive(Clone, Debug, Default, InputObject)]
pub struct TaskFilter {
    /// Those at this point of their life.
    pub status: Option<TaskStatus>,
    /// Those that are this user's to do.
    pub assignee_id: Option<NodeId<UserId>>,
    /// Those in this pipeline.
    pub pipeline_id: Option<NodeId<PipelineId>>,
    /// Those made after this template.
    pub template_id: Option<NodeId<TaskTemplateId>>,
    /// Those that come from there.
    pub source: Option<TaskSource>,
    /// True: those that are open and should be done by now; false: all others.
    pub overdue: Option<bool>,
    /// The deleted ones too.
    #[graphql(default)]
    pub include_deleted: bool,
    /// Those that this user created or has to do: all that callers see whose permission reaches to their own.
    #[graphql(skip)]
    pub owned_by: Option<UserId>,
}

impl TaskFilter {
    fn push(&self, now: DateTime<Utc>, query: &mut QueryBuilder<'static, Postgres>) {
        let ids = [
            (" and t.assignee_id = ", self.assignee_id.map(|id| id.uuid())),
            (" and t.pipeline_id = ", self.pipeline_id.map(|id| id.uuid())),
            (" and t.template_id = ", self.template_id.map(|id| id.uuid())),
        ];
        for (condition, id) in ids {
            if let Some(id) = id {
                query.push(condition).push_bind(id);
            }
        }
        if let Some(status) = self.status {
            let status: &'static str = domain::pipeline::TaskStatus::from(status).into();
            query.push(" and t.status = ").push_bind(status);
        }
        if let Some(source) = self.source {
            let source: &'static str = domain::pipeline::TaskSource::from(source).into();
            query.push(" and t.source = ").push_bind(source);
        }
        if let Some(overdue) = self.overdue {
            query.push(if overdue { " and (" } else { " and not (" }).push("t.due_key < ").push_bind(now);
            query.push(" and t.status not in ('DONE', 'CANCELLED'))");
        }
        if let Some(user) = self.owned_by {
            query.push(" and (t.created_by = ").push_bind(user.0).push(" or t.assignee_id = ").push_bind(user.0).push(")");
        }
        if !self.include_deleted {
            query.push(" and t.deleted_at is null");
        }
    }
}

/// In which order tasks are listed. Ties go by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum TaskOrder {
    /// What is due first, first; what is never due last.
    DueAtAsc,
    /// What is never due first, then what is due last.
    DueAtDesc,
    /// The oldest first.
    CreatedAtAsc,
    /// The newest first.
    #[default]
    CreatedAtDesc,
}

impl TaskOrder {
    fn sort(self) -> Sort {
        type By = &'static [(&'static str, &'static str)];
        const DUE: By = &[("t.due_key", "timestamptz"), ("t.id", "uuid")];
        const CREATED: By = &[("t.created_at", "timestamptz"), ("t.id", "uuid")];
        let (name, by, descending) = match self {
            Self::DueAtAsc => ("DUE_AT_ASC", DUE, false),
            Self::DueAtDesc => ("DUE_AT_DESC", DUE, true),
            Self::CreatedAtAsc => ("CREATED_AT_ASC", CREATED, false),
            Self::CreatedAtDesc => ("CREATED_AT_DESC", CREATED, true),
        };
        Sort { name, by, descending }
    }
}

/// A task, be it a deleted one; nothing where it is not `owned_by` the user named.
///
/// # Errors
/// The database.
pub async fn task(scope: &mut Scope, id: TaskId, owned_by: Option<UserId>) -> Result<Option<Stored<Task>>, sqlx::Error> {
    let filter = TaskFilter { include_deleted: true, owned_by, ..TaskFilter::default() };
    row(scope, |query| {
        query.push(" and t.id = ").push_bind(id.0);
        // No condition of a single task asks for the clock.
        filter.push(DateTime::UNIX_EPOCH, query);
    })
    .await
}

/// Tasks in an order; what is overdue is so at `now`.
///
/// # Errors
/// The page's arguments, or the database.
pub async fn tasks(
    scope: &mut Scope,
    filter: &TaskFilter,
    now: DateTime<Utc>,
    order: TaskOrder,
    args: &PageArgs,
) -> Result<Page<Task>, QueryError> {
    page(scope, |query| filter.push(now, query), &order.sort(), args).await
}

/// How many tasks pass a filter; what is overdue is so at `now`.
///
/// # Errors
/// The database.
pub async fn count_tasks(scope: &mut Scope, filter: &TaskFilter, now: DateTime<Utc>) -> Result<i64, sqlx::Error> {
    count::<Task>(scope, |query| filter.push(now, query)).await
}
