//! Anything by its id alone (Relay's Global Object Identification). What kind of thing an id names, the log says;
//! who may not see it, or has chosen another workspace, is told that there is none.

use super::identity::{Session, User};
use super::loaders::load;
use super::payload::{Entity, found, seen};
use super::roles::built_in;
use super::viewer::{Viewer, Visible};
use super::workspace::{Workspace, WorkspaceOf};
use crate::error::ApiError;
use async_graphql::{Context, ID, Interface, Object, Result};
use domain::roles::{Permission, ROLES_READ};
use domain::{Decider, RoleId, WorkspaceId};
use uuid::Uuid;

/// Writes down what an id can name: the user's own, and the entities of workspaces.
macro_rules! nodes {
    ($($part:ident::$entity:ident,)*) => {
        /// Anything that has an id.
        #[derive(Clone, Debug, Interface)]
        #[graphql(field(name = "id", ty = "ID", desc = "The id: a UUID, the same on every face and in the log."))]
        pub(crate) enum Node {
            User(User),
            Session(Session),
            $($entity(super::$part::$entity),)*
        }

        /// What it takes to read each entity, by its name in the schema; nothing for what is the user's own.
        pub(super) fn reads() -> Vec<(String, Option<Permission>)> {
            fn read<E: Entity>() -> (String, Option<Permission>) {
                (E::type_name().into_owned(), E::READ)
            }
            vec![read::<User>(), read::<Session>(), $(read::<super::$part::$entity>()),*]
        }

        /// The entity of this type and id, as far as the user may see it.
        async fn of_kind(viewer: &Viewer, kind: &str, id: Uuid) -> Result<Option<Node>, ApiError> {
            match kind {
                $(kind if kind == <super::$part::$entity as Entity>::Aggregate::TYPE => Ok(seen::<super::$part::$entity>(viewer, id).await?.map(Node::from)),)*
                _ => Ok(None),
            }
        }
    };
}

nodes! {
    workspace::Workspace,
    workspace::Member,
    roles::Role,
    pipeline::Pipeline,
    pipeline::Item,
    pipeline::TaskTemplate,
    pipeline::Task,
}

#[derive(Default)]
pub(crate) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything by its id: what is the user's own, and what they may see in the chosen workspace.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: ID) -> Option<Result<Node>> {
        Some(node(ctx, &id).await)
    }
}

async fn node(ctx: &Context<'_>, id: &str) -> Result<Node> {
    let viewer = Viewer::of(ctx)?;
    let user = viewer.signed()?.user;
    let id = Uuid::try_parse(id)
        .map_err(|_| ApiError::invalid_field("id", "is no id: ids are UUIDs such as 01a3b8f0-7c1e-7d2a-9f00-3b6a5d4c2e10"))?;
    if let Some(node) = in_workspace(viewer, id).await? {
        return Ok(node);
    }
    if id == user.0 {
        return Ok(found::<User>(viewer, id).await?.into());
    }
    let mut scope = viewer.platform_scope(Session::READ_MODELS).await?;
    let session = Session::read(&mut scope, id).await?;
    scope.end();
    if let Some(session) = session {
        return Ok(session.into());
    }
    let workspace = load(ctx, WorkspaceOf(WorkspaceId(id))).await?;
    let missing = || {
        ApiError::not_found(format!(
            "there is nothing with the id {id} here that you may see; what belongs to a workspace needs the header Annals-Workspace"
        ))
    };
    Ok(workspace.map(Workspace::from).ok_or_else(missing)?.into())
}

/// What an id names in the chosen workspace, if one is chosen and the user may see it.
async fn in_workspace(viewer: &Viewer, id: Uuid) -> Result<Option<Node>, ApiError> {
    let Some(chosen) = &viewer.chosen else { return Ok(None) };
    if let (Some(role), Ok(Visible::All)) = (built_in(chosen.workspace, RoleId(id)), viewer.may(ROLES_READ)) {
        return Ok(Some(role.into()));
    }
    let mut scope = viewer.workspace_scope(&[]).await?;
    let kind: Option<String> =
        sqlx::query_scalar("select aggregate_type from event_store.events where aggregate_id = $1 and sequence = 1 and tenant_id = $2")
            .bind(id.to_string())
            .bind(scope.tenant().0)
            .fetch_optional(scope.connection())
            .await?;
    scope.end();
    match kind {
        Some(kind) => of_kind(viewer, &kind, id).await,
        None => Ok(None),
    }
}
