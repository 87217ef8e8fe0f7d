//! How many items entered and left a stage on a day, and how long those that left had stood there. Days are UTC, by
//! the times that the items' events carry. Deleting and restoring an item count as neither: such events carry no
//! time of entry.

use crate::query::Scope;
use crate::{Date, NodeId, ReadModel};
use async_graphql::SimpleObject;
use chrono::{DateTime, NaiveDate, Utc};
use domain::pipeline::ItemEvent;
use domain::{Decider, PipelineId, Recorded, StageId};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

/// A day of a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "StageDay")]
pub struct StageDay {
    /// The stage.
    pub stage_id: NodeId<StageId>,
    /// The day, in UTC.
    pub day: Date,
    /// How many items came to it.
    pub entered: i64,
    /// How many items left it by a move or a transfer.
    #[graphql(name = "left")]
    pub departed: i64,
    /// How long those that left had stood there in all, in seconds.
    pub seconds: i64,
}

/// What an event does to a stage: who comes, or who goes after so many seconds.
enum Step {
    In,
    Out(i64),
}

fn steps(event: &Recorded) -> Vec<((StageId, NaiveDate), Step)> {
    use ItemEvent::*;
    let moved = |from: StageId, to: StageId, since: DateTime<Utc>, at: DateTime<Utc>| {
        let day = at.date_naive();
        // The world's times of an import may run backwards; nothing stays shorter than no time.
        vec![((from, day), Step::Out((at - since).num_seconds().max(0))), ((to, day), Step::In)]
    };
    match event.of() {
        Some(PipelineItemCreated { stage_id, entered_at, .. }) => vec![((*stage_id, entered_at.date_naive()), Step::In)],
        Some(PipelineItemMoved { from, to, left_stage_entered_at, entered_at, .. }) => {
            moved(*from, *to, *left_stage_entered_at, *entered_at)
        }
        Some(PipelineItemTransferred { from_stage_id, stage_id, left_stage_entered_at, entered_at, .. }) => {
            moved(*from_stage_id, *stage_id, *left_stage_entered_at, *entered_at)
        }
        _ => vec![],
    }
}

impl ReadModel for StageDay {
    const TABLE: &'static str = "pipeline_metrics";
    const READS: &'static [&'static str] = &[domain::pipeline::PipelineItem::TYPE];
    type Key = (StageId, NaiveDate);

    fn keys(event: &Recorded) -> Vec<(StageId, NaiveDate)> {
        steps(event).into_iter().map(|(key, _)| key).collect()
    }

    fn fold(row: Option<Self>, key: &(StageId, NaiveDate), event: &Recorded) -> Option<Self> {
        let blank = || Self { stage_id: NodeId(key.0), day: Date(key.1), entered: 0, departed: 0, seconds: 0 };
        steps(event).into_iter().filter(|(of, _)| of == key).fold(row, |row, (_, step)| {
            let row = row.unwrap_or_else(blank);
            Some(match step {
                Step::In => Self { entered: row.entered + 1, ..row },
                Step::Out(seconds) => Self { departed: row.departed + 1, seconds: row.seconds.saturating_add(seconds), ..row },
            })
        })
    }
}

/// The days of a pipeline's stages, removed ones included, from one day to another, both included.
///
/// # Errors
/// The database.
pub async fn stage_days(scope: &mut Scope, pipeline: PipelineId, from: Date, to: Date) -> Result<Vec<StageDay>, sqlx::Error> {
    let found = sqlx::query(
        "select m.stage_id, m.day, m.entered, m.departed, m.seconds
         from read_models.pipeline_metrics m
         where m.tenant_id = $1 and m.day between $3 and $4
           and m.stage_id = any (array(select s.id from read_models.pipeline_stages s where s.tenant_id = $1 and s.pipeline_id = $2))
         order by m.day, m.stage_id",
    )
    .bind(scope.tenant().0)
    .bind(pipeline.0)
    .bind(from.0)
    .bind(to.0)
    .fetch_all(scope.connection())
    .await?;
    found
        .iter()
        .map(|row| {
            Ok(StageDay {
                stage_id: NodeId(StageId(row.try_get("stage_id")?)),
                day: Date(row.try_get("day")?),
                entered: row.try_get("entered")?,
                departed: row.try_get("departed")?,
                seconds: row.try_get("seconds")?,
            })
        })
        .collect()
}
