//! Read models: each a row, a pure fold and its queries; and the projector that runs them all.
#![recursion_limit = "512"]

mod control;
mod fold;
mod freshness;
pub mod identity;
mod leases;
mod model;
mod node_id;
pub mod pipeline;
mod projector;
pub mod query;
mod rebuild;
mod registry;
mod scalars;
mod skips;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod troubles;
pub mod workspace;

pub use control::{ControlError, Held, Tried, hold, retry};
pub use freshness::{Behind, Freshness};
pub use leases::{LeaseConfig, SHARDS, Standing, shard};
pub use model::{Common, ERASED, ReadModel, Stored};
pub use node_id::NodeId;
pub use projector::{ProjectError, Projector, ProjectorConfig};
pub use rebuild::{NoPace, Pace, RebuildError, RebuildProgress, Standstill, abandon, rebuild, replay};
pub use registry::{Models, mismatches, names};
pub use scalars::{Date, JsonText, Position};
pub use status::{LogLag, Parked, ReadModelStatus, RebuildStatus, Status, Worker, read_models, status};
