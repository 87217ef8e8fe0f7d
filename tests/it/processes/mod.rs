//! Several processes of the program on one database, as operators run them: `annals api` and `annals worker`, started,
//! killed, stopped and woken.
#![allow(clippy::print_stdout, reason = "what processes log, and the times they took, show with a test that fails")]

mod crowd;
mod fence;
mod loss;
mod sharing;
mod standstill;

use crate::graphql::{Acme, Client, equals_its_replay};
use crate::harness::{MASTER, Process, Team, audited, eventually};
use crate::program::{Program, annals};
use api::app::App;
use event_store::{AppenderConfig, MasterKey, PoolSizes, Pools};
use projections::{SHARDS, shard};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::types::Uuid;
use sqlx::{PgPool, Row};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::{Semaphore, SemaphorePermit};

/// One process.
pub(crate) struct Part {
    pub(crate) child: Child,
    log: Arc<Mutex<String>>,
}

impl Part {
    /// Where something is served, once it is.
    pub(crate) async fn at(&self, what: &str) -> String {
        eventually(what, || async {
            let log = self.log.lock().unwrap();
            let line = log.lines().find(|line| line.contains(what))?;
            let line: Value = serde_json::from_str(line).unwrap();
            Some(format!("http://{}", line["address"].as_str().unwrap()))
        })
        .await
    }

    pub(crate) async fn url(&self) -> String {
        self.at("serving the API").await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// A number among its metrics; 0 where it is not there yet.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = reqwest::get(format!("{}/metrics", self.at("serving metrics").await)).await.unwrap().text().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0)
    }
}

/// How all processes of a house are told to work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    notifications: &'static str,
    append_swift: &'static str,
}

// Under each of these everything must hold: processes that tell each other what they did or leave each other to look, and
// either way into the log.
pub(crate) const TOLD_SWIFT: Setting = Setting { notifications: "on", append_swift: "on" };
pub(crate) const TOLD_LOCKING: Setting = Setting { notifications: "on", append_swift: "off" };
pub(crate) const UNTOLD_SWIFT: Setting = Setting { notifications: "off", append_swift: "on" };
pub(crate) const UNTOLD_LOCKING: Setting = Setting { notifications: "off", append_swift: "off" };

/// What is answered when it was done.
pub(crate) const DONE: &str = "";

/// What came of a mutation: [`DONE`], or the code of why not. Whether its read model shows it yet is no matter.
async fn outcome(client: &Client, mutation: &str, arguments: &str) -> String {
    let reply = client.mutate(mutation, arguments, "id").await;
    match reply.code() {
        code if code == "READ_MODEL_BEHIND" => DONE.to_owned(),
        // What says neither that it was done nor why not is no answer.
        code if code.is_empty() => {
            assert!(reply.done(), "{mutation}({arguments}): {}", reply.text());
            DONE.to_owned()
        }
        code => code,
    }
}

/// All of them, and a way to look at what they do.
pub(crate) struct House {
    // First, so that all have ended when the database is dropped.
    pub(crate) apis: Vec<Part>,
    pub(crate) workers: Vec<Part>,
    /// What sets up people and workspaces. It projects nothing, and tells nobody.
    pub(crate) app: App,
    pub(crate) admin: PgPool,
    setting: Setting,
    /// Where the processes find the database.
    database: PgConnectOptions,
    /// What the processes find in their environment besides.
    environment: Vec<(String, String)>,
    pub(crate) program: Program,
    _room: SemaphorePermit<'static>,
}

/// The most houses at once: each has some sixty connections, and the server of the tests two hundred. Where each test has
/// a process of its own, `.config/nextest.toml` sees to it.
static ROOM: Semaphore = Semaphore::const_new(2);

impl House {
    pub(crate) async fn new(setting: Setting, apis: usize, workers: usize) -> Self {
        let program = Program::new().await;
        let database = program.database.options();
        Self::over(program, database, setting, apis, workers).await
    }

    /// One whose processes reach the database this way.
    async fn over(program: Program, database: PgConnectOptions, setting: Setting, apis: usize, workers: usize) -> Self {
        Self::in_environment(program, database, setting, apis, workers, vec![]).await
    }

    /// One whose processes besides find this in their environment.
    pub(crate) async fn in_environment(
        program: Program,
        database: PgConnectOptions,
        setting: Setting,
        apis: usize,
        workers: usize,
        environment: Vec<(String, String)>,
    ) -> Self {
        let room = ROOM.acquire().await.unwrap();
        let master = MasterKey::new(MASTER);
        let pools = Pools::new(&program.database.options(), &master, PoolSizes { api: 3, loader: 2, worker: 2 });
        let app = App::new(pools, &master, AppenderConfig::default());
        let admin = PgPoolOptions::new().max_connections(2).connect_with(program.database.options()).await.unwrap();
        let mut house = Self { apis: vec![], workers: vec![], app, admin, setting, database, environment, program, _room: room };
        for _ in 0..apis {
            house.apis.push(house.start("api"));
        }
        for _ in 0..workers {
            house.workers.push(house.start("worker"));
        }
        house.is_shared(workers).await;
        house
    }

