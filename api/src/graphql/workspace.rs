//! Workspaces and their members as clients see them. The workspace is the header's, except where a field stands below
//! another one.

use super::connection::{Connection, cost, page_args};
use super::identity::counted;
use super::listed::listed;
use super::loaders::{Key, load, load_many};
use super::payload::Entity;
use super::roles::{PermissionGrant, Role, granted, named};
use super::viewer::Viewer;
use crate::accounts::workspace_by_slug_or_id;
use crate::error::ApiError;
use async_graphql::{Context, ID, Object, Result};
use domain::roles::{BuiltInRole, MEMBERS_READ, Permission, RoleRef, WORKSPACE_READ};
use domain::{Access, MembershipId, UserId, WorkspaceId};
use projections::query::{PageArgs, Scope};
use projections::workspace::{self as rows, MemberFilter, MemberOrder, MemberStatus};
use projections::{Common, NodeId, ReadModel, Stored};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// What members are read from: the owners stand in the workspace's row.
pub(super) const MEMBERS: &[&str] = &[rows::Member::TABLE, rows::Workspace::TABLE];
/// The most workspaces of a user that are listed.
const MOST_WORKSPACES: i64 = 500;

/// A tenant, as its members see it.
#[derive(Clone, Debug)]
pub(crate) struct Workspace(Stored<rows::Workspace>);

impl From<Stored<rows::Workspace>> for Workspace {
    fn from(row: Stored<rows::Workspace>) -> Self {
        Self(row)
    }
}

impl Entity for Workspace {
    type Aggregate = domain::workspace::Workspace;
    const READ_MODELS: &'static [&'static str] = &[rows::Workspace::TABLE];
    const READ: Option<Permission> = Some(WORKSPACE_READ);

    async fn read(scope: &mut Scope, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::workspace(scope).await?.filter(|workspace| workspace.row.id.uuid() == id).map(Self))
    }

    /// A workspace is its owners' own.
    async fn read_own(scope: &mut Scope, id: Uuid, owner: UserId) -> Result<Option<Self>, sqlx::Error> {
        Ok(Self::read(scope, id).await?.filter(|workspace| workspace.0.row.owner_ids.contains(&NodeId(owner))))
    }
}

/// A tenant, as its members see it.
#[Object]
impl Workspace {
    /// The id, which is its log's too.
    pub(crate) async fn id(&self) -> ID {
        self.0.row.id.uuid().into()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::Workspace {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }

    /// The members who own it, in the order they came.
    #[graphql(complexity = "3 * child_complexity")]
    async fn owners(&self, ctx: &Context<'_>) -> Option<Result<Vec<Member>>> {
        let owners = async {
            let workspace = self.0.row.id.0;
            Viewer::get(ctx)?.may_all(workspace, MEMBERS_READ).await?;
            let mut found = load_many(ctx, self.0.row.owner_ids.iter().map(|owner| MemberOf(workspace, owner.0))).await?;
            Ok(self.0.row.owner_ids.iter().filter_map(|owner| found.remove(&MemberOf(workspace, owner.0))).collect())
        };
        Some(owners.await)
    }

    /// Its members, past ones if the filter says so.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which members.", default)] filter: MemberFilter,
        #[graphql(desc = "In which order.", default)] order_by: MemberOrder,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Member>>> {
        Some(members(ctx, Some(self.0.row.id.0), &filter, order_by, page_args(first, after, last, before)).await.map_err(Into::into))
    }

    /// How many members it has, suspended ones included.
    async fn member_count(&self, ctx: &Context<'_>) -> Option<Result<i64>> {
        let count = async {
            Viewer::get(ctx)?.may_all(self.0.row.id.0, MEMBERS_READ).await?;
            Ok(load(ctx, MembersOf(self.0.row.id.0)).await?.unwrap_or(0))
        };
        Some(count.await)
    }

    /// The roles of the user who asks, `owner` among them for owners.
    async fn my_roles(&self, ctx: &Context<'_>) -> Option<Result<Vec<Role>>> {
        let roles = async {
            let viewer = Viewer::get(ctx)?;
            let held = AccessOf::now(ctx, self.0.row.id.0).await?.roles(viewer.signed()?.user);
            Role::of(ctx, self.0.row.id.0, held).await
        };
        Some(roles.await)
    }
}

/// A user in a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    stored: Stored<rows::Member>,
    workspace: WorkspaceId,
}

listed! { Member: rows::Member; }

impl Entity for Member {
    type Aggregate = domain::workspace::Membership;
    const READ_MODELS: &'static [&'static str] = MEMBERS;
    const READ: Option<Permission> = Some(MEMBERS_READ);

    async fn read(scope: &mut Scope, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        let workspace = scope.tenant().into();
        Ok(rows::member_by_id(scope, MembershipId(id)).await?.map(|stored| Self { stored, workspace }))
    }

    /// A membership is the member's own.
    async fn read_own(scope: &mut Scope, id: Uuid, owner: UserId) -> Result<Option<Self>, sqlx::Error> {
        Ok(Self::read(scope, id).await?.filter(|member| member.stored.row.user_id.0 == owner))
    }
}

