//! `load`: the program as users meet it, under the load of many clients at once, over HTTP. It works in a database of
//! its own, which it removes, talks to this machine alone, and stops by itself.

mod client;
mod people;
mod plots;
mod program;
mod report;
mod tally;
mod watch;

use crate::client::{Client, Scene};
use crate::program::{Process, Program, rebuild};
use crate::report::{Part, Phase, RebuildFigures, Report};
use crate::tally::{Sample, Tally};
use crate::watch::{Look, Watched};
use anyhow::{Context, Result, ensure};
use api::app::App;
use benches::machine::{Cpu, Machine};
use benches::measure::{Times, measure};
use benches::yardstick::{Inserter, inserters};
use clap::Parser;
use event_store::{AppenderConfig, MasterKey, PoolSizes, Pools};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// As in the program `annals`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A key that seals nothing but this run.
const MASTER: [u8; 32] = [7; 32];
/// How many clients the yardstick has.
const INSERTERS: usize = 64;
const SECOND: Duration = Duration::from_secs(1);

/// Drives the program over HTTP as many users at once would, and reports what came of it.
#[derive(Debug, Parser)]
struct Options {
    /// The server, as a superuser's URL; a database of its own is made there and removed.
    #[arg(long, env = "TEST_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The program; without this, `annals` beside this binary.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Clients at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Requests a second that all clients together send, each pausing at random; without this, as many as are answered.
    #[arg(long, value_name = "REQUESTS")]
    rate: Option<f64>,
    /// Workspaces.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,
    /// Of these, the clients are in so many; without this, in all.
    #[arg(long, value_name = "TENANTS")]
    active: Option<u32>,
    /// Events of items in the logs before the load begins.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(160..=20_000_000))]
    events: u32,
    /// How long the load is counted, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=3600))]
    seconds: u32,
    /// How long it goes on before it is counted, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    warm_up: u32,
    /// Mutations only, instead of 60 % queries.
    #[arg(long)]
    mutations: bool,
    /// Processes of `annals api`; with --workers, instead of one `annals serve`.
    #[arg(long, requires = "workers", value_parser = clap::value_parser!(u32).range(1..=8))]
    apis: Option<u32>,
    /// Processes of `annals worker`.
    #[arg(long, requires = "apis", value_parser = clap::value_parser!(u32).range(1..=8))]
    workers: Option<u32>,
    /// Then makes all read models anew while the load goes on; the rebuild is killed (-9) on its way and taken up again.
    #[arg(long)]
    rebuild: bool,
    /// How much of the time that rebuild works, in percent
    #[arg(long, default_value_t = 100)]
    pace: u8,
    /// Where report.md, report.json and the pictures are written.
    #[arg(long, default_value = "target/load")]
    out: PathBuf,
    /// Further arguments of the program's processes, after `--`.
    #[arg(last = true)]
    flags: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(errors) => {
            eprintln!("load: {errors} requests were answered with an error");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: &Options) -> Result<usize> {
    ensure!(options.rate.is_none_or(|rate| rate > 0.0), "--rate: more than 0");
    let server: PgConnectOptions = options.database_url.parse().context("--database-url")?;
    let server = server.disable_statement_logging();
    let name = format!("load_{}", std::process::id());
    let mut admin = server.connect().await.context("connecting to the server of TEST_DATABASE_URL")?;
    admin.execute(format!("create database {name}").as_str()).await?;
    let database = server.clone().database(&name);
    let outcome = tokio::select! {
        outcome = drive(options, &database) => outcome,
        interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Into::into, |()| anyhow::anyhow!("interrupted"))),
    };
    admin.execute(format!("drop database {name} with (force)").as_str()).await?;
    admin.close().await?;
    outcome
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}

