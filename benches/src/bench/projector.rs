//! What becomes of 200,000 events: read alone, taken in by the projector that catches up, and taken in by a rebuild of
//! all read models. The rates of the last two are judged by that of the first.

use anyhow::{Context, Result, ensure};
use benches::annals;
use benches::measure::Caller;
use domain::TenantId;
use event_store::{AppenderConfig, MasterKey, Pools, Reader, Span, Vault, Wake};
use projections::{Freshness, Pace, Projector, ProjectorConfig};
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Executor};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;
use uuid::Uuid;

const TENANTS: usize = 16;
const EVENTS: usize = 200_000;
const CALLERS: usize = 256;
/// Events that are read at a time, as by a rebuild.
const BATCH: i64 = 20_000;
/// Catching up and rebuilding, at least so many times as fast as reading.
const TARGET: f64 = 0.2;

/// Events a second, one for each round.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    events: i64,
    read: Vec<f64>,
    catch_up: Vec<f64>,
    rebuild: Vec<f64>,
    rebuild_one: Vec<f64>,
}

impl Figures {
    /// Whether both targets were reached.
    pub(crate) fn passed(&self) -> bool {
        [&self.catch_up, &self.rebuild].into_iter().all(|rates| median(rates) / median(&self.read) >= TARGET)
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{} events of {TENANTS} workspaces\n\n| | events/s | × reading |\n|---|---:|---:|\n", self.events);
        let rows = [
            ("reading alone", &self.read),
            ("projector catching up", &self.catch_up),
            ("rebuild of all", &self.rebuild),
            ("rebuild of pipeline_items", &self.rebuild_one),
        ];
        for (name, rates) in rows {
            let _infallible = writeln!(text, "| {name} | {:.0} | {:.2} |", median(rates), median(rates) / median(&self.read));
        }
        let word = if self.passed() { "PASS" } else { "MISS" };
        let _infallible = writeln!(text, "\n- {word}: catching up and rebuilding at least {TARGET:.1} of reading alone");
        text
    }
}

fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Fills a log and measures, so many rounds.
pub(crate) async fn bench(rounds: u32, database: &PgConnectOptions) -> Result<Figures> {
    let master = MasterKey::new([7; 32]);
    event_store::migrate(database, &master).await?;
    let mut admin = database.connect().await?;
    let (commands, pools) = annals::commands(database, &master, AppenderConfig::default());
    fill(Arc::new(commands)).await?;
    admin.execute("vacuum analyze event_store.events").await?;
    let vault = Vault::new(pools.api.clone(), &master);
    let heads: Vec<(Uuid, i64)> =
        sqlx::query_as("select tenant_id, position from event_store.heads order by tenant_id").fetch_all(&mut admin).await?;
    let mut figures = Figures { events: heads.iter().map(|(_, position)| position).sum(), ..Figures::default() };
    let rate = |begun: Instant| figures.events as f64 / begun.elapsed().as_secs_f64();
    let (mut read, mut caught_up, mut rebuilt, mut rebuilt_one) = (vec![], vec![], vec![], vec![]);
    for round in 1..=rounds {
        let reader = Reader::new(pools.worker.clone(), &vault);
        let begun = Instant::now();
        read_all(&reader, &heads).await?;
        read.push(rate(begun));

        clear(&mut admin).await?;
        let projector = projector(&pools, &vault).await?;
        let begun = Instant::now();
        projector.catch_up().await?;
        caught_up.push(rate(begun));
        let parked: i64 = sqlx::query_scalar("select count(*) from read_models.parked").fetch_one(&mut admin).await?;
        ensure!(parked == 0, "read models stand still");

        admin.execute("checkpoint").await?;
        let begun = Instant::now();
        projections::rebuild(&projector, &[], Pace::FULL, &mut |_| {}).await?;
        rebuilt.push(rate(begun));

        admin.execute("checkpoint").await?;
        let begun = Instant::now();
        projections::rebuild(&projector, &["pipeline_items".to_owned()], Pace::FULL, &mut |_| {}).await?;
        rebuilt_one.push(rate(begun));
        let last = |rates: &[f64]| rates.last().copied().unwrap_or(f64::NAN);
        eprintln!(
            "round {round}: reading {:.0}, catching up {:.0}, rebuild {:.0}, rebuild of one {:.0} events/s",
            last(&read),
            last(&caught_up),
            last(&rebuilt),
            last(&rebuilt_one)
        );
    }
    (figures.read, figures.catch_up, figures.rebuild, figures.rebuild_one) = (read, caught_up, rebuilt, rebuilt_one);
    pools.close().await;
    Ok(figures)
}

async fn fill(commands: Arc<event_store::Commands>) -> Result<()> {
    let mut tenants = Vec::with_capacity(TENANTS);
    for n in 0..TENANTS {
        tenants.push(Arc::new(annals::found(&commands, n).await?));
    }
    let mut tasks = JoinSet::new();
    for mut member in annals::members(&commands, &tenants, CALLERS) {
        tasks.spawn(async move {
            for _ in 0..EVENTS / CALLERS {
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

async fn projector(pools: &Pools, vault: &Vault) -> Result<Projector> {
    let freshness = Freshness::new(pools.worker.clone());
    Ok(Projector::new(pools, vault, &Wake::default(), &freshness, ProjectorConfig::default()).await?)
}

/// As a rebuild reads: whole tenants, as far as a batch goes.
async fn read_all(reader: &Reader, heads: &[(Uuid, i64)]) -> Result<()> {
    for (tenant, head) in heads {
        let mut after = 0;
        while after < *head {
            let events = reader.read(&[Span { tenant: TenantId(*tenant), after, limit: BATCH }]).await?;
            ensure!(!events.is_empty() && events.iter().all(Result::is_ok), "an event cannot be read");
            after += i64::try_from(events.len())?;
        }
    }
    Ok(())
}

/// As before the first event was taken in.
async fn clear(admin: &mut PgConnection) -> Result<()> {
    for name in projections::names() {
        admin.execute(format!("truncate read_models.{name}").as_str()).await?;
    }
    admin.execute("truncate read_models.checkpoints").await?;
    admin.execute("checkpoint").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_rates_are_judged_by_that_of_reading() {
        let figures = |catch_up: f64, rebuild: f64| Figures {
            events: 200,
            read: vec![90.0, 100.0, 110.0],
            catch_up: vec![catch_up],
            rebuild: vec![rebuild],
            rebuild_one: vec![50.0],
        };
        assert!(figures(20.0, 20.0).passed() && !figures(19.0, 30.0).passed() && !figures(30.0, 19.0).passed());
        assert!(figures(29.0, 19.0).markdown().contains("| projector catching up | 29 | 0.29 |"));
    }
}
