//! Roles and permissions: those that are constants of the program, those of the workspace's own, and who holds them
//! as the log says, never a read model.

use super::loaders::{Key, load, load_many};
use super::payload::Entity;
use super::viewer::{Viewer, Visible};
use super::workspace::{AccessOf, MEMBERS};
use crate::error::ApiError;
use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::roles::{self, BuiltInRole, Grantable, MEMBERS_READ, PermissionSet, ROLES_READ, RoleRef};
use domain::{RoleId, UserId, WorkspaceId};
use projections::query::Scope as Rows;
use projections::workspace::{self as rows, custom_permissions, role_holders};
use projections::{NodeId, ReadModel, Stored};
use std::collections::HashMap;
use uuid::Uuid;

/// Whose records a permission is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::roles::Scope", name = "PermissionScope")]
enum Scope {
    /// One's own: those one has made or is assigned to, and those that were shared with one.
    Own,
    /// All of the workspace.
    Any,
}

/// How a permission is called: what is said wherever one stands.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(name = "PermissionRow")]
pub(crate) struct Permission {
    /// Its name, `resource.action`: `pipelines.update`.
    name: String,
    /// What it is about: `pipelines`; `custom` for the workspace's own.
    resource: String,
    /// What may be done: `update`.
    action: String,
    /// True for those that the workspace has named itself. They guard nothing here; ask for them by `hasPermission`.
    is_custom: bool,
}

impl From<roles::Permission> for Permission {
    fn from(permission: roles::Permission) -> Self {
        let (name, resource, action) = (permission.name(), permission.resource(), permission.action());
        Self { name: name.to_owned(), resource: resource.to_owned(), action: action.to_owned(), is_custom: false }
    }
}

impl From<roles::CustomPermission> for Permission {
    fn from(permission: roles::CustomPermission) -> Self {
        let resource = roles::CustomPermission::RESOURCE.to_owned();
        Self { name: permission.name().to_owned(), resource, action: permission.action().to_owned(), is_custom: true }
    }
}

/// Something that can be allowed.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(name = "Permission")]
pub(crate) struct KnownPermission {
    #[graphql(flatten)]
    permission: Permission,
    /// What it allows, as the workspace has said; the names of the others say it.
    description: Option<String>,
}

/// A permission that is held.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct PermissionGrant {
    #[graphql(flatten)]
    permission: Permission,
    /// Whose records it is held for; `ANY` for the workspace's own.
    scope: Scope,
}

pub(super) fn granted(held: &PermissionSet) -> Vec<PermissionGrant> {
    let grant = |grant| match grant {
        Grantable::Catalogue(grant) => PermissionGrant { permission: grant.permission.into(), scope: grant.scope.into() },
        Grantable::Custom(custom) => PermissionGrant { permission: custom.into(), scope: Scope::Any },
    };
    held.iter().map(grant).collect()
}

#[derive(Clone, Debug)]
enum Definition {
    BuiltIn(BuiltInRole),
    Custom(Box<Stored<rows::Role>>),
}

/// What members may do, by a name.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    definition: Definition,
    workspace: WorkspaceId,
}

/// The id under which a workspace's built-in role is found: derived, so that it need not be kept.
fn built_in_id(workspace: WorkspaceId, role: BuiltInRole) -> RoleId {
    RoleId(Uuid::new_v5(&workspace.0, format!("role {role}").as_bytes()))
}

/// The role that an id or a key names, be it that the workspace has none of this id.
pub(super) fn named(workspace: WorkspaceId, text: String) -> String {
    let of_id = |id: RoleId| BuiltInRole::ALL.iter().find(|role| built_in_id(workspace, **role) == id);
    text.parse().ok().and_then(of_id).map_or(text, |role| role.key().to_owned())
}

impl Role {
    fn built_in(role: BuiltInRole, workspace: WorkspaceId) -> Self {
        Self { definition: Definition::BuiltIn(role), workspace }
    }

    fn custom(stored: Stored<rows::Role>, workspace: WorkspaceId) -> Self {
        Self { definition: Definition::Custom(Box::new(stored)), workspace }
    }

