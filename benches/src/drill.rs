//! `drill`: everything is lost and restored, and timed. Logs are filled, backed up by the program while commands go on, the
//! database is dropped, and the program makes another of the backup. It works in databases of its own, which it removes.

use anyhow::{Context, Result, bail, ensure};
use benches::annals::{self, Member, Tenant};
use benches::machine::Machine;
use benches::measure::Caller;
use benches::workload::COMMANDS;
use chrono::{DateTime, Utc};
use clap::Parser;
use event_store::{AppenderConfig, Commands, MasterKey, Pools};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// As in the program `annals`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A key that seals nothing but this run.
const MASTER: [u8; 32] = [7; 32];
/// Commands at once while the logs are filled.
const FILLERS: usize = 256;
/// How long commands are counted before the backup begins, to compare with.
const BEFORE: Duration = Duration::from_secs(5);

/// Backs up under load, loses everything, restores it, and says how long each took and what was lost.
#[derive(Debug, Parser)]
struct Options {
    /// The server, as a superuser's URL; databases of its own are made there and removed.
    #[arg(long, env = "TEST_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The program; without this, `annals` beside this binary.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Events in the logs before the backup.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    events: u32,
    /// Workspaces.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tenants: u32,
    /// Callers that go on sending one command after the other while the backup is taken.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    writers: u32,
    /// Backs the rows of read models up too.
    #[arg(long)]
    read_models: bool,
    /// Tables at once, for both commands of the program.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=32))]
    jobs: u32,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drill: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: &Options) -> Result<()> {
    let server: PgConnectOptions = options.database_url.parse().context("--database-url")?;
    let server = server.disable_statement_logging();
    let mut admin = server.connect().await.context("connecting to the server of TEST_DATABASE_URL")?;
    let [lost, restored] = ["lost", "restored"].map(|name| format!("drill_{}_{name}", std::process::id()));
    let outcome = tokio::select! {
        outcome = drill(options, &mut admin, &server, &lost, &restored) => outcome,
        interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Into::into, |()| anyhow::anyhow!("interrupted"))),
    };
    // The drill may have been left in the middle of a query.
    let mut admin = server.connect().await?;
    for name in [lost, restored] {
        admin.execute(format!("drop database if exists {name} with (force)").as_str()).await?;
    }
    admin.close().await?;
    outcome
}

async fn drill(options: &Options, admin: &mut PgConnection, server: &PgConnectOptions, lost: &str, restored: &str) -> Result<()> {
    admin.execute(format!("create database {lost}").as_str()).await?;
    let database = server.clone().database(lost);
    let master = MasterKey::new(MASTER);
    event_store::migrate(&database, &master).await?;
    let machine = Machine::of(admin).await?;
    let dir = tempfile::tempdir()?;
    let program = Program::new(options, dir.path())?;
    let (commands, pools) = annals::commands(&database, &master, AppenderConfig::default());
    let commands = Arc::new(commands);

    eprintln!("filling {} workspaces with {} events", options.tenants, options.events);
    let found = futures::stream::iter(0..options.tenants as usize).map(|n| annals::found(&commands, n)).buffered(64);
    let tenants: Vec<Arc<Tenant>> = found.map_ok(Arc::new).try_collect().await?;
    fill(&commands, &tenants, options.events as usize).await?;
    let worker = program.worker(&database)?;
    caught_up(&database, options.events).await?;
    let mut at_work = database.connect().await?;
    at_work.execute("vacuum analyze").await?;
    at_work.execute("checkpoint").await?;
    let bytes: i64 = sqlx::query_scalar("select pg_database_size(current_database())").fetch_one(&mut at_work).await?;

    eprintln!("backing up while {} callers go on", options.writers);
    let load = Load::start(annals::members(&commands, &tenants, options.writers as usize));
    tokio::time::sleep(BEFORE).await;
    let before = load.sent();
    let begun = Instant::now();
    let mut arguments = vec!["backup", "backup"];
    arguments.extend(options.read_models.then_some("--read-models"));
    program.run(&database, &arguments).await?;
    let backup = begun.elapsed();
    let during = load.sent() - before;
    load.stop().await?;
    let taken = Taken::read(&dir.path().join("backup"))?;
    let (head, last): (i64, DateTime<Utc>) =
        sqlx::query_as("select sum(position)::bigint, max(recorded_at) from event_store.heads").fetch_one(&mut at_work).await?;

    eprintln!("losing everything, and restoring it");
    at_work.close().await?;
    stop(worker, pools).await?;
    admin.execute(format!("drop database {lost} with (force)").as_str()).await?;
    admin.execute(format!("create database {restored}").as_str()).await?;
    let database = server.clone().database(restored);
    let begun = Instant::now();
    let said = program.run(&database, &["restore", "backup"]).await?;
    let restore = begun.elapsed();
    let status: Value = serde_json::from_str(&program.run(&database, &["status", "--json"]).await?)?;
    ensure!(status["events"] == taken.events, "{} events were backed up, and {} are there", taken.events, status["events"]);

    let rate = |sent: u64, time: Duration| sent as f64 / time.as_secs_f64();
    print(&format!(
        "# Drill\n\n{}, {} cores, {}; {}\n\n{} events in {} workspaces, {} callers at work, --jobs {}, read models {}.\n\n| | |\n|---|---|\n\
         | database | {:.0} MB |\n| backup | {:.0} MB in {:.1} s |\n| commands a second before, and during the backup | {:.0}, {:.0} |\n\
         | committed behind the backup's moment when it was done: what a loss right then takes (RPO) | {} events, {:.1} s |\n\
         | restore, until verified and with all read models (RTO) | {:.1} s |\n\n{}\n",
        machine.processor,
        machine.cores,
        machine.memory,
        machine.server,
        taken.events,
        options.tenants,
        options.writers,
        options.jobs,
        if options.read_models { "backed up" } else { "made anew" },
        bytes as f64 / 1e6,
        taken.bytes as f64 / 1e6,
        backup.as_secs_f64(),
        rate(before, BEFORE),
        rate(during, backup),
        head - taken.events,
        (last - taken.as_of).as_seconds_f64(),
        restore.as_secs_f64(),
        said.lines().last().unwrap_or_default(),
    ));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}

