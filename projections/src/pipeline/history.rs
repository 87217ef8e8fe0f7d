//! What happened to items, one row an event. What a metric of stages needs stands on the rows of those events that
//! leave one.

use crate::model::{shown, shown_json};
use crate::query::{Page, PageArgs, QueryError, Scope, Sort, page};
use crate::{JsonText, NodeId, Position, ReadModel};
use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, Utc};
use domain::pipeline::{ItemChanges, ItemEvent};
use domain::{Decider, ItemId, PipelineId, Recorded, StageId, UserId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

/// What happened to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(name = "ItemHistoryKind")]
pub enum HistoryKind {
    /// It came to be.
    Created,
    /// What is said of it changed.
    Updated,
    /// It went to another stage of its pipeline.
    Moved,
    /// It got another place in its stage.
    Reordered,
    /// It reached a terminal stage.
    Completed,
    /// It left a terminal stage.
    Reopened,
    /// Something was done to it without moving it.
    Activity,
    /// It went to another pipeline.
    Transferred,
    /// It became somebody's to do.
    Assigned,
    /// It became nobody's to do.
    Unassigned,
    /// It got a tag.
    Tagged,
    /// It lost a tag.
    Untagged,
    /// It was deleted.
    Deleted,
    /// It was brought back.
    Restored,
}

/// Something that happened to an item. Fields that have no meaning for its kind are null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "ItemHistoryRow")]
pub struct ItemHistory {
    /// The item.
    pub item_id: NodeId<ItemId>,
    /// The event's place in the workspace's log.
    pub position: Position,
    /// What happened.
    pub kind: HistoryKind,
    /// When: in the world, as far as known.
    pub at: DateTime<Utc>,
    /// Who acted: USER, SYSTEM or PUBLIC.
    pub actor_kind: String,
    /// The user's id, or the part of the program that acted; `createdBy` is the user for whom it did.
    pub actor_id: String,
    /// The pipeline it left for another.
    pub from_pipeline_id: Option<NodeId<PipelineId>>,
    /// The stage it left.
    pub from_stage_id: Option<NodeId<StageId>>,
    /// The pipeline it came to.
    pub to_pipeline_id: Option<NodeId<PipelineId>>,
    /// The stage it came to.
    pub to_stage_id: Option<NodeId<StageId>>,
    /// When it had entered the stage that it left.
    pub left_stage_entered_at: Option<DateTime<Utc>>,
    /// How long it stood in the stage that it left.
    pub seconds_in_stage: Option<i64>,
    /// Whose to do it became, or was until then.
    pub assignee_id: Option<NodeId<UserId>>,
    /// The tag that came or went.
    pub tag: Option<String>,
    /// The fields that were changed.
    pub changed: Vec<String>,
    /// The name of the activity.
    pub activity: Option<String>,
    /// Where the activity was in its own life: `start`, `complete`.
    pub lifecycle: Option<String>,
    /// What was noted with a move; `[erased]` once that is forgotten.
    pub note: Option<String>,
    /// The data of the activity.
    pub data: Option<JsonText>,
    /// What else is known of the event.
    pub attributes: Option<JsonText>,
}

impl ReadModel for ItemHistory {
    const TABLE: &'static str = "pipeline_item_history";
    const OF_ONE_EVENT: bool = true;
    const READS: &'static [&'static str] = &[domain::pipeline::PipelineItem::TYPE];
    type Key = (ItemId, i64);

    fn keys(event: &Recorded) -> Vec<(ItemId, i64)> {
        event.of::<ItemEvent>().map(|_| (ItemId(event.aggregate_id), event.position)).into_iter().collect()
    }

    fn fold(row: Option<Self>, _: &(ItemId, i64), event: &Recorded) -> Option<Self> {
        event.of::<ItemEvent>().map_or(row, |change| Some(Self::of(change, event)))
    }
}

