//! What can go wrong with an embedded cluster; each text says what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a cluster could not be started, stopped or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No usable PostgreSQL binaries; the text names the command that installs them.
    #[error(
        "{problem}. Install PostgreSQL ({install}), or name the directory of its binaries in \
         ANNALS_PG_BIN, or set DATABASE_URL to use a server of yours"
    )]
    NoBinaries {
        /// What was looked for and what was found instead.
        problem: String,
        /// The command that installs it on this kind of machine.
        install: String,
    },
    /// No usable client programs; the text names the command that installs them.
    #[error("{problem}. Install them ({install}), or name their directory in ANNALS_PG_BIN")]
    NoTools {
        /// What was looked for and what was found instead.
        problem: String,
        /// The command that installs it on this kind of machine.
        install: String,
    },
    /// One of PostgreSQL's programs failed.
    #[error("{program} ended with {status}: {said}")]
    ToolFailed {
        /// Which one.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// One of PostgreSQL's programs was stopped, as asked.
    #[error("{program} was stopped before it was done; run it again")]
    ToolStopped {
        /// Which one.
        program: &'static str,
    },
    /// An operation of the system failed.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as "create the directory".
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// PostgreSQL refuses to run as root and the machine has no other account to use.
    #[error("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`: create one or start as another user")]
    NoAccount,
    /// The data belong to somebody else.
    #[error("the cluster in {} belongs to user id {owner}: start as that user or as root, or choose another data directory", path.display())]
    ForeignOwner {
        /// The cluster's data.
        path: PathBuf,
        /// The numeric user id that owns them.
        owner: u32,
    },
    /// The place of the cluster's data is taken by something else, or leads nowhere.
    #[error("{} is not a PostgreSQL cluster: move it away, or bring back what it stood for, and start again", path.display())]
    NotACluster {
        /// The place.
        path: PathBuf,
    },
    /// `initdb` failed.
    #[error("initdb could not create a cluster in {}: {output}", path.display())]
    Initialise {
        /// Where it was to be created.
        path: PathBuf,
        /// What `initdb` said.
        output: String,
    },
    /// The server ended, or did not answer in time.
    #[error("PostgreSQL {what}; the end of {} says:\n{tail}", log.display())]
    NotReady {
        /// What it did instead of answering.
        what: String,
        /// The server's log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A server process holds the data directory and does not answer.
    #[error("process {pid} runs PostgreSQL on {} but does not answer on its socket ({reason}): end it with `kill -INT {pid}` and start again", path.display())]
    Unanswering {
        /// The server's process id.
        pid: i32,
        /// The cluster's data.
        path: PathBuf,
        /// What the last attempt to connect met.
        reason: String,
    },
    /// The path of the socket is longer than the system takes.
    #[error("the socket directory {} is too long (the socket's path must stay below 100 bytes): set TMPDIR to a shorter one", path.display())]
    SocketPathTooLong {
        /// The directory.
        path: PathBuf,
    },
    /// Another program starts or stops the same cluster and does not finish.
    #[error("{} stayed locked for {waited:?}: another program is starting or stopping this cluster; end it and try again", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// For how long it was tried.
        waited: Duration,
    },
    /// The cluster is to be removed while programs use it.
    #[error("a program uses the cluster in {}: end it first", data_dir.display())]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The server survived every kind of shutdown.
    #[error("PostgreSQL (process {pid}) did not stop within {waited:?}")]
    StillRunning {
        /// The server's process id.
        pid: i32,
        /// For how long it was waited for.
        waited: Duration,
    },
}

impl ClusterError {
    /// For `map_err`: what was tried, on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
