//! Creating a workspace across two logs (steps 2 to 5 of `spec/identity.md`), and finding one. The directory's entry
//! is what says that a workspace exists: until it is confirmed, nobody finds it.

use super::{Origin, people::add_member};
use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::system;
use domain::identity::{WorkspaceEntry, WorkspaceEntryCommand, WorkspaceEntryError};
use domain::roles::BuiltInRole;
use domain::workspace::{MemberSource, MembershipError, Plan, Workspace, WorkspaceCommand, WorkspaceError, WorkspaceKind};
use domain::{ClaimName, Name, PLATFORM, Principal, Refusal, Slug, SystemCaller, UserId, WorkspaceId};
use event_store::{ExecuteError, StoreError, Target};
use uuid::Uuid;

/// How far a creation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Step 2: the directory keeps the slug for it.
    Reserved,
    /// Step 3: it is in its own log, with its plan.
    Created,
    /// Step 4: its owner is a member.
    Joined,
    /// Step 5: its slug resolves.
    Confirmed,
}

/// A workspace to create.
#[derive(Clone, Debug)]
pub struct Creation {
    /// The workspace.
    pub id: WorkspaceId,
    /// Its name for people.
    pub name: Name,
    /// Its name in addresses.
    pub slug: Slug,
    /// One person's or a team's.
    pub kind: WorkspaceKind,
    /// Who creates and owns it.
    pub owner: UserId,
    /// What it may use, if not the least.
    pub plan: Option<Plan>,
}

/// A TEAM workspace to create.
#[derive(Clone, Debug)]
pub struct NewTeam {
    /// Under which id, if it is free: a repeated creation comes under the same.
    pub id: WorkspaceId,
    /// Its name for people.
    pub name: Name,
    /// Its name in addresses.
    pub slug: Slug,
    /// What it may use; the program alone may ask for more than the least.
    pub plan: Option<Plan>,
}

/// Carries a creation on to `last`, in the program's own name where the spec says so. Steps that were done before
/// are left as they are.
///
/// # Errors
/// SLUG_TAKEN, QUOTA_EXCEEDED; CONFLICT when the id stands for something else; the store.
pub async fn create_workspace(app: &App, by: &'static SystemCaller, origin: &Origin, new: &Creation, last: Step) -> Result<(), ApiError> {
    let Creation { id, name, slug, kind, owner, plan } = new.clone();
    let reserve = WorkspaceEntryCommand::ReserveWorkspace { workspace_id: id, slug: slug.clone(), kind, owner_id: owner };
    app.commands.execute::<WorkspaceEntry>(&origin.system(by, PLATFORM, Some(owner)), Target::Existing(id.entry().0), reserve).await?;
    if last == Step::Reserved {
        return Ok(());
    }
    // The reservation stands: an expired one was prolonged just now.
    let create = WorkspaceCommand::CreateWorkspace { name, slug, kind, plan: None };
    let created =
        app.commands.execute::<Workspace>(&origin.request(Principal::User(owner), id.into()), Target::Existing(id.0), create).await;
    done_before(created, &WorkspaceError::AlreadyExists)?;
    if let Some(plan) = plan {
        let change = WorkspaceCommand::ChangePlan { plan, reason: None };
        app.commands.execute::<Workspace>(&origin.system(&system::PLANS, id.into(), Some(owner)), Target::Existing(id.0), change).await?;
    }
    if last == Step::Created {
        return Ok(());
    }
    finish(app, by, origin, id, owner, last).await
}

/// Steps 4 and 5, for a workspace that is in its log.
async fn finish(app: &App, by: &'static SystemCaller, origin: &Origin, id: WorkspaceId, owner: UserId, last: Step) -> Result<(), ApiError> {
    let joined = add_member(app, by, origin, Some(owner), id, owner, vec![BuiltInRole::Admin], MemberSource::Creator).await;
    match joined {
        Err(error) if error.code() != MembershipError::AlreadyMember.code() => return Err(error),
        _ => {}
    }
    if last == Step::Joined {
        return Ok(());
    }
    let confirm = WorkspaceEntryCommand::ConfirmWorkspace {};
    app.commands.execute::<WorkspaceEntry>(&origin.system(by, PLATFORM, Some(owner)), Target::Existing(id.entry().0), confirm).await?;
    Ok(())
}