impl Member {
    /// These users as members of the chosen workspace, be it that they have left.
    pub(super) async fn of_users(ctx: &Context<'_>, users: impl IntoIterator<Item = UserId>) -> Result<HashMap<UserId, Self>> {
        let workspace = Viewer::get(ctx)?.chosen()?.workspace;
        let found = load_many(ctx, users.into_iter().map(|user| MemberOf(workspace, user))).await?;
        Ok(found.into_iter().map(|(key, member)| (key.1, member)).collect())
    }
}

/// A user in a workspace, be it one who has left.
#[Object]
impl Member {
    /// The membership's id: the same when a user leaves and comes back.
    pub(crate) async fn id(&self) -> ID {
        self.stored.row.id.uuid().into()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::Member {
        &self.stored.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.stored.common
    }

    /// Does the member own the workspace?
    async fn is_owner(&self, ctx: &Context<'_>) -> Option<Result<bool>> {
        Some(self.owns(ctx).await)
    }

    /// The member's roles, `owner` among them for owners; none for who has left.
    async fn roles(&self, ctx: &Context<'_>) -> Option<Result<Vec<Role>>> {
        let roles = async {
            let owner = self.owns(ctx).await?.then_some(BuiltInRole::Owner.into());
            let held: BTreeSet<RoleRef> = self.stored.row.roles().chain(owner).collect();
            Role::of(ctx, self.workspace, held).await
        };
        Some(roles.await)
    }

    /// What the member may do now, by name: what their roles and overrides come to. Nothing for who is suspended or
    /// has left.
    #[graphql(complexity = "5 * child_complexity")]
    async fn effective_permissions(&self, ctx: &Context<'_>) -> Option<Result<Vec<PermissionGrant>>> {
        let held = async {
            let access = AccessOf::now(ctx, self.workspace).await?;
            Ok(granted(&access.effective(self.stored.row.user_id.0)))
        };
        Some(held.await)
    }
}

impl Member {
    async fn owns(&self, ctx: &Context<'_>) -> Result<bool> {
        let row = &self.stored.row;
        let workspace = load(ctx, WorkspaceOf(self.workspace)).await?;
        Ok(row.status != MemberStatus::Removed && workspace.is_some_and(|workspace| workspace.row.owner_ids.contains(&row.user_id)))
    }
}

/// Who may do what in a workspace as of now: below a mutation that is later than what its request was let in by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AccessOf(WorkspaceId);

impl AccessOf {
    pub(super) async fn now(ctx: &Context<'_>, workspace: WorkspaceId) -> Result<Arc<Access>> {
        Ok(load(ctx, Self(workspace)).await?.unwrap_or_default())
    }
}

impl Key for AccessOf {
    type Value = Arc<Access>;

    async fn load(viewer: &Viewer, keys: &[Self]) -> Result<HashMap<Self, Arc<Access>>, ApiError> {
        let mut found = HashMap::with_capacity(keys.len());
        for key in keys {
            found.insert(*key, viewer.app.commands.access().fresh(key.0.into()).await?);
        }
        Ok(found)
    }
}

/// A workspace that the user may see.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WorkspaceOf(pub(super) WorkspaceId);

impl Key for WorkspaceOf {
    type Value = Stored<rows::Workspace>;

    async fn load(viewer: &Viewer, keys: &[Self]) -> Result<HashMap<Self, Self::Value>, ApiError> {
        let mut found = HashMap::with_capacity(keys.len());
        // Each stands in a log of its own, and a transaction sees one.
        for key in keys {
            let Some(visible) = viewer.sees(key.0, WORKSPACE_READ).await? else { continue };
            let mut scope = viewer.scope(key.0.into(), &[rows::Workspace::TABLE]).await?;
            let workspace = rows::workspace(&mut scope).await?;
            scope.end();
            let shown = workspace.filter(|stored| visible.owner().is_none_or(|user| stored.row.owner_ids.contains(&NodeId(user))));
            found.extend(shown.map(|workspace| (*key, workspace)));
        }
        Ok(found)
    }
}

/// A user as a member of a workspace whose members the user who asks may see.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct MemberOf(WorkspaceId, UserId);

impl Key for MemberOf {
    type Value = Member;

    async fn load(viewer: &Viewer, keys: &[Self]) -> Result<HashMap<Self, Member>, ApiError> {
        let mut users: HashMap<WorkspaceId, Vec<UserId>> = HashMap::new();
        for key in keys {
            users.entry(key.0).or_default().push(key.1);
        }
        let mut found = HashMap::with_capacity(keys.len());
        for (workspace, users) in users {
            let Some(visible) = viewer.sees(workspace, MEMBERS_READ).await? else { continue };
            let own = visible.owner();
            let users: Vec<UserId> = users.into_iter().filter(|user| own.is_none_or(|own| own == *user)).collect();
            let mut scope = viewer.scope(workspace.into(), MEMBERS).await?;
            let members = rows::members_by_user(&mut scope, &users).await?;
            scope.end();
            found.extend(members.into_iter().map(|(user, stored)| (Self(workspace, user), Member { stored, workspace })));
        }
        Ok(found)
    }
}

/// How many members a workspace has whose members the user may see.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct MembersOf(WorkspaceId);

impl Key for MembersOf {
    type Value = i64;