async fn drive(options: &Options, database: &PgConnectOptions) -> Result<usize> {
    let master = MasterKey::new(MASTER);
    event_store::migrate(database, &master).await?;
    let mut admin = database.connect().await?;
    let machine = Machine::of(&mut admin).await?;
    let cpu = Cpu::of(&mut admin).await?;
    let dir = tempfile::tempdir()?;
    let program = program(options, database, dir.path())?;

    let pools = Pools::new(database, &master, PoolSizes::default());
    let app = App::new(pools.clone(), &master, AppenderConfig::default());
    eprintln!("making {} workspaces", options.tenants);
    let companies = people::companies(&app, options.tenants as usize).await?;
    let active = &companies[..(options.active.unwrap_or(options.tenants).clamp(1, options.tenants)) as usize];
    people::fill(&app, active, 160).await?;
    let ids: Vec<_> = active.iter().take(16).map(|company| company.tenant.id).collect();
    let clients = inserters(database, &ids, INSERTERS).await?;
    let (before, clients) = yardstick(&mut admin, clients, &cpu).await?;
    eprintln!("filling the logs with {} events", options.events);
    people::fill(&app, active, options.events as usize - 160).await?;
    admin.execute("vacuum analyze").await?;

    let processes = start(options, &program).await?;
    caught_up(&mut admin, options).await?;
    admin.execute("checkpoint").await?;
    let urls = processes.iter().filter(|process| !process.url.is_empty()).map(|process| process.url.clone()).collect();
    let http = reqwest::Client::builder().pool_max_idle_per_host(usize::MAX).build()?;
    let scene = Scene { app, http, urls, companies: active.to_vec(), mutations_only: options.mutations };
    let driven = under_load(options, Arc::new(scene), &processes, &cpu, &program, database).await?;
    for process in processes {
        process.stop().await?;
    }
    let (after, _) = yardstick(&mut admin, clients, &cpu).await?;

    let parts: Vec<Part> = driven.phases.iter().map(|phase| Part::new(phase, &driven.tally, &driven.watched)).collect();
    let errors = parts.iter().map(|part| part.queries.errors + part.mutations.errors).sum();
    let report = Report { machine, run: title(options), yardstick: [before, after], parts, rebuild: driven.rebuild };
    report.write(&options.out, &driven.tally, &driven.watched, &driven.phases)?;
    print(&report.markdown());
    pools.close().await;
    admin.close().await?;
    Ok(errors)
}

fn title(options: &Options) -> String {
    let pace = options.rate.map_or_else(|| "without pause".to_owned(), |rate| format!("{rate} requests/s in all"));
    let processes = match (options.apis, options.workers) {
        (Some(apis), Some(workers)) => format!("{apis} × annals api, {workers} × annals worker"),
        _ => "annals serve".to_owned(),
    };
    let active = options.active.map_or_else(String::new, |active| format!(" of which {active} active"));
    let Options { clients, tenants, events, .. } = options;
    let what = if options.mutations { "mutations alone" } else { "60 % queries, 40 % mutations" };
    format!(
        "{clients} clients ({pace}), {what}; {tenants} workspaces{active}, {events} events before; {processes}; clients on the same machine."
    )
}

fn program(options: &Options, database: &PgConnectOptions, dir: &Path) -> Result<Program> {
    let binary = match &options.binary {
        Some(binary) => std::fs::canonicalize(binary).with_context(|| format!("--binary {}", binary.display()))?,
        None => program::beside(&std::env::current_exe()?),
    };
    let mut key = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join("master.key"))?;
    std::io::Write::write_all(&mut key, hex::encode(MASTER).as_bytes())?;
    let database_url = database.to_url_lossy().to_string();
    Ok(Program { binary, database_url, dir: dir.to_owned(), flags: options.flags.clone() })
}

async fn start(options: &Options, program: &Program) -> Result<Vec<Process>> {
    let mut processes = vec![];
    match (options.apis, options.workers) {
        (Some(apis), Some(workers)) => {
            for what in std::iter::repeat_n("api", apis as usize).chain(std::iter::repeat_n("worker", workers as usize)) {
                processes.push(program.start(what).await?);
            }
        }
        _ => processes.push(program.start("serve").await?),
    }
    Ok(processes)
}

/// Bare INSERTs a second.
async fn yardstick(admin: &mut PgConnection, clients: Vec<Inserter>, cpu: &Cpu) -> Result<(f64, Vec<Inserter>)> {
    admin.execute("checkpoint").await?;
    let (sample, clients) = measure(admin, clients, Times { warm_up: SECOND, counted: 4 * SECOND }, cpu).await?;
    eprintln!("yardstick: {:.0} INSERTs/s", sample.commands);
    Ok((sample.commands, clients))
}

