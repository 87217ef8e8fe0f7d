//! What can be asked of pipelines and items.

use super::entities::{Item, Pipeline};
use crate::error::ApiError;
use crate::graphql::connection::{Connection, cost, page_args};
use crate::graphql::listed::listed;
use crate::graphql::payload::Entity;
use crate::graphql::viewer::Viewer;
use crate::graphql::workspace::Member;
use async_graphql::{Context, Object, Result};
use domain::roles::{AUDIT_READ, PIPELINE_ITEMS_READ, PIPELINES_READ};
use domain::{ItemId, PipelineId, UserId};
use projections::pipeline::{self as rows, ItemFilter, ItemOrder, PipelineFilter, PipelineOrder};
use projections::query::Scope;
use projections::{Common, NodeId, Stored};

#[derive(Default)]
pub(crate) struct PipelineQuery;

#[Object]
impl PipelineQuery {
    /// A pipeline, deleted ones too.
    async fn pipeline(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: NodeId<PipelineId>) -> Option<Result<Pipeline>> {
        Some(pipeline(ctx, id.0).await)
    }

    /// The pipelines of the workspace.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn pipelines(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones.", default)] filter: PipelineFilter,
        #[graphql(desc = "In which order.", default)] order_by: PipelineOrder,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Pipeline>>> {
        let list = async {
            let viewer = Viewer::get(ctx)?;
            let filter = PipelineFilter { owned_by: viewer.may(PIPELINES_READ)?.owner(), ..filter };
            shows_deleted(viewer, filter.include_deleted)?;
            let mut scope = viewer.workspace_scope(Pipeline::READ_MODELS).await?;
            let page = rows::pipelines(&mut scope, &filter, order_by, &page_args(first, after, last, before)).await?;
            let total = if counted(ctx) { Some(rows::count_pipelines(&mut scope, &filter).await?) } else { None };
            scope.end();
            Ok::<_, ApiError>(Connection::new(page, total, Pipeline))
        };
        Some(list.await.map_err(Into::into))
    }

    /// A pipeline as a board: ask it for its stages and these for their items.
    async fn pipeline_board(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: NodeId<PipelineId>) -> Option<Result<Pipeline>> {
        Some(pipeline(ctx, id.0).await)
    }

    /// An item, deleted ones too.
    async fn pipeline_item(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: NodeId<ItemId>) -> Option<Result<Item>> {
        let find = async {
            let viewer = Viewer::get(ctx)?;
            let owner = viewer.may(PIPELINE_ITEMS_READ)?.owner();
            let mut scope = viewer.workspace_scope(Item::READ_MODELS).await?;
            let found = rows::item(&mut scope, id.0, owner).await?;
            scope.end();
            found.map(Item).ok_or_else(|| no_item(id.0))
        };
        Some(find.await.map_err(Into::into))
    }

    /// The items of the workspace.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn pipeline_items(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones.", default)] filter: ItemFilter,
        #[graphql(desc = "In which order.", default)] order_by: ItemOrder,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Item>>> {
        let list = async {
            let viewer = Viewer::get(ctx)?;
            let filter = ItemFilter { owned_by: viewer.may(PIPELINE_ITEMS_READ)?.owner(), ..filter };
            shows_deleted(viewer, filter.include_deleted || filter.status == Some(rows::ItemStatus::Deleted))?;
            let mut scope = viewer.workspace_scope(Item::READ_MODELS).await?;
            let page = rows::items(&mut scope, &filter, order_by, &page_args(first, after, last, before)).await?;
            if page.rows.is_empty() {
                all_named(&mut scope, &filter).await?;
            }
            let total = if counted(ctx) { Some(rows::count_items(&mut scope, &filter).await?) } else { None };
            scope.end();
            Ok::<_, ApiError>(Connection::new(page, total, Item))
        };
        Some(list.await.map_err(Into::into))
    }

    /// What happened to an item, in the order of the log.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    async fn item_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item.")] item_id: NodeId<ItemId>,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<ItemHistory>>> {
        let list = async {
            let viewer = Viewer::get(ctx)?;
            let owner = viewer.may(PIPELINE_ITEMS_READ)?.owner();
            let mut scope = viewer.workspace_scope(Item::READ_MODELS).await?;
            rows::item(&mut scope, item_id.0, owner).await?.ok_or_else(|| no_item(item_id.0))?;
            let page = rows::item_history(&mut scope, item_id.0, &page_args(first, after, last, before)).await?;
            scope.end();
            Ok::<_, ApiError>(Connection::new(page, None, ItemHistory))
        };
        Some(list.await.map_err(Into::into))
    }

    /// How long items stood in each stage of a pipeline, in the order of the board.
    #[graphql(complexity = "10 * child_complexity")]
    async fn time_in_stage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: NodeId<PipelineId>,
    ) -> Option<Result<Vec<rows::StageTime>>> {
        let times = async {
            let viewer = Viewer::get(ctx)?;
            all_items(viewer)?;
            let mut scope = viewer.workspace_scope(Item::READ_MODELS).await?;
            exists(&mut scope, pipeline_id.0).await?;
            let times = rows::time_in_stage(&mut scope, pipeline_id.0).await?;
            scope.end();
            Ok::<_, ApiError>(times)
        };
        Some(times.await.map_err(Into::into))
    }

    /// How many items are whose to do, most first; of one pipeline or of all. Completed ones only if asked for.
    #[graphql(complexity = "10 * child_complexity")]
    async fn items_by_assignee(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pipeline.")] pipeline_id: Option<NodeId<PipelineId>>,
        #[graphql(desc = "Completed items too.", default)] include_completed: bool,
    ) -> Option<Result<Vec<AssigneeCount>>> {
        let counts = async {
            let viewer = Viewer::get(ctx)?;
            let owner = viewer.may(PIPELINE_ITEMS_READ)?.owner();
            let mut scope = viewer.workspace_scope(Item::READ_MODELS).await?;
            if let Some(id) = pipeline_id {
                exists(&mut scope, id.0).await?;
            }
            let counts = rows::items_by_assignee(&mut scope, pipeline_id.map(|id| id.0), include_completed, owner).await?;
            scope.end();
            Ok::<_, ApiError>(counts.into_iter().map(AssigneeCount).collect())
        };
        Some(counts.await.map_err(Into::into))
    }
}

