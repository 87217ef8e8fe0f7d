//! The figures of a run, for people as Markdown and pictures, for programs as JSON.

use crate::plots::{Line, draw};
use crate::tally::{Operation, Summary, Tally};
use crate::watch::{Usage, Watched};
use anyhow::{Context, Result};
use benches::machine::Machine;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// A stretch of the run with one name.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

/// What a phase came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part {
    name: &'static str,
    seconds: f64,
    pub(crate) all: Summary,
    pub(crate) queries: Summary,
    pub(crate) mutations: Summary,
    operations: Vec<(Operation, Summary)>,
    pub(crate) usage: Usage,
}

/// What came of a rebuild under load.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RebuildFigures {
    pub(crate) events: i64,
    pub(crate) seconds: f64,
    /// The part that was done when it was killed.
    pub(crate) killed_at: f64,
}

/// All there is to say of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// What was run, in a line.
    pub(crate) run: String,
    /// Bare INSERTs a second by 64 clients, before the load and after it.
    pub(crate) yardstick: [f64; 2],
    pub(crate) parts: Vec<Part>,
    pub(crate) rebuild: Option<RebuildFigures>,
}

impl Part {
    pub(crate) fn new(phase: &Phase, tally: &Tally, watched: &Watched) -> Self {
        let over = phase.to - phase.from;
        let tally = tally.between(phase.from, phase.to);
        let operations = Operation::ALL.into_iter().map(|operation| (operation, tally.of(|of| of == operation).summary(over)));
        Self {
            name: phase.name,
            seconds: over.as_secs_f64(),
            all: tally.summary(over),
            queries: tally.of(Operation::is_query).summary(over),
            mutations: tally.of(|operation| !operation.is_query()).summary(over),
            operations: operations.filter(|(_, summary)| summary.requests > 0).collect(),
            usage: watched.between(phase.from, phase.to),
        }
    }

    pub(crate) fn errors(&self) -> usize {
        self.all.errors
    }
}

impl Report {
    fn yardstick(&self) -> f64 {
        self.yardstick.iter().sum::<f64>() / 2.0
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "{}\n\n{}, {} processors, {}, {}\n\nYardstick: {:.0} bare INSERTs/s by 64 clients before, {:.0} after.\n",
            self.run,
            self.machine.processor,
            self.machine.cores,
            self.machine.memory,
            self.machine.server,
            self.yardstick[0],
            self.yardstick[1]
        );
        for part in &self.parts {
            self.part(part, &mut text);
        }
        if let Some(rebuild) = &self.rebuild {
            let rate = rebuild.events as f64 / rebuild.seconds;
            let _infallible = write!(
                text,
                "\nRebuild of all read models: {} events in {:.1} s, killed (-9) at {:.0} % and resumed: {rate:.0} events/s.",
                rebuild.events,
                rebuild.seconds,
                rebuild.killed_at * 100.0
            );
            if let [normal, during, ..] = &self.parts[..] {
                let times = |of: fn(&Part) -> &Summary| of(during).p99 / of(normal).p99;
                let _infallible = writeln!(
                    text,
                    " p99 of queries meanwhile {:.2} x its normal value, of mutations {:.2} x.",
                    times(|part| &part.queries),
                    times(|part| &part.mutations)
                );
            }
        }
        text
    }

    fn part(&self, part: &Part, text: &mut String) {
        let _infallible = write!(
            text,
            "\n### {}, {:.0} s\n\n| | requests/s | × yardstick | p50 ms | p95 ms | p99 ms | max ms | errors |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
            part.name, part.seconds
        );
        let whole = [("**all**", &part.all), ("**queries**", &part.queries), ("**mutations**", &part.mutations)];
        let each = part.operations.iter().map(|(operation, summary)| (operation.name(), summary));
        for (name, summary) in whole.into_iter().chain(each) {
            let _infallible = writeln!(
                text,
                "| {name} | {:.0} | {:.2} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
                summary.per_second,
                summary.per_second / self.yardstick(),
                summary.p50,
                summary.p95,
                summary.p99,
                summary.max,
                summary.errors
            );
        }
        let usage = &part.usage;
        let mib = |bytes: u64| bytes / (1 << 20);
        let _infallible = writeln!(
            text,
            "\nCommit to rows: p50 {:.1} ms, p99 {:.1} ms. Processors: program {:.2}, PostgreSQL {:.2}, clients {:.2}. \
             Memory at most: program {} MiB, PostgreSQL {} MiB.",
            usage.delay_p50,
            usage.delay_p99,
            usage.program_cores,
            usage.postgres_cores,
            usage.client_cores,
            mib(usage.program_bytes),
            mib(usage.postgres_bytes)
        );
    }

    /// Writes all of it into a directory.
    pub(crate) fn write(&self, out: &Path, tally: &Tally, watched: &Watched, phases: &[Phase]) -> Result<()> {
        std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
        let file = |name: &str| out.join(name);
        std::fs::write(file("report.md"), self.markdown())?;
        std::fs::write(file("report.json"), serde_json::to_string_pretty(self)?)?;
        let percents: Vec<f64> = (1..1000).map(|n| f64::from(n) / 10.0).collect();
        let (from, to) = (phases[0].from, phases.last().unwrap_or(&phases[0]).to);
        let counted = tally.between(from, to);
        let seen = Operation::ALL
            .into_iter()
            .map(|operation| Line { name: operation.name().to_owned(), points: counted.of(|of| of == operation).percentiles(&percents) });
        let seen: Vec<Line> = seen.filter(|line| line.points.iter().any(|(_, ms)| *ms > 0.0)).collect();
        draw(&file("latency.svg"), "Latency by percentile", "per cent of requests", "ms", &seen)?;
        let seconds = to.as_secs() as usize;
        let over_time = |name: &str, tally: Tally| Line {
            name: name.to_owned(),
            points: tally.rates(seconds).into_iter().enumerate().map(|(second, rate)| (second as f64, rate)).collect(),
        };
        let lines =
            [over_time("queries", tally.of(Operation::is_query)), over_time("mutations", tally.of(|operation| !operation.is_query()))];
        draw(&file("throughput.svg"), "Answers a second", "s since the clients began", "1/s", &lines)?;
        let lag = [Line { name: "delay".to_owned(), points: watched.delays() }];
        draw(&file("lag.svg"), "From commit to rows, 99th percentile", "s since the clients began", "ms", &lag)
    }
}
