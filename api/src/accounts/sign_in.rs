//! Signing in and what follows from it. A stranger who fails learns nothing: not whether there is such an account,
//! not whether it is locked, neither from the answer nor from the time it takes.

use super::{Origin, complete_personal_workspace, user_by_email, workspaces::Step};
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::passwords::Password;
use crate::system;
use crate::tokens::{Claims, RefreshToken};
use axum::http::{HeaderMap, header};
use domain::identity::{
    Account, LoginFailure, LoginMethod, RevokeReason, Session, SessionCommand, SessionError, User, UserCommand, UserError, UserStatus,
};
use domain::{Email, Moment, PLATFORM, Principal, SessionId, Title, UserId, WorkspaceId};
use event_store::{ExecuteError, StoreError, Target};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// A failed sign-in is answered no sooner than this: longer than any of the ways to fail takes.
const FAILURE_TAKES: Duration = Duration::from_millis(250);

/// Who sends a request, by its access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The user.
    pub user: UserId,
    /// The session; none for a token that an operator made.
    pub session: Option<SessionId>,
    /// Where the user works when the request names no workspace.
    pub workspace: Option<WorkspaceId>,
}

/// A user who has just signed in, or refreshed their session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The account.
    pub account: Account,
    /// The session.
    pub session: SessionId,
    /// A token for requests, good for [`crate::tokens::ACCESS_SECONDS`].
    pub access_token: String,
    /// A token for the next refresh, good once.
    pub refresh_token: String,
    /// Until when.
    pub refresh_expires_at: Moment,
}

/// Why an attempt failed.
enum Failure {
    /// The stranger learns nothing.
    Refused,
    /// Something else.
    Other(ApiError),
}

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Signs a user in by password, completing a registration that was interrupted.
///
/// # Errors
/// UNAUTHENTICATED, whatever was wrong; ACCOUNT_DISABLED to those who know the password; OVERLOADED; the store.
pub async fn sign_in(
    app: &App,
    origin: &Origin,
    email: &Email,
    password: Password,
    client_label: Option<Title>,
) -> Result<SignedIn, ApiError> {
    let not_before = Instant::now() + FAILURE_TAKES;
    match attempt(app, origin, email, password, client_label).await {
        Ok(signed_in) => Ok(signed_in),
        Err(Failure::Other(error)) => Err(error),
        Err(Failure::Refused) => {
            tokio::time::sleep_until(not_before).await;
            Err(ApiError::new(
                Code::Unauthenticated,
                "the e-mail address or the password is wrong, or the account is locked for 15 minutes after too many failed sign-ins",
            ))
        }
    }
}

async fn attempt(app: &App, origin: &Origin, email: &Email, password: Password, client_label: Option<Title>) -> Result<SignedIn, Failure> {
    let Some(user) = user_by_email(app, email).await? else {
        app.passwords.verify_nobody(password).await?;
        return Err(Failure::Refused);
    };
    let state = app.commands.state::<User>(PLATFORM, user.0).await?;
    let Some(account) = state.account() else {
        app.passwords.verify_nobody(password).await?;
        return Err(Failure::Refused);
    };
    if account_locked(&state) {
        app.passwords.verify_nobody(password).await?;
        return failed(app, origin, user, LoginFailure::Locked).await;
    }
    if !is_password(app, account, password).await? {
        return failed(app, origin, user, LoginFailure::BadPassword).await;
    }
    enabled(account)?;
    complete_personal_workspace(app, origin, user, Step::Confirmed).await?;

    let session: SessionId = clock::new_id();
    let token = RefreshToken::random(session);
    let login = UserCommand::RecordLogin { method: LoginMethod::Password, session_id: session };
    let noted = app.commands.execute::<User>(&origin.system(&system::SIGN_IN, PLATFORM, Some(user)), Target::Existing(user.0), login).await;
    unless_locked(noted, &UserError::AccountLocked)?;
    let start = SessionCommand::StartSession { user_id: user, method: LoginMethod::Password, refresh_hash: token.hash(), client_label };
    let started =
        app.commands.execute::<Session>(&origin.system(&system::SIGN_IN, PLATFORM, Some(user)), Target::New(session.0), start).await;
    unless_locked(started, &SessionError::AccountLocked)?;
    Ok(issue(app, account, &token).await?)
}

fn account_locked(user: &User) -> bool {
    user.is_locked(clock::now())
}

/// Others may have locked the account while the password was checked.
fn unless_locked<T, E: domain::Refusal>(outcome: Result<T, ExecuteError<E>>, locked: &E) -> Result<(), Failure> {
    match outcome {
        Ok(_) => Ok(()),
        Err(ExecuteError::Refused(refusal)) if refusal == *locked => Err(Failure::Refused),
        Err(error) => Err(error.into()),
    }
}

async fn failed(app: &App, origin: &Origin, user: UserId, reason: LoginFailure) -> Result<SignedIn, Failure> {
    let failure = UserCommand::RecordLoginFailure { reason };
    app.commands.execute::<User>(&origin.system(&system::SIGN_IN, PLATFORM, Some(user)), Target::Existing(user.0), failure).await?;
    Err(Failure::Refused)
}

/// Is this the account's password? Takes as long where there is none.
pub(super) async fn is_password(app: &App, account: &Account, password: Password) -> Result<bool, ApiError> {
    let hash = match &account.password {
        Some(kept) => app.commands.vault().secret(PLATFORM, kept.secret_ref).await?,
        None => None,
    };
    let Some(hash) = hash else {
        app.passwords.verify_nobody(password).await?;
        return Ok(false);
    };
    let hash = std::str::from_utf8(&hash).map_err(|error| ApiError::internal(&error))?;
    Ok(app.passwords.verify(password, Zeroizing::new(hash.to_owned())).await?)
}