/// Something that happened to an item.
pub(crate) struct ItemHistory(Stored<rows::ItemHistory>);

listed! { ItemHistory: rows::ItemHistory; }

/// Something that happened to an item.
#[Object(name = "ItemHistoryEntry")]
impl ItemHistory {
    #[graphql(flatten)]
    async fn row(&self) -> &rows::ItemHistory {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }

    /// The member who did it; none who are members no longer, and none for the program itself.
    async fn actor(&self, ctx: &Context<'_>) -> Option<Result<Member>> {
        let user = UserId(self.0.row.actor_id.parse().ok()?);
        Member::of_users(ctx, [user]).await.map(|mut members| members.remove(&user)).transpose()
    }
}

/// How many items are somebody's to do.
pub(crate) struct AssigneeCount(rows::AssigneeCount);

/// How many items are somebody's to do.
#[Object]
impl AssigneeCount {
    #[graphql(flatten)]
    async fn row(&self) -> &rows::AssigneeCount {
        &self.0
    }

    /// Whose they are; none for those that are nobody's.
    async fn member(&self, ctx: &Context<'_>) -> Option<Result<Member>> {
        let user = self.0.user_id?.0;
        Member::of_users(ctx, [user]).await.map(|mut members| members.remove(&user)).transpose()
    }
}

async fn pipeline(ctx: &Context<'_>, id: PipelineId) -> Result<Pipeline> {
    let viewer = Viewer::get(ctx)?;
    let owner = viewer.may(PIPELINES_READ)?.owner();
    let mut scope = viewer.workspace_scope(Pipeline::READ_MODELS).await?;
    let found = one(&mut scope, id, owner).await?;
    scope.end();
    Ok(found)
}

/// The pipeline, or NOT_FOUND: ids in filters are no exception.
pub(super) async fn exists(scope: &mut Scope, id: PipelineId) -> Result<Pipeline, ApiError> {
    one(scope, id, None).await
}

/// Refuses a list of items that names what is not there. Asked of an empty one alone: where there are items, there is what
/// they are chosen by, and most lists have some.
async fn all_named(scope: &mut Scope, filter: &ItemFilter) -> Result<(), ApiError> {
    if let Some(id) = filter.pipeline_id {
        exists(scope, id.0).await?;
    }
    if let Some(id) = filter.stage_id
        && rows::stages_by_id(scope, &[id.0]).await?.is_empty()
    {
        return Err(ApiError::not_found(format!("there is no stage with the id {} in this workspace", id.0)));
    }
    if let Some(id) = filter.assigned_to
        && projections::workspace::member(scope, id.0).await?.is_none()
    {
        return Err(ApiError::not_found(format!("there is no member with the user id {} in this workspace", id.0)));
    }
    Ok(())
}

async fn one(scope: &mut Scope, id: PipelineId, owner: Option<UserId>) -> Result<Pipeline, ApiError> {
    rows::pipeline(scope, id, owner)
        .await?
        .map(Pipeline)
        .ok_or_else(|| ApiError::not_found(format!("there is no pipeline with the id {id} in this workspace")))
}

fn no_item(id: ItemId) -> ApiError {
    ApiError::not_found(format!("there is no pipeline item with the id {id} in this workspace, or it is not yours to see"))
}

/// What is deleted is shown to those who may read the audit trail (`spec/conventions.md`).
pub(super) fn shows_deleted(viewer: &Viewer, asked: bool) -> Result<(), ApiError> {
    if asked { viewer.all(AUDIT_READ) } else { Ok(()) }
}

/// Figures over all items are for those who may read all of them.
pub(super) fn all_items(viewer: &Viewer) -> Result<(), ApiError> {
    viewer.all(PIPELINE_ITEMS_READ)
}

pub(super) fn counted(ctx: &Context<'_>) -> bool {
    ctx.look_ahead().field("totalCount").exists()
}
