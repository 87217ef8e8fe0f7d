//! Backups as operators make and use them, by the program's own commands: everything is lost and found again.

mod drill;
mod recovery;

mod refusals;

use crate::graphql::{Acme, Board};
use crate::harness::{Database, World};
use crate::program::{Program, annals};
use api::serve::Options;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

/// A process that serves and projects over a database of its own, and where the binary finds the master key.
async fn served() -> (World, TempDir) {
    let Program { database, dir } = Program::new().await;
    (World::on(database, Options::default()).await, dir)
}

/// The binary over a database, to its end.
async fn run(dir: &Path, database: &PgConnectOptions, arguments: &[&str]) -> Output {
    annals(dir, database, arguments).output().await.unwrap()
}

/// The same, to a good end; what it printed.
async fn done(dir: &Path, database: &PgConnectOptions, arguments: &[&str]) -> String {
    let output = run(dir, database, arguments).await;
    assert!(output.status.success(), "annals {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same, to the end of a command that has failed; what it said.
async fn failed(dir: &Path, database: &PgConnectOptions, arguments: &[&str]) -> String {
    let output = run(dir, database, arguments).await;
    assert_eq!(output.status.code(), Some(1), "annals {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// The title of an item, once it is there: `createItem`, under a key that is its title too.
async fn item(acme: &Acme, board: &Board, title: &str) -> Value {
    let input = format!("input: {{ pipelineId: \"{}\", title: \"{title}\" }}", board.id);
    acme.owner.client.with("Idempotency-Key", title).run("createItem", &input, "id title").await["entity"].clone()
}

/// The titles of all items that were ever created, as the log has them.
async fn titles(database: &PgConnectOptions) -> Vec<String> {
    let sql = "select payload ->> 'title' from event_store.events where event_type = 'PipelineItemCreated' order by 1";
    let mut admin = database.connect().await.unwrap();
    let titles = sqlx::query_scalar(sql).fetch_all(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    titles
}

/// The schemas of a database that are not PostgreSQL's own.
async fn schemas(database: &Database) -> Vec<String> {
    let sql =
        "select nspname::text from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public') order by 1";
    let mut admin = database.admin().await;
    let schemas = sqlx::query_scalar(sql).fetch_all(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    schemas
}