    pub(crate) fn start(&self, part: &str) -> Part {
        let anywhere = "127.0.0.1:0";
        let connections = ["--api-connections", "4", "--loader-connections", "3", "--worker-connections", "4"];
        let listen = [part, "--listen", anywhere, "--admin-listen", anywhere, "--log-format", "json"];
        let mut command = annals(self.program.dir.path(), &self.database, &listen);
        command.envs(self.environment.iter().cloned());
        command.args(connections).args(["--log-filter", "info,projections=debug"]);
        command.args(["--notifications", self.setting.notifications, "--append-swift", self.setting.append_swift]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // What it has to say shows with the test that fails.
                println!("{line}");
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        Part { child, log }
    }

    /// Leases by the process that holds them.
    pub(crate) async fn leases(&self) -> BTreeMap<u32, usize> {
        let sql = "select w.process_id, count(*) from read_models.leases l join read_models.workers w on w.id = l.holder group by 1";
        let rows: Vec<(i32, i64)> = sqlx::query_as(sql).fetch_all(&self.admin).await.unwrap();
        rows.into_iter().map(|(process, count)| (u32::try_from(process).unwrap(), usize::try_from(count).unwrap())).collect()
    }

    /// Once so many workers hold all leases between them, none more than its share.
    pub(crate) async fn is_shared(&self, workers: usize) {
        eventually("the leases to be shared out", || async {
            let leases = self.leases().await;
            let fair = leases.values().all(|count| *count <= SHARDS.div_ceil(workers));
            (leases.len() == workers && fair && leases.values().sum::<usize>() == SHARDS).then_some(())
        })
        .await;
    }

    /// Which worker projects this tenant.
    pub(crate) async fn worker_of(&self, tenant: Uuid) -> usize {
        let sql = "select w.process_id from read_models.leases l join read_models.workers w on w.id = l.holder where l.shard = $1";
        let process: i32 = sqlx::query_scalar(sql).bind(shard(tenant)).fetch_one(&self.admin).await.unwrap();
        self.workers.iter().position(|worker| i64::from(worker.pid()) == i64::from(process)).unwrap()
    }

    /// Where a tenant's log ends and how far it is projected.
    pub(crate) async fn progress(&self, tenant: Uuid) -> (i64, i64) {
        let sql = "select h.position, coalesce(c.position, 0) from event_store.heads h left join read_models.checkpoints c using (tenant_id) where tenant_id = $1";
        let row = sqlx::query(sql).bind(tenant).fetch_one(&self.admin).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// A workspace whose owner talks to one of the API processes.
    pub(crate) async fn acme(&self, mark: &str, api: usize) -> Acme {
        Acme::at(&self.app, &self.apis[api].url().await, mark, mark).await
    }

    /// Where the API processes are.
    pub(crate) async fn urls(&self) -> Vec<String> {
        futures::future::join_all(self.apis.iter().map(Part::url)).await
    }

    /// So many workspaces, whose owners talk to the API processes in turn.
    pub(crate) async fn acmes(&self, many: usize) -> Vec<Acme> {
        let marks: Vec<String> = (0..many).map(|n| format!("acme-{n}")).collect();
        futures::future::join_all(marks.iter().enumerate().map(|(n, mark)| self.acme(mark, n % self.apis.len()))).await
    }

    /// The owner of a workspace, who does in it what is quickly done: it waits for no read model.
    pub(crate) fn team(&self, acme: &Acme) -> Team {
        Team { tenant: acme.id.into(), owner: acme.owner.id, process: Process::of(&self.app) }
    }

    /// The API processes have tried the swift path if they were told to, and only then.
    async fn kept_to_their_path(&self) {
        let mut tried = 0;
        for api in &self.apis {
            tried += api.metric("append_commands_total{path=\"swift\"}").await + api.metric("append_missed_total").await;
        }
        assert_eq!(tried > 0, self.setting.append_swift == "on", "{:?}: tried {tried} times", self.setting);
    }

    /// What holds in the end: everything is projected, by the workers alone, as a replay would have it, and the log
    /// stands up to the audit.
    pub(crate) async fn stands(&self) {
        self.caught_up().await;
        equals_its_replay(&self.app).await;
        audited(&self.app, &self.program.database.options()).await;
    }

    /// Once everything is projected, by the workers alone, and nothing stands still.
    pub(crate) async fn caught_up(&self) {
        eventually("the workers to catch up", || async {
            let sql = "select count(*) from event_store.heads h left join read_models.checkpoints c using (tenant_id) where h.position > coalesce(c.position, 0)";
            (sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.admin).await.unwrap() == 0).then_some(())
        })
        .await;
        let parked: i64 = sqlx::query_scalar("select count(*) from read_models.parked").fetch_one(&self.admin).await.unwrap();
        assert_eq!(parked, 0);
    }
}
