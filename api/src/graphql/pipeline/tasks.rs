//! Tasks and their templates as clients see them, and what can be asked of them.

use super::entities::{ItemStage, Pipeline, PipelineOf, StageOf, TemplateOf, loader};
use super::queries::{all_items, counted, exists, shows_deleted};
use crate::clock;
use crate::error::ApiError;
use crate::graphql::connection::{Connection, cost, page_args};
use crate::graphql::listed::listed;
use crate::graphql::payload::{Entity, seen};
use crate::graphql::viewer::Viewer;
use crate::graphql::workspace::Member;
use async_graphql::{Context, ID, Object, Result};
use domain::roles::{Permission, TASK_TEMPLATES_READ, TASKS_READ};
use domain::{PipelineId, TaskId, TaskTemplateId, UserId};
use projections::pipeline::{self as rows, TaskFilter, TaskOrder, TaskTemplateFilter};
use projections::query::{PageArgs, Scope};
use projections::{Common, Date, NodeId, ReadModel, Stored};
use uuid::Uuid;

/// Something to be done.
#[derive(Clone, Debug)]
pub(crate) struct Task(Stored<rows::Task>);

impl Entity for Task {
    type Aggregate = domain::pipeline::Task;
    const READ_MODELS: &'static [&'static str] = &[rows::Task::TABLE, rows::TaskDecision::TABLE];
    const READ: Option<Permission> = Some(TASKS_READ);

    async fn read(scope: &mut Scope, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::task(scope, TaskId(id), None).await?.map(Self))
    }

    async fn read_own(scope: &mut Scope, id: Uuid, owner: UserId) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::task(scope, TaskId(id), Some(owner)).await?.map(Self))
    }
}

/// Something to be done.
#[Object]
impl Task {
    /// The id.
    pub(crate) async fn id(&self) -> ID {
        self.0.row.id.uuid().into()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::Task {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }

    /// The template after which it was made.
    async fn template(&self, ctx: &Context<'_>) -> Option<Result<TaskTemplate>> {
        let id = self.0.row.template_id?.0;
        let load = async { Ok::<_, async_graphql::Error>(loader(ctx)?.load_one(TemplateOf(id)).await?) };
        load.await.map(|found| found.map(TaskTemplate)).transpose()
    }

    /// The pipeline in which it stands.
    async fn pipeline(&self, ctx: &Context<'_>) -> Option<Result<Pipeline>> {
        let id = self.0.row.pipeline_id?.0;
        let load = async { Ok::<_, async_graphql::Error>(loader(ctx)?.load_one(PipelineOf(id)).await?) };
        load.await.map(|found| found.map(Pipeline)).transpose()
    }

    /// The stage in which it stands.
    async fn stage(&self, ctx: &Context<'_>) -> Option<Result<ItemStage>> {
        let id = self.0.row.stage_id?.0;
        let load = async { Ok::<_, async_graphql::Error>(loader(ctx)?.load_one(StageOf(id)).await?) };
        load.await.map(|found| found.map(ItemStage::from)).transpose()
    }

    /// The member whose it is to do.
    async fn assignee(&self, ctx: &Context<'_>) -> Option<Result<Member>> {
        let user = self.0.row.assignee_id?.0;
        Member::of_users(ctx, [user]).await.map(|mut members| members.remove(&user)).transpose()
    }

    /// What the program decided about it, in the order of the log.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    async fn decisions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<TaskDecision>>> {
        Some(decisions(ctx, self.0.row.id.0, &page_args(first, after, last, before)).await.map_err(Into::into))
    }
}

/// What a kind of task is made after.
#[derive(Clone, Debug)]
pub(crate) struct TaskTemplate(Stored<rows::TaskTemplate>);

impl Entity for TaskTemplate {
    type Aggregate = domain::pipeline::TaskTemplate;
    const READ_MODELS: &'static [&'static str] = &[rows::TaskTemplate::TABLE];
    const READ: Option<Permission> = Some(TASK_TEMPLATES_READ);

    async fn read(scope: &mut Scope, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::task_template(scope, TaskTemplateId(id), None).await?.map(Self))
    }

    async fn read_own(scope: &mut Scope, id: Uuid, owner: UserId) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::task_template(scope, TaskTemplateId(id), Some(owner)).await?.map(Self))
    }
}

/// What a kind of task is made after.
#[Object]
impl TaskTemplate {
    /// The id.
    pub(crate) async fn id(&self) -> ID {
        self.0.row.id.uuid().into()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::TaskTemplate {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }
}

/// Something that the program decided about a task.
pub(crate) struct TaskDecision(Stored<rows::TaskDecision>);

/// Something that the program decided about a task.
#[Object]
impl TaskDecision {
    /// Whether a model was asked.
    async fn by_model(&self) -> bool {
        self.0.row.llm_model.is_some()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::TaskDecision {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }
}

listed! {
    Task: rows::Task;
    TaskTemplate: rows::TaskTemplate;
    TaskDecision: rows::TaskDecision;
}

#[derive(Default)]
pub(crate) struct TaskQuery;

#[Object]
impl TaskQuery {
    /// A task, deleted ones too.
    async fn task(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: NodeId<TaskId>) -> Option<Result<Task>> {
        let find = async { visible::<Task>(Viewer::get(ctx)?, id.0.into(), "task").await };
        Some(find.await.map_err(Into::into))
    }

