//! The program as its operators run it: processes, what they say of themselves, and what they use.

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use projections::Pace;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// What a process says once it serves, and where.
const API: &str = "serving the API";
const METRICS: &str = "serving metrics and health";

/// How long a process may take to serve, or to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the program is and what it is started with.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) binary: PathBuf,
    pub(crate) database_url: String,
    pub(crate) dir: PathBuf,
    /// Further arguments of every process that serves.
    pub(crate) flags: Vec<String>,
}

impl Program {
    /// A command of the program over the database.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(&self.dir)
            .env("DATABASE_URL", &self.database_url)
            .env("ANNALS_MASTER_KEY_FILE", self.dir.join("master.key"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal for us is not one for it: we tell it ourselves.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Starts a process that serves, and waits until it does.
    pub(crate) async fn start(&self, what: &'static str) -> Result<Process> {
        let anywhere = "127.0.0.1:0";
        let mut command = self.command(&[what, "--listen", anywhere, "--admin-listen", anywhere, "--log-format", "json"]);
        let mut child =
            command.args(&self.flags).stderr(Stdio::piped()).spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        let pid = child.id().context("it has ended already")?;
        let mut lines = BufReader::new(child.stderr.take().context("its log")?).lines();
        let (found, mut addresses) = watch::channel(BTreeMap::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let said: Value = serde_json::from_str(&line).unwrap_or_default();
                match (said["message"].as_str(), said["address"].as_str()) {
                    (Some(message), Some(address)) => {
                        let at = format!("http://{address}");
                        let message = message.to_owned();
                        found.send_modify(|found| drop(found.insert(message, at)));
                    }
                    _ if ["WARN", "ERROR"].contains(&said["level"].as_str().unwrap_or_default()) => eprintln!("{what} {pid}: {line}"),
                    _ => {}
                }
            }
        });
        let wanted: &[&str] = if what == "worker" { &[METRICS] } else { &[METRICS, API] };
        let serves = addresses.wait_for(|known| wanted.iter().all(|name| known.contains_key(*name)));
        let known = tokio::time::timeout(PATIENCE, serves).await.with_context(|| format!("{what} does not serve"))?;
        let known = known.with_context(|| format!("{what} ended before it served"))?.clone();
        let url = known.get(API).cloned().unwrap_or_default();
        Ok(Process { what, child, pid, url, admin: known[METRICS].clone() })
    }
}

/// One process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) what: &'static str,
    child: Child,
    pub(crate) pid: u32,
    /// Where GraphQL is, if it serves it.
    pub(crate) url: String,
    admin: String,
}

impl Process {
    /// Its metrics, line by line.
    pub(crate) async fn metrics(&self, http: &reqwest::Client) -> Result<Metrics> {
        let text = http.get(format!("{}/metrics", self.admin)).send().await?.error_for_status()?.text().await?;
        Ok(Metrics(text))
    }

    /// Tells it to stop, and waits.
    pub(crate) async fn stop(mut self) -> Result<()> {
        signal(self.pid, Signal::SIGTERM)?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.with_context(|| format!("{} does not stop", self.what))??;
        ensure!(status.success(), "{} ended with {status}", self.what);
        Ok(())
    }
}

/// Sends a signal to a process we started.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(pid)?), signal).with_context(|| format!("signalling {pid}"))
}

/// What `/metrics` answered, in Prometheus' text form.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Adds the buckets of a histogram without further labels: how many values are at most so high.
    pub(crate) fn add_buckets(&self, name: &str, buckets: &mut BTreeMap<u64, u64>) {
        let start = format!("{name}_bucket{{le=\"");
        for line in self.0.lines() {
            let Some((bound, count)) = line.strip_prefix(&start).and_then(|rest| rest.split_once("\"} ")) else { continue };
            let micros = bound
                .parse::<f64>()
                .map_or(u64::MAX, |seconds| if seconds.is_finite() { (seconds * 1e6).round() as u64 } else { u64::MAX });
            *buckets.entry(micros).or_default() += count.trim().parse::<u64>().unwrap_or(0);
        }
    }
}

/// A rebuild by the command line, killed once on its way and taken up again.
pub(crate) async fn rebuild(program: &Program, pace: Pace, progress: impl AsyncFn() -> Result<f64>) -> Result<Rebuilt> {
    let begun = Instant::now();
    let pace = pace.to_string();
    let command = ["rebuild", "--all", "--pace", &pace];
    let mut first = program.command(&command).spawn().context("starting a rebuild")?;
    let killed_at = loop {
        let done = progress().await?;
        if let Some(status) = first.try_wait()? {
            bail!("the rebuild ended with {status} before it could be killed; take more events");
        }
        if done >= 0.3 {
            break done;
        }
        ensure!(begun.elapsed() < Duration::from_secs(1800), "the rebuild comes to nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    first.kill().await?;
    let status = program.command(&command).status().await?;
    ensure!(status.success(), "the rebuild that was taken up ended with {status}");
    Ok(Rebuilt { took: begun.elapsed(), killed_at })
}

/// What came of a rebuild.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rebuilt {
    pub(crate) took: Duration,
    /// The part that was done when it was killed.
    pub(crate) killed_at: f64,
}

/// The binary beside this one, as `cargo build` leaves them.
pub(crate) fn beside(this: &Path) -> PathBuf {
    this.with_file_name("annals")
}
