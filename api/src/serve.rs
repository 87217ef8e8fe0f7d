//! A serving process: two listeners, the projector, and their orderly end. Invariant: every answer carries the id
//! of its request and the headers that keep browsers from mischief, also the answer of a handler that panicked.

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::health::Health;
use crate::notifications::Notifications;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::FutureExt;
use projections::{LeaseConfig, ProjectError, Projector, ProjectorConfig};
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The most a body may hold, unless a route says otherwise (`spec/api.md`).
const MAX_BODY_BYTES: usize = 1 << 20;
/// How long the projector has to end its transaction.
const PROJECTOR_PATIENCE: Duration = Duration::from_secs(10);
const UPKEEP: Duration = Duration::from_secs(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a process cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address is taken.
    #[error("{address} is in use, perhaps by another Annals: stop that program, or choose another address with --{flag} or {variable}")]
    InUse {
        /// Which one.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// The variable that sets it.
        variable: &'static str,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another address with --{flag} or {variable}")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
        /// The flag that sets it.
        flag: &'static str,
        /// The variable that sets it.
        variable: &'static str,
    },
    /// The projector cannot start.
    #[error(transparent)]
    Project(#[from] ProjectError),
}

/// What a process does, and where.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where the API is served; `None` for a process without it.
    pub listen: Option<SocketAddr>,
    /// Where metrics and health are served; `None` for none.
    pub admin_listen: Option<SocketAddr>,
    /// Whether it runs the projector.
    pub projects: bool,
    /// Whether it tells the other processes of the database what it has done, and listens to them.
    pub notifications: bool,
    /// How long requests under way have when it stops.
    pub grace: Duration,
}

impl Default for Options {
    /// Everything, for tests: the API on any free port, the projector, no admin listener.
    fn default() -> Self {
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { listen, admin_listen: None, projects: true, notifications: true, grace: Duration::from_secs(30) }
    }
}

/// The id of a request: the client's own, or a new one. It is the correlation id of what the request causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub Uuid);

/// A process that serves. End it with [`Running::stop`]; one that is dropped ends at once.
#[derive(Debug)]
pub struct Running {
    /// Its parts.
    pub app: App,
    /// Where the API really listens.
    pub address: Option<SocketAddr>,
    /// Where metrics and health really are.
    pub admin_address: Option<SocketAddr>,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
    projector: Option<JoinHandle<()>>,
    notifications: Option<Notifications>,
    listening: CancellationToken,
    projecting: CancellationToken,
    grace: Duration,
}

impl Running {
    /// Starts to serve; returns once both listeners listen.
    ///
    /// # Errors
    /// Any [`ServeError`]; nothing is left running then.
    pub async fn start(app: App, options: Options) -> Result<Self, ServeError> {
        let api = bind(options.listen, "listen", "ANNALS_LISTEN").await?;
        let admin = bind(options.admin_listen, "admin-listen", "ANNALS_ADMIN_LISTEN").await?;
        let projector = if options.projects { Some(projector(&app).await?.with_leases(LeaseConfig::default())) } else { None };
        let notifications = options.notifications.then(|| Notifications::start(&app));

        let health = Health::new(&app.pools, projector.as_ref().map(Projector::standing));
        let (listening, projecting) = (CancellationToken::new(), CancellationToken::new());
        let (mut address, mut admin_address, mut tasks) = (None, None, Vec::new());
        if let Some((listener, at)) = api {
            address = Some(at);
            tasks.push(("API", serve(listener, public(app.clone(), &health), &listening)));
            tracing::info!(address = %at, "serving the API");
        }
        if let Some((listener, at)) = admin {
            admin_address = Some(at);
            tasks.push(("admin", serve(listener, private(&app, &health), &listening)));
            tracing::info!(address = %at, "serving metrics and health");
        }
        tasks.push(("upkeep", tokio::spawn(keep_up(listening.clone()))));
        let projector = projector.map(|projector| tokio::spawn(projector.run(projecting.clone())));
        Ok(Self { app, address, admin_address, tasks, projector, notifications, listening, projecting, grace: options.grace })
    }

    /// Returns the name of a part that ended though nobody told it to: the process is of no use then.
    pub async fn failed(&mut self) -> &'static str {
        let parts =
            self.tasks.iter_mut().map(|(name, task)| (*name, task)).chain(self.projector.iter_mut().map(|task| ("projector", task)));
        let ends = parts.map(|(name, task)| {
            async move {
                let _ = task.await;
                name
            }
            .boxed()
        });
        futures::future::select_all(ends).await.0
    }

    /// Ends in order: no new connections, the requests under way have their grace, then the projector, which
    /// leaves its leases to others, then the pools.
    pub async fn stop(mut self) {
        self.listening.cancel();
        let drained = Instant::now() + self.grace;
        // One that has ended and been noticed must not be asked again.
        for (name, task) in self.tasks.iter_mut().filter(|(_, task)| !task.is_finished()) {
            if tokio::time::timeout_at(drained, &mut *task).await.is_err() {
                tracing::warn!(part = *name, "requests under way were cut off after {} s", self.grace.as_secs());
                task.abort();
            }
        }
        // Until here: a mutation under way waits for its read model.
        self.projecting.cancel();
        if let Some(projector) = self.projector.as_mut().filter(|task| !task.is_finished())
            && timeout(PROJECTOR_PATIENCE, &mut *projector).await.is_err()
        {
            tracing::warn!("the projector was cut off; it goes on from its checkpoint at the next start");
            projector.abort();
        }
        if let Some(notifications) = self.notifications.take() {
            notifications.stop().await;
        }
        let _ = timeout(PROJECTOR_PATIENCE, self.app.pools.close()).await;
        tracing::info!("stopped");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.listening.cancel();
        self.projecting.cancel();
        self.tasks.iter().for_each(|(_, task)| task.abort());
        self.projector.iter().for_each(JoinHandle::abort);
    }
}

