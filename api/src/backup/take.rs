//! `annals backup`: one snapshot of the database, dumped and summed up at once. Invariant: the directory gets its name
//! when everything in it is on the disk, and not before.

use super::contents::{self, Contents, Fate, NEXT, SCHEMAS};
use super::manifest::{Manifest, Origin, instant};
use super::{DUMP, seconds, size};
use crate::config::Config;
use crate::database::{Database, key_file};
use crate::teller::telling;
use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use cluster::Tools;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// What is backed up, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The directory that the backup becomes: one that does not exist yet, or is empty
    dir: PathBuf,
    /// With the rows of read models, which a restore otherwise makes anew from the log
    #[arg(long)]
    read_models: bool,
    /// Tables that are read at once, each over a connection of its own
    #[arg(long, default_value_t = 2, value_name = "1..=32", value_parser = clap::value_parser!(u32).range(1..=32))]
    jobs: u32,
}

/// Takes a backup; what is to be printed.
pub(crate) async fn take(database: &Database, config: &Config, arguments: &BackupArgs, stop: &CancellationToken) -> anyhow::Result<String> {
    let begun = Instant::now();
    let dir = std::path::absolute(&arguments.dir)?;
    let unfinished = unfinished(&dir).with_context(|| format!("backing up to {}", dir.display()))?;
    let stopped = || anyhow::anyhow!("stopped before the backup was done; run it again");
    let mut snapshot = tokio::select! {
        snapshot = Snapshot::take(database, arguments.read_models) => snapshot?,
        () = stop.cancelled() => return Err(stopped()),
    };
    let tools = Tools::find(snapshot.origin.postgres)?;
    snapshot.origin.pg_dump = tools.major();

    let dump = unfinished.path().join(DUMP);
    // Whichever fails first ends the other.
    let end = stop.child_token();
    let arguments = snapshot.arguments(&dump, arguments.jobs);
    let dumping = async {
        let outcome = tools.run("pg_dump", arguments, database.environment(), end.cancelled()).await;
        outcome.inspect_err(|_| end.cancel())
    };
    let looking = async { snapshot.contents(&end).await.inspect_err(|_| end.cancel()) };
    // While it is being written a file may come and go; the last word is the manifest's.
    let told = async || format!("{} written", size(written(&dump).unwrap_or(0)));
    let (dumped, contents) = telling(told, async { tokio::join!(dumping, looking) }).await;
    let contents = contents?;
    dumped?;
    let contents = contents.ok_or_else(stopped)?;
    snapshot.connection.close().await?;

    let (master, origin, as_of) = (database.master().clone(), snapshot.origin, contents.as_of);
    let target = dir.clone();
    let finish = tokio::task::spawn_blocking(move || -> anyhow::Result<Manifest> {
        for entry in fs::read_dir(&dump)? {
            fs::set_permissions(entry?.path(), Permissions::from_mode(0o600))?;
        }
        let manifest = Manifest::write(unfinished.path(), &origin, contents, &master)?;
        // An empty directory of that name is replaced (POSIX, rename).
        fs::rename(unfinished.path(), &target).with_context(|| format!("moving the backup to {}", target.display()))?;
        // It has its name now: there is nothing left to remove.
        let _moved = unfinished.keep();
        if let Some(parent) = target.parent() {
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(manifest)
    });
    let manifest = tokio::select! {
        manifest = finish => manifest??,
        () = stop.cancelled() => return Err(stopped()),
    };
    Ok(format!(
        "Backed up to {}: {}; {} in {}.\nWhat is committed after {} is not in it.\nThe master key, without which this cannot be used, is not in it either: {}, fingerprint {}. Keep a copy of it where the backups are not.\n",
        dir.display(),
        manifest.told(),
        size(manifest.bytes()),
        seconds(begun.elapsed()),
        instant(as_of),
        key_file(config)?.display(),
        manifest.master_key,
    ))
}

/// A directory beside the one that is wished for, which is removed unless it is finished; nobody else may look into it.
fn unfinished(dir: &Path) -> anyhow::Result<tempfile::TempDir> {
    match fs::read_dir(dir) {
        Ok(mut entries) => ensure!(entries.next().is_none(), "the directory is there and not empty: name another"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { bail!("this is no name for a directory") };
    fs::create_dir_all(parent)?;
    let mut prefix = name.to_owned();
    prefix.push(".unfinished-");
    Ok(tempfile::Builder::new().prefix(&prefix).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)?)
}

/// How many bytes a dump has by now.
fn written(dump: &Path) -> io::Result<u64> {
    fs::read_dir(dump)?.try_fold(0, |sum, entry| Ok(sum + entry?.metadata()?.len()))
}

/// One moment of the database, held as long as the connection is.
struct Snapshot {
    connection: PgConnection,
    id: String,
    as_of: DateTime<Utc>,
    origin: Origin,
    tables: Vec<String>,
    read_models: bool,
}

impl Snapshot {
    async fn take(database: &Database, read_models: bool) -> anyhow::Result<Self> {
        let mut connection = database.connect().await?;
        database.require_whole(&mut connection).await?;
        let migrated: bool = sqlx::query_scalar("select to_regclass('event_store.heads') is not null").fetch_one(&mut connection).await?;
        ensure!(migrated, "database {}: there is nothing to back up; it was never migrated", database.server());
        // Under another key neither the backup nor what is in it could be opened.
        event_store::check_key(&mut connection, database.master()).await?;
        contents::become_owner(&mut connection).await?;
        let tables = contents::tables(&mut connection).await?;
        let kept: Vec<String> = tables.iter().filter(|table| Fate::of(table, read_models) != Fate::Left).cloned().collect();
        contents::sees_all(&mut connection, &kept).await?;
        // Locked before the snapshot is taken: from then on no rebuild exchanges a table that it shows.
        connection.execute("begin isolation level repeatable read, read only").await?;
        connection.execute(format!("lock table {} in access share mode", tables.join(", ")).as_str()).await?;
        let (id, as_of, version, migration): (String, DateTime<Utc>, i32, i64) = sqlx::query_as(
            "select pg_export_snapshot(), clock_timestamp(), current_setting('server_version_num')::int,
                    (select max(version) from annals._sqlx_migrations)",
        )
        .fetch_one(&mut connection)
        .await?;
        let origin = Origin { postgres: u32::try_from(version / 10_000)?, pg_dump: 0, migration };
        Ok(Self { connection, id, as_of, origin, tables, read_models })
    }

    /// The arguments of `pg_dump`.
    fn arguments(&self, dump: &Path, jobs: u32) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--file".into(), dump.into()];
        let snapshot = format!("--snapshot={}", self.id);
        let jobs = format!("--jobs={jobs}");
        // As the owner, whose rows no policy hides: no superuser is needed. Text compresses well and soon.
        let fixed =
            ["--format=directory", "--compress=1", "--role=annals_owner", "--enable-row-security", "--no-password", &snapshot, &jobs];
        arguments.extend(fixed.map(OsString::from));
        arguments.extend(SCHEMAS.map(|schema| format!("--schema={schema}").into()));
        arguments.push(format!("--exclude-table={NEXT}.*").into());
        let left = self.tables.iter().filter(|table| Fate::of(table, self.read_models) == Fate::Left);
        arguments.extend(left.map(|table| format!("--exclude-table-data={table}").into()));
        arguments
    }

    /// What it holds; nothing if that was ended before it was known.
    async fn contents(&mut self, end: &CancellationToken) -> anyhow::Result<Option<Contents>> {
        let look = async {
            let (logs, events) = contents::logs(&mut self.connection).await?;
            let tables = contents::sums(&mut self.connection, &self.tables, self.read_models).await?;
            Ok(Some(Contents { logs, events, as_of: self.as_of, read_models: self.read_models, tables }))
        };
        tokio::select! {
            contents = look => contents,
            () = end.cancelled() => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_goes_into_a_new_or_an_empty_directory_and_leaves_nothing_if_it_fails() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        let made = unfinished(&dir).unwrap();
        assert_eq!(fs::metadata(made.path()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(made);
        assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 0);
        fs::create_dir(&dir).unwrap();
        assert!(unfinished(&dir).is_ok());
        fs::write(dir.join("x"), "").unwrap();
        assert!(unfinished(&dir).unwrap_err().to_string().contains("not empty: name another"));
    }
}
