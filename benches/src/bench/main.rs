//! `bench`: commands per second of Annals, beside bare INSERTs and stock postgres-es on the same server in the same
//! run. It works in a database of its own, which it removes, and stops by itself.

mod projector;
mod report;
mod stock;

use crate::report::{ANNALS, Cell, PAIR, Report, STOCK, WIDE, YARDSTICK};
use anyhow::{Context, Result, ensure};
use benches::machine::{Cpu, Machine};
use benches::measure::{Caller, Sample, Times, measure};
use benches::{annals, workload, yardstick};
use clap::{Parser, ValueEnum};
use event_store::{AppenderConfig, MasterKey};
use futures::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// As in the program `annals`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many clients the yardstick has, and how many connections postgres-es.
const CLIENTS: usize = 64;
const TENANTS: usize = 16;
/// How many there are in the cells over many tenants.
const MANY_TENANTS: usize = 1_000;

/// A part of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Reading 200,000 events, the projector catching up on them, and a rebuild
    Projector,
}

/// Measures commands per second against bare INSERTs and stock postgres-es.
#[derive(Debug, Parser)]
struct Options {
    /// The server, as a superuser's URL; a database of its own is made there and removed.
    #[arg(long, env = "TEST_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// How often every cell is measured; what is shown is the median.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long a cell is counted, in seconds.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// How long it runs before it is counted, in seconds.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// How many callers there are at once: a cell of Annals and one of postgres-es for each.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256, 1024])]
    callers: Vec<usize>,
    /// Over how many queues Annals spreads the tenants.
    #[arg(long, default_value_t = AppenderConfig::default().groups)]
    groups: usize,
    /// How many commands Annals puts into one transaction, at the most.
    #[arg(long, default_value_t = AppenderConfig::default().batch_commands)]
    batch: usize,
    /// Has Annals ask of each command what might be wrong with it, instead of trying batches as a whole first.
    #[arg(long)]
    locking: bool,
    /// Measures this part and nothing else.
    #[arg(long)]
    only: Option<Only>,
    /// Leaves out postgres-es.
    #[arg(long)]
    no_stock: bool,
    /// Leaves out the cells over 1,000 tenants.
    #[arg(long)]
    no_wide: bool,
    /// Leaves out the cells of two instances.
    #[arg(long)]
    no_pair: bool,
    /// Leaves out the yardstick.
    #[arg(long)]
    no_yardstick: bool,
    /// SQL to run once the database is migrated, to try out a change of the schema or a setting.
    #[arg(long)]
    sql: Option<PathBuf>,
    /// Where the figures are written as JSON.
    #[arg(long, default_value = "target/bench/result.json")]
    json: PathBuf,
    /// Fails if a target is missed.
    #[arg(long)]
    strict: bool,
}

