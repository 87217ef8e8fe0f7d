//! Why the projector cannot go on, and which of that is nobody's fault.

use event_store::StoreError;
use thiserror::Error;

/// Why the projector cannot go on.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// The database.
    #[error("projecting: {0}")]
    Database(#[from] sqlx::Error),
    /// The log.
    #[error("projecting: {0}")]
    Store(#[from] StoreError),
    /// The tables hold the rows of a newer program.
    #[error("read model {read_model} is at version {found}; this program only knows version {known}: it stands down")]
    Newer {
        /// Which one.
        read_model: &'static str,
        /// The version of its rows.
        found: i32,
        /// The version of this program.
        known: i32,
    },
}

impl ProjectError {
    /// True when the database is away: nobody's fault, and better later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => StoreError::is_connection_loss(error),
            Self::Store(error) => error.is_transient(),
            Self::Newer { .. } => false,
        }
    }
}
