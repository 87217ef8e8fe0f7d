//! The tenant log in PostgreSQL: append, load, read, watch. What a command does between its caller and the
//! commit is here, and nothing else writes events.

mod access;
mod append;
mod commands;
mod error;
mod keys;
mod load;
mod locks;
mod look;
mod metadata;
mod migrate;
pub mod notify;
mod pools;
mod reader;
mod seal;
mod transaction;
mod vault;
mod wake;

pub use access::AccessCache;
pub use append::{AppendCounts, Appender, AppenderConfig, Placement};
pub use commands::{Commands, Committed, ExecuteError, Request, Target};
pub use error::StoreError;
pub use keys::{KeyError, MasterKey};
pub use migrate::{MigrateError, check_key, create_roles, knows, migrate, pending};
pub use pools::{BY_KEY, PoolSizes, Pools};
pub use reader::{Poison, Reader, Span};
pub use transaction::{begin, begin_with};
pub use vault::Vault;
pub use wake::{Wake, Woken};
