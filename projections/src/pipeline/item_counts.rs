//! How many items there are at a place: standing in a stage, or open in a pipeline. A board shows it at each look, and
//! counting them then would cost what there is.

use super::board::counts;
use crate::ReadModel;
use crate::query::Scope;
use domain::pipeline::ItemEvent;
use domain::{Decider, PipelineId, Recorded, StageId, UserId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// How many items are at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCount {
    /// A stage or a pipeline.
    pub place_id: Uuid,
    /// Of a stage, the items that stand there; of a pipeline, the open ones. Deleted ones are not counted.
    pub items: i64,
}

/// The places at which an event changes how many there are, and by how much.
fn steps(event: &Recorded) -> Vec<(Uuid, i64)> {
    use ItemEvent::*;
    let from_to = |from: Uuid, to: Uuid| vec![(from, -1), (to, 1)];
    let both = |stage: &StageId, pipeline: &PipelineId, open: bool, by| {
        std::iter::once((stage.0, by)).chain(open.then_some((pipeline.0, by))).collect()
    };
    match event.of() {
        Some(PipelineItemCreated { pipeline_id, stage_id, .. }) => both(stage_id, pipeline_id, true, 1),
        Some(PipelineItemMoved { from, to, .. }) => from_to(from.0, to.0),
        Some(PipelineItemTransferred { from_pipeline_id, from_stage_id, pipeline_id, stage_id, open, .. }) => {
            let mut steps = from_to(from_stage_id.0, stage_id.0);
            if *open {
                steps.extend(from_to(from_pipeline_id.0, pipeline_id.0));
            }
            steps
        }
        Some(PipelineItemCompleted { pipeline_id, .. }) => vec![(pipeline_id.0, -1)],
        Some(PipelineItemReopened { pipeline_id }) => vec![(pipeline_id.0, 1)],
        Some(PipelineItemDeleted { pipeline_id, stage_id, was_open }) => both(stage_id, pipeline_id, *was_open, -1),
        Some(PipelineItemRestored { pipeline_id, stage_id, open, .. }) => both(stage_id, pipeline_id, *open, 1),
        _ => vec![],
    }
}

impl ReadModel for ItemCount {
    const TABLE: &'static str = "pipeline_item_counts";
    const READS: &'static [&'static str] = &[domain::pipeline::PipelineItem::TYPE];
    type Key = Uuid;

    fn keys(event: &Recorded) -> Vec<Uuid> {
        let mut places: Vec<Uuid> = steps(event).into_iter().map(|(place, _)| place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn fold(row: Option<Self>, key: &Uuid, event: &Recorded) -> Option<Self> {
        let by: i64 = steps(event).into_iter().filter(|(place, _)| place == key).map(|(_, by)| by).sum();
        let row = row.unwrap_or(Self { place_id: *key, items: 0 });
        Some(Self { items: row.items + by, ..row })
    }
}

/// How many items stand in each of these stages, deleted ones not counted. A stage without any is left out. With
/// `owned_by`, only what that user created or has to do.
///
/// # Errors
/// The database.
pub async fn item_counts_by_stage(
    scope: &mut Scope,
    stages: &[StageId],
    owned_by: Option<UserId>,
) -> Result<HashMap<StageId, i64>, sqlx::Error> {
    let found = at(scope, stages.iter().map(|id| id.0).collect(), owned_by, "t.stage_id", "").await?;
    Ok(found.into_iter().map(|(id, count)| (StageId(id), count)).collect())
}

/// How many open items each of these pipelines has. A pipeline without any is left out. With `owned_by`, only what that
/// user created or has to do.
///
/// # Errors
/// The database.
pub async fn item_counts_by_pipeline(
    scope: &mut Scope,
    pipelines: &[PipelineId],
    owned_by: Option<UserId>,
) -> Result<HashMap<PipelineId, i64>, sqlx::Error> {
    let found = at(scope, pipelines.iter().map(|id| id.0).collect(), owned_by, "t.pipeline_id", " and t.status = 'OPEN'").await?;
    Ok(found.into_iter().map(|(id, count)| (PipelineId(id), count)).collect())
}

/// How many items are at these places. What is somebody's own is counted one by one: `column` says where an item is, and
/// `which` are counted there.
async fn at(
    scope: &mut Scope,
    places: Vec<Uuid>,
    owned_by: Option<UserId>,
    column: &str,
    which: &str,
) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    if owned_by.is_some() {
        let filter = format!("{which} and {column} = any (");
        let found = counts(scope, column, owned_by, |query| {
            query.push(&filter).push_bind(places.clone()).push(")");
        });
        return Ok(found.await?.into_iter().filter_map(|(id, count)| Some((id?, count))).collect());
    }
    sqlx::query_as(
        "select place_id, items from read_models.pipeline_item_counts where tenant_id = $1 and place_id = any ($2) and items <> 0",
    )
    .bind(scope.tenant().0)
    .bind(places)
    .fetch_all(scope.connection())
    .await
}
