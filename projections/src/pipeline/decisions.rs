//! The decision log: what the program decided about tasks, one row a decision.

use crate::model::shown_json;
use crate::query::{Page, PageArgs, QueryError, Scope, Sort, page};
use crate::{JsonText, NodeId, Position, ReadModel};
use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};
use domain::pipeline::TaskEvent;
use domain::{Decider, Recorded, TaskId};
use serde::{Deserialize, Serialize};

/// Something that the program decided about a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "TaskDecisionRow")]
pub struct TaskDecision {
    /// The task.
    pub task_id: NodeId<TaskId>,
    /// The event's place in the workspace's log.
    pub position: Position,
    /// What was decided on.
    pub event_name: String,
    /// The decision; the string `[erased]` once that is forgotten.
    pub decision: JsonText,
    /// When: in the world, as far as known.
    pub at: DateTime<Utc>,
    /// Who ran the model that was asked, if one was.
    pub llm_provider: Option<String>,
    /// The model that was asked.
    pub llm_model: Option<String>,
    /// The hash of what it was asked.
    pub llm_prompt_hash: Option<String>,
    /// How many tokens it read.
    pub llm_tokens_in: Option<i64>,
    /// How many tokens it wrote.
    pub llm_tokens_out: Option<i64>,
    /// How long it took, in milliseconds.
    pub llm_latency_ms: Option<i64>,
}

impl ReadModel for TaskDecision {
    const TABLE: &'static str = "pipeline_task_decisions";
    const OF_ONE_EVENT: bool = true;
    const READS: &'static [&'static str] = &[domain::pipeline::Task::TYPE];
    type Key = (TaskId, i64);

    fn keys(event: &Recorded) -> Vec<(TaskId, i64)> {
        match event.of() {
            Some(TaskEvent::TaskDecisionRecorded { .. }) => vec![(TaskId(event.aggregate_id), event.position)],
            _ => vec![],
        }
    }

    fn fold(row: Option<Self>, (task, position): &(TaskId, i64), event: &Recorded) -> Option<Self> {
        let Some(TaskEvent::TaskDecisionRecorded { event_name, decision, llm_call, at }) = event.of() else { return row };
        let call = llm_call.as_ref();
        Some(Self {
            task_id: NodeId(*task),
            position: Position(*position),
            event_name: event_name.clone(),
            decision: shown_json(decision),
            at: *at,
            llm_provider: call.map(|call| call.provider.clone()),
            llm_model: call.map(|call| call.model.clone()),
            llm_prompt_hash: call.map(|call| call.prompt_hash.clone()),
            llm_tokens_in: call.map(|call| call.tokens_in.into()),
            llm_tokens_out: call.map(|call| call.tokens_out.into()),
            llm_latency_ms: call.map(|call| call.latency_ms.into()),
        })
    }
}

/// As it stands in the log.
const LOG: Sort = Sort { name: "POSITION", by: &[("t.position", "bigint")], descending: false };

/// What was decided about a task, in the order of the log. Who may see the task has been asked before.
///
/// # Errors
/// The page's arguments, or the database.
pub async fn task_decisions(scope: &mut Scope, task: TaskId, args: &PageArgs) -> Result<Page<TaskDecision>, QueryError> {
    page(
        scope,
        |query| {
            query.push(" and t.task_id = ").push_bind(task.0);
        },
        &LOG,
        args,
    )
    .await
}
