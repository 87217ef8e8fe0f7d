//! What boards and overviews ask of many items at once: for each stage the first of them, and how many there are.

use super::item_filter::push_owner;
use super::items::Item;
use crate::query::{Scope, rows};
use crate::{NodeId, Stored};
use async_graphql::SimpleObject;
use domain::{ItemId, PipelineId, StageId, UserId};
use sqlx::{Postgres, QueryBuilder};
use std::collections::HashMap;
use uuid::Uuid;

/// The first items of each of these stages, in the order of the board; at most `limit` of each. Deleted ones are
/// left out. With `owned_by`, only what that user created or has to do.
///
/// # Errors
/// The database.
pub async fn items_by_stage(
    scope: &mut Scope,
    stages: &[StageId],
    limit: i64,
    owned_by: Option<UserId>,
) -> Result<HashMap<StageId, Vec<Stored<Item>>>, sqlx::Error> {
    let ids: Vec<Uuid> = stages.iter().map(|id| id.0).collect();
    let tenant = scope.tenant().0;
    let most = i64::try_from(ids.len()).unwrap_or(i64::MAX).saturating_mul(limit);
    let found = rows::<Item>(
        scope,
        |query| {
            // Each stage stops at its own limit, whatever the others hold.
            query.push(" and t.id in (select first.id from unnest(").push_bind(ids.clone()).push(
                "::uuid[]) as s (id) cross join lateral (select t.id from read_models.pipeline_items t
                 where t.tenant_id = ",
            );
            query.push_bind(tenant).push(" and t.stage_id = s.id and t.deleted_at is null");
            push_owner(query, owned_by);
            query.push(" order by t.rank, t.id limit ").push_bind(limit).push(") first)");
        },
        "t.stage_id, t.rank, t.id",
        most,
    )
    .await?;
    let mut items: HashMap<StageId, Vec<Stored<Item>>> = HashMap::new();
    for stored in found {
        items.entry(stored.row.stage_id.0).or_default().push(stored);
    }
    Ok(items)
}

/// How many items are somebody's to do.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
#[graphql(name = "AssigneeCountRow")]
pub struct AssigneeCount {
    /// Whose they are; null for those that are nobody's.
    pub user_id: Option<NodeId<UserId>>,
    /// How many.
    pub items: i64,
}

/// How many items each user has to do, the most first; of one pipeline or all, the completed ones counted where
/// that is said. Deleted ones are not counted.
///
/// # Errors
/// The database.
pub async fn items_by_assignee(
    scope: &mut Scope,
    pipeline: Option<PipelineId>,
    with_completed: bool,
    owned_by: Option<UserId>,
) -> Result<Vec<AssigneeCount>, sqlx::Error> {
    let counts = counts(scope, "t.assigned_to", owned_by, |query| {
        if let Some(pipeline) = pipeline {
            query.push(" and t.pipeline_id = ").push_bind(pipeline.0);
        }
        if !with_completed {
            query.push(" and t.status = 'OPEN'");
        }
    })
    .await?;
    Ok(counts.into_iter().map(|(user, items)| AssigneeCount { user_id: user.map(|id| NodeId(UserId(id))), items }).collect())
}

/// How many items there are by a column, among those that pass a filter; the most first. Deleted ones are not counted.
pub(super) async fn counts(
    scope: &mut Scope,
    by: &str,
    owned_by: Option<UserId>,
    filter: impl Fn(&mut QueryBuilder<'static, Postgres>) + Send,
) -> Result<Vec<(Option<Uuid>, i64)>, sqlx::Error> {
    let mut query =
        QueryBuilder::new(format!("select {by}, count(*) from read_models.pipeline_items t where t.deleted_at is null and t.tenant_id = "));
    query.push_bind(scope.tenant().0);
    filter(&mut query);
    push_owner(&mut query, owned_by);
    query.push(format!(" group by {by} order by 2 desc, 1"));
    query.build_query_as().fetch_all(scope.connection()).await
}

/// The ranks between which an item comes to stand in a stage that is to stand right before or right after another
/// there: above the first and below the second, each nothing at an end of the stage. `None` where the other item
/// does not stand in that stage. The item that moves does not count as a neighbour of itself.
///
/// # Errors
/// The database.
pub async fn neighbour_ranks(
    scope: &mut Scope,
    stage: StageId,
    moving: Option<ItemId>,
    beside: ItemId,
    after: bool,
) -> Result<Option<(Option<String>, Option<String>)>, sqlx::Error> {
    let (compare, direction) = if after { (">", "") } else { ("<", " desc") };
    let sql = format!(
        "select b.rank, (select n.rank from read_models.pipeline_items n
           where n.tenant_id = $1 and n.stage_id = $2 and n.deleted_at is null and (n.rank, n.id) {compare} (b.rank, b.id) and n.id is distinct from $4
           order by n.rank{direction}, n.id{direction} limit 1)
         from read_models.pipeline_items b
         where b.tenant_id = $1 and b.stage_id = $2 and b.deleted_at is null and b.id = $3"
    );
    let found: Option<(String, Option<String>)> = sqlx::query_as(&sql)
        .bind(scope.tenant().0)
        .bind(stage.0)
        .bind(beside.0)
        .bind(moving.map(|item| item.0))
        .fetch_optional(scope.connection())
        .await?;
    Ok(found.map(|(rank, next)| if after { (Some(rank), next) } else { (next, Some(rank)) }))
}