    /// These roles, built-in ones first, each as far as the user may see it.
    pub(super) async fn of(ctx: &Context<'_>, workspace: WorkspaceId, held: impl IntoIterator<Item = RoleRef>) -> Result<Vec<Self>> {
        let held: Vec<RoleRef> = held.into_iter().collect();
        let mut custom = load_many(ctx, held.iter().filter_map(|role| Some(RoleOf(workspace, role.custom()?)))).await?;
        let found = held.into_iter().filter_map(|role| match role {
            RoleRef::BuiltIn(role) => Some(Self::built_in(role, workspace)),
            RoleRef::Custom(id) => custom.remove(&RoleOf(workspace, id)),
        });
        Ok(found.collect())
    }

    fn reference(&self) -> RoleRef {
        match &self.definition {
            Definition::BuiltIn(role) => RoleRef::BuiltIn(*role),
            Definition::Custom(stored) => RoleRef::Custom(stored.row.id.0),
        }
    }

    fn row(&self) -> Option<&Stored<rows::Role>> {
        match &self.definition {
            Definition::BuiltIn(_) => None,
            Definition::Custom(stored) => Some(stored),
        }
    }
}

impl Entity for Role {
    type Aggregate = domain::workspace::Role;
    const READ_MODELS: &'static [&'static str] = &[rows::Role::TABLE, rows::Member::TABLE, rows::Workspace::TABLE];
    const READ: Option<roles::Permission> = Some(ROLES_READ);

    async fn read(scope: &mut Rows, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        let workspace = scope.tenant().into();
        Ok(rows::roles(scope, Some(&[RoleId(id)]), None).await?.pop().map(|stored| Self::custom(stored, workspace)))
    }

    async fn read_own(scope: &mut Rows, id: Uuid, owner: UserId) -> Result<Option<Self>, sqlx::Error> {
        let workspace = scope.tenant().into();
        Ok(rows::roles(scope, Some(&[RoleId(id)]), Some(owner)).await?.pop().map(|stored| Self::custom(stored, workspace)))
    }
}

/// What members may do, by a name: a role that every workspace has, or one of the workspace's own. Roles add up.
#[Object]
impl Role {
    /// The id. A built-in role's derives from the workspace and the key.
    pub(crate) async fn id(&self) -> ID {
        match &self.definition {
            Definition::BuiltIn(role) => built_in_id(self.workspace, *role).0.into(),
            Definition::Custom(stored) => stored.row.id.uuid().into(),
        }
    }

    /// Its name for programs: `operator`; the id, where the workspace has made it.
    async fn key(&self) -> String {
        self.reference().to_string()
    }

    /// Its name for people.
    async fn name(&self) -> &str {
        match &self.definition {
            Definition::BuiltIn(role) => role.label(),
            Definition::Custom(stored) => &stored.row.name,
        }
    }

    /// What it is for.
    async fn description(&self) -> Option<&str> {
        match &self.definition {
            Definition::BuiltIn(role) => Some(role.description()),
            Definition::Custom(stored) => stored.row.description.as_deref(),
        }
    }

    /// True for the roles that every workspace has and none can edit.
    async fn is_system(&self) -> bool {
        self.row().is_none()
    }

    /// What it grants, by name. Retired permissions of the workspace's own stand here until they are taken from the
    /// role, but grant nothing.
    async fn permissions(&self, ctx: &Context<'_>) -> Option<Result<Vec<PermissionGrant>>> {
        let list = async {
            let held = match &self.definition {
                Definition::Custom(stored) => stored.row.permissions.clone(),
                // Those in charge hold the workspace's own permissions too.
                Definition::BuiltIn(role @ (BuiltInRole::Owner | BuiltInRole::Admin)) => {
                    let custom = AccessOf::now(ctx, self.workspace).await?.registered().cloned().collect();
                    PermissionSet { catalogue: *role.grants(), custom }
                }
                Definition::BuiltIn(role) => PermissionSet::from(*role.grants()),
            };
            Ok(granted(&held))
        };
        Some(list.await)
    }

