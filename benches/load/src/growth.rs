//! What grows with the events and with the workspaces, and how: the same short load at one size after the other. The
//! events grow in one database; for each number of workspaces there is one of its own. At the end, a house at rest.

use crate::drive::under_load;
use crate::house::{House, SAMPLE};
use crate::plots::{Line, draw};
use crate::program::Process;
use crate::report::Part;
use crate::{Options, in_a_database, print};
use anyhow::{Context, Result, ensure};
use benches::machine::{Machine, spent};
use clap::Parser;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Workspaces over which the events grow, all of them active.
const SHARING: usize = 16;
/// Of how many workspaces one is active, where they are many.
const ACTIVE: usize = 100;

/// The sizes, and how long each is looked at.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Growth {
    /// The server, as a superuser's URL; databases are made there and removed.
    #[arg(long, env = "TEST_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The program; without this, `annals` beside this binary.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Events of items, from the least on; of 16 workspaces, all active. 0 leaves this out.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000, 5_000_000], value_parser = clap::value_parser!(u32).range(0..=20_000_000))]
    events: Vec<u32>,
    /// Workspaces, of which one in a hundred is active. 0 leaves this out.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 20_000], value_parser = clap::value_parser!(u32).range(0..=100_000))]
    tenants: Vec<u32>,
    /// Events of items in each active workspace, where the workspaces grow.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(160..=1_000_000))]
    each: u32,
    /// Clients at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Requests a second that all clients together send; without this, as many as are answered.
    #[arg(long, value_name = "REQUESTS")]
    rate: Option<f64>,
    /// How long each load is counted, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=3600))]
    seconds: u32,
    /// How long it goes on before it is counted, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    warm_up: u32,
    /// How long the house at rest is watched, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..=3600))]
    rest: u32,
    /// How long one size may take with all that belongs to it, in seconds; then the run fails.
    #[arg(long, default_value_t = 1800, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    patience: u32,
    /// Where growth.md, growth.json and the pictures are written.
    #[arg(long, default_value = "target/load")]
    out: PathBuf,
}

/// The load at one size.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Size {
    tenants: usize,
    active: usize,
    /// In all logs.
    events: i64,
    /// Bare INSERTs a second by 64 clients, before and after.
    yardstick: [f64; 2],
    /// Events filled in a second, by 1,024 callers in one process.
    filled: f64,
    /// Bytes on disk for each event: log, keys and read models, indexes included.
    bytes_per_event: f64,
    load: Part,
}

/// A house in which nothing is done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    tenants: usize,
    seconds: f64,
    /// Parts of one processor.
    program: f64,
    postgres: f64,
    /// How often a second the heads of all tenants were read: the rows read, by their number.
    over_all_tenants: f64,
    /// Transactions a second.
    transactions: f64,
    /// Bytes.
    program_memory: u64,
    postgres_memory: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    machine: Machine,
    clients: u32,
    rate: Option<f64>,
    seconds: u32,
    by_events: Vec<Size>,
    by_tenants: Vec<Size>,
    at_rest: Option<Rest>,
}

impl Growth {
    fn options(&self) -> Result<Options> {
        let mut options = Options::try_parse_from(["load", "--database-url", &self.database_url])?;
        (options.clients, options.rate, options.seconds, options.warm_up) = (self.clients, self.rate, self.seconds, self.warm_up);
        options.binary.clone_from(&self.binary);
        Ok(options)
    }

    async fn in_time<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let patience = Duration::from_secs(self.patience.into());
        eprintln!("--- {what}");
        tokio::time::timeout(patience, work)
            .await
            .with_context(|| format!("{what}: not done within {patience:?}"))?
            .context(what.to_owned())
    }
}

/// Measures all sizes; answers how many requests were answered with an error.
pub(crate) async fn run(growth: &Growth) -> Result<usize> {
    ensure!(growth.rate.is_none_or(|rate| rate > 0.0), "--rate: more than 0");
    let options = growth.options()?;
    let events: Vec<usize> = growth.events.iter().filter(|events| **events > 0).map(|events| *events as usize).collect();
    let tenants: Vec<usize> = growth.tenants.iter().filter(|tenants| **tenants > 0).map(|tenants| *tenants as usize).collect();
    ensure!(events.is_sorted() && events.iter().all(|events| *events >= SAMPLE), "--events: from the least on, each at least {SAMPLE}");
    ensure!(!events.is_empty() || !tenants.is_empty(), "--events, --tenants: nothing to measure");
    let (mut machine, mut by_events, mut by_tenants, mut at_rest) = (None, vec![], vec![], None);
    if !events.is_empty() {
        machine = Some(
            in_a_database(&growth.database_url, async |database| grow(growth, &options, &database, &events, &mut by_events).await).await?,
        );
    }
    for (n, number) in tenants.iter().enumerate() {
        let rests = n + 1 == tenants.len();
        let one = async |database: PgConnectOptions| {
            let work = crowd(growth, &options, &database, *number, rests);
            growth.in_time(&format!("{number} workspaces"), work).await
        };
        let (size, rest, of) = in_a_database(&growth.database_url, one).await?;
        by_tenants.push(size);
        (at_rest, machine) = (rest, Some(of));
    }
    let machine = machine.context("nothing was measured")?;
    let report = Report { machine, clients: growth.clients, rate: growth.rate, seconds: growth.seconds, by_events, by_tenants, at_rest };
    report.write(&growth.out)?;
    print(&report.markdown());
    Ok(report.by_events.iter().chain(&report.by_tenants).map(|size| size.load.errors()).sum())
}

