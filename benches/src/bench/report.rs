//! The figures, for people as a Markdown table and for programs as JSON.

use benches::machine::Machine;
use benches::measure::Sample;
use serde::Serialize;
use std::fmt::Write;

/// What the name of the yardstick's cell is.
pub(crate) const YARDSTICK: &str = "bare INSERTs";
/// What the cells of postgres-es are called.
pub(crate) const STOCK: &str = "postgres-es";
/// What the cells of Annals are called.
pub(crate) const ANNALS: &str = "Annals";
/// What the cells over many tenants are called.
pub(crate) const WIDE: &str = "Annals, 1,000 tenants";
/// What the cells of two instances are called, which share nothing but the database.
pub(crate) const PAIR: &str = "Annals, two instances";

/// Which cell is to be at least so many times which other, at so many callers of the first and the second.
const TARGETS: [(&str, usize, f64, &str, usize); 9] = [
    (ANNALS, 64, 1.6, YARDSTICK, 64),
    (ANNALS, 256, 3.0, YARDSTICK, 64),
    (ANNALS, 1024, 4.5, YARDSTICK, 64),
    (ANNALS, 64, 5.0, STOCK, 64),
    (ANNALS, 1024, 12.0, STOCK, 1024),
    (WIDE, 64, 0.8, ANNALS, 64),
    (WIDE, 256, 0.8, ANNALS, 256),
    (WIDE, 1024, 0.8, ANNALS, 1024),
    (PAIR, 1024, 1.0, ANNALS, 1024),
];

/// A cell of the table, with a sample for each round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) callers: usize,
    pub(crate) rounds: Vec<Sample>,
}

/// All there is to say of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) seconds: f64,
    pub(crate) cells: Vec<Cell>,
    pub(crate) targets: Vec<Target>,
}

/// A target, and what was reached.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) wanted: f64,
    pub(crate) reached: f64,
    pub(crate) passed: bool,
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl Cell {
    fn median(&self, part: impl Fn(&Sample) -> f64) -> f64 {
        median(self.rounds.iter().map(part))
    }

    /// The median of the rounds' ratios: each round against the same round of the other.
    fn ratio(&self, other: &Cell) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(mine, theirs)| mine.commands / theirs.commands))
    }

    /// How far the rounds are apart, in percent of the median.
    fn spread(&self) -> f64 {
        let rates = || self.rounds.iter().map(|sample| sample.commands);
        (rates().fold(f64::MIN, f64::max) - rates().fold(f64::MAX, f64::min)) / self.median(|sample| sample.commands) * 100.0
    }
}

impl Report {
    pub(crate) fn new(machine: Machine, seconds: f64, cells: Vec<Cell>) -> Self {
        let mut report = Self { machine, seconds, cells, targets: Vec::new() };
        for (mine, callers, wanted, theirs, others) in TARGETS {
            let what = format!("{mine} × {callers} against {theirs} × {others}");
            report.target(what, wanted, report.find(mine, callers), report.find(theirs, others));
        }
        report
    }

    fn find(&self, name: &str, callers: usize) -> Option<usize> {
        self.cells.iter().position(|cell| cell.name == name && cell.callers == callers)
    }

    fn yardstick(&self) -> Option<usize> {
        self.cells.iter().position(|cell| cell.name == YARDSTICK)
    }

    fn target(&mut self, what: String, wanted: f64, mine: Option<usize>, theirs: Option<usize>) {
        // Where a cell was left out there is nothing to judge.
        if let (Some(mine), Some(theirs)) = (mine, theirs) {
            let reached = self.cells[mine].ratio(&self.cells[theirs]);
            self.targets.push(Target { what, wanted, reached, passed: reached >= wanted });
        }
    }

    /// Whether every target was reached.
    pub(crate) fn passed(&self) -> bool {
        self.targets.iter().all(|target| target.passed)
    }

    /// Rates are medians of the rounds.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let machine = &self.machine;
        let _infallible = writeln!(text, "{}, {} cores, {}; {}", machine.processor, machine.cores, machine.memory, machine.server);
        let _infallible = writeln!(text, "{}\n", machine.settings.join(", "));
        text.push_str("| | callers | commands/s | events/s | spread | × yardstick | × postgres-es | p50 ms | p99 ms | program µs | Postgres µs | WAL B | others |\n");
        text.push_str("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
        let yardstick = self.yardstick().map(|n| &self.cells[n]);
        for cell in &self.cells {
            let ratio = |other: Option<&Cell>| other.map_or_else(|| "–".to_owned(), |other| format!("{:.2}", cell.ratio(other)));
            let cpu = |part: fn(&Sample) -> Option<f64>| {
                let value = cell.median(|sample| part(sample).unwrap_or(f64::NAN));
                if value.is_nan() { "–".to_owned() } else { format!("{value:.0}") }
            };
            let _infallible = writeln!(
                text,
                "| {} | {} | {:.0} | {:.0} | {:.0} % | {} | {} | {:.1} | {:.1} | {} | {} | {:.0} | {} |",
                cell.name,
                cell.callers,
                cell.median(|sample| sample.commands),
                cell.median(|sample| sample.events),
                cell.spread(),
                ratio(yardstick),
                ratio(self.find(STOCK, cell.callers).map(|n| &self.cells[n])),
                cell.median(|sample| sample.p50),
                cell.median(|sample| sample.p99),
                cpu(|sample| sample.program_cpu),
                cpu(|sample| sample.postgres_cpu),
                cell.median(|sample| sample.wal),
                cpu(|sample| sample.others.map(|part| part * 100.0)) + " %",
            );
        }
        text.push('\n');
        for Target { what, wanted, reached, passed } in &self.targets {
            let word = if *passed { "PASS" } else { "MISS" };
            let _infallible = writeln!(text, "- {word}: {what}: {reached:.2}, wanted at least {wanted:.1}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_round_is_compared_with_its_own_yardstick() {
        let sample = |commands| Sample {
            commands,
            events: commands,
            p50: 1.0,
            p99: 1.0,
            program_cpu: None,
            postgres_cpu: None,
            others: None,
            wal: 0.0,
        };
        let cell = |name, rates: [f64; 3]| Cell { name, callers: 64, rounds: rates.map(sample).to_vec() };
        let ratio = cell(ANNALS, [100.0, 400.0, 900.0]).ratio(&cell(YARDSTICK, [100.0, 200.0, 300.0]));
        assert_eq!(ratio, 2.0);
    }
}
