//! What every integration test stands on: databases, waiting, a log with its commands, teams to act in it, and
//! [`audit`], which proves from the log alone that nothing in it should not be there.

mod audit;
mod database;
mod log;
mod rules;
mod team;
mod wait;
mod wire;
mod world;

pub(crate) use audit::audit;
pub(crate) use database::{Database, MASTER, code};
pub(crate) use log::{Log, Process, code_of, locking_only};
pub(crate) use team::{Board, Team, add_member, by_system, create_item, create_pipeline, keyed, move_to, named, new_id, now, record};
pub(crate) use wait::eventually;
pub(crate) use wire::Wire;
pub(crate) use world::{World, audited, projector, serve};
