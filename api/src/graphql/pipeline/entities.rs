//! Pipelines, stages and items as clients see them: their rows, and what stands beside them.

use crate::error::ApiError;
use crate::graphql::listed::{Rows, listed};
use crate::graphql::loaders::Loaders;
use crate::graphql::payload::Entity;
use crate::graphql::workspace::Member;
use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, ID, Object, Result, SimpleObject};
use domain::roles::{PIPELINE_ITEMS_READ, PIPELINES_READ, Permission, TASK_TEMPLATES_READ};
use domain::{ItemId, PipelineId, StageId, TaskTemplateId, UserId};
use projections::pipeline as rows;
use projections::query::Scope;
use projections::{Common, NodeId, ReadModel, Stored};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// The most items of a stage that a board shows.
pub(super) const BOARD_ITEMS: i64 = 100;

/// A board of stages through which items move.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline(pub(super) Stored<rows::Pipeline>);

impl Entity for Pipeline {
    type Aggregate = domain::pipeline::Pipeline;
    const READ_MODELS: &'static [&'static str] = &[rows::Pipeline::TABLE, rows::Stage::TABLE, rows::Operator::TABLE];
    const READ: Option<Permission> = Some(PIPELINES_READ);

    async fn read(scope: &mut Scope, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::pipeline(scope, PipelineId(id), None).await?.map(Self))
    }

    async fn read_own(scope: &mut Scope, id: Uuid, owner: UserId) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::pipeline(scope, PipelineId(id), Some(owner)).await?.map(Self))
    }
}

/// A board of stages through which items move.
#[Object]
impl Pipeline {
    /// The id.
    pub(crate) async fn id(&self) -> ID {
        self.0.row.id.uuid().into()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::Pipeline {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }

    /// Its stages, in order.
    #[graphql(complexity = "6 * child_complexity")]
    async fn stages(&self, ctx: &Context<'_>) -> Result<Vec<Stage>> {
        let stages = loader(ctx)?.load_one(StagesOf(self.0.row.id.0)).await?.unwrap_or_default();
        let mut placed: HashMap<StageId, Stored<rows::Stage>> = stages.into_iter().map(|stage| (stage.row.id.0, stage)).collect();
        Ok(self.0.row.stage_ids.iter().enumerate().filter_map(|(order, id)| Some(Stage { stored: placed.remove(&id.0)?, order })).collect())
    }

    /// The members who operate it.
    #[graphql(complexity = "5 * child_complexity")]
    async fn operators(&self, ctx: &Context<'_>) -> Result<Vec<Member>> {
        let operators = loader(ctx)?.load_one(OperatorsOf(self.0.row.id.0)).await?.unwrap_or_default();
        let users: Vec<UserId> = operators.iter().map(|operator| operator.row.user_id.0).collect();
        let mut members = Member::of_users(ctx, users).await?;
        Ok(operators.iter().filter_map(|operator| members.remove(&operator.row.user_id.0)).collect())
    }

    /// How many open items it has.
    async fn open_items(&self, ctx: &Context<'_>) -> Result<i64> {
        Ok(loader(ctx)?.load_one(OpenItemsOf(self.0.row.id.0)).await?.unwrap_or(0))
    }
}

/// A column of a pipeline's board.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    stored: Stored<rows::Stage>,
    order: usize,
}

/// A column of a pipeline's board.
#[Object]
impl Stage {
    #[graphql(flatten)]
    async fn row(&self) -> &rows::Stage {
        &self.stored.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.stored.common
    }

    /// Its place on the board, from 0.
    async fn order(&self) -> usize {
        self.order
    }

    /// How many items stand in it.
    async fn item_count(&self, ctx: &Context<'_>) -> Result<i64> {
        Ok(loader(ctx)?.load_one(ItemCountOf(self.stored.row.id.0)).await?.unwrap_or(0))
    }

    /// The items that stand in it, in their order; the first 100. Longer stages are paged through with
    /// `pipelineItems`.
    #[graphql(complexity = "10 * child_complexity")]
    async fn items(&self, ctx: &Context<'_>) -> Result<Rows<Item>> {
        Ok(Rows(loader(ctx)?.load_one(ItemsOf(self.stored.row.id.0)).await?.unwrap_or_default().into_iter().map(Item).collect()))
    }
}

/// A card on a pipeline's board.
#[derive(Clone, Debug)]
pub(crate) struct Item(pub(super) Stored<rows::Item>);

impl Entity for Item {
    type Aggregate = domain::pipeline::PipelineItem;
    const READ_MODELS: &'static [&'static str] = &[rows::Item::TABLE, rows::ItemTag::TABLE, rows::ItemHistory::TABLE];
    const READ: Option<Permission> = Some(PIPELINE_ITEMS_READ);

    async fn read(scope: &mut Scope, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::item(scope, ItemId(id), None).await?.map(Self))
    }

    async fn read_own(scope: &mut Scope, id: Uuid, owner: UserId) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::item(scope, ItemId(id), Some(owner)).await?.map(Self))
    }
}

