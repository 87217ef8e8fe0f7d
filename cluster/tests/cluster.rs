//! Embedded clusters driven as programs drive them: started, killed, shared, stopped.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cluster::{Cluster, ClusterError, Options};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::{Connection, PgConnection, Row};
use tempfile::TempDir;

fn quick() -> Options {
    Options { durable: false, max_connections: 20, ..Options::default() }
}

fn new_dir() -> TempDir {
    cluster::throwaway_dir().unwrap()
}

async fn start(dir: &TempDir) -> Cluster {
    Cluster::start(dir.path(), quick()).await.unwrap()
}

async fn end(cluster: Cluster, dir: &TempDir) {
    cluster.stop().await.unwrap();
    Cluster::discard(dir.path()).await.unwrap();
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url("postgres")).await.unwrap()
}

async fn run(cluster: &Cluster, sql: &str) {
    sqlx::raw_sql(sql).execute(&mut connect(cluster).await).await.unwrap();
}

async fn text(cluster: &Cluster, sql: &str) -> String {
    sqlx::query(sql).fetch_one(&mut connect(cluster).await).await.unwrap().get(0)
}

fn pid_file(dir: &Path) -> PathBuf {
    dir.join("postgres").join("postmaster.pid")
}

fn server_pid(dir: &Path) -> Pid {
    let text = fs::read_to_string(pid_file(dir)).unwrap();
    Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap())
}

fn socket_dir(dir: &Path) -> PathBuf {
    fs::read_to_string(pid_file(dir)).unwrap().lines().nth(4).unwrap().into()
}

