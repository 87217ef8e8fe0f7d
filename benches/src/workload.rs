//! What is executed: the life of an item in ten commands, each with one event, so that commands and events count
//! alike. Every way of executing them gets the same.

use anyhow::Result;
use chrono::{DateTime, SubsecRound, Utc};
use domain::pipeline::{ItemCommand, Priority};
use domain::{Patch, PipelineId, StageId, UserId};
use uuid::Uuid;

/// How many commands an aggregate gets.
pub const COMMANDS: usize = 10;

/// The time, cut to what the log keeps.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// A new id (UUIDv7).
#[expect(clippy::disallowed_methods, reason = "this is where ids are made")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// A workspace's pipeline, as its items need to know it.
#[derive(Clone, Debug)]
pub struct Board {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Four stages, none of them terminal.
    pub stages: [StageId; 4],
    /// To whom items are assigned.
    pub assignee: UserId,
}

/// Command `n`, from 0, of an item's life: it is created, moved four times, once with a note, and edited.
pub fn command(board: &Board, n: usize) -> Result<ItemCommand> {
    let moved = |stage: usize| ItemCommand::MoveItem { to_stage_id: board.stages[stage], rank: None, note: None, attributes: None };
    let keep = || (Patch::Keep, Patch::Keep, Patch::Keep, Patch::Keep, Patch::Keep);
    Ok(match n % COMMANDS {
        0 => ItemCommand::CreateItem {
            pipeline_id: board.pipeline,
            stage_id: None,
            title: "Extension of the house at 12 Canal Street".try_into()?,
            description: Some("The applicant asks for a second storey on the rear annex; drawings are attached.".try_into()?),
            assigned_to: None,
            due_date: None,
            priority: None,
            data: None,
            tags: vec!["permit".try_into()?],
            source_ref: None,
            attributes: None,
            rank: None,
        },
        1 => moved(1),
        2 => {
            let (title, description, due_date, _, data) = keep();
            ItemCommand::UpdateItem { title, description, due_date, priority: Patch::Set(Priority::High), data }
        }
        3 => ItemCommand::AddItemTag { tag: "urgent".try_into()? },
        4 => ItemCommand::MoveItem {
            to_stage_id: board.stages[2],
            rank: None,
            note: Some("Complete; goes to the assessor.".try_into()?),
            attributes: None,
        },
        5 => ItemCommand::AssignItem { user_id: board.assignee },
        6 => {
            let (title, _, due_date, priority, data) = keep();
            let description = Patch::Set(Some("A second storey on the rear annex; the neighbours have been heard.".try_into()?));
            ItemCommand::UpdateItem { title, description, due_date, priority, data }
        }
        7 => moved(3),
        8 => ItemCommand::RemoveItemTag { tag: "urgent".try_into()? },
        _ => moved(2),
    })
}
