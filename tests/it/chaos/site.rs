//! A house with a PostgreSQL of its own, which can be killed and comes back where it was.

use crate::harness::Database;
use crate::processes::{House, Setting};
use crate::program::Program;
use cluster::{Cluster, Options};
use sqlx::postgres::PgConnectOptions;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A server of the test's own.
pub(super) struct Server {
    cluster: Option<Cluster>,
    options: Options,
    /// Where its socket is, wherever that is: one that is stopped in order and started again has another.
    socket: PathBuf,
    dir: TempDir,
}

impl Server {
    /// One with its data in this directory: what it has confirmed must be there when it comes back.
    async fn start(dir: TempDir, environment: Vec<(String, String)>) -> Self {
        // After a crash each file is synced before it comes back: all at once, not one by one.
        let settings = [("shared_buffers", "64MB"), ("recovery_init_sync_method", "syncfs")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let options = Options { durable: true, settings, environment, ..Options::default() };
        let mut server = Self { cluster: None, options, socket: dir.path().join("socket"), dir };
        server.up().await;
        server
    }

    fn reached(&self) -> PgConnectOptions {
        self.cluster.as_ref().unwrap().url("postgres").parse().unwrap()
    }

    fn options(&self) -> PgConnectOptions {
        self.reached().socket(&self.socket)
    }

    /// Starts it where it does not run, and returns once it answers.
    pub(super) async fn up(&mut self) {
        // Another handle before the one of the dead is dropped, which would take the new one's socket with it.
        let before = self.cluster.replace(Cluster::start(self.dir.path(), self.options.clone()).await.unwrap());
        drop(before);
        let new = self.dir.path().join("socket.new");
        symlink(self.reached().get_socket().unwrap(), &new).unwrap();
        std::fs::rename(new, &self.socket).unwrap();
    }

    /// Ends it as a crash would. What it was doing for others may still come to its end.
    pub(super) fn kill(&self) {
        let file = self.dir.path().join("postgres/postmaster.pid");
        kill(std::fs::read_to_string(file).unwrap().lines().next().unwrap());
    }

    /// Stops it in order and starts it again.
    pub(super) async fn restart(&mut self) {
        self.cluster.take().unwrap().stop().await.unwrap();
        self.up().await;
    }

    async fn end(mut self) {
        self.cluster.take().unwrap().stop().await.unwrap();
        Cluster::discard(self.dir.path()).await.unwrap();
    }
}

/// Ends a process that is the test's own.
pub(super) fn kill(pid: &str) {
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success(), "there is no process {pid}");
}

/// A house and its server.
pub(super) struct Site {
    // First: its database is dropped before its server ends.
    pub(super) house: House,
    pub(super) server: Server,
}

/// What the server and the other processes of a site find in their environments.
#[derive(Default)]
pub(super) struct Environments {
    pub(super) server: Vec<(String, String)>,
    pub(super) processes: Vec<(String, String)>,
}

impl Site {
    /// Two API processes and two workers, with a server in this directory.
    pub(super) async fn new(dir: TempDir, setting: Setting, environments: Environments) -> Self {
        let server = Server::start(dir, environments.server).await;
        let program = Program::with(Database::on(server.options()).await);
        let database = program.database.options();
        let house = House::in_environment(program, database, setting, 2, 2, environments.processes).await;
        Self { house, server }
    }

    /// What holds in the end holds, and nothing of it is left.
    pub(super) async fn stands(self) {
        self.house.stands().await;
        drop(self.house);
        self.server.end().await;
    }
}
