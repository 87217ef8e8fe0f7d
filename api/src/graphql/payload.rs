//! What every mutation answers, and the one way a mutation runs.

use super::consistency::Consistency;
use super::viewer::{PATIENCE, Viewer, Visible};
use crate::error::{ApiError, Code};
use async_graphql::{Context, Object, OutputType, SimpleObject, TypeName};
use domain::roles::Permission;
use domain::{Decider, PLATFORM, Refusal, TenantId, UserId};
use event_store::{Committed, ExecuteError, Request, Target};
use projections::query::Scope;
use serde::Serialize;
use serde_path_to_error::Segment;
use std::borrow::Cow;
use std::time::Instant;
use uuid::Uuid;

/// Something clients see: an aggregate through its read model.
pub(crate) trait Entity: OutputType + Sized + Send {
    /// The aggregate whose commands it answers.
    type Aggregate: Decider;
    /// The read models it is read from.
    const READ_MODELS: &'static [&'static str];
    /// True when it lives in the platform's log.
    const ON_PLATFORM: bool = false;
    /// What it takes to read it; nothing for what is the user's own.
    const READ: Option<Permission> = None;
    /// Reads it, deleted ones too.
    fn read(scope: &mut Scope, id: Uuid) -> impl Future<Output = Result<Option<Self>, sqlx::Error>> + Send;
    /// Reads it for somebody who may only see their own; nothing where nobody's own is told apart.
    fn read_own(_scope: &mut Scope, _id: Uuid, _owner: UserId) -> impl Future<Output = Result<Option<Self>, sqlx::Error>> + Send {
        std::future::ready(Ok(None))
    }
}

/// Why a mutation changed nothing: a rule of the business, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub(crate) struct UserError {
    /// What programs look at: `NOT_FOUND`, `SLUG_TAKEN`.
    pub(crate) code: String,
    /// What people read: what is wrong and what to do.
    pub(crate) message: String,
    /// The argument at fault, as a path from the mutation's arguments: `input.title`.
    pub(crate) field: Option<Vec<String>>,
}

/// What a mutation came to.
pub(crate) struct Payload<E> {
    outcome: Result<Committed, Vec<UserError>>,
    tenant: TenantId,
    entity: Option<Result<E, ApiError>>,
}

/// What a mutation's field answers: nothing but an error where it failed, so that the failure of one mutation does
/// not hide what another has committed.
pub(crate) type Answer<E> = Option<async_graphql::Result<Payload<E>>>;

impl<E: OutputType> TypeName for Payload<E> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Payload", E::type_name()).into()
    }
}

/// What a mutation came to: the entity as it is now, or why nothing changed.
#[Object(name_type)]
impl<E: OutputType + Sync> Payload<E> {
    /// The entity at or after this write. Null when it was refused, and when the read model has not come so far in
    /// time: then the write stands all the same, and an error READ_MODEL_BEHIND says so.
    async fn entity(&self) -> Option<async_graphql::Result<&E>> {
        self.entity.as_ref().map(|entity| entity.as_ref().map_err(|error| error.clone().into()))
    }

    /// The rules that stood against it; empty when it was done.
    async fn user_errors(&self) -> &[UserError] {
        self.outcome.as_ref().err().map_or(&[], Vec::as_slice)
    }

    /// Sent as `Annals-Consistency-Token`, it makes later queries wait until they show this write.
    async fn consistency_token(&self) -> Option<String> {
        let committed = self.outcome.as_ref().ok().filter(|committed| committed.events > 0)?;
        Some(Consistency::at(self.tenant, committed.position()).encode())
    }
}

/// Where in the arguments a command's fields stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arguments {
    /// Each an argument of its own.
    Inline,
    /// In the argument `input`.
    Input,
}

impl Arguments {
    fn path(self, field: &str) -> Vec<String> {
        let input = matches!(self, Self::Input).then(|| "input".to_owned());
        input.into_iter().chain(field.split('.').map(str::to_owned)).collect()
    }
}