/// The projector of this process.
///
/// # Errors
/// The database, or read models of a newer program.
pub(crate) async fn projector(app: &App) -> Result<Projector, ProjectError> {
    Projector::new(&app.pools, app.commands.vault(), &app.wake, &app.freshness, ProjectorConfig::default()).await
}

async fn bind(
    address: Option<SocketAddr>,
    flag: &'static str,
    variable: &'static str,
) -> Result<Option<(TcpListener, SocketAddr)>, ServeError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::InUse { address, flag, variable },
        _ => ServeError::Listen { address, error, flag, variable },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, at)))
}

fn serve(listener: TcpListener, router: Router, stop: &CancellationToken) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::spawn(async move {
        // Errors of single connections are not its errors; it goes on over them.
        if let Err(error) = serving.into_future().await {
            tracing::error!(%error, "a listener ended");
        }
    })
}

async fn keep_up(stop: CancellationToken) {
    while timeout(UPKEEP, stop.cancelled()).await.is_err() {
        crate::metrics::keep_up();
    }
}

/// What the public sees.
fn public(app: App, health: &Health) -> Router {
    let schema = Router::new().route("/schema.graphql", get(schema));
    let router =
        Router::new().merge(crate::graphql::router(app.clone())).merge(crate::rest::router(app)).merge(schema).merge(probes(health));
    wrapped(router)
}

/// What operators see.
fn private(app: &App, health: &Health) -> Router {
    let state = (app.clone(), health.clone());
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(state);
    wrapped(metrics.merge(probes(health)))
}

fn probes(health: &Health) -> Router {
    Router::new().route("/livez", get(async || "alive\n")).route("/readyz", get(readyz)).with_state(health.clone())
}

fn wrapped(router: Router) -> Router {
    router
        .fallback(unknown_address)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(around))
}

async fn schema() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/graphql; charset=utf-8")], crate::graphql::sdl())
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let report = health.report().await;
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, report.text())
}

async fn metrics(State((app, health)): State<(App, Health)>) -> impl IntoResponse {
    let report = health.report().await;
    if let Some(progress) = report.progress {
        crate::metrics::progress(progress);
    }
    crate::metrics::read_models(&report.read_models);
    crate::metrics::append(app.commands.append_counts());
    for (name, pool) in [("api", &app.pools.api), ("loader", &app.pools.loader), ("worker", &app.pools.worker)] {
        crate::metrics::pool(name, pool);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], crate::metrics::render())
}

async fn unknown_address(uri: Uri) -> Response {
    // Only the path: a query string may hold what is nobody's business.
    answer(ApiError::new(Code::NotFound, format!("there is nothing at {}; GraphQL is at /graphql, sign-in under /api/v1/auth", uri.path())))
}

async fn unknown_method(method: Method, uri: Uri) -> Response {
    answer(ApiError::new(Code::MethodNotAllowed, format!("{} does not take {method}; the header Allow lists what it takes", uri.path())))
}

fn answer(error: ApiError) -> Response {
    crate::metrics::error(error.code());
    error.into_response()
}

/// Around every request: its id, its span, its time, and whatever happens an answer.
async fn around(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok()).and_then(|text| Uuid::try_parse(text).ok());
    let id = given.unwrap_or_else(crate::clock::new_uuid);
    request.extensions_mut().insert(RequestId(id));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());

    let span = tracing::info_span!("request", %id, %method, route = route.as_deref().unwrap_or("none"));
    let mut response = async {
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let response = answer.unwrap_or_else(|_| panicked());
        let (status, milliseconds) = (response.status().as_u16(), began.elapsed().as_millis());
        if response.status().is_server_error() {
            tracing::warn!(status, milliseconds, "answered");
        } else {
            tracing::debug!(status, milliseconds, "answered");
        }
        response
    }
    .instrument(span)
    .await;

    crate::metrics::http_request(&method, route.as_deref(), response.status().as_u16(), began.elapsed());
    secure(&mut response, id);
    response
}

fn panicked() -> Response {
    // What it said and where, the panic hook has written to standard error already.
    answer(ApiError::internal(&"a handler panicked"))
}

/// Headers of every answer. What a handler has set, such as the policy of the GraphiQL page, stays.
fn secure(response: &mut Response<Body>, id: Uuid) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // Answers are one person's; who may keep one says so.
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
