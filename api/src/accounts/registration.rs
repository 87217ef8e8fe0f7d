//! Registration: an account in the platform's log, then the PERSONAL workspace in its own. Once the account stands the
//! user is registered; whatever is missing of the workspace is made up for when they sign in.

use super::workspaces::{self, Creation, Step};
use super::{Origin, user_by_email};
use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::passwords::Password;
use crate::system;
use domain::identity::{PasswordRef, User, UserCommand, UserError};
use domain::workspace::WorkspaceKind;
use domain::{Email, Name, PLATFORM, Principal, Slug, TimeZone, UserId, WorkspaceId};
use event_store::{ExecuteError, StoreError, Target};
use rand::RngCore;

/// What a person registers with.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The e-mail address.
    pub email: Email,
    /// The password, which the policy is checked of.
    pub password: Password,
    /// The first name.
    pub first_name: Option<Name>,
    /// The last name.
    pub last_name: Option<Name>,
    /// The time zone; UTC unless given.
    pub timezone: Option<TimeZone>,
}

/// Who has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The user.
    pub user: UserId,
    /// Their PERSONAL workspace.
    pub workspace: WorkspaceId,
}

/// Registers a person: all five steps.
///
/// # Errors
/// VALIDATION_ERROR for a password against the policy; EMAIL_TAKEN; OVERLOADED; the store.
pub async fn register(app: &App, origin: &Origin, new: NewAccount) -> Result<Registered, ApiError> {
    let user = open_account(app, origin, new).await?;
    match complete_personal_workspace(app, origin, user, Step::Confirmed).await {
        Ok(workspace) => Ok(Registered { user, workspace }),
        // To say that it failed would be wrong: the address is theirs now, and signing in completes the rest.
        Err(error) => {
            tracing::warn!(%user, %error, "a registration was interrupted; it is completed when the user signs in");
            Ok(Registered { user, workspace: WorkspaceId::personal(user) })
        }
    }
}

/// Step 1: the account, with its claim on the e-mail address. The password's hash is in the vault before.
///
/// # Errors
/// As [`register`].
pub async fn open_account(app: &App, origin: &Origin, new: NewAccount) -> Result<UserId, ApiError> {
    new.password.check(Some(&new.email)).map_err(|rule| ApiError::invalid_field("password", rule))?;
    // Spares the hash; what decides is the claim.
    if user_by_email(app, &new.email).await?.is_some() {
        return Err(ExecuteError::Refused(UserError::EmailTaken).into());
    }
    let user: UserId = clock::new_id();
    let password = keep_password(app, new.password).await?;
    let command = UserCommand::RegisterUser {
        email: new.email,
        password: password.clone(),
        first_name: new.first_name,
        last_name: new.last_name,
        timezone: new.timezone,
    };
    match app.commands.execute::<User>(&origin.request(Principal::Public, PLATFORM), Target::New(user.0), command).await {
        Ok(_) => Ok(user),
        Err(error) => {
            forget_unless_unknown(app, &password, &error).await;
            Err(error.into())
        }
    }
}

/// Hashes a password and keeps the hash in the vault: durable when this returns.
pub(super) async fn keep_password(app: &App, password: Password) -> Result<PasswordRef, ApiError> {
    let hash = app.passwords.hash(password).await?;
    let secret_ref = clock::new_uuid();
    app.commands.vault().put_secret(PLATFORM, secret_ref, hash.as_bytes()).await?;
    Ok(PasswordRef { secret_ref, algorithm: "argon2id".to_owned(), set_at: None })
}

/// Forgets a hash that no event names, where that is certain.
pub(super) async fn forget_unless_unknown(app: &App, password: &PasswordRef, error: &ExecuteError<UserError>) {
    if matches!(error, ExecuteError::Store(StoreError::Unavailable)) {
        return;
    }
    if let Err(error) = app.commands.vault().drop_secret(PLATFORM, password.secret_ref).await {
        tracing::warn!(%error, "a hash that no account names stays in the vault");
    }
}

/// Steps 2 to 5: the PERSONAL workspace, from the first step that is missing up to `last`.
///
/// # Errors
/// The store; CONFLICT when others are faster time and again.
pub async fn complete_personal_workspace(app: &App, origin: &Origin, user: UserId, last: Step) -> Result<WorkspaceId, ApiError> {
    let id = WorkspaceId::personal(user);
    let mut lost = 0;
    loop {
        let entry = workspaces::entry(app, id.entry().0).await?;
        if entry.is_confirmed() {
            return Ok(id);
        }
        let slug = entry.slug().map_or_else(random_slug, str::to_owned);
        let internal = |error: domain::Invalid| ApiError::internal(&error);
        let creation = Creation {
            id,
            name: Name::try_from("Personal").map_err(internal)?,
            slug: Slug::try_from(slug).map_err(internal)?,
            kind: WorkspaceKind::Personal,
            owner: user,
            plan: None,
        };
        match workspaces::create_workspace(app, &system::REGISTRATION, origin, &creation, last).await {
            Ok(()) => return Ok(id),
            // Two sign-ins at once have each made up a slug, and one was first.
            Err(error) if workspaces::lost_a_race(&error) && lost < 3 => lost += 1,
            Err(error) => return Err(error),
        }
    }
}

/// `p-` and 16 characters of 32: 80 random bits.
fn random_slug() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut bytes);
    let characters = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    "p-".chars().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_personal_slug_is_a_slug_of_16_random_characters() {
        let slug = random_slug();
        assert!(slug.starts_with("p-") && slug.len() == 18, "{slug}");
        assert!(Slug::try_from(slug.as_str()).is_ok());
        assert_ne!(slug, random_slug());
    }
}