/// Runs a command whose fields are arguments of their own. `fields` are those of the command by their names, and
/// are checked as it is made from them.
pub(crate) async fn run<E: Entity>(ctx: &Context<'_>, target: Target, name: &'static str, fields: impl Serialize) -> Answer<E> {
    Some(execute(ctx, target, name, fields, Arguments::Inline, None).await)
}

/// Runs a command whose fields came in one `input`.
pub(crate) async fn run_input<E: Entity>(ctx: &Context<'_>, target: Target, name: &'static str, input: impl Serialize) -> Answer<E> {
    Some(execute(ctx, target, name, input, Arguments::Input, None).await)
}

/// Runs a command that was worked out from what came in one `input`, and is recognised by what was `said` there.
pub(crate) async fn run_said<E: Entity>(
    ctx: &Context<'_>,
    target: Target,
    name: &'static str,
    fields: impl Serialize,
    said: String,
) -> Answer<E> {
    Some(execute(ctx, target, name, fields, Arguments::Input, Some(said)).await)
}

async fn execute<E: Entity>(
    ctx: &Context<'_>,
    target: Target,
    name: &'static str,
    fields: impl Serialize,
    arguments: Arguments,
    said: Option<String>,
) -> async_graphql::Result<Payload<E>> {
    let viewer = Viewer::of(ctx)?;
    let tenant = if E::ON_PLATFORM { PLATFORM } else { viewer.chosen()?.workspace.into() };
    let request = Request { said, ..viewer.request(ctx, tenant)? };
    let command = match command::<<E::Aggregate as Decider>::Command>(name, fields, arguments) {
        Ok(command) => command,
        Err(error) => return Ok(invalid(error)),
    };
    let began = Instant::now();
    let outcome = viewer.app.commands.execute::<E::Aggregate>(&request, target, command).await;
    crate::metrics::command(name, word(&outcome), began.elapsed());
    settle(viewer, tenant, outcome, arguments).await
}

/// What came of a command, for the metrics.
fn word<E: Refusal>(outcome: &Result<Committed, ExecuteError<E>>) -> &'static str {
    match outcome {
        Ok(committed) if committed.events > 0 => "committed",
        Ok(_) => "unchanged",
        Err(ExecuteError::Denied(_)) => "denied",
        Err(ExecuteError::Refused(_) | ExecuteError::IdTaken | ExecuteError::KeyMisused) => "refused",
        Err(ExecuteError::Contended | ExecuteError::Store(_)) => "failed",
    }
}

/// Makes a command of its name and fields; a field that breaks a rule is named.
pub(crate) fn command<C: serde::de::DeserializeOwned>(name: &str, fields: impl Serialize, arguments: Arguments) -> Result<C, UserError> {
    let invalid = |message: String, field: Option<Vec<String>>| UserError { code: "VALIDATION_ERROR".into(), message, field };
    let fields = serde_json::to_value(fields).map_err(|error| invalid(error.to_string(), None))?;
    // A command without fields is a bare name for serde, or an empty object.
    let tagged = serde_json::json!({ name: fields });
    serde_path_to_error::deserialize(tagged).map_err(|error| {
        let segment = |segment: &Segment| match segment {
            Segment::Seq { index } => index.to_string(),
            segment => segment.to_string(),
        };
        let path = error.path().iter().skip(1).map(segment).collect::<Vec<_>>().join(".");
        let message = error.into_inner().to_string();
        invalid(message, (!path.is_empty() && path != "?").then(|| arguments.path(&path)))
    })
}