impl ItemHistory {
    fn of(change: &ItemEvent, event: &Recorded) -> Self {
        use ItemEvent::*;
        let row = Self::bare(event);
        match change {
            PipelineItemCreated { pipeline_id, stage_id, assigned_to, attributes, entered_at, .. } => Self {
                at: *entered_at,
                assignee_id: assigned_to.map(NodeId),
                attributes: attributes.as_ref().map(shown_json),
                ..row.into_stage(HistoryKind::Created, *pipeline_id, *stage_id)
            },
            PipelineItemUpdated { changes } => Self { kind: HistoryKind::Updated, changed: names(changes), ..row },
            PipelineItemMoved { from, to, left_stage_entered_at, entered_at, note, attributes, .. } => Self {
                kind: HistoryKind::Moved,
                to_stage_id: Some(NodeId(*to)),
                note: note.as_ref().map(shown),
                attributes: attributes.as_ref().map(shown_json),
                ..row.out_of(*from, *left_stage_entered_at, *entered_at)
            },
            PipelineItemReordered { .. } => Self { kind: HistoryKind::Reordered, ..row },
            PipelineItemCompleted { completed_at, .. } => Self { kind: HistoryKind::Completed, at: *completed_at, ..row },
            PipelineItemReopened { .. } => Self { kind: HistoryKind::Reopened, ..row },
            PipelineItemActivityRecorded { name, lifecycle, data, attributes, at } => Self {
                kind: HistoryKind::Activity,
                at: *at,
                activity: Some(name.clone()),
                lifecycle: lifecycle.clone(),
                data: data.as_ref().map(shown_json),
                attributes: attributes.as_ref().map(shown_json),
                ..row
            },
            PipelineItemTransferred {
                from_pipeline_id, from_stage_id, pipeline_id, stage_id, left_stage_entered_at, entered_at, ..
            } => Self {
                from_pipeline_id: Some(NodeId(*from_pipeline_id)),
                ..row.out_of(*from_stage_id, *left_stage_entered_at, *entered_at).into_stage(
                    HistoryKind::Transferred,
                    *pipeline_id,
                    *stage_id,
                )
            },
            PipelineItemAssigned { user_id } => Self { kind: HistoryKind::Assigned, assignee_id: Some(NodeId(*user_id)), ..row },
            PipelineItemUnassigned { user_id } => Self { kind: HistoryKind::Unassigned, assignee_id: Some(NodeId(*user_id)), ..row },
            PipelineItemTagged { tag } => Self { kind: HistoryKind::Tagged, tag: Some(tag.clone()), ..row },
            PipelineItemUntagged { tag } => Self { kind: HistoryKind::Untagged, tag: Some(tag.clone()), ..row },
            // Where it stood; how long, its next move or nobody says.
            PipelineItemDeleted { pipeline_id, stage_id, .. } => Self {
                kind: HistoryKind::Deleted,
                from_pipeline_id: Some(NodeId(*pipeline_id)),
                from_stage_id: Some(NodeId(*stage_id)),
                ..row
            },
            PipelineItemRestored { pipeline_id, stage_id, .. } => row.into_stage(HistoryKind::Restored, *pipeline_id, *stage_id),
        }
    }

    fn bare(event: &Recorded) -> Self {
        Self {
            item_id: NodeId(ItemId(event.aggregate_id)),
            position: Position(event.position),
            kind: HistoryKind::Updated,
            at: event.at(),
            actor_kind: event.actor.kind.clone(),
            actor_id: event.actor.id.clone(),
            from_pipeline_id: None,
            from_stage_id: None,
            to_pipeline_id: None,
            to_stage_id: None,
            left_stage_entered_at: None,
            seconds_in_stage: None,
            assignee_id: None,
            tag: None,
            changed: vec![],
            activity: None,
            lifecycle: None,
            note: None,
            data: None,
            attributes: None,
        }
    }

    fn into_stage(self, kind: HistoryKind, pipeline: PipelineId, stage: StageId) -> Self {
        Self { kind, to_pipeline_id: Some(NodeId(pipeline)), to_stage_id: Some(NodeId(stage)), ..self }
    }

    fn out_of(self, stage: StageId, entered_at: DateTime<Utc>, left_at: DateTime<Utc>) -> Self {
        Self {
            at: left_at,
            from_stage_id: Some(NodeId(stage)),
            left_stage_entered_at: Some(entered_at),
            // The world's times of an import may run backwards; nothing stays shorter than no time.
            seconds_in_stage: Some((left_at - entered_at).num_seconds().max(0)),
            ..self
        }
    }
}