/// Gone, or a zombie that its parent has yet to bury.
fn is_dead(pid: Pid) -> bool {
    kill(pid, None).is_err()
        || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_stop_and_a_quick_second_start() {
    let dir = new_dir();
    let cluster = start(&dir).await;
    run(&cluster, "create table kept as select 'still here' as word").await;
    cluster.stop().await.unwrap();

    let begun = Instant::now();
    let cluster = start(&dir).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(!cluster.adopted());
    assert_eq!(text(&cluster, "select word from kept").await, "still here");
    end(cluster, &dir).await;
}

#[tokio::test]
async fn the_cluster_is_utf_8_in_the_c_locale_without_tcp_and_as_durable_as_asked() {
    let dir = new_dir();
    let settings = vec![("shared_buffers".to_owned(), "32MB".to_owned())];
    let cluster = Cluster::start(dir.path(), Options { settings, ..quick() }).await.unwrap();
    for (name, value) in [
        ("server_encoding", "UTF8"),
        ("listen_addresses", ""),
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("jit", "off"),
        ("max_connections", "20"),
        ("shared_buffers", "32MB"),
    ] {
        assert_eq!(text(&cluster, &format!("show {name}")).await, value, "{name}");
    }
    let locale = "select datcollate::text from pg_database where datname = 'postgres'";
    assert_eq!(text(&cluster, locale).await, "C");
    assert_eq!(text(&cluster, "select rolsuper::text from pg_roles where rolname = 'annals'").await, "true");
    cluster.stop().await.unwrap();

    let cluster = Cluster::start(dir.path(), Options::default()).await.unwrap();
    assert_eq!(text(&cluster, "show fsync").await, "on");
    assert_eq!(text(&cluster, "show synchronous_commit").await, "on");
    end(cluster, &dir).await;
}

#[tokio::test]
async fn a_database_whose_name_needs_encoding_is_reached_by_its_url() {
    let dir = new_dir();
    let cluster = start(&dir).await;
    run(&cluster, "create database \"a b/c?\"").await;
    let mut connection = PgConnection::connect(&cluster.url("a b/c?")).await.unwrap();
    let name: String = sqlx::query("select current_database()::text").fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(name, "a b/c?");
    drop(connection);
    end(cluster, &dir).await;
}

#[tokio::test]
async fn a_server_killed_outright_is_recovered_at_the_same_socket() {
    let dir = new_dir();
    let cluster = Cluster::start(dir.path(), Options::default()).await.unwrap();
    run(&cluster, "create table kept as select 'still here' as word").await;
    let (pid, socket) = (server_pid(dir.path()), socket_dir(dir.path()));
    kill(pid, Signal::SIGKILL).unwrap();
    until("the server is dead", || is_dead(pid)).await;

    let again = start(&dir).await;
    assert!(!again.adopted());
    assert_ne!(server_pid(dir.path()), pid);
    assert_eq!(socket_dir(dir.path()), socket);
    // The first one's URL leads to the new server.
    assert_eq!(text(&cluster, "select word from kept").await, "still here");
    cluster.stop().await.unwrap();
    end(again, &dir).await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_not_believed() {
    let dir = new_dir();
    start(&dir).await.stop().await.unwrap();
    let stranger = std::process::id();
    fs::write(pid_file(dir.path()), format!("{stranger}\n/nowhere\n1\n5432\n/nowhere\n\n")).unwrap();
    let cluster = start(&dir).await;
    assert!(!cluster.adopted());
    assert_eq!(text(&cluster, "select 'well'").await, "well");
    end(cluster, &dir).await;
}

#[tokio::test]
async fn the_second_user_adopts_and_only_the_last_one_stops_the_server() {
    let dir = new_dir();
    let first = start(&dir).await;
    let second = start(&dir).await;
    assert!(!first.adopted() && second.adopted());
    assert_eq!(first.url("x"), second.url("x"));
    let pid = server_pid(dir.path());

    let refusal = Cluster::discard(dir.path()).await.unwrap_err();
    assert!(matches!(refusal, ClusterError::InUse { .. }), "{refusal}");
    first.stop().await.unwrap();
    assert_eq!(text(&second, "select 'well'").await, "well");
    second.stop().await.unwrap();
    assert!(is_dead(pid));
    Cluster::discard(dir.path()).await.unwrap();
}

#[tokio::test]
async fn of_two_that_start_at_once_one_creates_and_the_other_adopts() {
    let dir = new_dir();
    let (one, other) = tokio::join!(start(&dir), start(&dir));
    assert_ne!(one.adopted(), other.adopted());
    assert_eq!(one.url("postgres"), other.url("postgres"));
    one.stop().await.unwrap();
    end(other, &dir).await;
}

#[tokio::test]
async fn a_stop_leaves_no_process_and_a_discard_no_file() {
    let dir = new_dir();
    let cluster = start(&dir).await;
    let (pid, socket) = (server_pid(dir.path()), socket_dir(dir.path()));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o700);
    let mut open = connect(&cluster).await;
    sqlx::raw_sql("begin; create table never (id int)").execute(&mut open).await.unwrap();
    cluster.stop().await.unwrap();
    assert!(is_dead(pid));
    assert!(!socket.exists());
    Cluster::discard(dir.path()).await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_cluster_that_is_merely_dropped_stops_too() {
    let dir = new_dir();
    let cluster = start(&dir).await;
    let (pid, socket) = (server_pid(dir.path()), socket_dir(dir.path()));
    drop(cluster);
    until("the server is dead", || is_dead(pid)).await;
    assert!(!socket.exists());
    Cluster::discard(dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_start_is_reported_with_the_end_of_its_log() {
    let dir = new_dir();
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let error = Cluster::start(dir.path(), Options { settings, ..quick() }).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ended at once") && text.contains("no_such_setting"), "{text}");
    assert!(text.contains("postgres.log"), "{text}");
    // The data are whole: the next start is a plain one.
    end(start(&dir).await, &dir).await;
}

#[tokio::test]
async fn what_is_no_cluster_is_left_alone() {
    let dir = new_dir();
    let mine = dir.path().join("postgres");
    fs::create_dir(&mine).unwrap();
    if Uid::effective().is_root() {
        std::os::unix::fs::chown(&mine, Some(65534), None).unwrap();
    }
    fs::write(mine.join("letter"), "mine").unwrap();
    let error = Cluster::start(dir.path(), quick()).await.unwrap_err();
    assert!(matches!(error, ClusterError::NotACluster { .. }), "{error}");
    assert!(Cluster::discard(dir.path()).await.is_err());
    assert_eq!(fs::read_to_string(mine.join("letter")).unwrap(), "mine");
}

#[tokio::test]
async fn an_initdb_that_was_interrupted_leaves_nothing_in_the_way() {
    let dir = new_dir();
    let half = dir.path().join("postgres.new");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("PG_VERSION"), "15").unwrap();
    let cluster = start(&dir).await;
    assert!(!half.exists());
    end(cluster, &dir).await;
}

#[tokio::test]
async fn as_root_the_data_go_where_the_servers_account_can_enter_and_are_found_again() {
    if !Uid::effective().is_root() {
        return; // Nobody else steps down.
    }
    let closed = PermissionsExt::from_mode(0o700);
    let home = tempfile::Builder::new().permissions(closed).tempdir().unwrap();
    let dir = home.path().join("data");
    let cluster = Cluster::start(&dir, quick()).await.unwrap();
    run(&cluster, "create table kept as select 'still here' as word").await;
    cluster.stop().await.unwrap();
    let elsewhere = fs::read_link(dir.join("postgres")).unwrap();
    assert!(elsewhere.starts_with("/var/lib/annals"), "{}", elsewhere.display());

    let cluster = Cluster::start(&dir, quick()).await.unwrap();
    assert_eq!(text(&cluster, "select word from kept").await, "still here");
    cluster.stop().await.unwrap();
    Cluster::discard(&dir).await.unwrap();
    assert!(!elsewhere.exists());
    assert!(dir.join("postgres").symlink_metadata().is_err());
}