impl Options {
    fn times(&self) -> Result<Times> {
        ensure!(self.seconds > 0.0 && self.seconds <= 600.0, "--seconds: from more than 0 to 600");
        ensure!((0.0..=600.0).contains(&self.warm_up), "--warm-up: from 0 to 600");
        Ok(Times { warm_up: Duration::from_secs_f64(self.warm_up), counted: Duration::from_secs_f64(self.seconds) })
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: &Options) -> Result<ExitCode> {
    let times = options.times()?;
    let server: PgConnectOptions = options.database_url.parse().context("--database-url")?;
    let server = server.disable_statement_logging();
    let name = format!("bench_{}", std::process::id());
    let mut admin = server.connect().await.context("connecting to the server of TEST_DATABASE_URL")?;
    admin.execute(format!("create database {name}").as_str()).await?;
    let database = server.clone().database(&name);

    if options.only == Some(Only::Projector) {
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(Duration::from_secs(120) * (options.rounds + 1), projector::bench(options.rounds, &database)) => {
                outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("the run did not end in time")))
            }
            interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Into::into, |()| anyhow::anyhow!("interrupted"))),
        };
        admin.execute(format!("drop database {name} with (force)").as_str()).await?;
        admin.close().await?;
        let figures = outcome?;
        write_json(options, &figures)?;
        print(&figures.markdown());
        return Ok(if options.strict && !figures.passed() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let cells = options.callers.len() as u32 * 4 + 1;
    // Far more than it takes: the run ends, whatever happens.
    let patience = (times.warm_up + times.counted + Duration::from_secs(10)) * cells * options.rounds + Duration::from_secs(120);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(patience, bench(options, times, &database)) => {
            outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("the run did not end within {patience:?}")))
        }
        interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Into::into, |()| anyhow::anyhow!("interrupted"))),
    };
    admin.execute(format!("drop database {name} with (force)").as_str()).await?;
    admin.close().await?;

    let report = outcome?;
    write_json(options, &report)?;
    print(&report.markdown());
    if !report.machine.durable {
        eprintln!("bench: fsync or synchronous_commit is off on this server; these figures say nothing of durable commands");
    }
    if options.strict && !report.passed() {
        eprintln!("bench: a target was missed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn write_json(options: &Options, figures: &impl serde::Serialize) -> Result<()> {
    let folder = options.json.parent().context("--json names no file")?;
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    std::fs::write(&options.json, serde_json::to_string_pretty(figures)?).with_context(|| format!("writing {}", options.json.display()))
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}

async fn bench(options: &Options, times: Times, database: &PgConnectOptions) -> Result<Report> {
    // A key that seals nothing but this run.
    let master = MasterKey::new([7; 32]);
    event_store::migrate(database, &master).await?;
    let mut admin = database.connect().await?;
    if let Some(path) = &options.sql {
        let sql = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        admin.execute(sql.as_str()).await.with_context(|| format!("running {}", path.display()))?;
    }
    let machine = Machine::of(&mut admin).await?;
    let cpu = Cpu::of(&mut admin).await?;

    let config =
        AppenderConfig { groups: options.groups, batch_commands: options.batch, swift: !options.locking, ..AppenderConfig::default() };
    let (commands, pools) = annals::commands(database, &master, config);
    let commands = Arc::new(commands);
    let founded = if options.no_wide { TENANTS } else { MANY_TENANTS };
    let many: Vec<_> = futures::stream::iter(0..founded).map(|n| annals::found(&commands, n)).buffered(64).try_collect().await?;
    let many: Vec<_> = many.into_iter().map(Arc::new).collect();
    let tenants = many[..TENANTS].to_vec();
    let (second, second_pools) = annals::commands(database, &master, config);
    let second = Arc::new(second);
    // The yardstick's bytes: one item of each tenant.
    for caller in &mut annals::members(&commands, &tenants, TENANTS) {
        for _ in 0..workload::COMMANDS {
            ensure!(caller.command().await? == 1, "a command of the workload had not one event");
        }
    }

    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.id).collect();
    let mut inserters = if options.no_yardstick { vec![] } else { yardstick::inserters(database, &ids, CLIENTS).await? };
    let stock = if options.no_stock { None } else { Some(stock::Stock::new(database, CLIENTS as u32).await?) };
    let mut cells = Vec::new();
    if !options.no_yardstick {
        cells.push(Cell { name: YARDSTICK, callers: CLIENTS, rounds: vec![] });
    }
    for (name, wanted) in [(STOCK, stock.is_some()), (ANNALS, true), (WIDE, !options.no_wide), (PAIR, !options.no_pair)] {
        cells.extend(options.callers.iter().filter(|_| wanted).map(|callers| Cell { name, callers: *callers, rounds: vec![] }));
    }
    for round in 0..options.rounds {
        // Each round begins with another cell, so that none always follows the same one.
        for n in 0..cells.len() {
            let place = (n + round as usize) % cells.len();
            let (name, callers) = (cells[place].name, cells[place].callers);
            let sample = match (name, &stock) {
                (STOCK, Some(stock)) => one(&mut admin, stock.callers(&commands, &tenants, callers).await?, times, &cpu).await?.0,
                (YARDSTICK, _) => {
                    let (sample, again) = one(&mut admin, std::mem::take(&mut inserters), times, &cpu).await?;
                    inserters = again;
                    sample
                }
                (WIDE, _) => one(&mut admin, annals::members(&commands, &many, callers), times, &cpu).await?.0,
                (PAIR, _) => {
                    let mut pair = annals::members(&commands, &tenants, callers / 2);
                    pair.extend(annals::members(&second, &tenants, callers - callers / 2));
                    one(&mut admin, pair, times, &cpu).await?.0
                }
                _ => one(&mut admin, annals::members(&commands, &tenants, callers), times, &cpu).await?.0,
            };
            eprintln!(
                "round {}: {name} × {callers}: {:.0} commands/s, others had {:.0} % of the processors",
                round + 1,
                sample.commands,
                sample.others.unwrap_or(0.0) * 100.0
            );
            cells[place].rounds.push(sample);
        }
    }
    if let Some(stock) = stock {
        stock.close().await;
    }
    pools.close().await;
    second_pools.close().await;
    admin.close().await?;
    Ok(Report::new(machine, options.seconds, cells))
}

/// A cell, with what the one before has left to be written out of the way.
async fn one<C: Caller>(admin: &mut PgConnection, callers: Vec<C>, times: Times, cpu: &Cpu) -> Result<(Sample, Vec<C>)> {
    admin.execute("checkpoint").await?;
    measure(admin, callers, times, cpu).await
}
