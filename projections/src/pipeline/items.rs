//! An item: a card on a pipeline's board. A deleted one keeps its row and its place in time.

use super::item_filter::{ItemFilter, ItemOrder};
use crate::model::{shown, shown_json, take};
use crate::query::{Page, PageArgs, QueryError, Scope, count, page, row, rows};
use crate::{Date, JsonText, NodeId, ReadModel, Stored};
use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, Utc};
use domain::pipeline::{ItemChanges, ItemEvent};
use domain::{Decider, ItemId, PipelineId, Recorded, StageId, UserId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// How urgent an item is, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::pipeline::Priority")]
pub enum Priority {
    /// It can wait.
    Low,
    /// What an item has unless something else is said.
    Medium,
    /// Before others.
    High,
    /// Before everything.
    Urgent,
}

/// Where an item is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::pipeline::ItemStatus")]
pub enum ItemStatus {
    /// There is work to do.
    Open,
    /// It reached a terminal stage.
    Completed,
    /// It is gone, and may be restored.
    Deleted,
}

/// An item on a pipeline's board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "ItemRow")]
pub struct Item {
    /// The id.
    pub id: NodeId<ItemId>,
    /// The pipeline in which it stands.
    pub pipeline_id: NodeId<PipelineId>,
    /// The stage in which it stands.
    pub stage_id: NodeId<StageId>,
    /// Its place in the stage: an order key, compared byte by byte; ties go by id.
    pub rank: String,
    /// Its title.
    pub title: String,
    /// What else is to be said of it; `[erased]` once that is forgotten.
    pub description: Option<String>,
    /// Whose it is to do.
    pub assigned_to: Option<NodeId<UserId>>,
    /// The day by which it is to be done.
    pub due_date: Option<Date>,
    /// How urgent it is.
    pub priority: Priority,
    /// Free data.
    pub data: Option<JsonText>,
    /// Its tags, in the order they were added.
    pub tags: Vec<String>,
    /// What it came from, outside.
    pub source_ref: Option<String>,
    /// Where it is in its life.
    pub status: ItemStatus,
    /// When it entered its stage.
    pub entered_stage_at: DateTime<Utc>,
    /// When it was completed, unless it is open.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was deleted, if it is.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl ReadModel for Item {
    const TABLE: &'static str = "pipeline_items";
    const READS: &'static [&'static str] = &[domain::pipeline::PipelineItem::TYPE];
    type Key = ItemId;

    fn keys(event: &Recorded) -> Vec<ItemId> {
        event.of::<ItemEvent>().map(|_| ItemId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &ItemId, event: &Recorded) -> Option<Self> {
        use ItemEvent::*;
        let Some(change) = event.of::<ItemEvent>() else { return row };
        if let PipelineItemCreated {
            pipeline_id,
            stage_id,
            rank,
            title,
            description,
            assigned_to,
            due_date,
            priority,
            data,
            tags,
            source_ref,
            entered_at,
            attributes: _,
            created_by: _,
            wip_limit: _,
        } = change
        {
            return Some(Self {
                id: NodeId(*key),
                pipeline_id: NodeId(*pipeline_id),
                stage_id: NodeId(*stage_id),
                rank: rank.clone(),
                title: title.clone(),
                description: description.as_ref().map(shown),
                assigned_to: assigned_to.map(NodeId),
                due_date: due_date.map(Date),
                priority: (*priority).into(),
                data: data.as_ref().map(shown_json),
                tags: tags.clone(),
                source_ref: source_ref.clone(),
                status: ItemStatus::Open,
                entered_stage_at: *entered_at,
                completed_at: None,
                deleted_at: None,
            });
        }
        let mut row = row?;
        match change {
            PipelineItemUpdated { changes } => row.update(changes),
            PipelineItemMoved { to, rank, entered_at, .. } => row.place(row.pipeline_id.0, *to, rank, *entered_at),
            PipelineItemTransferred { pipeline_id, stage_id, rank, entered_at, .. } => {
                row.place(*pipeline_id, *stage_id, rank, *entered_at)
            }
            PipelineItemReordered { rank } => row.rank.clone_from(rank),
            PipelineItemCompleted { completed_at, .. } => {
                row.status = ItemStatus::Completed;
                row.completed_at = Some(*completed_at);
            }
            PipelineItemReopened { .. } => {
                row.status = ItemStatus::Open;
                row.completed_at = None;
            }
            PipelineItemAssigned { user_id } => row.assigned_to = Some(NodeId(*user_id)),
            PipelineItemUnassigned { .. } => row.assigned_to = None,
            PipelineItemTagged { tag } => row.tags.push(tag.clone()),
            PipelineItemUntagged { tag } => row.tags.retain(|other| other != tag),
            PipelineItemDeleted { .. } => {
                row.status = ItemStatus::Deleted;
                row.deleted_at = Some(event.at());
            }
            PipelineItemRestored { open, .. } => {
                row.status = if *open { ItemStatus::Open } else { ItemStatus::Completed };
                row.deleted_at = None;
            }
            PipelineItemCreated { .. } | PipelineItemActivityRecorded { .. } => {}
        }
        Some(row)
    }
}

impl Item {
    fn place(&mut self, pipeline: PipelineId, stage: StageId, rank: &str, entered_at: DateTime<Utc>) {
        self.pipeline_id = NodeId(pipeline);
        self.stage_id = NodeId(stage);
        rank.clone_into(&mut self.rank);
        self.entered_stage_at = entered_at;
    }

    fn update(&mut self, changes: &ItemChanges) {
        let ItemChanges { title, description, due_date, priority, data } = changes;
        take(&mut self.title, title.as_ref(), Clone::clone);
        take(&mut self.description, description.as_ref(), |text| text.as_ref().map(shown));
        take(&mut self.due_date, due_date.as_ref(), |day| day.map(Date));
        take(&mut self.priority, priority.as_ref(), |priority| (*priority).into());
        take(&mut self.data, data.as_ref(), |data| data.as_ref().map(shown_json));
    }
}

/// An item, be it a deleted one; nothing where it is not `owned_by` the user named.
///
/// # Errors
/// The database.
pub async fn item(scope: &mut Scope, id: ItemId, owned_by: Option<UserId>) -> Result<Option<Stored<Item>>, sqlx::Error> {
    let filter = ItemFilter { include_deleted: true, owned_by, ..ItemFilter::default() };
    let tenant = scope.tenant();
    row(scope, |query| {
        query.push(" and t.id = ").push_bind(id.0);
        filter.push(tenant, query);
    })
    .await
}

/// These items, deleted ones included.
///
/// # Errors
/// The database.
pub async fn items_by_id(
    scope: &mut Scope,
    ids: &[ItemId],
    owned_by: Option<UserId>,
) -> Result<HashMap<ItemId, Stored<Item>>, sqlx::Error> {
    let filter = ItemFilter { include_deleted: true, owned_by, ..ItemFilter::default() };
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let tenant = scope.tenant();
    let found = rows::<Item>(
        scope,
        |query| {
            query.push(" and t.id = any (").push_bind(ids.clone()).push(")");
            filter.push(tenant, query);
        },
        "t.id",
        limit,
    )
    .await?;
    Ok(found.into_iter().map(|stored| (stored.row.id.0, stored)).collect())
}

/// Items in an order.
///
/// # Errors
/// The page's arguments, or the database.
pub async fn items(scope: &mut Scope, filter: &ItemFilter, order: ItemOrder, args: &PageArgs) -> Result<Page<Item>, QueryError> {
    let tenant = scope.tenant();
    page(scope, |query| filter.push(tenant, query), &order.sort(), args).await
}

/// How many items pass a filter.
///
/// # Errors
/// The database.
pub async fn count_items(scope: &mut Scope, filter: &ItemFilter) -> Result<i64, sqlx::Error> {
    let tenant = scope.tenant();
    count::<Item>(scope, |query| filter.push(tenant, query)).await
}
