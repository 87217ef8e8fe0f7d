//! What the figures were taken on, and how much of it was used. What the system does not tell is left out.

use serde::Serialize;
use sqlx::PgConnection;
use std::fs;

/// Microseconds of a clock tick: /proc counts in hundredths of a second on every Linux (proc(5), `USER_HZ`).
const TICK: f64 = 10_000.0;

/// Where CPU time is read.
#[derive(Debug)]
pub struct Cpu {
    /// The server's first process, if it runs on this machine.
    postmaster: Option<u32>,
}

/// Microseconds spent so far.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// This program.
    pub program: Option<f64>,
    /// The server.
    pub postgres: Option<f64>,
    /// Everything on the machine, these two included.
    pub machine: Option<f64>,
}

/// The fields of `/proc/<pid>/stat` that count here.
struct Stat {
    parent: u32,
    own: f64,
    children: f64,
}

fn stat(pid: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything; the third begins behind the last one.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n)?.parse::<f64>().ok().map(|ticks| ticks * TICK);
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own: ticks(11)? + ticks(12)?, children: ticks(13)? + ticks(14)? })
}

impl Cpu {
    /// Finds the server's processes by way of the one that answers us.
    pub async fn of(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(connection).await?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let here = name.trim() == "postgres";
        Ok(Self { postmaster: stat(&pid.to_string()).filter(|_| here).map(|stat| stat.parent) })
    }

    /// What was spent by now.
    #[must_use]
    pub fn read(&self) -> Spent {
        Spent { program: stat("self").map(|stat| stat.own), postgres: self.postmaster.and_then(server), machine: machine() }
    }

    /// Bytes of memory that the server's processes have between them, what they share counted once.
    #[must_use]
    pub fn server_memory(&self) -> Option<u64> {
        let postmaster = self.postmaster?;
        let mut pids = vec![postmaster];
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if stat(&pid.to_string()).is_some_and(|stat| stat.parent == postmaster) {
                pids.push(pid);
            }
        }
        // A process may have ended since.
        Some(pids.into_iter().filter_map(memory).sum())
    }
}

/// Microseconds that a process has spent.
#[must_use]
pub fn spent(pid: u32) -> Option<f64> {
    stat(&pid.to_string()).map(|stat| stat.own)
}

/// Bytes of memory of a process: its own, and its part of what it shares (proc(5), `Pss`).
#[must_use]
pub fn memory(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// All processors together; waiting for a disk is idling (proc(5), `/proc/stat`: user, nice, system, idle, iowait, …).
fn machine() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> = text.lines().next()?.split_whitespace().skip(1).take(8).map_while(|ticks| ticks.parse().ok()).collect();
    (ticks.len() == 8).then(|| (ticks.iter().sum::<f64>() - ticks[3] - ticks[4]) * TICK)
}

/// All processes of the server, those that have ended too.
fn server(postmaster: u32) -> Option<f64> {
    let first = stat(&postmaster.to_string())?;
    let children = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| stat(entry.file_name().to_str()?));
    Some(first.own + first.children + children.filter(|child| child.parent == postmaster).map(|child| child.own).sum::<f64>())
}

/// The machine and the server, for people.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// What it calls itself.
    pub processor: String,
    /// Processors that this program may use.
    pub cores: usize,
    /// All of it.
    pub memory: String,
    /// The version of PostgreSQL.
    pub server: String,
    /// What matters among its settings.
    pub settings: Vec<String>,
    /// Whether a commit waits for the disk.
    pub durable: bool,
}

impl Machine {
    /// Asks the system and the server.
    ///
    /// # Errors
    /// The server.
    pub async fn of(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let server: String = sqlx::query_scalar("select version()").fetch_one(&mut *connection).await?;
        let settings: Vec<(String, String)> = sqlx::query_as(
            "select name, current_setting(name) from pg_settings where name = any (array['fsync', 'synchronous_commit',
             'full_page_writes', 'wal_sync_method', 'shared_buffers', 'max_wal_size', 'max_connections']) order by name",
        )
        .fetch_all(connection)
        .await?;
        let durable = settings.iter().all(|(name, value)| !matches!(name.as_str(), "fsync" | "synchronous_commit") || value == "on");
        Ok(Self {
            processor: entry("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: entry("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned()),
            server: server.split(',').next().unwrap_or_default().to_owned(),
            settings: settings.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            durable,
        })
    }
}

fn entry(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
