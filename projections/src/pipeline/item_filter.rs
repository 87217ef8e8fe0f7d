//! Which items, and in which order. Every field and every order has an index.

use super::items::{ItemStatus, Priority};
use crate::query::Sort;
use crate::{Date, NodeId};
use async_graphql::{Enum, InputObject};
use domain::{PipelineId, StageId, TenantId, UserId};
use sqlx::{Postgres, QueryBuilder};

/// Which items: those for which all that is said here holds.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ItemFilter {
    /// Those in this pipeline.
    pub pipeline_id: Option<NodeId<PipelineId>>,
    /// Those in this stage.
    pub stage_id: Option<NodeId<StageId>>,
    /// Those that are this user's to do.
    pub assigned_to: Option<NodeId<UserId>>,
    /// True: those that are nobody's to do; false: those that are somebody's.
    pub unassigned: Option<bool>,
    /// Those of this priority.
    pub priority: Option<Priority>,
    /// Those at this point of their life. DELETED shows deleted ones, with or without `includeDeleted`.
    pub status: Option<ItemStatus>,
    /// Those due before this day.
    pub due_before: Option<Date>,
    /// Those that have all of these tags.
    #[graphql(default, validator(max_items = 20))]
    pub tags: Vec<String>,
    /// The deleted ones too.
    #[graphql(default)]
    pub include_deleted: bool,
    /// Those that this user created or has to do: all that callers see whose permission reaches to their own.
    #[graphql(skip)]
    pub owned_by: Option<UserId>,
}

impl ItemFilter {
    /// The condition over the row `t`.
    pub(super) fn push(&self, tenant: TenantId, query: &mut QueryBuilder<'static, Postgres>) {
        if let Some(pipeline) = self.pipeline_id {
            query.push(" and t.pipeline_id = ").push_bind(pipeline.uuid());
        }
        if let Some(stage) = self.stage_id {
            query.push(" and t.stage_id = ").push_bind(stage.uuid());
        }
        if let Some(user) = self.assigned_to {
            query.push(" and t.assigned_to = ").push_bind(user.uuid());
        }
        match self.unassigned {
            Some(true) => drop(query.push(" and t.assigned_to is null")),
            Some(false) => drop(query.push(" and t.assigned_to is not null")),
            None => {}
        }
        if let Some(priority) = self.priority {
            query.push(" and t.priority_rank = ").push_bind(rank(priority));
        }
        if let Some(status) = self.status {
            let status: &'static str = domain::pipeline::ItemStatus::from(status).into();
            query.push(" and t.status = ").push_bind(status);
        }
        if let Some(day) = self.due_before {
            query.push(" and t.due_key < ").push_bind(day.0);
        }
        for tag in &self.tags {
            // The tenant is bound anew: a subquery that asks the outer row for it would run once a row.
            query.push(" and t.id in (select g.item_id from read_models.pipeline_item_tags g where g.tenant_id = ").push_bind(tenant.0);
            query.push(" and g.tag = ").push_bind(tag.clone()).push(")");
        }
        if !self.include_deleted && self.status != Some(ItemStatus::Deleted) {
            query.push(" and t.deleted_at is null");
        }
        push_owner(query, self.owned_by);
    }
}

/// Only what a user created or has to do.
pub(super) fn push_owner(query: &mut QueryBuilder<'static, Postgres>, owned_by: Option<UserId>) {
    if let Some(user) = owned_by {
        query.push(" and (t.created_by = ").push_bind(user.0).push(" or t.assigned_to = ").push_bind(user.0).push(")");
    }
}

/// The place of a priority among all, as the column `priority_rank` has it.
fn rank(priority: Priority) -> i16 {
    match priority {
        Priority::Low => 1,
        Priority::Medium => 2,
        Priority::High => 3,
        Priority::Urgent => 4,
    }
}

/// In which order items are listed. Ties go by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum ItemOrder {
    /// As they stand in their stage.
    Rank,
    /// The oldest first.
    CreatedAtAsc,
    /// The newest first.
    #[default]
    CreatedAtDesc,
    /// What was changed longest ago first.
    UpdatedAtAsc,
    /// What was changed last first.
    UpdatedAtDesc,
    /// What is due first, first; what is never due last.
    DueDateAsc,
    /// What is never due first, then what is due last.
    DueDateDesc,
    /// The least urgent first.
    PriorityAsc,
    /// The most urgent first.
    PriorityDesc,
}

impl ItemOrder {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rank,
        Self::CreatedAtAsc,
        Self::CreatedAtDesc,
        Self::UpdatedAtAsc,
        Self::UpdatedAtDesc,
        Self::DueDateAsc,
        Self::DueDateDesc,
        Self::PriorityAsc,
        Self::PriorityDesc,
    ];

    /// How the database sorts by it.
    pub(super) fn sort(self) -> Sort {
        type By = &'static [(&'static str, &'static str)];
        const RANK: By = &[("t.rank", "text"), ("t.id", "uuid")];
        const CREATED: By = &[("t.created_at", "timestamptz"), ("t.id", "uuid")];
        const UPDATED: By = &[("t.updated_at", "timestamptz"), ("t.id", "uuid")];
        const DUE: By = &[("t.due_key", "date"), ("t.id", "uuid")];
        const PRIORITY: By = &[("t.priority_rank", "smallint"), ("t.id", "uuid")];
        let (name, by, descending) = match self {
            Self::Rank => ("RANK", RANK, false),
            Self::CreatedAtAsc => ("CREATED_AT_ASC", CREATED, false),
            Self::CreatedAtDesc => ("CREATED_AT_DESC", CREATED, true),
            Self::UpdatedAtAsc => ("UPDATED_AT_ASC", UPDATED, false),
            Self::UpdatedAtDesc => ("UPDATED_AT_DESC", UPDATED, true),
            Self::DueDateAsc => ("DUE_DATE_ASC", DUE, false),
            Self::DueDateDesc => ("DUE_DATE_DESC", DUE, true),
            Self::PriorityAsc => ("PRIORITY_ASC", PRIORITY, false),
            Self::PriorityDesc => ("PRIORITY_DESC", PRIORITY, true),
        };
        Sort { name, by, descending }
    }
}