    /// How many members have it, suspended ones included.
    async fn member_count(&self, ctx: &Context<'_>) -> Option<Result<i64>> {
        let count = async {
            Viewer::get(ctx)?.may_all(self.workspace, MEMBERS_READ).await?;
            Ok::<_, async_graphql::Error>(load(ctx, MembersIn(self.workspace, self.reference())).await?.unwrap_or(0))
        };
        Some(count.await)
    }

    /// When the workspace made it; nothing for built-in roles.
    async fn created_at(&self) -> Option<DateTime<Utc>> {
        self.row().map(|stored| stored.common.created_at)
    }

    /// When it last changed; nothing for built-in roles.
    async fn updated_at(&self) -> Option<DateTime<Utc>> {
        self.row().map(|stored| stored.common.updated_at)
    }
}

/// A role of a workspace's own, as far as the user may see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RoleOf(pub(super) WorkspaceId, pub(super) RoleId);

impl Key for RoleOf {
    type Value = Role;

    async fn load(viewer: &Viewer, keys: &[Self]) -> Result<HashMap<Self, Role>, ApiError> {
        let mut wanted: HashMap<WorkspaceId, Vec<RoleId>> = HashMap::new();
        keys.iter().for_each(|key| wanted.entry(key.0).or_default().push(key.1));
        let mut found = HashMap::with_capacity(keys.len());
        for (workspace, ids) in wanted {
            let Some(visible) = viewer.sees(workspace, ROLES_READ).await? else { continue };
            let mut scope = viewer.scope(workspace.into(), &[rows::Role::TABLE]).await?;
            let roles = rows::roles(&mut scope, Some(&ids), visible.owner()).await?;
            scope.end();
            found.extend(roles.into_iter().map(|role| (Self(workspace, role.row.id.0), Role::custom(role, workspace))));
        }
        Ok(found)
    }
}

/// How many members of a workspace have a role.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct MembersIn(WorkspaceId, RoleRef);

impl Key for MembersIn {
    type Value = i64;

    async fn load(viewer: &Viewer, keys: &[Self]) -> Result<HashMap<Self, i64>, ApiError> {
        let mut workspaces: Vec<WorkspaceId> = keys.iter().map(|key| key.0).collect();
        workspaces.sort();
        workspaces.dedup();
        let mut counts = HashMap::with_capacity(keys.len());
        for workspace in workspaces {
            if !viewer.sees_all(workspace, MEMBERS_READ).await? {
                continue;
            }
            let mut scope = viewer.scope(workspace.into(), MEMBERS).await?;
            let holders = role_holders(&mut scope).await?;
            scope.end();
            let here = keys.iter().filter(|key| key.0 == workspace);
            counts.extend(here.filter_map(|key| Some((*key, *holders.get(&key.1.to_string())?))));
        }
        Ok(counts)
    }
}

#[derive(Default)]
pub(crate) struct RoleQuery;

#[Object]
impl RoleQuery {
    /// The roles that members of the workspace can have: the built-in ones from the most powerful on, then those of
    /// the workspace's own by name.
    #[graphql(complexity = "15 * child_complexity")]
    async fn roles(&self, ctx: &Context<'_>) -> Option<Result<Vec<Role>>> {
        let list = async {
            let viewer = Viewer::get(ctx)?;
            let visible = viewer.may(ROLES_READ)?;
            let workspace = viewer.chosen()?.workspace;
            let mut scope = viewer.workspace_scope(&[rows::Role::TABLE]).await?;
            let custom = rows::roles(&mut scope, None, visible.owner()).await?;
            scope.end();
            // What is built in is nobody's own.
            let built_in = BuiltInRole::ALL.iter().filter(|_| visible == Visible::All).map(|role| Role::built_in(*role, workspace));
            Ok::<_, ApiError>(built_in.chain(custom.into_iter().map(|stored| Role::custom(stored, workspace))).collect())
        };
        Some(list.await.map_err(Into::into))
    }

    /// A role that members of the workspace can have.
    async fn role(&self, ctx: &Context<'_>, #[graphql(desc = "The id.")] id: NodeId<RoleId>) -> Option<Result<Role>> {
        Some(role(ctx, id.0).await)
    }

