//! The clients at work, and what happens and is watched meanwhile.

use crate::Options;
use crate::client::{Client, Scene};
use crate::house::House;
use crate::program::{Process, Program, rebuild};
use crate::report::{Phase, RebuildFigures};
use crate::tally::{Sample, Tally};
use crate::watch::{Look, Watched};
use anyhow::{Context, Result};
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const SECOND: Duration = Duration::from_secs(1);

/// What was driven and seen.
pub(crate) struct Driven {
    pub(crate) tally: Tally,
    pub(crate) watched: Watched,
    pub(crate) phases: Vec<Phase>,
    pub(crate) rebuild: Option<RebuildFigures>,
}

/// Lets the clients of all active workspaces work at these processes.
pub(crate) async fn under_load(options: &Options, house: &House, processes: &[Process]) -> Result<Driven> {
    let scene = house.scene(processes, options.mutations)?;
    let clients = options.clients as usize;
    let period = options.rate.map(|rate| Duration::from_secs_f64(clients as f64 / rate));
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for n in 0..clients {
        let (scene, stop) = (Arc::clone(&scene), Arc::clone(&stop));
        tasks.spawn(work(Client::numbered(&scene, n), scene, begun, period, stop));
    }
    let mut admin = house.database.connect().await?;
    let seeing = AtomicBool::new(true);
    let watch = async {
        let mut seen = vec![];
        while seeing.load(Ordering::Relaxed) {
            seen.push(Look::take(begun, processes, &house.cpu, &scene.http).await?);
            tokio::time::sleep(SECOND).await;
        }
        anyhow::Ok(Watched(seen))
    };
    let course = async {
        let outcome = course(options, begun, &house.program, &mut admin).await;
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
