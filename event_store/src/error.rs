//! What can go wrong between the program and its database.

use std::sync::Arc;
use thiserror::Error;

/// A failure that is nobody's business rule.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database did not answer, or answered with an error.
    #[error("database: {0}")]
    Database(Arc<sqlx::Error>),
    /// What is stored cannot be read, or what should be stored cannot be written.
    #[error("{what}: {error}")]
    Data {
        /// Which event or value.
        what: String,
        /// What is wrong with it.
        error: String,
    },
    /// A sealed value does not open: the master key is another, or the value was changed.
    #[error("a sealed value of {tenant} does not open: is this the master key it was sealed under?")]
    Sealed {
        /// Whose log.
        tenant: String,
    },
    /// More commands wait than the program will hold.
    #[error("too many commands are waiting; try again shortly")]
    Overloaded,
    /// The database could not be reached in time; whether anything was written is not known.
    #[error("the database could not be reached, and whether anything was written is not known; try again with the same Idempotency-Key")]
    Unavailable,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

/// For those who asked together.
impl From<Arc<sqlx::Error>> for StoreError {
    fn from(error: Arc<sqlx::Error>) -> Self {
        Self::Database(error)
    }
}

impl StoreError {
    /// Something stored or to be stored is not what it must be.
    pub fn data(what: impl Into<String>, error: impl ToString) -> Self {
        Self::Data { what: what.into(), error: error.to_string() }
    }

    /// True when the connection is gone, so that what it was doing has an unknown outcome.
    #[must_use]
    pub fn is_connection_loss(error: &sqlx::Error) -> bool {
        is_connection_loss(error)
    }

    /// True when the server has no room or no connection left, for anybody: nothing was written.
    #[must_use]
    pub fn is_exhaustion(error: &sqlx::Error) -> bool {
        // 53100 disk full, 53300 too many connections (PostgreSQL, appendix A). Out of memory may be one command's fault.
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "53100" | "53300"))
    }

    /// True when trying again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Overloaded | Self::Unavailable => true,
            Self::Database(error) => is_connection_loss(error) || Self::is_exhaustion(error),
            Self::Data { .. } | Self::Sealed { .. } => false,
        }
    }
}

/// As [`StoreError::is_connection_loss`].
pub(crate) fn is_connection_loss(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_) => true,
        // 08 connection exceptions; 57P01 to 57P03: shut down, crashed, starting up (PostgreSQL, appendix A).
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || matches!(&*code, "57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}
