//! `annals restore`: a database is made of a backup, compared with what the backup says it held, and brought to what this
//! program works with. Invariant: until all of that is done, a schema stands in the database that keeps every process of
//! the program out; a restore that was cut off begins anew, and nothing else is ever overwritten.

use super::contents::{self, SCHEMAS};
use super::manifest::{Manifest, instant};
use super::{DUMP, seconds, size};
use crate::app::App;
use crate::config::Config;
use crate::database::{self, Database, RESTORING};
use crate::operators::made_anew;
use crate::teller::{Teller, telling};
use anyhow::{Context, bail, ensure};
use cluster::Tools;
use event_store::MasterKey;
use projections::Pace;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Held by a restore as long as it works.
const LOCK: i64 = 4_111_803;

/// How long a session whose client has gone may take to go too.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is restored.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The directory of the backup
    dir: PathBuf,
    /// Only looks whether the backup is whole and of this master key; needs no database
    #[arg(long)]
    check: bool,
    /// Tables and indexes that are made at once, each over a connection of its own
    #[arg(long, default_value_t = 2, value_name = "1..=32", value_parser = clap::value_parser!(u32).range(1..=32))]
    jobs: u32,
}

/// Restores a backup; what is to be printed.
pub(crate) async fn restore(config: &Config, arguments: &RestoreArgs, stop: &CancellationToken) -> anyhow::Result<String> {
    let begun = Instant::now();
    let key_file = database::key_file(config)?;
    // Never made here, as it is for a new database: it would be another one.
    let master = MasterKey::read(&key_file).context("a backup is restored with the master key it was taken with")?;
    let (dir, named) = (arguments.dir.clone(), key_file.clone());
    let checking = tokio::task::spawn_blocking(move || Manifest::check(&dir, &master, &named));
    let manifest = unless(stop, async { checking.await? }).await?;
    let text = format!("{}: {}; {}", arguments.dir.display(), manifest.told(), size(manifest.bytes()));
    if arguments.check {
        return Ok(format!("The backup is whole, and of the key {}.\n{text}.\n", key_file.display()));
    }
    let database = Database::open(config).await?;
    let restore = Restore { manifest: &manifest, arguments, database: &database, config };
    let outcome = restore.run(stop, Times { checked: begun.elapsed(), ..Times::default() }).await;
    database.close().await;
    let (times, standing) = outcome?;
    Ok(format!("Restored {text}.\nWhat was committed after {} was not in it.\n{standing}{times}\n", instant(manifest.contents.as_of)))
}

/// How long the parts of a restore took.
#[derive(Default)]
struct Times {
    checked: Duration,
    restored: Duration,
    compared: Duration,
    read_models: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { checked, restored, compared, read_models } = *self;
        let all = seconds(checked + restored + compared + read_models);
        let [checked, restored, compared, read_models] = [checked, restored, compared, read_models].map(seconds);
        write!(f, "Files checked in {checked}, restored in {restored}, compared in {compared}, read models in {read_models}: {all} in all.")
    }
}

struct Restore<'a> {
    manifest: &'a Manifest,
    arguments: &'a RestoreArgs,
    database: &'a Database,
    config: &'a Config,
}

