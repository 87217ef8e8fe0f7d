//! The domain of Annals: what may happen, to what, by whom. No I/O: time, ids and foreign state come with
//! the command's envelope, and everything here is a pure function of them.

pub mod identity;
pub mod kernel;
pub mod operations;
pub mod pipeline;
pub mod registry;
pub mod roles;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod workspace;

pub use kernel::*;
