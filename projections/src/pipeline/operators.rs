//! Who operates a pipeline.

use crate::query::{Scope, rows};
use crate::{NodeId, ReadModel, Stored};
use async_graphql::SimpleObject;
use domain::pipeline::PipelineEvent;
use domain::{Decider, PipelineId, Recorded, UserId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// A user who operates a pipeline, since `createdAt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "PipelineOperatorRow")]
pub struct Operator {
    /// The pipeline.
    pub pipeline_id: NodeId<PipelineId>,
    /// The user.
    pub user_id: NodeId<UserId>,
}

impl ReadModel for Operator {
    const TABLE: &'static str = "pipeline_operators";
    const READS: &'static [&'static str] = &[domain::pipeline::Pipeline::TYPE];
    type Key = (PipelineId, UserId);

    fn keys(event: &Recorded) -> Vec<(PipelineId, UserId)> {
        use PipelineEvent::*;
        match event.of() {
            Some(OperatorAssigned { user_id } | OperatorUnassigned { user_id }) => vec![(PipelineId(event.aggregate_id), *user_id)],
            _ => vec![],
        }
    }

    fn fold(row: Option<Self>, (pipeline, user): &(PipelineId, UserId), event: &Recorded) -> Option<Self> {
        match event.of() {
            Some(PipelineEvent::OperatorAssigned { .. }) => Some(Self { pipeline_id: NodeId(*pipeline), user_id: NodeId(*user) }),
            Some(PipelineEvent::OperatorUnassigned { .. }) => None,
            _ => row,
        }
    }
}

/// The operators of these pipelines, in the order they came. At most a thousand in all.
///
/// # Errors
/// The database.
pub async fn operators_by_pipeline(
    scope: &mut Scope,
    ids: &[PipelineId],
) -> Result<HashMap<PipelineId, Vec<Stored<Operator>>>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let found = rows::<Operator>(
        scope,
        |query| {
            query.push(" and t.pipeline_id = any (").push_bind(ids.clone()).push(")");
        },
        "t.created_at, t.user_id",
        1000,
    )
    .await?;
    let mut operators: HashMap<PipelineId, Vec<Stored<Operator>>> = HashMap::new();
    for stored in found {
        operators.entry(stored.row.pipeline_id.0).or_default().push(stored);
    }
    Ok(operators)
}
