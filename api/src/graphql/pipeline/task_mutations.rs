//! What can be done to tasks and their templates: one line a command.

use super::mutations::{existing, new};
use super::task_inputs::{CreateTaskFromTemplateInput, CreateTaskInput, CreateTaskTemplateInput, UpdateTaskInput, UpdateTaskTemplateInput};
use super::tasks::{Task, TaskTemplate};
use crate::error::ApiError;
use crate::graphql::payload::{Answer, Arguments, Entity, refused, run, run_input, run_said};
use crate::graphql::viewer::Viewer;
use async_graphql::{Context, Object};
use domain::{ClaimName, PipelineId, StageId, TaskId, TaskTemplateId, UserId};
use projections::NodeId;
use projections::pipeline as rows;
use serde_json::json;

#[derive(Default)]
pub(crate) struct TaskMutation;

#[Object]
impl TaskMutation {
    /// Makes a task template, active.
    async fn create_task_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is said of it.")] input: CreateTaskTemplateInput,
    ) -> Answer<TaskTemplate> {
        run_input(ctx, new::<TaskTemplateId>(), "CreateTaskTemplate", input).await
    }

    /// Changes what is said of a task template.
    async fn update_task_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task template.")] template_id: NodeId<TaskTemplateId>,
        #[graphql(desc = "What is said of it.")] input: UpdateTaskTemplateInput,
    ) -> Answer<TaskTemplate> {
        run_input(ctx, existing(template_id), "UpdateTaskTemplate", input).await
    }

    /// Makes a task.
    async fn create_task(&self, ctx: &Context<'_>, #[graphql(desc = "What is said of it.")] input: CreateTaskInput) -> Answer<Task> {
        run_input(ctx, new::<TaskId>(), "CreateTask", input).await
    }

    /// Makes a task after a template, in the first stage of the pipeline that the template prefers, if there is one.
    async fn create_task_from_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is made of.")] input: CreateTaskFromTemplateInput,
    ) -> Answer<Task> {
        let pipeline = match preferred(ctx, input.template_id.0).await {
            Ok(pipeline) => pipeline,
            Err(error) => return Some(refused(error, Arguments::Input)),
        };
        // The pipeline is looked up anew at each attempt: a repeat is known by what was asked for.
        let mut fields = json!(input);
        let said = fields.to_string();
        fields["pipelineId"] = json!(pipeline);
        run_said(ctx, new::<TaskId>(), "CreateTaskFromTemplate", fields, said).await
    }

    /// Changes what is said of a task.
    async fn update_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "What is said of it.")] input: UpdateTaskInput,
    ) -> Answer<Task> {
        run_input(ctx, existing(task_id), "UpdateTask", input).await
    }

    /// Puts a task into a stage of an active pipeline.
    async fn place_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "The stage.")] stage_id: NodeId<StageId>,
    ) -> Answer<Task> {
        run(ctx, existing(task_id), "PlaceTask", json!({ "pipelineId": pipeline_id, "stageId": stage_id })).await
    }

    /// Begins a new task.
    async fn start_task(&self, ctx: &Context<'_>, #[graphql(desc = "The task.")] task_id: NodeId<TaskId>) -> Answer<Task> {
        run(ctx, existing(task_id), "StartTask", ()).await
    }

    /// Says that a task in progress is to be looked at.
    async fn submit_task_for_review(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "What the reviewer should know: at most 1,000 characters.")] note: Option<String>,
    ) -> Answer<Task> {
        run(ctx, existing(task_id), "SubmitTaskForReview", json!({ "note": note })).await
    }

    /// Sends a task that was looked at back to be worked on.
    async fn request_task_changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "What is to change: at most 1,000 characters.")] note: String,
    ) -> Answer<Task> {
        run(ctx, existing(task_id), "RequestTaskChanges", json!({ "note": note })).await
    }

    /// Says that a task that was looked at is done.
    async fn approve_task(&self, ctx: &Context<'_>, #[graphql(desc = "The task.")] task_id: NodeId<TaskId>) -> Answer<Task> {
        run(ctx, existing(task_id), "ApproveTask", ()).await
    }

    /// Says that a task cannot go on.
    async fn block_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "Why: at most 1,000 characters.")] reason: String,
    ) -> Answer<Task> {
        run(ctx, existing(task_id), "BlockTask", json!({ "reason": reason })).await
    }

    /// Says that a blocked task can go on, as what it was before.
    async fn unblock_task(&self, ctx: &Context<'_>, #[graphql(desc = "The task.")] task_id: NodeId<TaskId>) -> Answer<Task> {
        run(ctx, existing(task_id), "UnblockTask", ()).await
    }

    /// Says that a task in progress is done.
    async fn complete_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "What came of it: at most 1,000 characters.")] outcome: Option<String>,
    ) -> Answer<Task> {
        run(ctx, existing(task_id), "CompleteTask", json!({ "outcome": outcome })).await
    }

    /// Says that an open task will not be done.
    async fn cancel_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "Why: at most 1,000 characters.")] reason: String,
    ) -> Answer<Task> {
        run(ctx, existing(task_id), "CancelTask", json!({ "reason": reason })).await
    }

    /// Takes a task that is done or cancelled up again.
    async fn reopen_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "Why: at most 1,000 characters.")] reason: String,
    ) -> Answer<Task> {
        run(ctx, existing(task_id), "ReopenTask", json!({ "reason": reason })).await
    }

    /// Makes a task an active member's to do.
    async fn assign_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task.")] task_id: NodeId<TaskId>,
        #[graphql(desc = "The member.")] user_id: NodeId<UserId>,
    ) -> Answer<Task> {
        run(ctx, existing(task_id), "AssignTask", json!({ "userId": user_id })).await
    }

    /// Makes a task nobody's to do.
    async fn unassign_task(&self, ctx: &Context<'_>, #[graphql(desc = "The task.")] task_id: NodeId<TaskId>) -> Answer<Task> {
        run(ctx, existing(task_id), "UnassignTask", ()).await
    }

    /// Deletes a task, for ever.
    async fn delete_task(&self, ctx: &Context<'_>, #[graphql(desc = "The task.")] task_id: NodeId<TaskId>) -> Answer<Task> {
        run(ctx, existing(task_id), "DeleteTask", ()).await
    }

    /// Lets a task template make tasks.
    async fn activate_task_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task template.")] template_id: NodeId<TaskTemplateId>,
    ) -> Answer<TaskTemplate> {
        run(ctx, existing(template_id), "ActivateTaskTemplate", ()).await
    }

    /// Lets a task template make no tasks.
    async fn deactivate_task_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task template.")] template_id: NodeId<TaskTemplateId>,
    ) -> Answer<TaskTemplate> {
        run(ctx, existing(template_id), "DeactivateTaskTemplate", ()).await
    }

    /// Deletes a task template, for ever; tasks made after it stay.
    async fn delete_task_template(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task template.")] template_id: NodeId<TaskTemplateId>,
    ) -> Answer<TaskTemplate> {
        run(ctx, existing(template_id), "DeleteTaskTemplate", ()).await
    }
}

/// The pipeline that a template prefers, if there is one. Whether it takes the task is the task's to decide.
async fn preferred(ctx: &Context<'_>, template: TaskTemplateId) -> Result<Option<NodeId<PipelineId>>, ApiError> {
    let viewer = Viewer::get(ctx)?;
    let mut scope = viewer.workspace_scope(TaskTemplate::READ_MODELS).await?;
    let found = rows::task_template(&mut scope, template, None).await?;
    let tenant = scope.tenant();
    scope.end();
    let Some(key) = found.and_then(|template| template.row.preferred_pipeline_key) else { return Ok(None) };
    let holder = viewer.app.commands.claim_holder(tenant, &ClaimName::clear("pipeline_key", key)).await?;
    Ok(holder.map(|id| NodeId(PipelineId(id))))
}