/// ACCOUNT_DISABLED once there are users who are deactivated or deleted: each status says here whether it may.
fn enabled(account: &Account) -> Result<(), ApiError> {
    match account.status {
        UserStatus::PendingVerification => Ok(()),
    }
}

/// The answer to a sign-in or a refresh, which must have left this token as the good one.
async fn issue(app: &App, account: &Account, token: &RefreshToken) -> Result<SignedIn, ApiError> {
    let state = app.commands.state::<Session>(PLATFORM, token.session.0).await?;
    let live = state.live(clock::now()).filter(|live| live.refresh_hash == token.hash().as_str() && live.user_id == account.id);
    let live = live.ok_or_else(ended)?;
    let workspace = live.workspace_id.or(account.default_workspace_id);
    Ok(SignedIn {
        account: account.clone(),
        session: token.session,
        access_token: app.tokens.issue(account.id, Some(token.session), workspace, clock::now()),
        refresh_token: token.to_text(),
        refresh_expires_at: live.refresh_expires_at,
    })
}

fn ended() -> ApiError {
    ApiError::new(Code::Unauthenticated, "the session is over or the refresh token is not good; sign in again")
}

/// Exchanges a refresh token for a new pair. One that was used before ends its session.
///
/// # Errors
/// UNAUTHENTICATED, whatever was wrong; ACCOUNT_DISABLED; the store.
pub async fn refresh(app: &App, origin: &Origin, refresh_token: &str) -> Result<SignedIn, ApiError> {
    let presented = RefreshToken::parse(refresh_token).ok_or_else(ended)?;
    let session = presented.session;
    let new = RefreshToken::random(session);
    let origin = Origin { session: Some(session), ..origin.clone() };
    let command = SessionCommand::RefreshSession { presented_hash: presented.hash(), new_hash: new.hash() };
    match app.commands.execute::<Session>(&origin.request(Principal::Public, PLATFORM), Target::Existing(session.0), command).await {
        Ok(_) => {}
        // Which of them it was is no business of whoever holds a bad token.
        Err(ExecuteError::Refused(_)) => return Err(ended()),
        Err(error) => return Err(error.into()),
    }
    let state = app.commands.state::<Session>(PLATFORM, session.0).await?;
    if state.revoked() == Some(RevokeReason::Reuse) {
        tracing::warn!(target: "security", kind = "REFRESH_TOKEN_REUSE", %session, "a spent refresh token was presented; its session is ended");
    }
    let (Some(user), None) = (state.user_id(), state.revoked()) else {
        app.tokens.end_session(session).await;
        return Err(ended());
    };
    let user = app.commands.state::<User>(PLATFORM, user.0).await?;
    let account = user.account().ok_or_else(ended)?;
    enabled(account)?;
    issue(app, account, &new).await
}

/// Ends the session of the access token in these headers: its tokens are good no more. Again changes nothing.
///
/// # Errors
/// UNAUTHENTICATED without a good token; INVALID_STATE for a token of no session; the store.
pub async fn logout(app: &App, origin: &Origin, headers: &HeaderMap) -> Result<(), ApiError> {
    let claims = claims(app, headers)?.ok_or_else(ApiError::unauthenticated)?;
    let session = claims
        .session
        .ok_or_else(|| ApiError::new(Code::InvalidState, "this access token belongs to no session; it ends by itself within 15 minutes"))?;
    let origin = Origin { session: Some(session), ..origin.clone() };
    end_session(app, &origin, claims.user, session, RevokeReason::Logout).await
}

/// Ends a session of a user, on their word.
///
/// # Errors
/// NOT_FOUND; FORBIDDEN when it is another user's; the store.
pub async fn end_session(app: &App, origin: &Origin, user: UserId, session: SessionId, reason: RevokeReason) -> Result<(), ApiError> {
    let command = SessionCommand::RevokeSession { reason };
    app.commands.execute::<Session>(&origin.request(Principal::User(user), PLATFORM), Target::Existing(session.0), command).await?;
    app.tokens.end_session(session).await;
    Ok(())
}

/// Who sends a request with these headers; nobody without an Authorization header.
///
/// The session is looked at too, at most once in five seconds: what this process ends, ends at once, what another
/// ends, within those five seconds.
///
/// # Errors
/// UNAUTHENTICATED for a token that is not good or whose session is over; the store.
pub async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Option<Signed>, ApiError> {
    let Some(claims) = claims(app, headers)? else { return Ok(None) };
    if let Some(session) = claims.session {
        let look = async {
            let state = app.commands.state::<Session>(PLATFORM, session.0).await?;
            Ok::<_, StoreError>(state.live(clock::now()).map(|live| live.user_id))
        };
        let user = app.tokens.session_user(session, look).await.map_err(|error| ApiError::from(&*error))?;
        if user != Some(claims.user) {
            return Err(ApiError::new(Code::Unauthenticated, "the session of this access token is over; sign in again"));
        }
    }
    Ok(Some(Signed { user: claims.user, session: claims.session, workspace: claims.workspace }))
}

/// What the access token in these headers says; nothing without an Authorization header.
fn claims(app: &App, headers: &HeaderMap) -> Result<Option<Claims>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        // RFC 9110, section 11.1: the scheme's case does not matter.
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match (token, values.next()) {
        (Some(token), None) => {
            app.tokens.verify(token, clock::now()).map(Some).map_err(|error| ApiError::new(Code::Unauthenticated, error.to_string()))
        }
        _ => Err(ApiError::unauthenticated()),
    }
}
