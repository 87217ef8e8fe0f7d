//! Changing one's password: the current one must be right, and other sessions end.

use super::registration::{forget_unless_unknown, keep_password};
use super::{Origin, end_session, sign_in};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::passwords::Password;
use domain::identity::{RevokeReason, User, UserCommand};
use domain::{Email, PLATFORM, Principal, SessionId, UserId};
use event_store::Target;

/// What a user says to change their password.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    /// The password until now.
    pub current: Password,
    /// The new one.
    pub new: Password,
    /// The new one again.
    pub confirm: Password,
}

/// Changes a user's password and ends `others`: their sessions but the one that asks.
///
/// # Errors
/// VALIDATION_ERROR for a new password against the policy or not confirmed; WRONG_PASSWORD; OVERLOADED; the store.
pub async fn change_password(
    app: &App,
    origin: &Origin,
    user: UserId,
    change: PasswordChange,
    others: &[SessionId],
) -> Result<(), ApiError> {
    let state = app.commands.state::<User>(PLATFORM, user.0).await?;
    let account = state.account().ok_or_else(ApiError::unauthenticated)?;
    let email = account.email.open().and_then(|email| Email::try_from(email.as_str()).ok());
    change.new.check(email.as_ref()).map_err(|rule| ApiError::invalid_field("newPassword", rule))?;
    if !change.new.is(&change.confirm) {
        return Err(ApiError::invalid_field("passwordConfirm", "must be the same as the new password"));
    }
    if !sign_in::is_password(app, account, change.current).await? {
        return Err(ApiError::refusal("WRONG_PASSWORD", "this is not your current password", Some("currentPassword")));
    }
    let old = account.password.clone();
    let password = keep_password(app, change.new).await?;
    let command = UserCommand::ChangePassword { password: password.clone() };
    if let Err(error) =
        app.commands.execute::<User>(&origin.request(Principal::User(user), PLATFORM), Target::Existing(user.0), command).await
    {
        forget_unless_unknown(app, &password, &error).await;
        return Err(error.into());
    }
    for session in others {
        match end_session(app, origin, user, *session, RevokeReason::Password).await {
            Err(error) if !error.is(Code::NotFound) => return Err(error),
            _ => {}
        }
    }
    if let Some(old) = old {
        // The new one counts already; that the old hash stays a while longer harms nobody.
        if let Err(error) = app.commands.vault().drop_secret(PLATFORM, old.secret_ref).await {
            tracing::warn!(%error, "the hash of a former password stays in the vault");
        }
    }
    Ok(())
}
