//! REST: registration, signing in and out, and the public key. JSON in, JSON out; every error in the one shape.
//! Rate limits (`spec/limits.md`) are not here yet.

mod body;

use crate::accounts::{self, NewAccount, Origin, SignedIn};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::passwords::Password;
use crate::serve::RequestId;
use crate::tokens::ACCESS_SECONDS;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use body::{Fields, json};
use domain::identity::{Account, UserStatus};
use domain::{ClientInfo, Email, Moment, Name, Personal, TimeZone, Title, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tracing::Instrument as _;

/// How much of a User-Agent header is kept, in characters.
const USER_AGENT: usize = 500;

/// The routes. Serve them with `into_make_service_with_connect_info::<SocketAddr>()`, or no event will know the
/// address its request came from.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/api/v1/auth/register", post(register))
        .route("/api/v1/auth/login", post(login))
        .route("/api/v1/auth/refresh", post(refresh))
        .route("/api/v1/auth/logout", post(logout))
        .route("/.well-known/jwks.json", get(jwks))
        .method_not_allowed_fallback(async || {
            ApiError::new(Code::MethodNotAllowed, "this path knows other methods; the Allow header names them")
        })
        .with_state(app)
}

/// Where a request came from and what its commands have in common.
#[must_use]
pub fn origin(parts: &Parts) -> Origin {
    // What proxies say of the address is not believed: anybody can say it.
    let ip = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let user_agent =
        parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(|value| value.chars().take(USER_AGENT).collect());
    let correlation_id = parts.extensions.get().map_or_else(crate::clock::new_uuid, |RequestId(id)| *id);
    Origin { client: Some(ClientInfo { ip, user_agent }), session: None, correlation_id }
}

/// Runs a process to its end, even when the client goes away in the middle of it: what was begun would have to be
/// carried on later. A panic is an internal error of this one request.
async fn answer(process: impl Future<Output = Result<Response, ApiError>> + Send + 'static) -> Response {
    match tokio::spawn(process.in_current_span()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegisterBody {
    email: Option<String>,
    password: Option<Password>,
    password_confirm: Option<Password>,
    first_name: Option<String>,
    last_name: Option<String>,
    timezone: Option<String>,
}

impl RegisterBody {
    fn checked(self) -> Result<NewAccount, ApiError> {
        let mut fields = Fields::default();
        let email = fields.required::<_, Email>("email", self.email);
        let password = fields.required::<_, Password>("password", self.password);
        let confirm = fields.required::<_, Password>("passwordConfirm", self.password_confirm);
        if let Some(password) = &password {
            fields.rule("password", password.check(email.as_ref()));
            if confirm.is_some_and(|confirm| !confirm.is(password)) {
                fields.rule("passwordConfirm", Err(domain::Invalid("must be the same as the password".into())));
            }
        }
        let first_name = fields.optional::<_, Name>("firstName", self.first_name);
        let last_name = fields.optional::<_, Name>("lastName", self.last_name);
        let timezone = fields.optional::<_, TimeZone>("timezone", self.timezone);
        match (email, password) {
            (Some(email), Some(password)) if fields.is_right() => Ok(NewAccount { email, password, first_name, last_name, timezone }),
            _ => Err(fields.error()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LoginBody {
    email: Option<String>,
    password: Option<Password>,
    client_label: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefreshBody {
    refresh_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserBody {
    id: UserId,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    name: Option<String>,
    timezone: String,
    status: UserStatus,
    default_workspace_id: Option<WorkspaceId>,
    personal_workspace_id: WorkspaceId,
}

impl From<Account> for UserBody {
    fn from(account: Account) -> Self {
        let open = |value: Option<Personal<String>>| value.as_ref().and_then(Personal::open).cloned();
        Self {
            id: account.id,
            email: open(Some(account.email)),
            first_name: open(account.first_name),
            last_name: open(account.last_name),
            name: open(account.name),
            timezone: account.timezone,
            status: account.status,
            default_workspace_id: account.default_workspace_id,
            personal_workspace_id: WorkspaceId::personal(account.id),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokensBody {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    refresh_token: String,
    refresh_expires_at: Moment,
    user: UserBody,
}

fn tokens(signed_in: SignedIn) -> Response {
    let body = TokensBody {
        access_token: signed_in.access_token,
        token_type: "Bearer",
        expires_in: ACCESS_SECONDS,
        refresh_token: signed_in.refresh_token,
        refresh_expires_at: signed_in.refresh_expires_at,
        user: signed_in.account.into(),
    };
    // RFC 6749, section 5.1: no cache may keep tokens.
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response()
}

async fn register(State(app): State<App>, request: Request) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Registered {
        user: Id,
        workspace: Id,
    }
    #[derive(Serialize)]
    struct Id {
        id: uuid::Uuid,
    }
    let (parts, body) = request.into_parts();
    answer(async move {
        let new = read::<RegisterBody>(&parts, body).await?.checked()?;
        let registered = accounts::register(&app, &origin(&parts), new).await?;
        let body = Registered { user: Id { id: registered.user.0 }, workspace: Id { id: registered.workspace.0 } };
        Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(body)).into_response())
    })
    .await
}

async fn login(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    answer(async move {
        let body = read::<LoginBody>(&parts, body).await?;
        let mut fields = Fields::default();
        let email = fields.required::<_, Email>("email", body.email);
        let password = fields.required::<_, Password>("password", body.password);
        let label = fields.optional::<_, Title>("clientLabel", body.client_label);
        match (email, password) {
            (Some(email), Some(password)) if fields.is_right() => {
                accounts::sign_in(&app, &origin(&parts), &email, password, label).await.map(tokens)
            }
            _ => Err(fields.error()),
        }
    })
    .await
}

async fn refresh(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    answer(async move {
        let mut fields = Fields::default();
        match fields.required::<_, String>("refreshToken", read::<RefreshBody>(&parts, body).await?.refresh_token) {
            Some(token) => accounts::refresh(&app, &origin(&parts), &token).await.map(tokens),
            None => Err(fields.error()),
        }
    })
    .await
}

/// Wants no body, and reads none.
async fn logout(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    answer(async move {
        accounts::logout(&app, &origin(&parts), &parts.headers).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

async fn jwks(State(app): State<App>) -> Response {
    let headers = [
        // RFC 7517, section 8.5.
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    (headers, app.tokens.jwks().to_string()).into_response()
}

async fn read<T: serde::de::DeserializeOwned>(parts: &Parts, body: Body) -> Result<T, ApiError> {
    json(&parts.headers, body).await
}

#[cfg(test)]
mod tests;
