//! What a run stands on: a database of its own, the program's parts in this process to fill it by, the program itself to
//! be driven, and the yardstick. Whatever takes long says how far it is, and ends in time.

use crate::Options;
use crate::client::Scene;
use crate::people::{self, Company};
use crate::program::{self, Process, Program};
use anyhow::{Context, Result, ensure};
use api::app::App;
use benches::machine::{Cpu, Machine};
use benches::measure::{Times, measure};
use benches::yardstick::{Inserter, inserters};
use event_store::{AppenderConfig, MasterKey, PoolSizes, Pools};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A key that seals nothing but this run.
const MASTER: [u8; 32] = [7; 32];
/// How many clients the yardstick has.
const INSERTERS: usize = 64;
/// Events by which the yardstick knows what rows are like.
pub(crate) const SAMPLE: usize = 160;
const SECOND: Duration = Duration::from_secs(1);
/// Between two words about how far something has come.
const WORD: Duration = Duration::from_secs(5);

/// A database with workspaces in it.
pub(crate) struct House {
    pub(crate) app: App,
    pub(crate) admin: PgConnection,
    pub(crate) machine: Machine,
    pub(crate) cpu: Cpu,
    pub(crate) program: Program,
    pub(crate) database: PgConnectOptions,
    /// Those in which there is work.
    pub(crate) active: Vec<Company>,
    pools: Pools,
    inserters: Vec<Inserter>,
    _dir: TempDir,
}

impl House {
    /// Migrates an empty database and makes workspaces, of which so many have people, boards and a few items. With
    /// `resting`, the others have an owner and nothing else.
    pub(crate) async fn new(options: &Options, database: &PgConnectOptions, tenants: usize, active: usize, resting: bool) -> Result<Self> {
        let master = MasterKey::new(MASTER);
        event_store::migrate(database, &master).await?;
        let mut admin = database.connect().await?;
        let (machine, cpu) = (Machine::of(&mut admin).await?, Cpu::of(&mut admin).await?);
        let dir = tempfile::tempdir()?;
        let program = program(options, database, dir.path())?;
        let pools = Pools::new(database, &master, PoolSizes::default());
        let app = App::new(pools.clone(), &master, AppenderConfig::default());

        let full = if resting { active } else { tenants };
        let made = AtomicUsize::new(0);
        let making = async {
            let companies = people::companies(&app, full, &made).await?;
            people::resting(&app, full..tenants, &made).await?;
            anyhow::Ok(companies)
        };
        let mut companies = told(&format!("of {tenants} workspaces made"), &made, making).await?;
        companies.truncate(active);
        people::fill(&app, &companies, SAMPLE, &Arc::default()).await?;
        let ids: Vec<_> = companies.iter().take(16).map(|company| company.tenant.id).collect();
        let inserters = inserters(database, &ids, INSERTERS).await?;
        Ok(Self { app, admin, machine, cpu, program, database: database.clone(), active: companies, pools, inserters, _dir: dir })
    }

    /// Appends so many events of items; answers how many there were a second.
    pub(crate) async fn fill(&mut self, events: usize) -> Result<f64> {
        let (begun, done) = (Instant::now(), Arc::default());
        told(&format!("of {events} events filled in"), &done, people::fill(&self.app, &self.active, events, &done)).await?;
        Ok(events as f64 / begun.elapsed().as_secs_f64())
    }

    /// Starts the program, waits until the read models know all that is in the logs, and has the server look at what
    /// there is now: it would go on planning for the few rows there were before.
    pub(crate) async fn serve(&mut self, options: &Options) -> Result<Vec<Process>> {
        let processes = start(options, &self.program).await?;
        caught_up(&mut self.admin).await?;
        eprintln!("vacuum and analyze");
        self.admin.execute("vacuum (analyze)").await?;
        self.admin.execute("checkpoint").await?;
        Ok(processes)
    }

    /// What the clients of the active workspaces share.
    pub(crate) fn scene(&self, processes: &[Process], mutations_only: bool) -> Result<Arc<Scene>> {
        let urls = processes.iter().filter(|process| !process.url.is_empty()).map(|process| process.url.clone()).collect();
        let http = reqwest::Client::builder().pool_max_idle_per_host(usize::MAX).build()?;
        Ok(Arc::new(Scene { app: self.app.clone(), http, urls, companies: self.active.clone(), mutations_only }))
    }

    /// Bare INSERTs a second.
    pub(crate) async fn yardstick(&mut self) -> Result<f64> {
        // Always into a table of the same size.
        self.admin.execute("truncate bench.events").await?;
        self.admin.execute("checkpoint").await?;
        let clients = std::mem::take(&mut self.inserters);
        let times = Times { warm_up: SECOND, counted: 4 * SECOND };
        let (sample, clients) = measure(&mut self.admin, clients, times, &self.cpu).await?;
        self.inserters = clients;
        eprintln!("yardstick: {:.0} INSERTs/s", sample.commands);
        Ok(sample.commands)
    }

    /// Lets the clients of the yardstick go, whose connections take memory of the server's.
    pub(crate) fn dismiss(&mut self) {
        self.inserters.clear();
    }

    /// Bytes on disk of the log, the keys and the read models; and the events in the logs.
    pub(crate) async fn size(&mut self) -> Result<(i64, i64)> {
        let bytes = "select sum(pg_total_relation_size(c.oid))::bigint from pg_class c
                     where c.relkind = 'r' and c.relnamespace in ('event_store'::regnamespace, 'vault'::regnamespace, 'read_models'::regnamespace)";
        let bytes = sqlx::query_scalar(bytes).fetch_one(&mut self.admin).await?;
        let events = "select sum(position)::bigint from event_store.heads";
        Ok((bytes, sqlx::query_scalar(events).fetch_one(&mut self.admin).await?))
    }

    /// Gives up its connections.
    pub(crate) async fn close(self) -> Result<Machine> {
        self.pools.close().await;
        self.admin.close().await?;
        Ok(self.machine)
    }
}

/// Does something long, saying now and then how far it has come.
async fn told<T>(what: &str, done: &AtomicUsize, work: impl Future<Output = Result<T>>) -> Result<T> {
    let begun = Instant::now();
    let tell = || {
        let (done, seconds) = (done.load(Ordering::Relaxed), begun.elapsed().as_secs_f64());
        eprintln!("{done} {what}, {:.0}/s", done as f64 / seconds);
    };
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => {
                tell();
                return outcome;
            }
            () = tokio::time::sleep(WORD) => tell(),
        }
    }
}

/// Waits until the read models know all that is in the logs, as long as they come nearer to it.
async fn caught_up(admin: &mut PgConnection) -> Result<()> {
    let sql = "select coalesce(sum(h.position - coalesce(c.position, 0)), 0)::bigint
               from event_store.heads h left join read_models.checkpoints c using (tenant_id)";
    let (mut said, mut nearer, mut least) = (Instant::now(), Instant::now(), i64::MAX);
    loop {
        let behind: i64 = sqlx::query_scalar(sql).fetch_one(&mut *admin).await?;
        if behind == 0 {
            return Ok(());
        }
        if behind < least {
            (least, nearer) = (behind, Instant::now());
        }
        ensure!(nearer.elapsed() < 60 * SECOND, "the read models stay {behind} events behind");
        if said.elapsed() >= WORD {
            eprintln!("the read models are {behind} events behind");
            said = Instant::now();
        }
        tokio::time::sleep(SECOND / 10).await;
    }
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