    /// A task template, deleted ones too.
    async fn task_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id.")] id: NodeId<TaskTemplateId>,
    ) -> Option<Result<TaskTemplate>> {
        let find = async { visible::<TaskTemplate>(Viewer::get(ctx)?, id.0.into(), "task template").await };
        Some(find.await.map_err(Into::into))
    }

    /// The tasks of the workspace.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn tasks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones.", default)] filter: TaskFilter,
        #[graphql(desc = "In which order.", default)] order_by: TaskOrder,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Task>>> {
        let list = async {
            let viewer = Viewer::get(ctx)?;
            let filter = TaskFilter { owned_by: viewer.may(TASKS_READ)?.owner(), ..filter };
            shows_deleted(viewer, filter.include_deleted)?;
            let mut scope = viewer.workspace_scope(Task::READ_MODELS).await?;
            if let Some(id) = filter.pipeline_id {
                exists(&mut scope, id.0).await?;
            }
            if let Some(id) = filter.template_id
                && rows::task_template(&mut scope, id.0, None).await?.is_none()
            {
                return Err(ApiError::not_found(format!("there is no task template with the id {} in this workspace", id.0)));
            }
            if let Some(id) = filter.assignee_id
                && projections::workspace::member(&mut scope, id.0).await?.is_none()
            {
                return Err(ApiError::not_found(format!("there is no member with the user id {} in this workspace", id.0)));
            }
            let now = clock::now();
            let page = rows::tasks(&mut scope, &filter, now, order_by, &page_args(first, after, last, before)).await?;
            let total = if counted(ctx) { Some(rows::count_tasks(&mut scope, &filter, now).await?) } else { None };
            scope.end();
            Ok::<_, ApiError>(Connection::new(page, total, Task))
        };
        Some(list.await.map_err(Into::into))
    }

    /// The task templates of the workspace, the oldest first.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    async fn task_templates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones.", default)] filter: TaskTemplateFilter,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<TaskTemplate>>> {
        let list = async {
            let viewer = Viewer::get(ctx)?;
            let filter = TaskTemplateFilter { owned_by: viewer.may(TASK_TEMPLATES_READ)?.owner(), ..filter };
            shows_deleted(viewer, filter.include_deleted)?;
            let mut scope = viewer.workspace_scope(TaskTemplate::READ_MODELS).await?;
            let page = rows::task_templates(&mut scope, &filter, &page_args(first, after, last, before)).await?;
            let total = if counted(ctx) { Some(rows::count_task_templates(&mut scope, &filter).await?) } else { None };
            scope.end();
            Ok::<_, ApiError>(Connection::new(page, total, TaskTemplate))
        };
        Some(list.await.map_err(Into::into))
    }

    /// What the program decided about a task, in the order of the log.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    async fn task_decisions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<TaskDecision>>> {
        Some(decisions(ctx, task_id.0, &page_args(first, after, last, before)).await.map_err(Into::into))
    }

    /// How many items entered and left each stage of a pipeline on each day, and how long those that left had stood
    /// there. Days without either are left out; at most 366 days are asked for at once.
    #[graphql(complexity = "50 * child_complexity")]
    async fn pipeline_metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] id: NodeId<PipelineId>,
        #[graphql(desc = "The first day, in UTC.")] from: Date,
        #[graphql(desc = "The last day, in UTC.")] to: Date,
    ) -> Option<Result<Vec<rows::StageDay>>> {
        let days = async {
            let viewer = Viewer::get(ctx)?;
            all_items(viewer)?;
            if !(0..366).contains(&(to.0 - from.0).num_days()) {
                return Err(ApiError::invalid_field("to", "must be at most 365 days after `from`, and not before it"));
            }
            let mut scope = viewer.workspace_scope(&[rows::StageDay::TABLE, rows::Stage::TABLE, rows::Pipeline::TABLE]).await?;
            exists(&mut scope, id.0).await?;
            let days = rows::stage_days(&mut scope, id.0, from, to).await?;
            scope.end();
            Ok::<_, ApiError>(days)
        };
        Some(days.await.map_err(Into::into))
    }
}

/// What the program decided about a task that the viewer may see.
async fn decisions(ctx: &Context<'_>, task: TaskId, args: &PageArgs) -> Result<Connection<TaskDecision>, ApiError> {
    let viewer = Viewer::get(ctx)?;
    visible::<Task>(viewer, task.0, "task").await?;
    let mut scope = viewer.workspace_scope(Task::READ_MODELS).await?;
    let page = rows::task_decisions(&mut scope, task, args).await?;
    scope.end();
    Ok(Connection::new(page, None, TaskDecision))
}

/// An entity as far as the viewer may see it, or NOT_FOUND.
async fn visible<E: Entity>(viewer: &Viewer, id: Uuid, what: &str) -> Result<E, ApiError> {
    if let Some(permission) = E::READ {
        viewer.may(permission)?;
    }
    seen::<E>(viewer, id)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("there is no {what} with the id {id} in this workspace, or it is not yours to see")))
}
