//! What is no backup, is none any more, is of another key, or would go where something is, is refused in words that say
//! what to do; and nothing is ever there by halves.

use super::*;
use crate::harness::eventually;
use sqlx::Executor;
use sqlx::postgres::PgPoolOptions;
use std::fs;
use std::process::Stdio;

/// What lies in a directory, by name.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_touched_or_is_of_another_key_is_refused_before_the_database_is() {
    let (world, dir) = served().await;
    let acme = Acme::new(&world, "acme").await;
    item(&acme, &acme.board().await, "one").await;
    let (source, target) = (world.database.options(), Database::empty().await);
    done(dir.path(), &source, &["backup", "good"]).await;
    let path = |name: &str| dir.path().join(name);
    for (name, mode) in [("good", 0o700), ("good/manifest.json", 0o600), ("good/dump", 0o700), ("good/dump/toc.dat", 0o600)] {
        assert_eq!(fs::metadata(path(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    let manifest = fs::read_to_string(path("good/manifest.json")).unwrap();
    let key = fs::read_to_string(path("master.key")).unwrap();
    assert!(manifest.contains("event_store.events") && !manifest.contains(&key));
    assert!(done(dir.path(), &source, &["restore", "good", "--check"]).await.starts_with("The backup is whole"));

    let copy = |to: &str| assert!(std::process::Command::new("cp").arg("-a").args([path("good"), path(to)]).status().unwrap().success());
    let largest = fs::read_dir(path("good/dump")).unwrap().map(Result::unwrap).max_by_key(|entry| entry.metadata().unwrap().len()).unwrap();
    let largest = format!("dump/{}", largest.file_name().to_string_lossy());
    copy("truncated");
    let file = fs::OpenOptions::new().write(true).open(path("truncated").join(&largest)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    copy("tampered");
    let mut bytes = fs::read(path("tampered").join(&largest)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path("tampered").join(&largest), bytes).unwrap();
    copy("forged");
    fs::write(path("forged/manifest.json"), manifest.replace("\"logs\": ", "\"logs\": 1")).unwrap();
    copy("cut-off");
    fs::remove_file(path("cut-off/manifest.json")).unwrap();
    fs::write(path("other.key"), "ab".repeat(32)).unwrap();
    fs::set_permissions(path("other.key"), fs::Permissions::from_mode(0o600)).unwrap();
    for (arguments, said) in [
        (&["restore", "truncated"][..], "use another copy of the backup"),
        (&["restore", "tampered"], "is not as it was written"),
        (&["restore", "forged"], "manifest.json is not as it was written"),
        (&["restore", "cut-off"], "never finished"),
        (&["restore", "nowhere"], "name a directory that `annals backup` has made"),
        (&["restore", "good", "--master-key-file", "other.key"], "restore it with the key it was taken with"),
        (&["restore", "good", "--master-key-file", "lost.key"], "a backup is restored with the master key it was taken with"),
    ] {
        for check in [false, true] {
            let arguments = [arguments, if check { &["--check"] } else { &[] }].concat();
            let error = failed(dir.path(), &target.options(), &arguments).await;
            assert!(error.contains(said), "{said} is not in: {error}");
        }
    }
    let error = failed(dir.path(), &source, &["backup", "other", "--master-key-file", "other.key"]).await;
    assert!(error.contains("not the master key under which"), "{error}");
    assert_eq!(schemas(&target).await, [""; 0], "nothing was begun");
    assert!(!path("other").exists());
    done(dir.path(), &target.options(), &["restore", "good"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_by_a_backup_or_by_a_restore() {
    let (world, dir) = served().await;
    let acme = Acme::new(&world, "acme").await;
    let board = acme.board().await;
    item(&acme, &board, "one").await;
    let source = world.database.options();
    fs::create_dir(dir.path().join("empty")).unwrap();
    done(dir.path(), &source, &["backup", "empty"]).await;
    let error = failed(dir.path(), &source, &["backup", "empty"]).await;
    assert!(error.contains("not empty: name another"), "{error}");
    let other = Database::empty().await;
    let error = failed(dir.path(), &other.options(), &["backup", "nothing"]).await;
    assert!(error.contains("nothing to back up"), "{error}");

    item(&acme, &board, "two").await;
    let working = other.admin().await;
    let error = failed(dir.path(), &other.options(), &["restore", "empty"]).await;
    assert!(error.contains("stop every process of Annals"), "{error}");
    working.close().await.unwrap();
    assert_eq!(schemas(&other).await, [""; 0]);
    let database = world.stop().await;
    let error = failed(dir.path(), &source, &["restore", "empty"]).await;
    assert!(error.contains("is not empty") && error.contains("Restore into a new database"), "{error}");
    assert_eq!(titles(&source).await, ["one", "two"]);
    assert_eq!(names(dir.path()), ["empty", "master.key"], "nothing is left of what failed");
    assert_eq!(schemas(&database).await, schemas(&Database::new().await).await);

    // A log with a gap is no log; whoever has one should know before the last good backup is thrown away.
    let mut admin = database.admin().await;
    let gap =
        "set session_replication_role = replica; delete from event_store.events where position = 2 and event_type <> 'UserProvisioned'";
    admin.execute(gap).await.unwrap();
    let error = failed(dir.path(), &source, &["backup", "broken"]).await;
    assert!(error.contains("is not whole") && error.contains("the backups before"), "{error}");
    admin.close().await.unwrap();
    assert_eq!(names(dir.path()), ["empty", "master.key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_off_keeps_everybody_out_and_begins_anew() {
    let (world, dir) = served().await;
    let acme = Acme::new(&world, "acme").await;
    item(&acme, &acme.board().await, "one").await;
    done(dir.path(), &world.database.options(), &["backup", "backup"]).await;
    for signal in ["-KILL", "-TERM"] {
        let target = Database::empty().await;
        let database = target.options();
        let mut restore = annals(dir.path(), &database, &["restore", "backup"]).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the restore to begin", || async { schemas(&target).await.contains(&"annals_restoring".to_owned()).then_some(()) })
            .await;
        let sent = std::process::Command::new("kill").args([signal, &restore.id().unwrap().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = restore.wait().await.unwrap();
        assert_eq!(status.code(), if signal == "-KILL" { None } else { Some(1) });
        for command in [&["migrate"][..], &["status"], &["api"], &["worker"], &["serve"], &["backup", "of-it"]] {
            let error = failed(dir.path(), &database, command).await;
            // Before anything of it was there, there is not even a role to sign in as.
            assert!(error.contains("run `annals restore` again"), "{command:?}: {error}");
        }
        // What PostgreSQL's own program still had under way ends by itself.
        eventually("the rest of it to end", || async {
            let output = run(dir.path(), &database, &["restore", "backup"]).await;
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() || said.contains("others are connected"), "{said}");
            output.status.success().then_some(())
        })
        .await;
        let next = World::on(target, Options::default()).await;
        assert_eq!(titles(&database).await, ["one"]);
        next.audit().await;
        drop(next.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_stopped_or_fails_leaves_nothing_behind() {
    let (world, dir) = served().await;
    let acme = Acme::new(&world, "acme").await;
    item(&acme, &acme.board().await, "one").await;
    let database = world.database.options();
    let mut admin = world.database.admin().await;
    // It waits for a table, and is told to stop.
    admin.execute("begin; lock table event_store.claims in access exclusive mode").await.unwrap();
    let backup = annals(dir.path(), &database, &["backup", "backup"]).stderr(Stdio::piped()).spawn().unwrap();
    let other = PgPoolOptions::new().max_connections(1).connect_with(database.clone()).await.unwrap();
    eventually("the backup to wait", || async {
        let waits = "select exists (select from pg_locks where not granted and mode = 'AccessShareLock')";
        sqlx::query_scalar(waits).fetch_one(&world.app.pools.worker).await.unwrap_or(false).then_some(())
    })
    .await;
    let sent = std::process::Command::new("kill").args(["-TERM", &backup.id().unwrap().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = backup.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("stopped before the backup was done"), "{said}");
    admin.execute("rollback").await.unwrap();
    assert_eq!(names(dir.path()), ["master.key"]);
    // PostgreSQL's own program loses its connections.
    let mut backup = annals(dir.path(), &database, &["backup", "backup"]).stderr(Stdio::piped()).spawn().unwrap();
    let status = eventually("the backup to fail", || {
        let (ended, other) = (backup.try_wait().unwrap(), other.clone());
        async move {
            let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and application_name = 'annals_backup'";
            sqlx::query(cut).execute(&other).await.unwrap();
            ended
        }
    })
    .await;
    let output = backup.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(status.code() == Some(1) && said.contains("pg_dump ended with"), "{said}");
    assert_eq!(names(dir.path()), ["master.key"]);
    admin.close().await.unwrap();
    other.close().await;
    done(dir.path(), &database, &["backup", "backup"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_an_older_program_is_brought_up_to_date_and_one_of_a_newer_is_refused() {
    let (world, dir) = served().await;
    let acme = Acme::new(&world, "acme").await;
    item(&acme, &acme.board().await, "one").await;
    let database = world.stop().await;
    let mut admin = database.admin().await;
    // As it was before the migration that made this read model.
    let before = "delete from annals._sqlx_migrations where version >= 47; drop table read_models.pipeline_item_counts;
        drop statistics read_models.pipeline_items_places, read_models.pipeline_tasks_places";
    admin.execute(before).await.unwrap();
    done(dir.path(), &database.options(), &["backup", "older"]).await;
    let newer =
        "insert into annals._sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', true, '', 0)";
    admin.execute(newer).await.unwrap();
    done(dir.path(), &database.options(), &["backup", "newer"]).await;
    admin.close().await.unwrap();
    let target = Database::empty().await;
    let error = failed(dir.path(), &target.options(), &["restore", "newer"]).await;
    assert!(error.contains("migration 9999") && error.contains("a newer one"), "{error}");
    assert_eq!(schemas(&target).await, [""; 0]);
    done(dir.path(), &target.options(), &["restore", "older"]).await;
    let next = World::on(target, Options::default()).await;
    crate::graphql::equals_its_replay(&next.app).await;
    next.audit().await;
}
