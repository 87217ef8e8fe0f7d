//! What can be done to pipelines and items: one line a command.

use super::entities::{Item, Pipeline};
use super::inputs::{
    AddStageInput, CreateItemInput, CreatePipelineInput, MoveItemInput, RecordActivityInput, UpdateItemInput, UpdatePipelineInput,
    UpdateStageInput, value,
};
use super::ranks;
use crate::clock;
use crate::error::ApiError;
use crate::graphql::payload::{Answer, Arguments, Entity, refused, run, run_input, run_said};
use crate::graphql::viewer::Viewer;
use async_graphql::{Context, Object};
use domain::{ItemId, PipelineId, StageId, TypedId, UserId};
use event_store::Target;
use projections::NodeId;
use serde_json::json;

#[derive(Default)]
pub(crate) struct PipelineMutation;

pub(super) fn existing<T: TypedId>(id: NodeId<T>) -> Target {
    Target::Existing(id.uuid())
}

pub(super) fn new<T: TypedId>() -> Target {
    Target::New(clock::new_id::<T>().into())
}

#[Object]
impl PipelineMutation {
    /// Makes a pipeline with its stages. It takes no items until it is activated.
    async fn create_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is said of it.")] input: CreatePipelineInput,
    ) -> Answer<Pipeline> {
        run_input(ctx, new::<PipelineId>(), "CreatePipeline", input).await
    }

    /// Changes what is said of a pipeline.
    async fn update_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "What is said of it.")] input: UpdatePipelineInput,
    ) -> Answer<Pipeline> {
        run_input(ctx, existing(pipeline_id), "UpdatePipeline", input).await
    }

    /// Lets a pipeline take items. It needs a stage that is not terminal.
    async fn activate_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
    ) -> Answer<Pipeline> {
        run(ctx, existing(pipeline_id), "ActivatePipeline", ()).await
    }

    /// Lets a pipeline take no new items.
    async fn deactivate_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
    ) -> Answer<Pipeline> {
        run(ctx, existing(pipeline_id), "DeactivatePipeline", ()).await
    }

    /// Adds a stage to a pipeline.
    async fn add_stage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "What is said of it.")] input: AddStageInput,
    ) -> Answer<Pipeline> {
        run_input(ctx, existing(pipeline_id), "AddStage", input).await
    }

    /// Changes what is said of a stage.
    async fn update_stage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "What is said of it.")] input: UpdateStageInput,
    ) -> Answer<Pipeline> {
        run_input(ctx, existing(pipeline_id), "UpdateStage", input).await
    }

    /// Puts the stages of a pipeline into another order; each is named once.
    async fn reorder_stages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "All stages of the pipeline, in their new order.")] stage_ids: Vec<NodeId<StageId>>,
    ) -> Answer<Pipeline> {
        run(ctx, existing(pipeline_id), "ReorderStages", json!({ "stageIds": stage_ids })).await
    }

    /// Removes a stage in which no item stands.
    async fn remove_stage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "The stage.")] stage_id: NodeId<StageId>,
    ) -> Answer<Pipeline> {
        run(ctx, existing(pipeline_id), "RemoveStage", json!({ "stageId": stage_id })).await
    }

    /// Makes an active member an operator of a pipeline.
    async fn assign_operator(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "The member.")] user_id: NodeId<UserId>,
    ) -> Answer<Pipeline> {
        run(ctx, existing(pipeline_id), "AssignOperator", json!({ "userId": user_id })).await
    }

    /// Makes a user an operator of a pipeline no longer.
    async fn unassign_operator(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "The member.")] user_id: NodeId<UserId>,
    ) -> Answer<Pipeline> {
        run(ctx, existing(pipeline_id), "UnassignOperator", json!({ "userId": user_id })).await
    }

    /// Deletes a pipeline that has no open items.
    async fn delete_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
    ) -> Answer<Pipeline> {
        run(ctx, existing(pipeline_id), "DeletePipeline", ()).await
    }

    /// Brings a deleted pipeline back, inactive.
    async fn restore_pipeline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
    ) -> Answer<Pipeline> {
        run(ctx, existing(pipeline_id), "RestorePipeline", ()).await
    }

    /// Makes an item in an active pipeline.
    async fn create_item(&self, ctx: &Context<'_>, #[graphql(desc = "What is said of it.")] input: CreateItemInput) -> Answer<Item> {
        run_input(ctx, new::<ItemId>(), "CreateItem", input).await
    }

    /// Changes what is said of an item.
    async fn update_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item.")] item_id: NodeId<ItemId>,
        #[graphql(desc = "What is said of it.")] input: UpdateItemInput,
    ) -> Answer<Item> {
        run_input(ctx, existing(item_id), "UpdateItem", input).await
    }

    /// Moves an item to another stage of its pipeline, or to another place in its stage.
    async fn move_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item.")] item_id: NodeId<ItemId>,
        #[graphql(desc = "What is said of it.")] input: MoveItemInput,
    ) -> Answer<Item> {
        let rank = match rank(ctx, item_id.0, &input).await {
            Ok(rank) => rank,
            Err(error) => return Some(refused(error, Arguments::Input)),
        };
        // The place is worked out anew at each attempt: a repeat is known by what was asked for.
        let said = json!(input).to_string();
        let fields = json!({ "toStageId": input.to_stage_id, "rank": rank, "note": input.note, "attributes": value(input.attributes.as_ref()).ok() });
        run_said(ctx, existing(item_id), "MoveItem", fields, said).await
    }

    /// Records that something was done to an item without moving it.
    async fn record_item_activity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item.")] item_id: NodeId<ItemId>,
        #[graphql(desc = "What is said of it.")] input: RecordActivityInput,
    ) -> Answer<Item> {
        run_input(ctx, existing(item_id), "RecordActivity", input).await
    }

    /// Moves an item to a stage of another pipeline, which is active.
    async fn transfer_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item.")] item_id: NodeId<ItemId>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
        #[graphql(desc = "The stage.")] stage_id: NodeId<StageId>,
    ) -> Answer<Item> {
        run(ctx, existing(item_id), "TransferItem", json!({ "pipelineId": pipeline_id, "stageId": stage_id })).await
    }

    /// Makes an item an active member's to do.
    async fn assign_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item.")] item_id: NodeId<ItemId>,
        #[graphql(desc = "The member.")] user_id: NodeId<UserId>,
    ) -> Answer<Item> {
        run(ctx, existing(item_id), "AssignItem", json!({ "userId": user_id })).await
    }

    /// Makes an item nobody's to do.
    async fn unassign_item(&self, ctx: &Context<'_>, #[graphql(desc = "The item.")] item_id: NodeId<ItemId>) -> Answer<Item> {
        run(ctx, existing(item_id), "UnassignItem", ()).await
    }

    /// Adds a tag to an item.
    async fn add_item_tag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item.")] item_id: NodeId<ItemId>,
        #[graphql(desc = "The tag: 1 to 50 characters.")] tag: String,
    ) -> Answer<Item> {
        run(ctx, existing(item_id), "AddItemTag", json!({ "tag": tag })).await
    }

    /// Takes a tag from an item.
    async fn remove_item_tag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item.")] item_id: NodeId<ItemId>,
        #[graphql(desc = "The tag: 1 to 50 characters.")] tag: String,
    ) -> Answer<Item> {
        run(ctx, existing(item_id), "RemoveItemTag", json!({ "tag": tag })).await
    }

    /// Deletes an item. It never moves again until it is restored.
    async fn delete_item(&self, ctx: &Context<'_>, #[graphql(desc = "The item.")] item_id: NodeId<ItemId>) -> Answer<Item> {
        run(ctx, existing(item_id), "DeleteItem", ()).await
    }

    /// Brings a deleted item back to its stage.
    async fn restore_item(&self, ctx: &Context<'_>, #[graphql(desc = "The item.")] item_id: NodeId<ItemId>) -> Answer<Item> {
        run(ctx, existing(item_id), "RestoreItem", ()).await
    }
}

/// The order key of the place a move asks for.
async fn rank(ctx: &Context<'_>, item: ItemId, input: &MoveItemInput) -> Result<Option<String>, ApiError> {
    if input.before.is_none() && input.after.is_none() {
        return Ok(None);
    }
    let mut scope = Viewer::get(ctx)?.workspace_scope(Item::READ_MODELS).await?;
    let rank = ranks::place(&mut scope, item, input).await?;
    scope.end();
    Ok(rank)
}