/// Waits until the read models know all that is in the logs.
async fn caught_up(admin: &mut PgConnection, options: &Options) -> Result<()> {
    let sql = "select count(*) from event_store.heads h left join read_models.checkpoints c using (tenant_id) where h.position > coalesce(c.position, 0)";
    let deadline = Instant::now() + Duration::from_secs(120 + u64::from(options.events + options.tenants * 20) / 1000);
    loop {
        let behind: i64 = sqlx::query_scalar(sql).fetch_one(&mut *admin).await?;
        if behind == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the read models of {behind} workspaces do not catch up");
        tokio::time::sleep(SECOND / 10).await;
    }
}

/// What was driven and seen.
struct Driven {
    tally: Tally,
    watched: Watched,
    phases: Vec<Phase>,
    rebuild: Option<RebuildFigures>,
}

async fn under_load(
    options: &Options,
    scene: Arc<Scene>,
    processes: &[Process],
    cpu: &Cpu,
    program: &Program,
    database: &PgConnectOptions,
) -> Result<Driven> {
    let clients = options.clients as usize;
    let period = options.rate.map(|rate| Duration::from_secs_f64(clients as f64 / rate));
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for n in 0..clients {
        let (scene, stop) = (Arc::clone(&scene), Arc::clone(&stop));
        tasks.spawn(work(Client::new(&scene, n, StdRng::seed_from_u64(n as u64)), scene, begun, period, stop));
    }
    let mut admin = database.connect().await?;
    let seeing = AtomicBool::new(true);
    let watch = async {
        let mut seen = vec![];
        while seeing.load(Ordering::Relaxed) {
            seen.push(Look::take(begun, processes, cpu, &scene.http).await?);
            tokio::time::sleep(SECOND).await;
        }
        anyhow::Ok(Watched(seen))
    };
    let course = async {
        let outcome = course(options, begun, program, &mut admin).await;
        seeing.store(false, Ordering::Relaxed);
        outcome
    };
    let (watched, course) = tokio::join!(watch, course);
    stop.store(true, Ordering::Relaxed);
    let mut samples: Vec<Sample> = vec![];
    while let Some(task) = tasks.join_next().await {
        samples.extend(task.context("a client ended")??);
    }
    let (phases, rebuild) = course?;
    admin.close().await?;
    Ok(Driven { tally: Tally::new(samples), watched: watched?, phases, rebuild })
}

/// One client, until told to stop.
async fn work(
    mut client: Client,
    scene: Arc<Scene>,
    begun: Instant,
    period: Option<Duration>,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Sample>> {
    client.arrive(&scene).await?;
    let mut samples = vec![];
    // Somebody who is late does not make up for it: people do not send twice as fast because they had to wait.
    while !stop.load(Ordering::Relaxed) {
        if let Some(period) = period {
            tokio::time::sleep(client.pause(period)).await;
        }
        samples.push(client.step(&scene, begun).await);
    }
    Ok(samples)
}

/// What happens while the clients are at work.
async fn course(
    options: &Options,
    begun: Instant,
    program: &Program,
    admin: &mut PgConnection,
) -> Result<(Vec<Phase>, Option<RebuildFigures>)> {
    let counted = SECOND * options.seconds;
    let mut phases = vec![];
    tokio::time::sleep(SECOND * options.warm_up).await;
    let from = begun.elapsed();
    tokio::time::sleep(counted).await;
    phases.push(Phase { name: "as always", from, to: begun.elapsed() });
    if !options.rebuild {
        return Ok((phases, None));
    }
    let from = begun.elapsed();
    let events: i64 = sqlx::query_scalar("select sum(position)::bigint from event_store.heads").fetch_one(&mut *admin).await?;
    let admin = tokio::sync::Mutex::new(admin);
    let progress = async || {
        let sql = "select coalesce(min(done), 0)::float8 / $1::float8 from
            (select read_model, sum(position) as done from read_models.rebuilt group by read_model) as r";
        Ok(sqlx::query_scalar(sql).bind(events as f64).fetch_one(&mut **admin.lock().await).await?)
    };
    let rebuilt = rebuild(program, options.pace, progress).await?;
    phases.push(Phase { name: "while all read models are made anew", from, to: begun.elapsed() });
    let from = begun.elapsed();
    tokio::time::sleep(counted / 2).await;
    phases.push(Phase { name: "afterwards", from, to: begun.elapsed() });
    let seconds = rebuilt.took.as_secs_f64();
    Ok((phases, Some(RebuildFigures { events, seconds, killed_at: rebuilt.killed_at })))
}
