//! A pipeline. The order of its stages is the order of `stage_ids`: an event that adds or removes a stage names
//! that stage alone, and the places of the others follow from this list.

use crate::model::{shown, take};
use crate::query::{Page, PageArgs, QueryError, Scope, Sort, count, page, row, rows};
use crate::{NodeId, ReadModel, Stored};
use async_graphql::{Enum, InputObject, SimpleObject};
use chrono::{DateTime, Utc};
use domain::pipeline::{PipelineChanges, PipelineEvent};
use domain::{Decider, PipelineId, Recorded, StageId, UserId};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use std::collections::HashMap;
use uuid::Uuid;

/// What a pipeline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::pipeline::PipelineType")]
pub enum PipelineType {
    /// Leads and offers.
    Sales,
    /// Requests of customers.
    Support,
    /// Invoices and payments.
    Billing,
    /// The organisation's own work.
    Internal,
    /// Nothing in particular.
    Generic,
    /// Something the workspace defines itself.
    Custom,
}

/// A pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "PipelineRow")]
pub struct Pipeline {
    /// The id.
    pub id: NodeId<PipelineId>,
    /// Its name for programs, unique among the workspace's pipelines that are not deleted.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    #[graphql(name = "type")]
    pub pipeline_type: PipelineType,
    /// What else is to be said of it.
    pub description: Option<String>,
    /// Whether it takes new items.
    pub is_active: bool,
    /// Its stages, in order.
    #[graphql(skip)]
    pub stage_ids: Vec<NodeId<StageId>>,
    /// When it was deleted, if it is.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl ReadModel for Pipeline {
    const TABLE: &'static str = "pipeline_pipelines";
    const READS: &'static [&'static str] = &[domain::pipeline::Pipeline::TYPE];
    type Key = PipelineId;

    fn keys(event: &Recorded) -> Vec<PipelineId> {
        event.of::<PipelineEvent>().map(|_| PipelineId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &PipelineId, event: &Recorded) -> Option<Self> {
        let Some(change) = event.of::<PipelineEvent>() else { return row };
        if let PipelineEvent::PipelineCreated { key: name_key, name, pipeline_type, description, created_by: _ } = change {
            return Some(Self {
                id: NodeId(*key),
                key: name_key.clone(),
                name: name.clone(),
                pipeline_type: (*pipeline_type).into(),
                description: description.as_ref().map(shown),
                is_active: false,
                stage_ids: vec![],
                deleted_at: None,
            });
        }
        let mut row = row?;
        match change {
            PipelineEvent::PipelineUpdated { changes: PipelineChanges { name, pipeline_type, description } } => {
                take(&mut row.name, name.as_ref(), Clone::clone);
                take(&mut row.pipeline_type, pipeline_type.as_ref(), |kind| (*kind).into());
                take(&mut row.description, description.as_ref(), |text| text.as_ref().map(shown));
            }
            PipelineEvent::PipelineActivated { .. } => row.is_active = true,
            PipelineEvent::PipelineDeactivated => row.is_active = false,
            PipelineEvent::StageAdded { stage_id, order, .. } => {
                let place = usize::try_from(*order).unwrap_or(usize::MAX).min(row.stage_ids.len());
                row.stage_ids.insert(place, NodeId(*stage_id));
            }
            PipelineEvent::StagesReordered { stage_ids } => row.stage_ids = stage_ids.iter().copied().map(NodeId).collect(),
            PipelineEvent::StageRemoved { stage_id } => row.stage_ids.retain(|id| id.0 != *stage_id),
            PipelineEvent::PipelineDeleted { .. } => {
                row.is_active = false;
                row.deleted_at = Some(event.at());
            }
            PipelineEvent::PipelineRestored { .. } => row.deleted_at = None,
            PipelineEvent::PipelineCreated { .. }
            | PipelineEvent::StageUpdated { .. }
            | PipelineEvent::OperatorAssigned { .. }
            | PipelineEvent::OperatorUnassigned { .. } => {}
        }
        Some(row)
    }
}