fn done_before<T, E: Refusal>(outcome: Result<T, ExecuteError<E>>, before: &E) -> Result<(), ApiError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(ExecuteError::Refused(refusal)) if refusal == *before => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Creates a TEAM workspace for its owner. A creation of theirs under the same slug that was interrupted is carried
/// on, under the id it began with; the same id again, once it is confirmed, changes nothing.
///
/// # Errors
/// SLUG_TAKEN, QUOTA_EXCEEDED; VALIDATION_ERROR for a slug that reads as an id; CONFLICT; the store.
pub async fn create_team_workspace(app: &App, origin: &Origin, owner: UserId, new: NewTeam) -> Result<WorkspaceId, ApiError> {
    check_slug(&new.slug)?;
    let entry = entry(app, new.id.entry().0).await?;
    if entry.is_confirmed() && entry.owner() == Some(owner) && entry.kind() == Some(WorkspaceKind::Team) {
        return Ok(new.id);
    }
    let mut creation = Creation { id: new.id, name: new.name, slug: new.slug, kind: WorkspaceKind::Team, owner, plan: new.plan };
    if let Some(held) = holder(app, creation.slug.as_str()).await? {
        let began = held.slug() == Some(creation.slug.as_str()) && held.owner() == Some(owner) && held.kind() == Some(WorkspaceKind::Team);
        match held.workspace_id() {
            Some(id) if began && !held.is_confirmed() => creation.id = id,
            _ => end_if_expired(app, origin, &held).await?,
        }
    }
    create_workspace(app, &system::TEAMS, origin, &creation, Step::Confirmed).await?;
    Ok(creation.id)
}

/// A slug that reads as an id would never be found: see [`workspace_by_slug_or_id`].
pub(super) fn check_slug(slug: &Slug) -> Result<(), ApiError> {
    if as_id(slug.as_str()).is_some() { Err(ApiError::invalid_field("slug", "must not look like an id; choose words")) } else { Ok(()) }
}

fn as_id(text: &str) -> Option<WorkspaceId> {
    // The hyphenated form only: 32 digits in a row are a fine slug.
    (text.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::parse_str(text).ok().map(WorkspaceId)).flatten()
}

pub(super) async fn entry(app: &App, id: Uuid) -> Result<WorkspaceEntry, StoreError> {
    app.commands.state::<WorkspaceEntry>(PLATFORM, id).await
}

/// The entry that holds a slug, as the one it has, reserved, or is about to have.
pub(super) async fn holder(app: &App, slug: &str) -> Result<Option<WorkspaceEntry>, StoreError> {
    app.commands.holder(PLATFORM, &ClaimName::clear("slug", slug)).await
}

/// Another wants the slug of this reservation: once it has expired, it is given up where nothing was created under
/// it, and carried to its end where something was.
pub(super) async fn end_if_expired(app: &App, origin: &Origin, held: &WorkspaceEntry) -> Result<(), ApiError> {
    let (Some(entry), true) = (held.entry(), held.expired(clock::now())) else { return Ok(()) };
    let id = entry.workspace_id;
    if app.commands.state::<Workspace>(id.into(), id.0).await? != Workspace::Absent {
        return finish(app, &system::RESERVATIONS, origin, id, entry.owner_id, Step::Confirmed).await;
    }
    // Between the look and the release its owner could create it only if they had begun an hour ago and paused
    // at that very step; their confirmation would then be refused, and the workspace never be found.
    let release = WorkspaceEntryCommand::ReleaseWorkspace {};
    let released = app
        .commands
        .execute::<WorkspaceEntry>(&origin.system(&system::RESERVATIONS, PLATFORM, None), Target::Existing(id.entry().0), release)
        .await;
    match released {
        // It was prolonged or confirmed meanwhile: then the slug is taken, and the reservation will be told so.
        Ok(_) | Err(ExecuteError::Refused(WorkspaceEntryError::StillReserved | WorkspaceEntryError::InvalidState)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The workspace of this slug or id, once it is confirmed. What reads as an id is one; no slug does. Read from the
/// log each time (two look-ups by key), so that a slug that has changed never leads to its former workspace.
///
/// # Errors
/// The store.
pub async fn workspace_by_slug_or_id(app: &App, text: &str) -> Result<Option<WorkspaceId>, ApiError> {
    let found = match as_id(text) {
        Some(id) => Some(entry(app, id.entry().0).await?),
        None if Slug::try_from(text).is_err() => None,
        None => holder(app, text).await?.filter(|entry| entry.slug() == Some(text)),
    };
    Ok(found.filter(WorkspaceEntry::is_confirmed).and_then(|entry| entry.workspace_id()))
}

/// True when the creation should be tried with what the directory says now: another process was faster.
pub(super) fn lost_a_race(error: &ApiError) -> bool {
    error.is(Code::Conflict) || error.code() == WorkspaceEntryError::SlugTaken.code()
}