    /// What can be allowed in a workspace: the catalogue by name, then what the workspace has named itself.
    async fn permissions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is about this resource only, such as `pipelines`, or `custom`.")] resource: Option<String>,
    ) -> Option<Result<Vec<KnownPermission>>> {
        Some(known(ctx, resource.as_deref()).await.map_err(Into::into))
    }

    /// What the user may do in the workspace, by name.
    async fn my_permissions(&self, ctx: &Context<'_>) -> Option<Result<Vec<PermissionGrant>>> {
        let list = || {
            let viewer = Viewer::get(ctx)?;
            let (user, chosen) = (viewer.signed()?.user, viewer.chosen()?);
            Ok::<_, ApiError>(granted(&chosen.access.effective(user)))
        };
        Some(list().map_err(Into::into))
    }

    /// May a member do something in the workspace?
    async fn has_permission(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The permission, such as `pipelines.update`; `pipelines.update@own` where own records are enough; `custom.approve` for one of the workspace's own."
        )]
        name: String,
        #[graphql(desc = "The member; the user who asks unless given.")] user_id: Option<NodeId<UserId>>,
    ) -> Option<Result<bool>> {
        Some(holds(ctx, &name, user_id.map(|user| user.0)).map_err(Into::into))
    }
}

/// A role of the chosen workspace by its id, or NOT_FOUND.
async fn role(ctx: &Context<'_>, id: RoleId) -> Result<Role> {
    let viewer = Viewer::get(ctx)?;
    let visible = viewer.may(ROLES_READ)?;
    let workspace = viewer.chosen()?.workspace;
    let missing = || ApiError::not_found(format!("there is no role with the id {id} in this workspace"));
    match built_in(workspace, id) {
        Some(role) if visible == Visible::All => Ok(role),
        _ => Ok(load(ctx, RoleOf(workspace, id)).await?.ok_or_else(missing)?),
    }
}

/// The built-in role of this id.
pub(super) fn built_in(workspace: WorkspaceId, id: RoleId) -> Option<Role> {
    BuiltInRole::ALL.iter().find(|role| built_in_id(workspace, **role) == id).map(|role| Role::built_in(*role, workspace))
}

async fn known(ctx: &Context<'_>, resource: Option<&str>) -> Result<Vec<KnownPermission>, ApiError> {
    let viewer = Viewer::get(ctx)?;
    viewer.may(ROLES_READ)?;
    let wanted = |about: &str| resource.is_none_or(|resource| resource == about);
    // Those of the platform are held by nobody in a workspace.
    let catalogue = roles::Permission::all().filter(|permission| !permission.is_system() && wanted(permission.resource()));
    let mut catalogue: Vec<_> = catalogue.collect();
    catalogue.sort();
    let mut found: Vec<_> =
        catalogue.into_iter().map(|permission| KnownPermission { permission: permission.into(), description: None }).collect();
    if wanted(roles::CustomPermission::RESOURCE) {
        let mut scope = viewer.workspace_scope(&[rows::CustomPermission::TABLE]).await?;
        let custom = custom_permissions(&mut scope).await?;
        scope.end();
        for stored in custom {
            let name: roles::CustomPermission = stored.row.name.parse().map_err(|error| ApiError::internal(&error))?;
            found.push(KnownPermission { permission: name.into(), description: stored.row.description });
        }
    }
    match resource {
        Some(resource) if found.is_empty() && resource != roles::CustomPermission::RESOURCE => {
            Err(ApiError::invalid_field("resource", format!("no permission is about {resource:.50?}; ask without a resource to see all")))
        }
        _ => Ok(found),
    }
}

fn holds(ctx: &Context<'_>, name: &str, user: Option<UserId>) -> Result<bool, ApiError> {
    let viewer = Viewer::get(ctx)?;
    let (signed, chosen) = (viewer.signed()?, viewer.chosen()?);
    let user = user.unwrap_or(signed.user);
    if user != signed.user {
        viewer.all(MEMBERS_READ)?;
    }
    if !chosen.access.is_member(user) {
        return Err(ApiError::not_found("this user is no member of the workspace"));
    }
    let wanted: Grantable = name.parse().map_err(|error| ApiError::invalid_field("name", error))?;
    Ok(chosen.access.effective(user).contains(&wanted))
}
