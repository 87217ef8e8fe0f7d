//! What operators do, at the machine or as administrators of the platform: have read models that stand still tried at
//! once, let one pass over an event, and say who administers the platform. Each with a reason or a trace of who did it.

use crate::accounts::{Origin, user_by_email, workspace_by_slug_or_id};
use crate::app::App;
use crate::error::ApiError;
use crate::system::OPERATORS;
use domain::identity::{User, UserCommand};
use domain::operations::{ProjectionControl, ProjectionControlCommand, ProjectionControlError};
use domain::roles::PlatformRole;
use domain::{Email, Key, PLATFORM, Refusal, ShortText, TenantId, UserId};
use event_store::{Request, Target};
use projections::{ControlError, Tried};
use std::time::Duration;

/// How long an operator waits to see what a worker makes of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// An event that a read model is to pass over.
#[derive(Clone, Copy, Debug)]
pub struct Skip<'a> {
    /// The read model.
    pub read_model: &'a str,
    /// The workspace, by slug or id; the platform by its id.
    pub workspace: &'a str,
    /// The event.
    pub position: i64,
    /// Why.
    pub reason: &'a str,
}

/// Has a parked read model tried at once, in one workspace or in all. Changes no rows but those that a worker makes, so
/// the program's own log and a counter are all that is told of it.
///
/// # Errors
/// READ_MODEL_NOT_FOUND, NOT_FOUND, NOT_PARKED, REASON_REQUIRED; the database.
pub async fn retry(app: &App, by: Option<UserId>, read_model: &str, workspace: Option<&str>, reason: &str) -> Result<Tried, ApiError> {
    let reason = checked(reason)?;
    let tenant = match workspace {
        Some(workspace) => Some(tenant(app, workspace).await?),
        None => None,
    };
    let tried = projections::retry(&app.pools.worker, read_model, tenant, PATIENCE).await.map_err(refused)?;
    let by = by.map_or_else(|| "the command line".to_owned(), |user| user.to_string());
    tracing::info!(read_model, ?workspace, by, reason = reason.as_str(), "an operator has had a read model tried");
    crate::metrics::controlled("retry", read_model);
    Ok(tried)
}

/// Lets a read model pass over the event before which it stands still. An event of that workspace's log says so, by
/// which every replay knows.
///
/// # Errors
/// READ_MODEL_NOT_FOUND, NOT_FOUND, POSITION_NOT_FOUND, NOT_PARKED, REASON_REQUIRED; the store.
pub async fn skip(app: &App, origin: &Origin, by: Option<UserId>, key: Option<String>, skip: Skip<'_>) -> Result<Tried, ApiError> {
    let reason = checked(skip.reason)?;
    let tenant = tenant(app, skip.workspace).await?;
    let held = projections::hold(&app.pools.worker, skip.read_model, tenant, skip.position).await.map_err(refused)?;
    let read_model = Key::try_from(skip.read_model).map_err(|error| ApiError::invalid_field("readModel", error))?;
    let command = ProjectionControlCommand::SkipProjectionEvent { read_model, position: skip.position, reason };
    let request = Request { key, ..origin.system(&OPERATORS, tenant, by) };
    app.commands.execute::<ProjectionControl>(&request, Target::Existing(tenant.projection_control().0), command).await?;
    held.release().await?;
    crate::metrics::controlled("skip", skip.read_model);
    match projections::retry(&app.pools.worker, skip.read_model, Some(tenant), PATIENCE).await {
        // A worker was faster.
        Err(ControlError::NotParked { .. }) => Ok(Tried { caught_up: 1, standing: Vec::new(), waiting: Vec::new() }),
        outcome => outcome.map_err(refused),
    }
}

/// Makes a user an administrator of the platform, or one like any other again.
///
/// # Errors
/// NOT_FOUND when nobody has the address; the store.
pub async fn set_administrator(app: &App, email: &Email, administers: bool) -> Result<(), ApiError> {
    let missing = || ApiError::not_found(format!("there is no user {}", email.as_ref()));
    let user = user_by_email(app, email).await?.ok_or_else(missing)?;
    let command = match administers {
        true => UserCommand::GrantPlatformRole { role: PlatformRole::SystemAdmin },
        false => UserCommand::RevokePlatformRole {},
    };
    let request = Origin::new().system(&OPERATORS, PLATFORM, None);
    app.commands.execute::<User>(&request, Target::Existing(user.0), command).await?;
    Ok(())
}

fn checked(reason: &str) -> Result<ShortText, ApiError> {
    if reason.trim().is_empty() {
        let refusal = ProjectionControlError::ReasonRequired;
        return Err(ApiError::refusal(refusal.code(), refusal.to_string(), refusal.field()));
    }
    ShortText::try_from(reason).map_err(|error| ApiError::invalid_field("reason", error))
}

async fn tenant(app: &App, workspace: &str) -> Result<TenantId, ApiError> {
    if workspace.parse::<TenantId>().is_ok_and(|tenant| tenant == PLATFORM) {
        return Ok(PLATFORM);
    }
    let found = workspace_by_slug_or_id(app, workspace).await?;
    let missing = || {
        let message = format!("there is no workspace {workspace:.100}; name it by slug or id, and the platform by {PLATFORM}");
        ApiError::refusal(crate::error::Code::NotFound.name(), message, Some("workspace"))
    };
    Ok(found.ok_or_else(missing)?.into())
}

fn refused(error: ControlError) -> ApiError {
    let said = error.to_string();
    let (code, field) = match error {
        ControlError::Unknown { .. } => ("READ_MODEL_NOT_FOUND", "readModel"),
        ControlError::NotParked { .. } => ("NOT_PARKED", "readModel"),
        ControlError::Elsewhere { .. } | ControlError::Searching { .. } => ("NOT_PARKED", "position"),
        ControlError::NoPosition { .. } => (ProjectionControlError::NoPosition.code(), "position"),
        ControlError::Database(error) => return error.into(),
    };
    ApiError::refusal(code, said, Some(field))
}