/// A card on a pipeline's board.
#[Object(name = "PipelineItem")]
impl Item {
    /// The id.
    pub(crate) async fn id(&self) -> ID {
        self.0.row.id.uuid().into()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::Item {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }

    /// The pipeline in which it stands.
    async fn pipeline(&self, ctx: &Context<'_>) -> Option<Result<Pipeline>> {
        let load = async { Ok::<_, async_graphql::Error>(loader(ctx)?.load_one(PipelineOf(self.0.row.pipeline_id.0)).await?) };
        load.await.map(|found| found.map(Pipeline)).transpose()
    }

    /// The stage in which it stands.
    async fn stage(&self, ctx: &Context<'_>) -> Option<Result<ItemStage>> {
        let load = async { Ok::<_, async_graphql::Error>(loader(ctx)?.load_one(StageOf(self.0.row.stage_id.0)).await?) };
        load.await.map(|found| found.map(ItemStage::from)).transpose()
    }

    /// The member whose it is to do.
    async fn assignee(&self, ctx: &Context<'_>) -> Option<Result<Member>> {
        let user = self.0.row.assigned_to?.0;
        Member::of_users(ctx, [user]).await.map(|mut members| members.remove(&user)).transpose()
    }
}

impl From<Stored<rows::Stage>> for ItemStage {
    fn from(Stored { row, .. }: Stored<rows::Stage>) -> Self {
        Self { id: row.id, key: row.key, name: row.name, is_terminal: row.is_terminal }
    }
}

/// A stage as an item or a task names it.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct ItemStage {
    /// Its id.
    id: NodeId<StageId>,
    /// Its name for programs.
    key: String,
    /// Its name for people.
    name: String,
    /// Whether an item that enters it is completed.
    is_terminal: bool,
}

listed! {
    Pipeline: rows::Pipeline;
    Item: rows::Item;
}

pub(super) fn loader<'a>(ctx: &Context<'a>) -> Result<&'a DataLoader<Loaders>> {
    ctx.data()
}

/// Declares what a loader loads: many keys by one query, in the chosen workspace, under a permission.
macro_rules! load {
    ($($(#[$doc:meta])* $key:ident($id:ty) -> $value:ty, $permission:ident, $read_models:expr, |$scope:ident, $ids:ident, $owner:ident| $query:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) struct $key(pub(super) $id);

        impl async_graphql::dataloader::Loader<$key> for Loaders {
            type Value = $value;
            type Error = Arc<ApiError>;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, $value>, Arc<ApiError>> {
                let load = async {
                    let $owner: Option<UserId> = self.0.may($permission)?.owner();
                    let mut scope = self.0.workspace_scope(&$read_models).await?;
                    let $scope = &mut scope;
                    let $ids: Vec<$id> = keys.iter().map(|key| key.0).collect();
                    let $ids = $ids.as_slice();
                    let found: HashMap<$id, $value> = $query.await?;
                    scope.end();
                    Ok::<_, ApiError>(found.into_iter().map(|(id, value)| ($key(id), value)).collect())
                };
                load.await.map_err(Arc::new)
            }
        }
    )*};
}

load! {
    /// Pipelines by id.
    PipelineOf(PipelineId) -> Stored<rows::Pipeline>, PIPELINES_READ, [rows::Pipeline::TABLE, rows::Operator::TABLE], |scope, ids, owner| rows::pipelines_by_id(scope, ids, owner);
    /// Stages by id.
    StageOf(StageId) -> Stored<rows::Stage>, PIPELINES_READ, [rows::Stage::TABLE], |scope, ids, _owner| rows::stages_by_id(scope, ids);
    /// The stages of pipelines.
    StagesOf(PipelineId) -> Vec<Stored<rows::Stage>>, PIPELINES_READ, [rows::Stage::TABLE], |scope, ids, _owner| rows::stages_by_pipeline(scope, ids);
    /// The operators of pipelines.
    OperatorsOf(PipelineId) -> Vec<Stored<rows::Operator>>, PIPELINES_READ, [rows::Operator::TABLE], |scope, ids, _owner| rows::operators_by_pipeline(scope, ids);
    /// How many open items pipelines have.
    OpenItemsOf(PipelineId) -> i64, PIPELINE_ITEMS_READ, [rows::ItemCount::TABLE, rows::Item::TABLE], |scope, ids, owner| rows::item_counts_by_pipeline(scope, ids, owner);
    /// How many items stand in stages.
    ItemCountOf(StageId) -> i64, PIPELINE_ITEMS_READ, [rows::ItemCount::TABLE, rows::Item::TABLE], |scope, ids, owner| rows::item_counts_by_stage(scope, ids, owner);
    /// Task templates by id.
    TemplateOf(TaskTemplateId) -> Stored<rows::TaskTemplate>, TASK_TEMPLATES_READ, [rows::TaskTemplate::TABLE], |scope, ids, owner| rows::task_templates_by_id(scope, ids, owner);
    /// The first items of stages.
    ItemsOf(StageId) -> Vec<Stored<rows::Item>>, PIPELINE_ITEMS_READ, [rows::Item::TABLE], |scope, ids, owner| rows::items_by_stage(scope, ids, BOARD_ITEMS, owner);
}