    async fn load(viewer: &Viewer, keys: &[Self]) -> Result<HashMap<Self, i64>, ApiError> {
        let mut counts = HashMap::with_capacity(keys.len());
        for key in keys {
            if viewer.sees_all(key.0, MEMBERS_READ).await? {
                let mut scope = viewer.scope(key.0.into(), MEMBERS).await?;
                counts.insert(*key, rows::count_members(&mut scope, &MemberFilter::default()).await?);
                scope.end();
            }
        }
        Ok(counts)
    }
}

#[derive(Default)]
pub(crate) struct WorkspaceQuery;

#[Object]
impl WorkspaceQuery {
    /// The workspaces the user is a member of, by name; the first 500.
    #[graphql(complexity = "5 * child_complexity")]
    async fn my_workspaces(&self, ctx: &Context<'_>) -> Option<Result<Vec<Workspace>>> {
        let list = async {
            let mut scope = Viewer::get(ctx)?.platform_scope(&[]).await?;
            let found = rows::my_workspaces(&mut scope, MOST_WORKSPACES).await?;
            scope.end();
            Ok::<_, ApiError>(found.into_iter().map(Workspace).collect())
        };
        Some(list.await.map_err(Into::into))
    }

    /// A workspace the user is a member of: by its id or slug, or else the chosen one.
    async fn workspace(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: Option<NodeId<WorkspaceId>>,
        #[graphql(desc = "Its slug.")] slug: Option<String>,
    ) -> Option<Result<Workspace>> {
        Some(one(ctx, id.map(|id| id.0), slug).await)
    }

    /// The members of the workspace, past ones if the filter says so.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which members.", default)] filter: MemberFilter,
        #[graphql(desc = "In which order.", default)] order_by: MemberOrder,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Member>>> {
        Some(members(ctx, None, &filter, order_by, page_args(first, after, last, before)).await.map_err(Into::into))
    }

    /// A user as a member of the workspace, be it one who has left.
    async fn member(&self, ctx: &Context<'_>, #[graphql(desc = "The user.")] user_id: NodeId<UserId>) -> Option<Result<Member>> {
        let find = async {
            let viewer = Viewer::get(ctx)?;
            let workspace = viewer.chosen()?.workspace;
            viewer.may(MEMBERS_READ)?;
            let missing = || ApiError::not_found("this user is no member of the workspace, and never was");
            Ok(load(ctx, MemberOf(workspace, user_id.0)).await?.ok_or_else(missing)?)
        };
        Some(find.await)
    }
}

async fn one(ctx: &Context<'_>, id: Option<WorkspaceId>, slug: Option<String>) -> Result<Workspace> {
    let viewer = Viewer::get(ctx)?;
    viewer.signed()?;
    let wanted = match (id, slug) {
        (Some(id), None) => Some(id),
        // Written as a slug, an id is none.
        (None, Some(slug)) if Uuid::try_parse(&slug).is_ok() && slug.len() == uuid::fmt::Hyphenated::LENGTH => None,
        (None, Some(slug)) => workspace_by_slug_or_id(&viewer.app, &slug).await?,
        (None, None) => Some(viewer.chosen()?.workspace),
        (Some(_), Some(_)) => return Err(ApiError::invalid_field("slug", "give either the id or the slug, not both").into()),
    };
    let found = match wanted {
        Some(id) => load(ctx, WorkspaceOf(id)).await?,
        None => None,
    };
    Ok(found.map(Workspace).ok_or_else(|| ApiError::not_found("there is no such workspace, or you are no member of it"))?)
}

/// Members of a workspace, or of the chosen one.
async fn members(
    ctx: &Context<'_>,
    workspace: Option<WorkspaceId>,
    filter: &MemberFilter,
    order: MemberOrder,
    args: PageArgs,
) -> Result<Connection<Member>, ApiError> {
    let viewer = Viewer::get(ctx)?;
    let workspace = match workspace {
        Some(workspace) => workspace,
        None => viewer.chosen()?.workspace,
    };
    let own = viewer.must_see(workspace, MEMBERS_READ).await?.owner();
    let role = filter.role.clone().map(|role| named(workspace, role));
    let filter = &MemberFilter { user: own, role, ..filter.clone() };
    let mut scope = viewer.scope(workspace.into(), MEMBERS).await?;
    let page = rows::members(&mut scope, filter, order, &args).await?;
    let total = if counted(ctx) { Some(rows::count_members(&mut scope, filter).await?) } else { None };
    scope.end();
    Ok(Connection::new(page, total, |stored| Member { stored, workspace }))
}
