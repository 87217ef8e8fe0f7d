//! Changing a workspace's slug across two logs: reserve the new one, change the workspace, confirm. The directory
//! decides; a workspace that was left with another slug than the directory's is brought back to it.

use super::Origin;
use super::workspaces::{check_slug, end_if_expired, entry, holder};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::system;
use domain::identity::{WorkspaceEntry, WorkspaceEntryCommand, WorkspaceEntryError};
use domain::roles::WORKSPACE_UPDATE;
use domain::workspace::{Workspace, WorkspaceCommand};
use domain::{Denied, PLATFORM, Principal, Refusal, Slug, UserId, WorkspaceId};
use event_store::{Committed, ExecuteError, Target};

/// Changes the slug of a workspace, for a member who may. Answers with the change in the workspace's own log.
///
/// # Errors
/// FORBIDDEN; NOT_FOUND; SLUG_TAKEN; VALIDATION_ERROR for a slug that reads as an id; CONFLICT when another change
/// came between; the store.
pub async fn change_slug(app: &App, origin: &Origin, user: UserId, workspace: WorkspaceId, slug: Slug) -> Result<Committed, ApiError> {
    let change = Change { app, origin, user, workspace };
    // Before the program reserves anything for them; the workspace checks it again.
    let access = app.commands.access().fresh(workspace.into()).await?;
    if !access.is_member(user) {
        return Err(ApiError::not_found("there is no such workspace, or you are no member of it"));
    }
    if !access.grants(user).allows(WORKSPACE_UPDATE, access.is_owner(user)) {
        return Err(Denied { needs: WORKSPACE_UPDATE.name().to_owned() }.into());
    }
    check_slug(&slug)?;

    let known = entry(app, workspace.entry().0).await?;
    if let Some(next) = known.next_slug().filter(|next| *next != slug.as_str()) {
        change.settle(next).await?;
    }
    if let Some(held) = holder(app, slug.as_str()).await? {
        end_if_expired(app, origin, &held).await?;
    }
    change.tell(WorkspaceEntryCommand::ReserveSlug { slug: slug.clone() }).await?;
    let changed = match change.set(slug.clone()).await {
        Ok(changed) => changed,
        Err(error) => {
            // Where it is not known whether the workspace has changed, the next change will see.
            if !error.is(Code::Unavailable)
                && let Err(unsettled) = change.settle(slug.as_str()).await
            {
                tracing::warn!(%workspace, error = %unsettled, "a slug stays reserved until the next change of it");
            }
            return Err(error);
        }
    };
    match change.tell(WorkspaceEntryCommand::ConfirmSlug { slug }).await {
        Ok(()) => {
            // Another change may have set the workspace back between the two; the directory has the last word.
            if let Err(error) = change.reconcile().await {
                tracing::warn!(%workspace, %error, "whether the workspace agrees with the directory about its slug is not known");
            }
            Ok(changed)
        }
        Err(error) if error.code() == WorkspaceEntryError::SlugNotReserved.code() => {
            change.reconcile().await?;
            Err(ApiError::new(Code::Conflict, "another change of the slug came between; look what it is now, and try again"))
        }
        Err(error) => Err(error),
    }
}

struct Change<'a> {
    app: &'a App,
    origin: &'a Origin,
    user: UserId,
    workspace: WorkspaceId,
}

impl Change<'_> {
    async fn tell(&self, command: WorkspaceEntryCommand) -> Result<(), ApiError> {
        let request = self.origin.system(&system::SLUGS, PLATFORM, Some(self.user));
        self.app.commands.execute::<WorkspaceEntry>(&request, Target::Existing(self.workspace.entry().0), command).await?;
        Ok(())
    }

    async fn set(&self, slug: Slug) -> Result<Committed, ApiError> {
        let request = self.origin.request(Principal::User(self.user), self.workspace.into());
        let changed = self
            .app
            .commands
            .execute::<Workspace>(&request, Target::Existing(self.workspace.0), WorkspaceCommand::ChangeSlug { slug })
            .await;
        changed.map_err(ApiError::from)
    }

    async fn slug(&self) -> Result<Option<String>, ApiError> {
        let state = self.app.commands.state::<Workspace>(self.workspace.into(), self.workspace.0).await?;
        Ok(state.slug().map(str::to_owned))
    }

    /// Ends a change to `next` that was interrupted: confirms what the workspace has done, gives up what it has not.
    async fn settle(&self, next: &str) -> Result<(), ApiError> {
        let slug = Slug::try_from(next).map_err(|error| ApiError::internal(&error))?;
        let done = self.slug().await?.as_deref() == Some(next);
        let command = if done { WorkspaceEntryCommand::ConfirmSlug { slug } } else { WorkspaceEntryCommand::ReleaseSlug { slug } };
        let request = self.origin.system(&system::SLUGS, PLATFORM, Some(self.user));
        match self.app.commands.execute::<WorkspaceEntry>(&request, Target::Existing(self.workspace.entry().0), command).await {
            // Somebody else has ended it.
            Ok(_) | Err(ExecuteError::Refused(WorkspaceEntryError::SlugNotReserved)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings the workspace back to the slug that the directory has for it.
    async fn reconcile(&self) -> Result<(), ApiError> {
        let known = entry(self.app, self.workspace.entry().0).await?;
        let (Some(slug), None) = (known.slug(), known.next_slug()) else { return Ok(()) };
        let slug = Slug::try_from(slug).map_err(|error| ApiError::internal(&error))?;
        self.set(slug).await.map(drop)
    }
}