/// One database, in which there are more and more events.
async fn grow(growth: &Growth, options: &Options, database: &PgConnectOptions, sizes: &[usize], found: &mut Vec<Size>) -> Result<Machine> {
    let mut house = growth.in_time("16 workspaces", House::new(options, database, SHARING, SHARING, false)).await?;
    let mut there = SAMPLE;
    for size in sizes {
        let work = async {
            let filled = house.fill(size - there).await?;
            measured(options, &mut house, SHARING, filled).await
        };
        let (size_found, processes) = growth.in_time(&format!("{size} events"), work).await?;
        stop(processes).await?;
        found.push(size_found);
        there = *size;
    }
    house.close().await
}

/// A database of so many workspaces.
async fn crowd(
    growth: &Growth,
    options: &Options,
    database: &PgConnectOptions,
    tenants: usize,
    rests: bool,
) -> Result<(Size, Option<Rest>, Machine)> {
    let active = (tenants / ACTIVE).max(1);
    let mut house = House::new(options, database, tenants, active, true).await?;
    let filled = house.fill(growth.each as usize * active).await?;
    let (size, processes) = measured(options, &mut house, tenants, filled).await?;
    let rest = if rests { Some(rest(growth, &mut house, &processes, tenants).await?) } else { None };
    stop(processes).await?;
    Ok((size, rest, house.close().await?))
}

async fn stop(processes: Vec<Process>) -> Result<()> {
    for process in processes {
        process.stop().await?;
    }
    Ok(())
}

/// The load, between two yardsticks. The program goes on.
async fn measured(options: &Options, house: &mut House, tenants: usize, filled: f64) -> Result<(Size, Vec<Process>)> {
    let before = house.yardstick().await?;
    let processes = house.serve(options).await?;
    let (bytes, events) = house.size().await?;
    let driven = under_load(options, house, &processes).await?;
    let after = house.yardstick().await?;
    let phase = driven.phases.first().context("no load was counted")?;
    let size = Size {
        tenants,
        active: house.active.len(),
        events,
        yardstick: [before, after],
        filled,
        bytes_per_event: bytes as f64 / events as f64,
        load: Part::new(phase, &driven.tally, &driven.watched),
    };
    Ok((size, processes))
}

/// Watches a house in which nobody does anything. Nobody asks for metrics either: that reads all heads, too.
async fn rest(growth: &Growth, house: &mut House, processes: &[Process], tenants: usize) -> Result<Rest> {
    let wait = Duration::from_secs(growth.rest.into());
    house.dismiss();
    // What was left over is done by then, and counted: an idle connection tells what it did after ten seconds.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let used = |house: &House| {
        let program = processes.iter().filter_map(|process| spent(process.pid)).sum::<f64>();
        (program, house.cpu.read().postgres.unwrap_or_default())
    };
    let (before, (program, postgres), begun) = (counts(house).await?, used(house), Instant::now());
    eprintln!("at rest for {wait:?}");
    tokio::time::sleep(wait).await;
    let (seconds, (program_then, postgres_then), after) = (begun.elapsed().as_secs_f64(), used(house), counts(house).await?);
    let of_memory = |process: &Process| benches::machine::memory(process.pid);
    Ok(Rest {
        tenants,
        seconds,
        program: (program_then - program) / seconds / 1e6,
        postgres: (postgres_then - postgres) / seconds / 1e6,
        over_all_tenants: (after.0 - before.0) as f64 / tenants as f64 / seconds,
        transactions: (after.1 - before.1) as f64 / seconds,
        program_memory: processes.iter().filter_map(of_memory).sum(),
        postgres_memory: house.cpu.server_memory().unwrap_or_default(),
    })
}

/// How many rows of heads were read, by whatever plan, and how many transactions there were, as far as the server has been
/// told.
async fn counts(house: &mut House) -> Result<(i64, i64)> {
    let sql = "select (select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relid = 'event_store.heads'::regclass),
                      (select xact_commit from pg_stat_database where datname = current_database())";
    Ok(sqlx::query_as(sql).fetch_one(&mut house.admin).await?)
}

