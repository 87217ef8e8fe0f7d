//! `load`: the program as users meet it, under the load of many clients at once, over HTTP. It works in a database of
//! its own, which it removes, talks to this machine alone, and stops by itself.

mod client;
mod drive;
mod growth;
mod house;
mod list;
mod people;
mod plots;
mod program;
mod report;
mod tally;
mod watch;

use crate::drive::under_load;
use crate::house::{House, SAMPLE};
use crate::report::{Part, Report};
use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use projections::Pace;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use std::path::PathBuf;
use std::process::ExitCode;

/// As in the program `annals`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drives the program over HTTP as many users at once would, and reports what came of it.
#[derive(Clone, Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    instead: Option<Instead>,
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
    /// How much of the time that rebuild works, in percent; by itself it gives way to the load.
    #[arg(long, default_value_t = Pace::AUTO, value_name = "auto|PERCENT")]
    pace: Pace,
    /// Where report.md, report.json and the pictures are written.
    #[arg(long, default_value = "target/load")]
    out: PathBuf,
    /// Further arguments of the program's processes, after `--`.
    #[arg(last = true)]
    flags: Vec<String>,
}

/// Another run than the one load.
#[derive(Clone, Debug, Subcommand)]
enum Instead {
    /// The same short load at more and more events, and at more and more workspaces: what grows, and how
    Growth(growth::Growth),
    /// A GraphQL list of 50 beside the same SQL through sqlx alone
    List(list::List),
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
    match &options.instead {
        Some(Instead::Growth(growth)) => return growth::run(growth).await,
        Some(Instead::List(list)) => return list::run(list).await,
        None => {}
    }
    ensure!(options.rate.is_none_or(|rate| rate > 0.0), "--rate: more than 0");
    in_a_database(&options.database_url, async |database| drive(options, &database).await).await
}

/// Does something in a database of its own, which is removed, come what may.
async fn in_a_database<T>(server: &str, work: impl AsyncFnOnce(PgConnectOptions) -> Result<T>) -> Result<T> {
    let server: PgConnectOptions = server.parse().context("--database-url")?;
    let server = server.disable_statement_logging();
    let name = format!("load_{}", std::process::id());
    let mut admin = server.connect().await.context("connecting to the server of TEST_DATABASE_URL")?;
    admin.execute(format!("create database {name}").as_str()).await?;
    let outcome = tokio::select! {
        outcome = work(server.clone().database(&name)) => outcome,
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
    let active = options.active.unwrap_or(options.tenants).clamp(1, options.tenants);
    let mut house = House::new(options, database, options.tenants as usize, active as usize, false).await?;
    let before = house.yardstick().await?;
    house.fill(options.events as usize - SAMPLE).await?;
    let processes = house.serve(options).await?;
    let driven = under_load(options, &house, &processes).await?;
    for process in processes {
        process.stop().await?;
    }
    let after = house.yardstick().await?;

    let parts: Vec<Part> = driven.phases.iter().map(|phase| Part::new(phase, &driven.tally, &driven.watched)).collect();
    let errors = parts.iter().map(Part::errors).sum();
    let report = Report { machine: house.close().await?, run: title(options), yardstick: [before, after], parts, rebuild: driven.rebuild };
    report.write(&options.out, &driven.tally, &driven.watched, &driven.phases)?;
    print(&report.markdown());
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
