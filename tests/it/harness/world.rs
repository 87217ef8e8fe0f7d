//! The whole program in this process, on a database of its own, asked through its public faces.

use super::audit::prove;
use super::database::MASTER;
use super::{Database, Process};
use api::app::App;
use api::serve::{Options, Running};
use domain::UserId;
use event_store::{AppenderConfig, MasterKey, PoolSizes, Pools};
use projections::{Projector, ProjectorConfig};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One connection for queries: whoever waits for a second one while holding one waits for ever, and the test says so.
const SIZES: PoolSizes = PoolSizes { api: 1, loader: 6, worker: 4 };

/// A serving process.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) client: Client,
    pub(crate) running: Running,
    // Last, so that the others are gone when the database is dropped.
    pub(crate) database: Database,
}

impl World {
    /// A process that serves and projects.
    pub(crate) async fn new() -> Self {
        Self::on(Database::new().await, Options::default()).await
    }

    /// A process that shows nothing new unless [`World::projecting`] goes on beside it.
    pub(crate) async fn without_projector() -> Self {
        Self::on(Database::new().await, Options { projects: false, ..Options::default() }).await
    }

    /// A process with these options on this database.
    pub(crate) async fn on(database: Database, options: Options) -> Self {
        let running = serve(&database.options(), options).await;
        Self { app: running.app.clone(), client: Client::new(), running, database }
    }

    /// Where the API is: `http://127.0.0.1:1234`.
    pub(crate) fn http(&self) -> String {
        format!("http://{}", self.running.address.unwrap())
    }

    /// Ends the process as Ctrl-C would, and gives its database to the next.
    pub(crate) async fn stop(self) -> Database {
        self.running.stop().await;
        self.database
    }

    /// An access token of a user that belongs to no session, as `annals token` prints it.
    pub(crate) fn token(&self, user: UserId) -> String {
        self.app.tokens.issue(user, None, None, api::clock::now())
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.client.post(format!("{}{path}", self.http())).json(body).send().await.unwrap()
    }

    /// Registers somebody by REST; answers with what the program said.
    pub(crate) async fn register(&self, email: &str) -> Value {
        let password = "correct horse battery 9A!";
        let body = json!({ "email": email, "password": password, "passwordConfirm": password });
        let response = self.post("/api/v1/auth/register", &body).await;
        assert!(response.status().is_success(), "{}: {}", response.status(), response.text().await.unwrap());
        response.json().await.unwrap()
    }

    /// Asks GraphQL as this user, in this workspace; answers with the whole response.
    pub(crate) async fn graphql(&self, user: UserId, workspace: Option<&str>, query: &str, variables: Value) -> Value {
        let mut request = self.client.post(format!("{}/graphql", self.http())).bearer_auth(self.token(user));
        if let Some(workspace) = workspace {
            request = request.header("Annals-Workspace", workspace);
        }
        request.json(&json!({ "query": query, "variables": variables })).send().await.unwrap().json().await.unwrap()
    }

    /// Proves from the log alone that nothing in it should not be there: see [`super::audit`].
    pub(crate) async fn audit(&self) {
        audited(&self.app, &self.database.options()).await;
    }

    /// A projector of this process' own.
    pub(crate) async fn projector(&self) -> Projector {
        projector(&self.app).await
    }

    /// Projects until told to stop.
    pub(crate) async fn projecting(&self) -> Projecting {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.projector().await.run(stop.clone()));
        Projecting { stop, task }
    }
}

/// A projector at work.
pub(crate) struct Projecting {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Projecting {
    /// Ends it; nothing is projected from now on.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A process over a database that is migrated.
pub(crate) async fn serve(database: &PgConnectOptions, options: Options) -> Running {
    let master = MasterKey::new(MASTER);
    let app = App::new(Pools::new(database, &master, SIZES), &master, AppenderConfig::default());
    Running::start(app, options).await.unwrap()
}

/// A projector that tries what it has parked soon.
pub(crate) async fn projector(app: &App) -> Projector {
    let config = ProjectorConfig { retry: Duration::from_millis(50), poll: Duration::from_millis(200), ..ProjectorConfig::default() };
    Projector::new(&app.pools, app.commands.vault(), &app.wake, &app.freshness, config).await.unwrap()
}

/// As [`World::audit`], of a process whose database has this superuser's way in.
pub(crate) async fn audited(app: &App, database: &PgConnectOptions) {
    let admin = PgPoolOptions::new().max_connections(3).connect_lazy_with(database.clone());
    prove(&admin, &Process::of(app)).await;
    admin.close().await;
}
