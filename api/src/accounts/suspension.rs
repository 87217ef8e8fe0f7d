//! Suspending a workspace, and ending that: what who runs the platform does from the command line, until there are
//! system administrators.

use super::{Origin, workspace_by_slug_or_id};
use crate::app::App;
use crate::error::ApiError;
use crate::system;
use clap::Subcommand;
use domain::ShortText;
use domain::workspace::{Workspace, WorkspaceCommand};
use event_store::Target;

/// What is done to a workspace as a whole.
#[derive(Clone, Debug, Subcommand)]
pub enum Standing {
    /// Lets nothing be done in a workspace but reading, and billing by its owners and administrators
    Suspend {
        /// The workspace, by its slug or id
        workspace: String,
        /// Why: at most 1,000 characters; it stands in the log
        #[arg(long, value_parser = |text: &str| ShortText::try_from(text).map_err(|error| error.to_string()))]
        reason: Option<ShortText>,
    },
    /// Ends a suspension
    Reinstate {
        /// The workspace, by its slug or id
        workspace: String,
    },
}

/// Carries it out. Done again, it changes nothing.
///
/// # Errors
/// NOT_FOUND; INVALID_STATE for a deleted workspace; the store.
pub async fn set_standing(app: &App, standing: Standing) -> Result<(), ApiError> {
    let (name, command) = match standing {
        Standing::Suspend { workspace, reason } => (workspace, WorkspaceCommand::SuspendWorkspace { reason }),
        Standing::Reinstate { workspace } => (workspace, WorkspaceCommand::ReinstateWorkspace {}),
    };
    let workspace = workspace_by_slug_or_id(app, &name).await?;
    let workspace = workspace.ok_or_else(|| ApiError::not_found(format!("there is no workspace {name:.100}; give its slug or id")))?;
    let request = Origin::new().system(&system::SUSPENSIONS, workspace.into(), None);
    app.commands.execute::<Workspace>(&request, Target::Existing(workspace.0), command).await?;
    Ok(())
}