/// Turns what came of a command into the mutation's answer, reading the entity once the read model shows it.
pub(crate) async fn settle<E: Entity>(
    viewer: &Viewer,
    tenant: TenantId,
    outcome: Result<Committed, impl Into<ApiError>>,
    arguments: Arguments,
) -> async_graphql::Result<Payload<E>> {
    match outcome {
        Ok(committed) => {
            let entity = after::<E>(viewer, tenant, &committed).await;
            Ok(Payload { outcome: Ok(committed), tenant, entity: entity.transpose() })
        }
        Err(error) => refused(error.into(), arguments),
    }
}

/// The answer of a mutation that failed before its command was sent.
pub(crate) fn refused<E>(error: ApiError, arguments: Arguments) -> async_graphql::Result<Payload<E>> {
    if error.is_user_error() {
        Ok(Payload { outcome: Err(user_errors(&error, arguments)), tenant: PLATFORM, entity: None })
    } else {
        Err(error.into())
    }
}

/// The answer of a mutation whose arguments make no command.
pub(crate) fn invalid<E>(error: UserError) -> Payload<E> {
    Payload { outcome: Err(vec![error]), tenant: PLATFORM, entity: None }
}

/// What several commands have come to by now, as if it were one: the aggregate, and where its log ends.
pub(crate) async fn at_head(viewer: &Viewer, tenant: TenantId, aggregate_id: Uuid) -> Result<Committed, ApiError> {
    let head = sqlx::query_scalar("select position from event_store.heads where tenant_id = $1").bind(tenant.0);
    let first_position = head.fetch_optional(&viewer.app.pools.loader).await?.unwrap_or(0);
    Ok(Committed { aggregate_id, first_position, events: 1, sequence: 0, replayed: false })
}

/// A refusal as a mutation's `userErrors`.
pub(crate) fn user_errors(error: &ApiError, arguments: Arguments) -> Vec<UserError> {
    let one = |message: &str, field| UserError { code: error.code().to_owned(), message: message.to_owned(), field };
    match error.details() {
        [] => vec![one(error.message(), None)],
        details => details.iter().map(|detail| one(&detail.message, Some(arguments.path(&detail.field)))).collect(),
    }
}

fn behind() -> ApiError {
    ApiError::new(Code::ReadModelBehind, "it was done, but the read model does not show it yet; query again with the consistencyToken")
}

async fn after<E: Entity>(viewer: &Viewer, tenant: TenantId, committed: &Committed) -> Result<Option<E>, ApiError> {
    if committed.events > 0 {
        viewer.desk.close();
        viewer.app.freshness.wait(tenant, committed.position(), E::READ_MODELS, PATIENCE).await.map_err(|_| behind())?;
    }
    let mut scope = viewer.scope(tenant, E::READ_MODELS).await?;
    let entity = E::read(&mut scope, committed.aggregate_id).await?;
    scope.end();
    Ok(entity)
}

/// Reads an entity of the chosen workspace as far as the user may see it.
pub(crate) async fn seen<E: Entity>(viewer: &Viewer, id: Uuid) -> Result<Option<E>, ApiError> {
    let Some(Ok(visible)) = E::READ.map(|permission| viewer.may(permission)) else { return Ok(None) };
    let mut scope = viewer.workspace_scope(E::READ_MODELS).await?;
    let entity = match visible {
        Visible::All => E::read(&mut scope, id).await?,
        Visible::OwnedBy(user) => E::read_own(&mut scope, id, user).await?,
    };
    scope.end();
    Ok(entity)
}

/// Reads an entity of the platform or of the chosen workspace for a query: NOT_FOUND where there is none.
pub(crate) async fn found<E: Entity>(viewer: &Viewer, id: Uuid) -> Result<E, ApiError> {
    let mut scope =
        if E::ON_PLATFORM { viewer.platform_scope(E::READ_MODELS).await? } else { viewer.workspace_scope(E::READ_MODELS).await? };
    let entity = E::read(&mut scope, id).await?;
    scope.end();
    entity.ok_or_else(|| ApiError::not_found(format!("there is no {} with the id {id} here", E::type_name())))
}
