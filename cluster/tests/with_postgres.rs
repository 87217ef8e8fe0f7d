//! The program `with_postgres`: what its command gets, and that nothing stays behind.

#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, Options};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A directory for temporary files of our own, so that what is left in it is ours.
fn own_tmp() -> TempDir {
    tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap()
}

fn with_postgres(tmp: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_with_postgres"));
    command.args(words).env("TMPDIR", tmp.path()).stdin(Stdio::null());
    // Away from the terminal that may have started the tests.
    command.process_group(0);
    command
}

fn output(tmp: &TempDir, words: &[&str]) -> Output {
    with_postgres(tmp, words).output().unwrap()
}

fn entries(tmp: &TempDir) -> Vec<PathBuf> {
    fs::read_dir(tmp.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn socket_dir(url: &str) -> PathBuf {
    let (_, query) = url.trim().split_once("host=").unwrap();
    query.split('&').next().unwrap().replace("%2F", "/").into()
}

/// Starts it with a command that prints the URL and waits to be ended.
fn waiting(tmp: &TempDir) -> (Child, String) {
    let script = "echo $TEST_DATABASE_URL; exec sleep 300";
    let mut child = with_postgres(tmp, &["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (child, url)
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

#[test]
fn the_command_finds_the_url_and_its_exit_code_is_ours() {
    let tmp = own_tmp();
    let output = output(&tmp, &["--", "sh", "-c", "echo $TEST_DATABASE_URL; exit 7"]);
    let url = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(url.starts_with("postgres://annals@localhost:5432/postgres?host="), "{url}");
    assert_eq!(entries(&tmp), Vec::<PathBuf>::new());
    assert!(!socket_dir(&url).exists());
}

#[test]
fn a_command_that_cannot_be_run_leaves_nothing_either() {
    let tmp = own_tmp();
    let output = output(&tmp, &["--durable", "no-such-command"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(text.contains("could not run no-such-command"), "{text}");
    assert_eq!(entries(&tmp), Vec::<PathBuf>::new());
}

#[test]
fn wrong_usage_is_explained() {
    let tmp = own_tmp();
    for words in [&[][..], &["--durable"], &["--quick", "true"]] {
        let output = output(&tmp, words);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("usage: with_postgres"));
    }
}

#[test]
fn a_missing_postgres_is_an_error_that_says_how_to_install_it() {
    let tmp = own_tmp();
    let output = with_postgres(&tmp, &["true"]).env("ANNALS_PG_BIN", "/nowhere").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(text.contains("ANNALS_PG_BIN=/nowhere"), "{text}");
    assert!(text.contains("apt-get install") || text.contains("brew install"), "{text}");
    assert_eq!(entries(&tmp), Vec::<PathBuf>::new());
}

#[test]
fn a_signal_reaches_the_command_and_the_cluster_ends_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let tmp = own_tmp();
        let (mut child, url) = waiting(&tmp);
        kill(pid(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal as i32));
        assert_eq!(entries(&tmp), Vec::<PathBuf>::new());
        assert!(!socket_dir(&url).exists());
    }
}

#[tokio::test]
async fn what_a_killed_one_leaves_running_can_be_adopted() {
    let tmp = own_tmp();
    let (mut child, url) = waiting(&tmp);
    kill(pid(&child), Signal::SIGKILL).unwrap();
    child.wait().unwrap();

    let data_dir = entries(&tmp).pop().unwrap();
    let cluster = Cluster::start(&data_dir, Options::default()).await.unwrap();
    assert!(cluster.adopted());
    assert_eq!(cluster.url("postgres"), url.trim());
    cluster.stop().await.unwrap();
    assert!(!socket_dir(&url).exists());
    end_orphans(&tmp);
}

#[test]
fn what_a_killed_one_leaves_behind_is_swept_by_the_next() {
    let tmp = own_tmp();
    let (mut killed, left) = waiting(&tmp);
    let (mut living, used) = waiting(&tmp);
    kill(pid(&killed), Signal::SIGKILL).unwrap();
    killed.wait().unwrap();

    let code = output(&tmp, &["true"]).status.code();
    assert_eq!(code, Some(0));
    assert!(!socket_dir(&left).exists());
    assert!(socket_dir(&used).exists(), "the living one's server was stopped");
    assert_eq!(entries(&tmp).len(), 1);
    kill(pid(&living), Signal::SIGTERM).unwrap();
    living.wait().unwrap();
    assert_eq!(entries(&tmp), Vec::<PathBuf>::new());
    end_orphans(&tmp);
}

/// A killed program cannot pass its end on: its command is ended here, by the environment it has.
fn end_orphans(tmp: &TempDir) {
    let mark = format!("TMPDIR={}", tmp.path().display());
    let deadline = Instant::now() + Duration::from_secs(10);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()) {
            killpg(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        assert!(Instant::now() < deadline);
    }
}
