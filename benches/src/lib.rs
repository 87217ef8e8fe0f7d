//! What benchmarks have in common: workspaces and work to do in them, the yardstick, how a cell is measured, and the
//! machine it was measured on.

pub mod annals;
pub mod machine;
pub mod measure;
pub mod workload;
pub mod yardstick;