/// Which pipelines.
#[derive(Clone, Copy, Debug, Default, InputObject)]
pub struct PipelineFilter {
    /// Those for this.
    #[graphql(name = "type")]
    pub pipeline_type: Option<PipelineType>,
    /// Those that take new items, or those that do not.
    pub is_active: Option<bool>,
    /// The deleted ones too.
    #[graphql(default)]
    pub include_deleted: bool,
    /// Those that this user has made or operates.
    #[graphql(skip)]
    pub owned_by: Option<UserId>,
}

impl PipelineFilter {
    fn push(&self, query: &mut QueryBuilder<'static, Postgres>) {
        if let Some(kind) = self.pipeline_type {
            let kind: &'static str = domain::pipeline::PipelineType::from(kind).into();
            query.push(" and t.pipeline_type = ").push_bind(kind);
        }
        if let Some(is_active) = self.is_active {
            query.push(" and t.is_active = ").push_bind(is_active);
        }
        if !self.include_deleted {
            query.push(" and t.deleted_at is null");
        }
        push_owner(query, self.owned_by);
    }
}

/// A pipeline is its maker's and its operators' own.
fn push_owner(query: &mut QueryBuilder<'static, Postgres>, owned_by: Option<UserId>) {
    if let Some(user) = owned_by {
        query.push(" and (t.created_by = ").push_bind(user.0);
        query.push(" or exists (select from read_models.pipeline_operators o where o.tenant_id = t.tenant_id and o.pipeline_id = t.id and o.user_id = ");
        query.push_bind(user.0).push("))");
    }
}

/// In which order pipelines are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum PipelineOrder {
    /// By name.
    #[default]
    Name,
    /// The oldest first.
    CreatedAtAsc,
    /// The newest first.
    CreatedAtDesc,
}

impl PipelineOrder {
    fn sort(self) -> Sort {
        const CREATED: &[(&str, &str)] = &[("t.created_at", "timestamptz"), ("t.id", "uuid")];
        match self {
            Self::Name => Sort { name: "NAME", by: &[("t.sort_name", "text"), ("t.id", "uuid")], descending: false },
            Self::CreatedAtAsc => Sort { name: "CREATED_AT_ASC", by: CREATED, descending: false },
            Self::CreatedAtDesc => Sort { name: "CREATED_AT_DESC", by: CREATED, descending: true },
        }
    }
}

/// Pipelines in an order.
///
/// # Errors
/// The page's arguments, or the database.
pub async fn pipelines(
    scope: &mut Scope,
    filter: &PipelineFilter,
    order: PipelineOrder,
    args: &PageArgs,
) -> Result<Page<Pipeline>, QueryError> {
    page(scope, |query| filter.push(query), &order.sort(), args).await
}

/// How many pipelines pass a filter.
///
/// # Errors
/// The database.
pub async fn count_pipelines(scope: &mut Scope, filter: &PipelineFilter) -> Result<i64, sqlx::Error> {
    count::<Pipeline>(scope, |query| filter.push(query)).await
}

/// A pipeline, be it a deleted one; nothing where it is not `owned_by` the user named.
///
/// # Errors
/// The database.
pub async fn pipeline(scope: &mut Scope, id: PipelineId, owned_by: Option<UserId>) -> Result<Option<Stored<Pipeline>>, sqlx::Error> {
    row(scope, move |query| {
        query.push(" and t.id = ").push_bind(id.0);
        push_owner(query, owned_by);
    })
    .await
}

/// The pipeline that has a key. A deleted one has none.
///
/// # Errors
/// The database.
pub async fn pipeline_by_key(scope: &mut Scope, key: &str) -> Result<Option<Stored<Pipeline>>, sqlx::Error> {
    row(scope, |query| {
        query.push(" and t.deleted_at is null and t.key = ").push_bind(key.to_owned());
    })
    .await
}

/// These pipelines, deleted ones included; those alone that are `owned_by` the user named.
///
/// # Errors
/// The database.
pub async fn pipelines_by_id(
    scope: &mut Scope,
    ids: &[PipelineId],
    owned_by: Option<UserId>,
) -> Result<HashMap<PipelineId, Stored<Pipeline>>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let found = rows::<Pipeline>(
        scope,
        |query| {
            query.push(" and t.id = any (").push_bind(ids.clone()).push(")");
            push_owner(query, owned_by);
        },
        "t.id",
        limit,
    )
    .await?;
    Ok(found.into_iter().map(|stored| (stored.row.id.0, stored)).collect())
}
