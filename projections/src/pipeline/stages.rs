//! A stage: one column of a pipeline's board. A removed one keeps its row, since histories name it.
//! Its place is not here but in its pipeline's `stage_ids`.

use super::Pipeline;
use super::pipelines::pipelines_by_id;
use crate::model::take;
use crate::query::{Scope, rows};
use crate::{NodeId, ReadModel, Stored};
use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};
use domain::pipeline::{PipelineEvent, StageChanges};
use domain::{Decider, PipelineId, Recorded, StageId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// A stage of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "StageRow")]
pub struct Stage {
    /// The id.
    pub id: NodeId<StageId>,
    /// The pipeline it belongs to.
    pub pipeline_id: NodeId<PipelineId>,
    /// Its name for programs, unique in the pipeline.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// Whether an item that enters it is completed.
    pub is_terminal: bool,
    /// Its colour: `#RRGGBB`.
    pub color: Option<String>,
    /// The most items it takes; none is no limit.
    pub wip_limit: Option<i32>,
    /// When it was removed from its pipeline, if it was.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl ReadModel for Stage {
    const TABLE: &'static str = "pipeline_stages";
    const READS: &'static [&'static str] = &[domain::pipeline::Pipeline::TYPE];
    type Key = StageId;

    fn keys(event: &Recorded) -> Vec<StageId> {
        use PipelineEvent::*;
        match event.of() {
            Some(StageAdded { stage_id, .. } | StageUpdated { stage_id, .. } | StageRemoved { stage_id }) => vec![*stage_id],
            _ => vec![],
        }
    }

    fn fold(row: Option<Self>, _: &StageId, event: &Recorded) -> Option<Self> {
        let Some(change) = event.of::<PipelineEvent>() else { return row };
        match change {
            PipelineEvent::StageAdded { stage_id, key, name, order: _, is_terminal, color, wip_limit } => Some(Self {
                id: NodeId(*stage_id),
                pipeline_id: NodeId(PipelineId(event.aggregate_id)),
                key: key.clone(),
                name: name.clone(),
                is_terminal: *is_terminal,
                color: color.clone(),
                wip_limit: wip_limit.map(limit),
                deleted_at: None,
            }),
            PipelineEvent::StageUpdated { changes: StageChanges { name, color, is_terminal, wip_limit }, .. } => row.map(|mut row| {
                take(&mut row.name, name.as_ref(), Clone::clone);
                take(&mut row.color, color.as_ref(), Clone::clone);
                take(&mut row.is_terminal, is_terminal.as_ref(), Clone::clone);
                take(&mut row.wip_limit, wip_limit.as_ref(), |to| to.map(limit));
                row
            }),
            PipelineEvent::StageRemoved { .. } => row.map(|row| Self { deleted_at: Some(event.at()), ..row }),
            _ => row,
        }
    }
}

fn limit(limit: u32) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

/// These stages, removed ones included.
///
/// # Errors
/// The database.
pub async fn stages_by_id(scope: &mut Scope, ids: &[StageId]) -> Result<HashMap<StageId, Stored<Stage>>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let found = rows::<Stage>(
        scope,
        |query| {
            query.push(" and t.id = any (").push_bind(ids.clone()).push(")");
        },
        "t.id",
        limit,
    )
    .await?;
    Ok(found.into_iter().map(|stored| (stored.row.id.0, stored)).collect())
}

/// The stages of these pipelines, each pipeline's in order: a stage's place is its index. Removed ones are left out.
///
/// # Errors
/// The database.
pub async fn stages_by_pipeline(scope: &mut Scope, ids: &[PipelineId]) -> Result<HashMap<PipelineId, Vec<Stored<Stage>>>, sqlx::Error> {
    let pipelines: HashMap<PipelineId, Stored<Pipeline>> = pipelines_by_id(scope, ids, None).await?;
    let wanted: Vec<StageId> = pipelines.values().flat_map(|stored| &stored.row.stage_ids).map(|id| id.0).collect();
    let mut stages = stages_by_id(scope, &wanted).await?;
    Ok(pipelines
        .into_iter()
        .map(|(id, stored)| (id, stored.row.stage_ids.iter().filter_map(|stage| stages.remove(&stage.0)).collect()))
        .collect())
}
