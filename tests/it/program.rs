//! The program as its users run it: the binary, against a database of the test's own.

use crate::harness::{Database, MASTER};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tempfile::TempDir;
use tokio::process::Command;

/// The binary with these arguments, in the directory of a [`Program`] and over this database. It ends with the test.
pub(crate) fn annals(dir: &Path, database: &PgConnectOptions, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
    command
        .args(arguments)
        .current_dir(dir)
        .env("DATABASE_URL", database.to_url_lossy().as_str())
        .env("ANNALS_MASTER_KEY_FILE", dir.join("master.key"))
        .env("ANNALS_DATA_DIR", dir.join("data"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A database and everything the binary needs to work with it.
pub(crate) struct Program {
    pub(crate) database: Database,
    pub(crate) dir: TempDir,
}

impl Program {
    pub(crate) async fn new() -> Self {
        Self::with(Database::new().await)
    }

    /// With this database.
    pub(crate) fn with(database: Database) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("master.key");
        std::fs::write(&key, hex::encode(MASTER)).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self { database, dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The binary with these arguments. It ends with the test.
    pub(crate) fn annals(&self, arguments: &[&str]) -> Command {
        annals(self.dir.path(), &self.database.options(), arguments)
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.annals(arguments).output().await.unwrap()
    }

    /// Runs it to its end, which is a good one; what it printed.
    pub(crate) async fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "annals {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it to its end, which is a bad one; what it said.
    pub(crate) async fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "annals {} should have failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }
}