/// The program, as its operators run it.
struct Program {
    binary: PathBuf,
    dir: PathBuf,
    jobs: String,
}

impl Program {
    fn new(options: &Options, dir: &Path) -> Result<Self> {
        let binary = match &options.binary {
            Some(binary) => std::fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?,
            None => std::env::current_exe()?.with_file_name("annals"),
        };
        let mut key = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join("master.key"))?;
        std::io::Write::write_all(&mut key, hex::encode(MASTER).as_bytes())?;
        Ok(Self { binary, dir: dir.to_owned(), jobs: options.jobs.to_string() })
    }

    fn command(&self, database: &PgConnectOptions, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(&self.dir).stdin(Stdio::null()).kill_on_drop(true);
        command.env("DATABASE_URL", database.to_url_lossy().as_str()).env("ANNALS_MASTER_KEY_FILE", "master.key");
        command
    }

    /// Runs a command to its good end; what it printed.
    async fn run(&self, database: &PgConnectOptions, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(database, arguments);
        if ["backup", "restore"].contains(&arguments[0]) {
            command.args(["--jobs", &self.jobs]);
        }
        let output = command.output().await.with_context(|| format!("running {}", self.binary.display()))?;
        ensure!(output.status.success(), "annals {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn worker(&self, database: &PgConnectOptions) -> Result<Child> {
        let mut command = self.command(database, &["worker", "--admin-listen", "127.0.0.1:0"]);
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }
}

/// Ends whoever works with the database that is to be lost. Not in order: neither is a loss.
async fn stop(mut worker: Child, pools: Pools) -> Result<()> {
    worker.kill().await?;
    pools.close().await;
    Ok(())
}

/// Executes so many commands of one event each.
async fn fill(commands: &Arc<Commands>, tenants: &[Arc<Tenant>], events: usize) -> Result<()> {
    let items = events.div_ceil(COMMANDS);
    let callers = items.clamp(1, FILLERS);
    let mut tasks = JoinSet::new();
    for (n, mut member) in annals::members(commands, tenants, callers).into_iter().enumerate() {
        let mine = items / callers + usize::from(n < items % callers);
        tasks.spawn(async move {
            for _ in 0..mine * COMMANDS {
                member.command().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.context("a caller ended")??;
    }
    Ok(())
}

/// Waits until the read models know all that is in the logs.
async fn caught_up(database: &PgConnectOptions, events: u32) -> Result<()> {
    let mut connection = database.connect().await?;
    let sql = "select count(*) from event_store.heads h left join read_models.checkpoints c using (tenant_id) where h.position > coalesce(c.position, 0)";
    let deadline = Instant::now() + Duration::from_secs(120 + u64::from(events) / 500);
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await? > 0 {
        if Instant::now() > deadline {
            bail!("the read models do not catch up");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(connection.close().await?)
}

/// Callers at work until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    tasks: JoinSet<Result<()>>,
}

impl Load {
    fn start(members: Vec<Member>) -> Self {
        let (stop, sent, mut tasks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), JoinSet::new());
        for mut member in members {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    member.command().await?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Self { stop, sent, tasks }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(task) = self.tasks.join_next().await {
            task.context("a caller ended")??;
        }
        Ok(())
    }
}

/// A backup, as its manifest tells of it.
struct Taken {
    events: i64,
    as_of: DateTime<Utc>,
    bytes: u64,
}

impl Taken {
    fn read(dir: &Path) -> Result<Self> {
        let said: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json"))?)?;
        let manifest = &said["manifest"];
        let files = manifest["files"].as_object().context("no files in the manifest")?;
        Ok(Self {
            events: manifest["events"].as_i64().context("no events in the manifest")?,
            as_of: serde_json::from_value(manifest["as_of"].clone())?,
            bytes: files.values().filter_map(|file| file["bytes"].as_u64()).sum(),
        })
    }
}