fn names(changes: &ItemChanges) -> Vec<String> {
    let ItemChanges { title, description, due_date, priority, data } = changes;
    let all = [
        ("title", title.is_some()),
        ("description", description.is_some()),
        ("dueDate", due_date.is_some()),
        ("priority", priority.is_some()),
        ("data", data.is_some()),
    ];
    all.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name.to_owned()).collect()
}

/// As it stands in the log.
const LOG: Sort = Sort { name: "POSITION", by: &[("t.position", "bigint")], descending: false };

/// What happened to an item, in the order of the log. Who may see the item has been asked before.
///
/// # Errors
/// The page's arguments, or the database.
pub async fn item_history(scope: &mut Scope, item: ItemId, args: &PageArgs) -> Result<Page<ItemHistory>, QueryError> {
    page(
        scope,
        |query| {
            query.push(" and t.item_id = ").push_bind(item.0);
        },
        &LOG,
        args,
    )
    .await
}

/// How long items stood in a stage.
#[derive(Clone, Debug, PartialEq, SimpleObject)]
#[graphql(name = "StageTimeRow")]
pub struct StageTime {
    /// The stage.
    pub stage_id: NodeId<StageId>,
    /// How often an item came to it.
    pub visits: i64,
    /// How many of these stays have ended by a move or a transfer. Only they are timed.
    pub completed_stays: i64,
    /// Their length in all, in seconds.
    pub total_seconds: i64,
    /// Their mean length in seconds; null without any.
    pub average_seconds: Option<f64>,
    /// Half of them were shorter, in seconds; null without any.
    pub median_seconds: Option<f64>,
    /// How many items stand in it now, deleted ones not counted.
    pub items_now: i64,
}

#[derive(FromRow)]
struct StageTimeRow {
    stage_id: Uuid,
    visits: i64,
    completed_stays: i64,
    total_seconds: i64,
    average_seconds: Option<f64>,
    median_seconds: Option<f64>,
    items_now: i64,
}

/// How long items stood in each stage of a pipeline, in the order of the board, removed stages last.
///
/// # Errors
/// The database.
pub async fn time_in_stage(scope: &mut Scope, pipeline: PipelineId) -> Result<Vec<StageTime>, sqlx::Error> {
    let rows: Vec<StageTimeRow> = sqlx::query_as(
        "with stages as (
           select s.id, array_position(p.stage_ids, s.id) as place, s.deleted_at
           from read_models.pipeline_stages s
           join read_models.pipeline_pipelines p on p.tenant_id = s.tenant_id and p.id = s.pipeline_id
           where s.tenant_id = $1 and s.pipeline_id = $2
         ), entered as (
           select h.to_stage_id as id, count(*) as visits from read_models.pipeline_item_history h
           where h.tenant_id = $1 and h.to_stage_id = any (array(select id from stages)) and h.kind in ('CREATED', 'MOVED', 'TRANSFERRED')
           group by h.to_stage_id
         ), stays as (
           select h.from_stage_id as id, count(*) as stays, sum(h.seconds_in_stage)::bigint as total, avg(h.seconds_in_stage)::float8 as average,
             percentile_cont(0.5) within group (order by h.seconds_in_stage) as median
           from read_models.pipeline_item_history h
           where h.tenant_id = $1 and h.from_stage_id = any (array(select id from stages)) and h.seconds_in_stage is not null
           group by h.from_stage_id
         ), standing as (
           select i.stage_id as id, count(*) as items from read_models.pipeline_items i
           where i.tenant_id = $1 and i.stage_id = any (array(select id from stages)) and i.deleted_at is null
           group by i.stage_id
         )
         select s.id as stage_id, coalesce(e.visits, 0) as visits, coalesce(l.stays, 0) as completed_stays, coalesce(l.total, 0) as total_seconds,
           l.average as average_seconds, l.median as median_seconds, coalesce(n.items, 0) as items_now
         from stages s left join entered e on e.id = s.id left join stays l on l.id = s.id left join standing n on n.id = s.id
         order by s.place nulls last, s.deleted_at, s.id",
    )
    .bind(scope.tenant().0)
    .bind(pipeline.0)
    .fetch_all(scope.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StageTime {
            stage_id: NodeId(StageId(row.stage_id)),
            visits: row.visits,
            completed_stays: row.completed_stays,
            total_seconds: row.total_seconds,
            average_seconds: row.average_seconds,
            median_seconds: row.median_seconds,
            items_now: row.items_now,
        })
        .collect())
}
