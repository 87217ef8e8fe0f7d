//! What GraphQL costs over SQL: a list of 50 with filter and order, asked of the program over HTTP, and the very statement
//! that the program sends for it, in the same kind of transaction (row-level security on) through sqlx alone. The same
//! rows, as many callers, as many connections to the server; in turns, so that neither has the better hour.

use crate::client::{Client, list_alone};
use crate::house::{House, SAMPLE};
use crate::people::Company;
use crate::{Options, in_a_database, print};
use anyhow::{Context, Result, ensure};
use benches::measure::{Caller, Times, measure};
use clap::Parser;
use domain::UserId;
use projections::NodeId;
use projections::pipeline::{ItemFilter, ItemOrder, Priority, items};
use projections::query::{Desk, PageArgs};
use serde::Serialize;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How many rows are asked for.
const ROWS: i64 = 50;
/// GraphQL's throughput, at least so many times that of the statement alone.
const TARGET: f64 = 0.5;
/// The place of the priority HIGH among all, as the column has it.
const HIGH: i16 = 3;

/// How it is measured.
#[derive(Clone, Debug, Parser)]
pub(crate) struct List {
    /// The server, as a superuser's URL; a database of its own is made there and removed.
    #[arg(long, env = "TEST_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The program; without this, `annals` beside this binary.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Callers at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Workspaces.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    tenants: u32,
    /// Events of items in the logs.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(160..=20_000_000))]
    events: u32,
    /// How often each is measured; what is shown is the median.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each is counted, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Where list.json is written.
    #[arg(long, default_value = "target/load")]
    out: PathBuf,
}

/// Lists a second, one for each round.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    graphql: Vec<f64>,
    sql: Vec<f64>,
    /// The first by the second.
    ratio: Vec<f64>,
}

/// A client of the program.
struct Asking(Client, Arc<crate::client::Scene>);

impl Caller for Asking {
    async fn command(&mut self) -> Result<u64> {
        let answer = self.0.send(&self.1, &list_alone(&self.0, &self.1)).await?;
        let nodes = answer["data"]["pipelineItems"]["nodes"].as_array().with_context(|| answer.to_string())?;
        Ok(nodes.len() as u64)
    }
}

/// One who sends the statement.
struct Sending {
    pool: PgPool,
    company: Company,
    user: UserId,
    sql: Arc<String>,
}

impl Caller for Sending {
    async fn command(&mut self) -> Result<u64> {
        let mut scope = Desk::new(self.pool.clone(), Some(self.user)).scope(self.company.tenant.id).await?;
        let query = sqlx::query(&self.sql).bind(self.company.tenant.id.0).bind(self.company.tenant.board.pipeline.0).bind(HIGH);
        let rows = query.fetch_all(scope.connection()).await?;
        scope.end();
        // One more than is shown tells whether there are more.
        Ok(rows.len().min(ROWS as usize) as u64)
    }
}

/// Measures both in turns; answers 0: what cannot be answered ends the run.
pub(crate) async fn run(list: &List) -> Result<usize> {
    let mut options = Options::try_parse_from(["load", "--database-url", &list.database_url])?;
    options.binary.clone_from(&list.binary);
    let figures = in_a_database(&list.database_url, async |database| compare(list, &options, &database).await).await?;
    std::fs::create_dir_all(&list.out).with_context(|| format!("making {}", list.out.display()))?;
    std::fs::write(list.out.join("list.json"), serde_json::to_string_pretty(&figures)?)?;
    print(&figures.markdown(list));
    Ok(0)
}

