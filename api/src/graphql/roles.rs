//! Roles and permissions: constants of the program, and who holds them as the log says, never a read model.

use super::loaders::{Key, load};
use super::viewer::Viewer;
use super::workspace::MEMBERS;
use crate::error::ApiError;
use async_graphql::{Context, Enum, Object, Result, SimpleObject};
use domain::roles::{self, BuiltInRole, GrantSet, MEMBERS_READ, ROLES_READ};
use domain::{UserId, WorkspaceId};
use projections::NodeId;
use projections::workspace::{MemberFilter, count_members};
use std::collections::HashMap;

/// Whose records a permission is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::roles::Scope", name = "PermissionScope")]
enum Scope {
    /// One's own: those one has made or is assigned to, and those that were shared with one.
    Own,
    /// All of the workspace.
    Any,
}

/// Something that can be allowed.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub(crate) struct Permission {
    /// Its name, `resource.action`: `pipelines.update`.
    name: &'static str,
    /// What it is about: `pipelines`.
    resource: &'static str,
    /// What may be done: `update`.
    action: &'static str,
}

impl From<roles::Permission> for Permission {
    fn from(permission: roles::Permission) -> Self {
        Self { name: permission.name(), resource: permission.resource(), action: permission.action() }
    }
}

/// A permission that is held.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub(crate) struct PermissionGrant {
    #[graphql(flatten)]
    permission: Permission,
    /// Whose records it is held for.
    scope: Scope,
}

fn granted(grants: &GrantSet) -> Vec<PermissionGrant> {
    grants.iter().map(|grant| PermissionGrant { permission: grant.permission.into(), scope: grant.scope.into() }).collect()
}

/// What members may do, by a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Role {
    role: BuiltInRole,
    workspace: WorkspaceId,
}

impl Role {
    pub(super) fn new(role: BuiltInRole, workspace: WorkspaceId) -> Self {
        Self { role, workspace }
    }
}

/// What members may do, by a name. Roles add up.
#[Object]
impl Role {
    /// Its name for programs: `operator`.
    async fn key(&self) -> &'static str {
        self.role.key()
    }

    /// Its name for people.
    async fn name(&self) -> &'static str {
        self.role.label()
    }

    /// What it is for.
    async fn description(&self) -> &'static str {
        self.role.description()
    }

    /// True for the roles that every workspace has and none can edit.
    async fn is_system(&self) -> bool {
        true
    }

    /// What it grants, by name.
    async fn permissions(&self) -> Vec<PermissionGrant> {
        granted(self.role.grants())
    }

    /// How many active members have it.
    async fn member_count(&self, ctx: &Context<'_>) -> Option<Result<i64>> {
        let count = async {
            Viewer::get(ctx)?.may_all(self.workspace, MEMBERS_READ).await?;
            Ok::<_, async_graphql::Error>(load(ctx, MembersIn(self.workspace, self.role)).await?.unwrap_or(0))
        };
        Some(count.await)
    }
}

/// How many active members of a workspace have a role.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct MembersIn(WorkspaceId, BuiltInRole);

impl Key for MembersIn {
    type Value = i64;

    async fn load(viewer: &Viewer, keys: &[Self]) -> Result<HashMap<Self, i64>, ApiError> {
        let mut counts = HashMap::with_capacity(keys.len());
        let mut workspaces: Vec<WorkspaceId> = keys.iter().map(|key| key.0).collect();
        workspaces.sort();
        workspaces.dedup();
        for workspace in workspaces {
            if !viewer.sees_all(workspace, MEMBERS_READ).await? {
                continue;
            }
            let mut scope = viewer.scope(workspace.into(), MEMBERS).await?;
            for key in keys.iter().filter(|key| key.0 == workspace) {
                let filter = MemberFilter { role: Some(key.1.key().to_owned()), ..MemberFilter::default() };
                counts.insert(*key, count_members(&mut scope, &filter).await?);
            }
            scope.end().await?;
        }
        Ok(counts)
    }
}

#[derive(Default)]
pub(crate) struct RoleQuery;

#[Object]
impl RoleQuery {
    /// The roles that members of the workspace can have, from the most powerful on.
    #[graphql(complexity = "9 * child_complexity")]
    async fn roles(&self, ctx: &Context<'_>) -> Option<Result<Vec<Role>>> {
        let list = || {
            let viewer = Viewer::get(ctx)?;
            viewer.may(ROLES_READ)?;
            let workspace = viewer.chosen()?.workspace;
            Ok::<_, ApiError>(BuiltInRole::ALL.iter().map(|role| Role::new(*role, workspace)).collect())
        };
        Some(list().map_err(Into::into))
    }

    /// What can be allowed in a workspace, by name.
    async fn permissions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is about this resource only, such as `pipelines`.")] resource: Option<String>,
    ) -> Option<Result<Vec<Permission>>> {
        Some(catalogue(ctx, resource.as_deref()).map_err(Into::into))
    }

    /// What the user may do in the workspace, by name.
    async fn my_permissions(&self, ctx: &Context<'_>) -> Option<Result<Vec<PermissionGrant>>> {
        let list = || {
            let viewer = Viewer::get(ctx)?;
            let (user, chosen) = (viewer.signed()?.user, viewer.chosen()?);
            Ok::<_, ApiError>(granted(&chosen.access.grants(user)))
        };
        Some(list().map_err(Into::into))
    }

    /// May a member do something in the workspace?
    async fn has_permission(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The permission, such as `pipelines.update`; `pipelines.update@own` where own records are enough.")] name: String,
        #[graphql(desc = "The member; the user who asks unless given.")] user_id: Option<NodeId<UserId>>,
    ) -> Option<Result<bool>> {
        Some(holds(ctx, &name, user_id.map(|user| user.0)).map_err(Into::into))
    }
}

fn catalogue(ctx: &Context<'_>, resource: Option<&str>) -> Result<Vec<Permission>, ApiError> {
    Viewer::get(ctx)?.may(ROLES_READ)?;
    // Those of the platform are held by nobody in a workspace.
    let known = roles::Permission::all().filter(|permission| !permission.is_system());
    let mut found: Vec<_> = known.filter(|permission| resource.is_none_or(|resource| permission.resource() == resource)).collect();
    found.sort();
    match resource {
        Some(resource) if found.is_empty() => {
            Err(ApiError::invalid_field("resource", format!("no permission is about {resource:.50?}; ask without a resource to see all")))
        }
        _ => Ok(found.into_iter().map(Permission::from).collect()),
    }
}

fn holds(ctx: &Context<'_>, name: &str, user: Option<UserId>) -> Result<bool, ApiError> {
    let viewer = Viewer::get(ctx)?;
    let (signed, chosen) = (viewer.signed()?, viewer.chosen()?);
    let user = user.unwrap_or(signed.user);
    if user != signed.user {
        viewer.may(MEMBERS_READ)?;
    }
    if !chosen.access.is_member(user) {
        return Err(ApiError::not_found("this user is no member of the workspace"));
    }
    let wanted: roles::PermissionGrant = name.parse().map_err(|error| ApiError::invalid_field("name", error))?;
    Ok(chosen.access.grants(user).contains(wanted))
}
