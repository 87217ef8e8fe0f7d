//! The GraphQL API: one schema over the read models and the commands.

mod codes;
mod connection;
mod consistency;
mod identity;
mod listed;
mod loaders;
mod node;
mod operations;
mod payload;
mod pipeline;
mod role_mutations;
mod roles;
#[cfg(test)]
mod tests;
mod viewer;
mod workspace;
mod workspace_mutations;

use crate::accounts::authenticate;
use crate::app::App;
use crate::error::ApiError;
use crate::graphql_http::{Code as HttpCode, Endpoint, Refusal, assets, guarded};
use crate::serve::RequestId;
use async_graphql::dataloader::DataLoader;
use async_graphql::{Data, EmptySubscription, MergedObject, SDLExportOptions, Schema};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::any;
use codes::Codes;
use consistency::Consistency;
use domain::UserId;
use loaders::Loaders;
use projections::query::Desk;
use std::sync::Arc;
use viewer::{Chosen, Viewer};

/// The most characters an Idempotency-Key has: the key of each mutation also holds its response key.
const MOST_KEY: usize = 150;

/// Writes down of what parts the schema is made.
macro_rules! schema_of {
    ($($query:path, $mutation:path;)*) => {
        /// What can be asked.
        #[derive(Default, MergedObject)]
        struct Query(node::NodeQuery, $($query),*);

        /// What can be done.
        #[derive(Default, MergedObject)]
        struct Mutation($($mutation),*);
    };
}

schema_of! {
    identity::IdentityQuery, identity::IdentityMutation;
    workspace::WorkspaceQuery, workspace_mutations::WorkspaceMutation;
    roles::RoleQuery, role_mutations::RoleMutation;
    pipeline::PipelineQuery, pipeline::PipelineMutation;
    pipeline::TaskQuery, pipeline::TaskMutation;
    operations::OperationsQuery, operations::OperationsMutation;
}

type Annals = Schema<Query, Mutation, EmptySubscription>;

fn schema() -> Annals {
    guarded(Schema::build(Query::default(), Mutation::default(), EmptySubscription))
        .extension(Codes)
        .register_output_type::<node::Node>()
        .finish()
}

/// The schema in GraphQL's schema language: what `/schema.graphql` and `fixtures/schema.graphql` hold.
#[must_use]
pub fn sdl() -> String {
    schema().sdl_with_options(SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items().include_specified_by())
}

/// What it takes to read each entity, by its name in the schema; nothing for what is the user's own. The
/// authorization matrix is made from it.
#[must_use]
pub fn reads() -> Vec<(String, Option<domain::roles::Permission>)> {
    node::reads()
}

#[derive(Clone)]
struct Served {
    app: App,
    endpoint: Endpoint<Annals>,
}

/// GraphQL over HTTP at `/graphql`, and a page to try it with.
pub fn router(app: App) -> Router {
    let endpoint = Endpoint::new(schema(), || crate::clock::new_uuid().to_string());
    Router::new().route("/graphql", any(serve)).with_state(Served { app, endpoint }).merge(assets())
}

async fn serve(State(served): State<Served>, request: Request) -> Response {
    let app = served.app.clone();
    served.endpoint.serve(request, |parts| async move { prepare(app, &parts).await.map_err(|error| refuse(&error)) }).await
}

/// What resolvers know of the request, from its head alone.
async fn prepare(app: App, parts: &Parts) -> Result<Data, ApiError> {
    let signed = authenticate(&app, &parts.headers).await?;
    let chosen = match (&signed, header(&parts.headers, "annals-workspace")?) {
        (Some(signed), Some(name)) => Some(choose(&app, signed.user, name).await?),
        _ => None,
    };
    let idempotency_key = header(&parts.headers, "idempotency-key")?.map(str::to_owned);
    if idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MOST_KEY) {
        return Err(ApiError::invalid_field("Idempotency-Key", format!("must be 1 to {MOST_KEY} characters long; a UUID is a good key")));
    }
    let consistency = match header(&parts.headers, "annals-consistency-token")? {
        None => Consistency::default(),
        Some(token) => Consistency::decode(token).ok_or_else(|| {
            ApiError::invalid_field(
                "Annals-Consistency-Token",
                "this is no consistency token; pass on the consistencyToken of a mutation as it was given",
            )
        })?,
    };
    let mut origin = crate::rest::origin(parts);
    origin.session = signed.as_ref().and_then(|signed| signed.session);
    if let Some(RequestId(id)) = parts.extensions.get() {
        origin.correlation_id = *id;
    }
    let desk = Desk::new(app.pools.api.clone(), signed.map(|signed| signed.user));
    let viewer = Arc::new(Viewer { desk, app, signed, chosen, origin, idempotency_key, consistency });
    let mut data = Data::default();
    data.insert(DataLoader::new(Loaders(Arc::clone(&viewer)), tokio::spawn).delay(std::time::Duration::ZERO));
    data.insert(viewer);
    Ok(data)
}

/// The workspace a header names, for its members; for everybody else there is none.
async fn choose(app: &App, user: UserId, name: &str) -> Result<Chosen, ApiError> {
    let missing = || {
        ApiError::not_found(format!(
            "there is no workspace {name:.100} here; Annals-Workspace takes the slug or id of a workspace you are a member of"
        ))
    };
    let workspace = crate::accounts::workspace_by_slug_or_id(app, name).await?.ok_or_else(missing)?;
    let access = app.commands.access().fresh(workspace.into()).await?;
    if access.is_member(user) { Ok(Chosen { workspace, access }) } else { Err(missing()) }
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(|value| Some(value.trim()))
            .map_err(|_| ApiError::invalid_field(name, "must hold visible ASCII characters only")),
        (Some(_), Some(_)) => Err(ApiError::invalid_field(name, "must be given once")),
    }
}

/// An error of the request as a whole, before any of it is executed.
fn refuse(error: &ApiError) -> Refusal {
    crate::metrics::error(error.code());
    Refusal::new(HttpCode::named(error.code()).unwrap_or(HttpCode::Internal), error.message())
}