async fn compare(list: &List, options: &Options, database: &PgConnectOptions) -> Result<Figures> {
    let tenants = list.tenants as usize;
    let mut house = House::new(options, database, tenants, tenants, false).await?;
    house.fill((list.events as usize).saturating_sub(SAMPLE)).await?;
    let processes = house.serve(options).await?;
    let scene = house.scene(&processes, false)?;
    let sql = Arc::new(statement(&house).await?);
    let mut asking: Vec<Asking> = (0..list.clients as usize).map(|n| Asking(Client::numbered(&scene, n), Arc::clone(&scene))).collect();
    let sender = |n: usize| {
        let company = house.active[n % tenants].clone();
        let user = company.people[n / tenants % company.people.len()].user;
        Sending { pool: house.app.pools.api.clone(), company, user, sql: Arc::clone(&sql) }
    };
    let mut sending: Vec<Sending> = (0..list.clients as usize).map(sender).collect();
    // Both answer the same: as many rows as there can be, or the comparison is of something else.
    let (asked, sent) = (asking[0].command().await?, sending[0].command().await?);
    ensure!(asked == sent && asked > 0, "GraphQL shows {asked} rows and SQL {sent}");

    let times = Times { warm_up: Duration::from_secs(1), counted: Duration::from_secs(list.seconds.into()) };
    let mut figures = Figures::default();
    for round in 1..=list.rounds {
        let (one, again) = measure(&mut house.admin, asking, times, &house.cpu).await?;
        asking = again;
        let (other, again) = measure(&mut house.admin, sending, times, &house.cpu).await?;
        sending = again;
        eprintln!("round {round}: GraphQL {:.0}, SQL {:.0} lists/s", one.commands, other.commands);
        figures.graphql.push(one.commands);
        figures.sql.push(other.commands);
        figures.ratio.push(one.commands / other.commands);
    }
    for process in processes {
        process.stop().await?;
    }
    house.close().await?;
    Ok(figures)
}

/// The statement that the program sends, as the server knows it.
async fn statement(house: &House) -> Result<String> {
    let company = &house.active[0];
    let mut scope = Desk::new(house.app.pools.api.clone(), Some(company.people[0].user)).scope(company.tenant.id).await?;
    let pipeline_id = Some(NodeId(company.tenant.board.pipeline));
    let filter = ItemFilter { pipeline_id, priority: Some(Priority::High), ..ItemFilter::default() };
    let page = PageArgs { first: Some(ROWS), ..PageArgs::default() };
    items(&mut scope, &filter, ItemOrder::UpdatedAtDesc, &page).await?;
    let sql = "select statement from pg_prepared_statements where statement like 'select (select row_to_json%read_models.pipeline_items%'";
    let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(scope.connection()).await?;
    scope.end();
    let [statement] = &found[..] else { anyhow::bail!("the list is {} statements", found.len()) };
    Ok(statement.clone())
}

impl Figures {
    fn markdown(&self, list: &List) -> String {
        let mut text = format!(
            "A list of {ROWS} items with filter and order; {} callers, {} workspaces, {} events, {} rounds of {} s in turns\n\n| | lists/s | spread |\n|---|---:|---:|\n",
            list.clients, list.tenants, list.events, list.rounds, list.seconds
        );
        for (name, rates) in [("GraphQL over HTTP", &self.graphql), ("the same SQL through sqlx", &self.sql)] {
            let _infallible = writeln!(text, "| {name} | {:.0} | {:.0} % |", median(rates), spread(rates) * 100.0);
        }
        let (ratio, word) = (median(&self.ratio), if median(&self.ratio) >= TARGET { "PASS" } else { "MISS" });
        let _infallible =
            writeln!(text, "\n{word}: GraphQL {ratio:.2} of SQL, wanted {TARGET:.1} (spread {:.0} %)", spread(&self.ratio) * 100.0);
        text
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: &[f64]) -> f64 {
    sorted(values).get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// From the least to the most, as a part of the median.
fn spread(values: &[f64]) -> f64 {
    let values = sorted(values);
    match (values.first(), values.last()) {
        (Some(least), Some(most)) => (most - least) / median(&values),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_what_the_rounds_say() {
        let figures = Figures { graphql: vec![50.0, 60.0, 40.0], sql: vec![100.0; 3], ratio: vec![0.5, 0.6, 0.4] };
        let list = List::parse_from(["list", "--database-url", "none"]);
        let text = figures.markdown(&list);
        assert!(text.contains("| GraphQL over HTTP | 50 | 40 % |") && text.contains("PASS: GraphQL 0.50 of SQL"), "{text}");
    }
}