impl Report {
    fn markdown(&self) -> String {
        let pace = self.rate.map_or_else(|| "without pause".to_owned(), |rate| format!("{rate} requests/s in all"));
        let Machine { processor, cores, memory, server, .. } = &self.machine;
        let mut text = format!(
            "{} clients ({pace}), 60 % queries, 40 % mutations, {} s each; annals serve, PostgreSQL and clients on the same machine.\n\n{processor}, {cores} processors, {memory}, {server}\n",
            self.clients, self.seconds
        );
        for (name, sizes) in [("More and more events", &self.by_events), ("More and more workspaces", &self.by_tenants)] {
            if !sizes.is_empty() {
                table(name, sizes, &mut text);
            }
        }
        if let Some(rest) = &self.at_rest {
            let mib = |bytes: u64| bytes >> 20;
            let _infallible = writeln!(
                text,
                "\nAt rest with {} workspaces, {:.0} s: program {:.2} % of one processor, PostgreSQL {:.2} %; {:.2} times a second all heads read, \
                 {:.1} transactions a second; memory: program {} MiB, PostgreSQL {} MiB.",
                rest.tenants,
                rest.seconds,
                rest.program * 100.0,
                rest.postgres * 100.0,
                rest.over_all_tenants,
                rest.transactions,
                mib(rest.program_memory),
                mib(rest.postgres_memory)
            );
        }
        text
    }

    fn write(&self, out: &std::path::Path) -> Result<()> {
        std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
        std::fs::write(out.join("growth.md"), self.markdown())?;
        std::fs::write(out.join("growth.json"), serde_json::to_string_pretty(self)?)?;
        let events: fn(&Size) -> f64 = |size| size.events as f64;
        let tenants: fn(&Size) -> f64 = |size| size.tenants as f64;
        for (name, sizes, across) in [("events", &self.by_events, events), ("workspaces", &self.by_tenants, tenants)] {
            let line = |label: &str, of: fn(&Size) -> f64| Line {
                name: label.to_owned(),
                // The sizes lie far apart: by their power of ten.
                points: sizes.iter().map(|size| (across(size).log10(), of(size))).collect(),
            };
            let label = format!("{name}, as a power of ten");
            let latency = [
                line("queries, 95th percentile", |size| size.load.queries.p95),
                line("mutations, 95th percentile", |size| size.load.mutations.p95),
                line("commit to rows, 99th percentile", |size| size.load.usage.delay_p99),
            ];
            draw(&out.join(format!("growth-{name}-latency.svg")), &format!("Latency by number of {name}"), &label, "ms", &latency)?;
            let rates = [line("requests", |size| size.load.all.per_second)];
            draw(&out.join(format!("growth-{name}-rate.svg")), &format!("Answers a second by number of {name}"), &label, "1/s", &rates)?;
        }
        Ok(())
    }
}

fn table(name: &str, sizes: &[Size], text: &mut String) {
    let head = "| workspaces | active | events | yardstick | requests/s | × yardstick | queries p50 / p95 / p99 ms | mutations p50 / p95 / p99 ms \
                | commit to rows p50 / p99 ms | MiB: program, PostgreSQL | bytes an event | filled, events/s | errors |";
    let rule = "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";
    let _infallible = writeln!(text, "\n### {name}\n\n{head}\n{rule}");
    for Size { tenants, active, events, yardstick, filled, bytes_per_event, load } in sizes {
        let (yardstick, usage) = ((yardstick[0] + yardstick[1]) / 2.0, &load.usage);
        let times = |of: &crate::tally::Summary| format!("{:.1} / {:.1} / {:.1}", of.p50, of.p95, of.p99);
        let _infallible = writeln!(
            text,
            "| {tenants} | {active} | {events} | {yardstick:.0} | {:.0} | {:.3} | {} | {} | {:.1} / {:.1} | {}, {} | {bytes_per_event:.0} | {filled:.0} | {} |",
            load.all.per_second,
            load.all.per_second / yardstick,
            times(&load.queries),
            times(&load.mutations),
            usage.delay_p50,
            usage.delay_p99,
            usage.program_bytes >> 20,
            usage.postgres_bytes >> 20,
            load.errors()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sizes_that_shrink_or_are_none_or_too_small_are_refused_before_anything_is_made() {
        for flags in
            [["--events", "500,200", "--tenants", "10"], ["--events", "0", "--tenants", "0"], ["--events", "100", "--tenants", "0"]]
        {
            let command = ["growth", "--database-url", "postgres://nobody@127.0.0.1:1/none"];
            let refused = run(&Growth::parse_from(command.into_iter().chain(flags))).await.map_err(|error| error.to_string());
            assert!(refused.as_ref().is_err_and(|error| error.starts_with("--events")), "{flags:?}: {refused:?}");
        }
    }
}
