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
    /// The tables hold rows of a read model that this program does not have.
    #[error("there is a read model {read_model} that this program does not know: it stands down")]
    Unknown {
        /// Which one.
        read_model: String,
    },
    /// The tables hold the rows of an older program, until they are made anew.
    #[error("read model {read_model} is being made anew; projecting goes on when that is done")]
    Outdated {
        /// Which one.
        read_model: &'static str,
    },
}

impl ProjectError {
    /// True when it is no tenant's fault, and better later: the database is away, or other programs are at work.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => StoreError::is_connection_loss(error) || StoreError::is_exhaustion(error),
            Self::Store(error) => error.is_transient(),
            Self::Newer { .. } | Self::Unknown { .. } | Self::Outdated { .. } => true,
        }
    }
}