impl Restore<'_> {
    async fn run(&self, stop: &CancellationToken, mut times: Times) -> anyhow::Result<(Times, String)> {
        let mut connection = self.database.connect().await?;
        let tools = self.tools(&mut connection).await?;
        // Gone with the connection.
        let alone: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
        ensure!(alone, "database {}: another restore is at work there; wait for it", self.database.server());
        self.begin(&mut connection).await?;

        let begun = Instant::now();
        self.fill(&mut connection, &tools, stop).await.context("restoring")?;
        times.restored = begun.elapsed();
        let begun = Instant::now();
        let told = async || "comparing with what the backup held".to_owned();
        unless(stop, telling(told, self.compare(&mut connection))).await?;
        times.compared = begun.elapsed();
        let begun = Instant::now();
        let standing = unless(stop, self.read_models(&mut connection)).await.context("making read models anew")?;
        times.read_models = begun.elapsed();
        connection.execute(format!("drop schema {RESTORING}").as_str()).await?;
        connection.close().await?;
        Ok((times, standing))
    }

    /// The programs to restore with, for a server that takes what they send.
    async fn tools(&self, connection: &mut PgConnection) -> anyhow::Result<Tools> {
        let &Manifest { postgres, pg_dump, migration, .. } = self.manifest;
        ensure!(
            event_store::knows(migration),
            "the backup was taken by version {} with migration {migration}, which this program does not know: restore it with that version or a newer one",
            self.manifest.program
        );
        let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int").fetch_one(connection).await?;
        let server = u32::try_from(version / 10_000)?;
        let needed = postgres.max(pg_dump);
        ensure!(
            server >= needed,
            "the backup is one of PostgreSQL {needed}, and the server is PostgreSQL {server}: restore into {needed} or newer"
        );
        Ok(Tools::find(pg_dump)?)
    }

    /// Takes possession of an empty database, or of what an earlier restore has left.
    async fn begin(&self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let server = self.database.server();
        let there: Vec<String> =
            sqlx::query_scalar("select nspname::text from pg_namespace where nspname = any ($1) or nspname = $2 order by 1")
                .bind(SCHEMAS)
                .bind(RESTORING)
                .fetch_all(&mut *connection)
                .await?;
        let unfinished = there.iter().any(|schema| schema == RESTORING);
        ensure!(
            there.is_empty() || unfinished,
            "database {server} is not empty: it has {}. Nothing was changed. Restore into a new database (createdb), or for the embedded server into another data directory (--data-dir)",
            there.join(", ")
        );
        self.alone(connection).await?;
        event_store::create_roles(connection, self.database.master()).await?;
        contents::become_owner(connection).await?;
        if unfinished {
            tracing::info!("an earlier restore was cut off; beginning anew");
            connection.execute(format!("drop schema if exists {} cascade", SCHEMAS.join(", ")).as_str()).await?;
        } else {
            connection.execute(format!("create schema {RESTORING}").as_str()).await?;
        }
        Ok(())
    }

    /// Nobody else is at work: neither a process that holds what the lost database said for true, nor what an earlier restore
    /// that was killed has left running.
    async fn alone(&self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let others: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'",
            )
            .fetch_one(&mut *connection)
            .await?;
            if others == 0 {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < FAREWELL,
                "database {}: {others} others are connected to it; stop every process of Annals and whatever else works there first",
                self.database.server()
            );
            tokio::time::sleep(FAREWELL / 50).await;
        }
    }

    /// Runs the dump. The schemas come first, with who may create what in them: only then can functions be given to those
    /// who shall own them, unless one is a superuser.
    async fn fill(&self, connection: &mut PgConnection, tools: &Tools, stop: &CancellationToken) -> anyhow::Result<()> {
        let dump = self.arguments.dir.join(DUMP);
        let environment = self.database.environment();
        let list = tools.run("pg_restore", ["--list".into(), dump.clone().into()], [], stop.cancelled()).await?;
        let (schemas, rest): (Vec<&str>, Vec<&str>) =
            list.lines().partition(|line| line.contains(" SCHEMA - ") || line.contains(" ACL - SCHEMA "));
        let jobs = self.arguments.jobs.to_string();
        let work = async {
            for (part, jobs) in [(schemas, "1"), (rest, &jobs)] {
                let list = listed(&part)?;
                // Into the database of the environment; without any name it would write SQL to standard output.
                let fixed = ["--exit-on-error", "--role=annals_owner", "--no-password", "--dbname="];
                let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
                arguments.extend([format!("--jobs={jobs}").into(), "--use-list".into(), list.path().into(), dump.clone().into()]);
                tools.run("pg_restore", arguments, environment.clone(), stop.cancelled()).await?;
            }
            anyhow::Ok(())
        };
        let size_of = tokio::sync::Mutex::new(&mut *connection);
        let told = async || {
            let bytes = sqlx::query_scalar("select pg_database_size(current_database())").fetch_one(&mut **size_of.lock().await).await;
            bytes.map_or_else(|error| error.to_string(), |bytes: i64| format!("the database has {}", size(bytes.unsigned_abs())))
        };
        telling(told, work).await?;
        // Nobody is at work here yet. The tokens go on from where they were.
        connection.execute("update read_models.leases set holder = null").await?;
        let tables = contents::tables(connection).await?;
        // Nothing is known of tables that were only just filled, and the planner would guess.
        connection.execute(format!("analyze {}", tables.join(", ")).as_str()).await?;
        Ok(())
    }

    /// Row by row, and log by log, what the backup says.
    async fn compare(&self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let expected = &self.manifest.contents;
        let tables = contents::tables(connection).await?;
        contents::sees_all(connection, &tables).await?;
        let found = contents::sums(connection, &tables, expected.read_models).await?;
        let different: Vec<&str> = expected
            .tables
            .keys()
            .chain(found.keys().filter(|table| !expected.tables.contains_key(*table)))
            .filter(|table| expected.tables.get(*table) != found.get(*table))
            .map(String::as_str)
            .collect();
        ensure!(
            different.is_empty(),
            "what was restored differs from what was backed up, in {}: the database stays closed; restore another backup",
            different.join(", ")
        );
        let (logs, events) = contents::logs(connection).await?;
        ensure!(
            (logs, events) == (expected.logs, expected.events),
            "there are {logs} logs with {events} events, and should be {} with {}",
            expected.logs,
            expected.events
        );
        Ok(())
    }

    /// Brings the schema to this program's, and the read models to where the logs end, unless they were in the backup:
    /// those that serve must never show empty tables as if they were the truth. Says what stands still.
    async fn read_models(&self, connection: &mut PgConnection) -> anyhow::Result<String> {
        self.database.bring_up_to_date().await?;
        if self.manifest.contents.read_models {
            return Ok(String::new());
        }
        // A rebuild fills every read model as far as the checkpoint.
        connection
            .execute("insert into read_models.checkpoints (tenant_id, position) select tenant_id, position from event_store.heads where position > 0")
            .await?;
        let pools = self.database.pools(self.config);
        let app = App::new(pools.clone(), self.database.master(), database::appender(self.config));
        let mut teller = Teller::new();
        let outcome = async {
            let projector = crate::serve::projector(&app).await?;
            made_anew(&projector, &[], Pace::FULL, &mut teller).await
        }
        .await;
        teller.end();
        pools.close().await;
        let tables = contents::tables(connection).await?;
        connection.execute(format!("analyze {}", tables.join(", ")).as_str()).await?;
        outcome
    }
}

/// Does something that can be left at any moment, unless we are told to stop.
async fn unless<T>(stop: &CancellationToken, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        outcome = work => outcome,
        () = stop.cancelled() => bail!("stopped before the restore was done; run it again, which begins anew"),
    }
}

/// A list of entries of a dump, as `pg_restore` reads it.
fn listed(entries: &[&str]) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all((entries.join("\n") + "\n").as_bytes())?;
    file.flush()?;
    Ok(file)
}
