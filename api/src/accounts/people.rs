//! People whom the program makes users and members: those an import or the demo names.

use super::Origin;
use crate::app::App;
use crate::error::ApiError;
use domain::identity::{User, UserCommand, UserError};
use domain::roles::BuiltInRole;
use domain::workspace::{MemberProfile, MemberSource, Membership, MembershipCommand};
use domain::{ClaimName, Email, Name, PLATFORM, Personal, SystemCaller, Title, UserId, WorkspaceId};
use event_store::{ExecuteError, Target};

/// A person to make a user of.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Under which id: the same person again must come under the same.
    pub id: UserId,
    /// The e-mail address.
    pub email: Email,
    /// The first name.
    pub first_name: Option<Name>,
    /// The last name.
    pub last_name: Option<Name>,
    /// The display name.
    pub name: Option<Name>,
}

/// Who has this e-mail address.
///
/// # Errors
/// The store.
pub async fn user_by_email(app: &App, email: &Email) -> Result<Option<UserId>, ApiError> {
    let holder = app.commands.claim_holder(PLATFORM, &ClaimName::personal("email", email.as_str())).await?;
    Ok(holder.map(UserId))
}

/// Makes a user without a password. The same id again changes nothing.
///
/// # Errors
/// EMAIL_TAKEN when another user has the address; a caller that may not; the store.
pub async fn provision_user(app: &App, by: &'static SystemCaller, origin: &Origin, new: NewUser) -> Result<UserId, ApiError> {
    let NewUser { id, email, first_name, last_name, name } = new;
    let command = UserCommand::ProvisionUser { email, first_name, last_name, name };
    match app.commands.execute::<User>(&origin.system(by, PLATFORM, None), Target::Existing(id.0), command).await {
        Ok(_) | Err(ExecuteError::Refused(UserError::AlreadyExists)) => Ok(id),
        Err(error) => Err(error.into()),
    }
}

/// Makes a user a member, on behalf of whoever wants it. The same roles again change nothing.
///
/// # Errors
/// NOT_FOUND when there is no such user or workspace; ALREADY_MEMBER with other roles; QUOTA_EXCEEDED; the store.
#[expect(clippy::too_many_arguments, reason = "who, where, whom, as what, and for whom")]
pub async fn add_member(
    app: &App,
    by: &'static SystemCaller,
    origin: &Origin,
    on_behalf_of: Option<UserId>,
    workspace: WorkspaceId,
    user: UserId,
    roles: Vec<BuiltInRole>,
    source: MemberSource,
) -> Result<(), ApiError> {
    let profile = profile(app, user).await?;
    let roles = roles.into_iter().map(Into::into).collect();
    let command = MembershipCommand::AddMember { user_id: user, roles, source, profile };
    let request = origin.system(by, workspace.into(), on_behalf_of);
    app.commands.execute::<Membership>(&request, Target::Existing(workspace.membership(user).0), command).await?;
    Ok(())
}

/// What a workspace shows of a user.
async fn profile(app: &App, user: UserId) -> Result<MemberProfile, ApiError> {
    let state = app.commands.state::<User>(PLATFORM, user.0).await?;
    let account = state.account().ok_or_else(|| ApiError::not_found("there is no such user; register them first"))?;
    let email = account.email.open().ok_or_else(|| ApiError::not_found("this user's data is erased; nobody can be made a member of it"))?;
    let name = account.name.as_ref().and_then(Personal::open);
    Ok(MemberProfile {
        // What the domain once accepted as a name it accepts again; if not, the member has none.
        name: name.and_then(|name| Title::try_from(name.as_str()).ok()),
        email: Email::try_from(email.as_str()).map_err(|error| ApiError::internal(&error))?,
    })
}
