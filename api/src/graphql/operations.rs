//! What administrators of the platform see of the read models of all workspaces, and do about those that stand still.
//! `system.projections` is held on the platform, whatever workspace is chosen.

use super::payload::{Arguments, UserError, user_errors};
use super::viewer::Viewer;
use crate::error::ApiError;
use crate::operations::{self, Skip};
use async_graphql::{Context, Object, Result, SimpleObject};
use domain::roles::SYSTEM_PROJECTIONS;
use projections::{Parked, Position, Status, Tried};

/// What came of having a read model tried.
#[derive(Debug, Default, SimpleObject)]
struct ProjectionControl {
    /// In how many workspaces the read model has caught up.
    caught_up: usize,
    /// What was tried and stands still again, with the error.
    standing: Vec<Parked>,
    /// What no worker has come to yet. It is due, and will be tried.
    waiting: Vec<Parked>,
    /// The rules that stood against it; empty when it was done.
    user_errors: Vec<UserError>,
}

fn answer(outcome: Result<Tried, ApiError>) -> Result<ProjectionControl> {
    match outcome {
        Ok(Tried { caught_up, standing, waiting }) => Ok(ProjectionControl { caught_up, standing, waiting, user_errors: Vec::new() }),
        Err(error) if error.is_user_error() => {
            Ok(ProjectionControl { user_errors: user_errors(&error, Arguments::Inline), ..ProjectionControl::default() })
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Default)]
pub(crate) struct OperationsQuery;

#[Object]
impl OperationsQuery {
    /// How all logs and read models stand. For administrators of the platform.
    async fn projection_status(&self, ctx: &Context<'_>) -> Option<Result<Status>> {
        let status = async {
            let viewer = Viewer::get(ctx)?;
            viewer.administers(SYSTEM_PROJECTIONS).await?;
            Ok::<_, ApiError>(projections::status(&viewer.app.pools.worker).await?)
        };
        Some(status.await.map_err(Into::into))
    }
}

#[derive(Default)]
pub(crate) struct OperationsMutation;

#[Object]
impl OperationsMutation {
    /// Has a read model that stands still tried at once, and waits some seconds for what comes of it. For administrators
    /// of the platform.
    async fn retry_projection(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The read model, as `projectionStatus` names it.")] read_model: String,
        #[graphql(desc = "In this workspace only, by slug or id; the platform by its id. In all unless given.")] workspace: Option<String>,
        #[graphql(desc = "Why: 1 to 1,000 characters. It goes to the program's log.")] reason: String,
    ) -> Option<Result<ProjectionControl>> {
        let retry = async {
            let viewer = Viewer::get(ctx)?;
            let user = viewer.administers(SYSTEM_PROJECTIONS).await?;
            operations::retry(&viewer.app, Some(user), &read_model, workspace.as_deref(), &reason).await
        };
        Some(answer(retry.await))
    }

    /// Lets a read model pass over the event before which it stands still, now and in every replay; an event of the
    /// workspace's log says so. For administrators of the platform.
    async fn skip_projection_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The read model, as `projectionStatus` names it.")] read_model: String,
        #[graphql(desc = "The workspace, by slug or id; the platform by its id.")] workspace: String,
        #[graphql(desc = "The event: the `failing` one of what is parked.")] position: Position,
        #[graphql(desc = "Why: 1 to 1,000 characters. It stays in the workspace's log for ever.")] reason: String,
    ) -> Option<Result<ProjectionControl>> {
        let skip = async {
            let viewer = Viewer::get(ctx)?;
            let user = viewer.administers(SYSTEM_PROJECTIONS).await?;
            let skip = Skip { read_model: &read_model, workspace: &workspace, position: position.0, reason: &reason };
            operations::skip(&viewer.app, viewer.acting(), Some(user), viewer.key(ctx), skip).await
        };
        Some(answer(skip.await))
    }
}
