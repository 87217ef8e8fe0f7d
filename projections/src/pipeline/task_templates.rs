//! What kinds of tasks are made after. A deleted one keeps its row, since tasks name it.

use super::Priority;
use crate::model::{shown, take};
use crate::query::{Page, PageArgs, QueryError, Scope, Sort, count, page, row, rows};
use crate::{NodeId, ReadModel, Stored};
use async_graphql::{Enum, InputObject, SimpleObject};
use chrono::{DateTime, Utc};
use domain::pipeline::{Recipe, TemplateChanges, TemplateEvent};
use domain::{Decider, Recorded, TaskTemplateId, UserId};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use std::collections::HashMap;
use uuid::Uuid;

/// Whose a task made after a template is at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::pipeline::AssigneeRule")]
pub enum AssigneeRule {
    /// Nobody's.
    Nobody,
    /// Whoever makes it, if they are an active member.
    Creator,
}

/// What a kind of task is made after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "TaskTemplateRow")]
pub struct TaskTemplate {
    /// The id.
    pub id: NodeId<TaskTemplateId>,
    /// Its label.
    pub label: String,
    /// Its category.
    pub category: String,
    /// The key of the pipeline in whose first stage its tasks stand, if there is such a pipeline.
    pub preferred_pipeline_key: Option<String>,
    /// The title of its tasks, in which `{{name}}` stands for a variable.
    pub title_pattern: String,
    /// The description of its tasks; `[erased]` once that is forgotten.
    pub description: Option<String>,
    /// The steps of its tasks, in order.
    pub steps: Vec<String>,
    /// Whose its tasks are at first.
    pub default_assignee_rule: AssigneeRule,
    /// In how many hours its tasks are due.
    pub due_in_hours: Option<i32>,
    /// How urgent its tasks are.
    pub priority: Priority,
    /// Whether it makes tasks.
    pub is_active: bool,
    /// When it was deleted, if it is.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl ReadModel for TaskTemplate {
    const TABLE: &'static str = "pipeline_task_templates";
    const READS: &'static [&'static str] = &[domain::pipeline::TaskTemplate::TYPE];
    type Key = TaskTemplateId;

    fn keys(event: &Recorded) -> Vec<TaskTemplateId> {
        event.of::<TemplateEvent>().map(|_| TaskTemplateId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &TaskTemplateId, event: &Recorded) -> Option<Self> {
        use TemplateEvent::*;
        let Some(change) = event.of::<TemplateEvent>() else { return row };
        if let TaskTemplateCreated { label, category, preferred_pipeline_key, definition, created_by: _ } = change {
            let blank = Self {
                id: NodeId(*key),
                label: label.clone(),
                category: category.clone(),
                preferred_pipeline_key: preferred_pipeline_key.clone(),
                title_pattern: String::new(),
                description: None,
                steps: vec![],
                default_assignee_rule: AssigneeRule::Nobody,
                due_in_hours: None,
                priority: Priority::Medium,
                is_active: true,
                deleted_at: None,
            };
            return Some(blank.defined(definition));
        }
        let mut row = row?;
        match change {
            TaskTemplateUpdated { changes: TemplateChanges { label, category, preferred_pipeline_key, definition } } => {
                take(&mut row.label, label.as_ref(), Clone::clone);
                take(&mut row.category, category.as_ref(), Clone::clone);
                take(&mut row.preferred_pipeline_key, preferred_pipeline_key.as_ref(), Clone::clone);
                if let Some(change) = definition {
                    row = row.defined(&change.to);
                }
            }
            TaskTemplateActivated => row.is_active = true,
            TaskTemplateDeactivated => row.is_active = false,
            TaskTemplateDeleted => row.deleted_at = Some(event.at()),
            TaskTemplateCreated { .. } => {}
        }
        Some(row)
    }
}

impl TaskTemplate {
    fn defined(self, recipe: &Recipe) -> Self {
        let Recipe { title_pattern, description, steps, default_assignee_rule, due_in_hours, priority } = recipe;
        Self {
            title_pattern: title_pattern.clone(),
            description: description.as_ref().map(shown),
            steps: steps.clone(),
            default_assignee_rule: (*default_assignee_rule).into(),
            due_in_hours: due_in_hours.map(|hours| hours.get().into()),
            priority: (*priority).into(),
            ..self
        }
    }
}

/// Which task templates: those for which all that is said here holds.
#[derive(Clone, Debug, Default, InputObject)]
pub struct TaskTemplateFilter {
    /// Those of this category.
    pub category: Option<String>,
    /// True: those that make tasks; false: those that do not.
    pub is_active: Option<bool>,
    /// The deleted ones too.
    #[graphql(default)]
    pub include_deleted: bool,
    /// Those that this user created: all that callers see whose permission reaches to their own.
    #[graphql(skip)]
    pub owned_by: Option<UserId>,
}

impl TaskTemplateFilter {
    fn push(&self, query: &mut QueryBuilder<'static, Postgres>) {
        if let Some(category) = &self.category {
            query.push(" and t.category = ").push_bind(category.clone());
        }
        if let Some(is_active) = self.is_active {
            query.push(" and t.is_active = ").push_bind(is_active);
        }
        if let Some(user) = self.owned_by {
            query.push(" and t.created_by = ").push_bind(user.0);
        }
        if !self.include_deleted {
            query.push(" and t.deleted_at is null");
        }
    }
}

const CREATED: Sort = Sort { name: "CREATED_AT", by: &[("t.created_at", "timestamptz"), ("t.id", "uuid")], descending: false };

/// A task template, be it a deleted one; nothing where it is not `owned_by` the user named.
///
/// # Errors
/// The database.
pub async fn task_template(
    scope: &mut Scope,
    id: TaskTemplateId,
    owned_by: Option<UserId>,
) -> Result<Option<Stored<TaskTemplate>>, sqlx::Error> {
    let filter = TaskTemplateFilter { include_deleted: true, owned_by, ..TaskTemplateFilter::default() };
    row(scope, |query| {
        query.push(" and t.id = ").push_bind(id.0);
        filter.push(query);
    })
    .await
}

/// These task templates, deleted ones included; those alone that are `owned_by` the user named.
///
/// # Errors
/// The database.
pub async fn task_templates_by_id(
    scope: &mut Scope,
    ids: &[TaskTemplateId],
    owned_by: Option<UserId>,
) -> Result<HashMap<TaskTemplateId, Stored<TaskTemplate>>, sqlx::Error> {
    let filter = TaskTemplateFilter { include_deleted: true, owned_by, ..TaskTemplateFilter::default() };
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let found = rows::<TaskTemplate>(
        scope,
        |query| {
            query.push(" and t.id = any (").push_bind(ids.clone()).push(")");
            filter.push(query);
        },
        "t.id",
        limit,
    )
    .await?;
    Ok(found.into_iter().map(|stored| (stored.row.id.0, stored)).collect())
}

/// Task templates, the oldest first.
///
/// # Errors
/// The page's arguments, or the database.
pub async fn task_templates(scope: &mut Scope, filter: &TaskTemplateFilter, args: &PageArgs) -> Result<Page<TaskTemplate>, QueryError> {
    page(scope, |query| filter.push(query), &CREATED, args).await
}

/// How many task templates pass a filter.
///
/// # Errors
/// The database.
pub async fn count_task_templates(scope: &mut Scope, filter: &TaskTemplateFilter) -> Result<i64, sqlx::Error> {
    count::<TaskTemplate>(scope, |query| filter.push(query)).await
}
