//! What is done to the workspace's own roles and permissions, and to what members hold of them.

use super::payload::{Answer, run, run_input};
use super::roles::{Role, named};
use super::viewer::Viewer;
use super::workspace::{Member, Workspace};
use super::workspace_mutations::{on_member, on_workspace};
use crate::clock;
use crate::error::ApiError;
use async_graphql::{Context, InputObject, Object};
use domain::{RoleId, UserId};
use event_store::Target;
use projections::NodeId;
use serde::Serialize;
use serde_json::json;

/// A role of the workspace's own to be made.
#[derive(Clone, Debug, InputObject, Serialize)]
pub(crate) struct CreateRoleInput {
    /// Its name: 1 to 50 characters, no other role's and no built-in role's key.
    name: String,
    /// What it is for: at most 1,000 characters.
    description: Option<String>,
    /// What it grants, each of which you must hold: `posts.update`, `posts.update@own` for own records only, or
    /// `custom.approve` for one of the workspace's own.
    #[graphql(default)]
    permissions: Vec<String>,
}

#[derive(Default)]
pub(crate) struct RoleMutation;

#[Object]
impl RoleMutation {
    /// Makes a role of the workspace's own, one of at most 50. It grants nothing that you do not hold.
    async fn create_role(&self, ctx: &Context<'_>, #[graphql(desc = "The role.")] input: CreateRoleInput) -> Answer<Role> {
        run_input(ctx, Target::New(clock::new_id::<RoleId>().0), "CreateRole", input).await
    }

    /// Gives a role of the workspace's own another name.
    async fn rename_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role.")] role_id: NodeId<RoleId>,
        #[graphql(desc = "The new name: 1 to 50 characters.")] name: String,
    ) -> Answer<Role> {
        run(ctx, Target::Existing(role_id.uuid()), "RenameRole", json!({ "name": name })).await
    }

    /// Says what a role of the workspace's own is for.
    async fn describe_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role.")] role_id: NodeId<RoleId>,
        #[graphql(desc = "What it is for: at most 1,000 characters; null for nothing.")] description: Option<String>,
    ) -> Answer<Role> {
        run(ctx, Target::Existing(role_id.uuid()), "DescribeRole", json!({ "description": description })).await
    }

    /// Lets a role of the workspace's own grant one permission more. All who have it hold it at once.
    async fn grant_permission(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role, which you do not have yourself unless you own the workspace.")] role_id: NodeId<RoleId>,
        #[graphql(desc = "The permission, which you must hold: `posts.update`, or `posts.update@own` for own records only.")]
        permission: String,
    ) -> Answer<Role> {
        run(ctx, Target::Existing(role_id.uuid()), "GrantPermission", json!({ "permission": permission })).await
    }

    /// Lets a role of the workspace's own grant one permission less. All who have it lose it at once, unless something
    /// else grants it.
    async fn revoke_permission(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The role, which you do not have yourself unless you own the workspace.")] role_id: NodeId<RoleId>,
        #[graphql(desc = "The permission, which you must hold, without a scope: `posts.update`.")] permission: String,
    ) -> Answer<Role> {
        run(ctx, Target::Existing(role_id.uuid()), "RevokePermission", json!({ "permission": permission })).await
    }

    /// Deletes a role of the workspace's own that no member has, for good: there is no entity left to answer with.
    async fn delete_role(&self, ctx: &Context<'_>, #[graphql(desc = "The role.")] role_id: NodeId<RoleId>) -> Answer<Role> {
        run(ctx, Target::Existing(role_id.uuid()), "DeleteRole", json!({})).await
    }

    /// Gives a member of the workspace a role.
    async fn assign_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The member.")] user_id: NodeId<UserId>,
        #[graphql(desc = "The role, by key or id; not `owner`.")] role: String,
    ) -> Answer<Member> {
        with_role(ctx, user_id.0, "AssignRole", role).await
    }

    /// Takes a role from a member of the workspace, who must have another.
    async fn revoke_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The member.")] user_id: NodeId<UserId>,
        #[graphql(desc = "The role, by key or id; not `owner`.")] role: String,
    ) -> Answer<Member> {
        with_role(ctx, user_id.0, "RevokeRole", role).await
    }

    /// Sets what a member may do beside, and not do in spite of, what their roles grant. Both lists are the whole of it:
    /// what is left out is taken back. You must hold what you change.
    async fn set_permission_overrides(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The member, who is not you.")] user_id: NodeId<UserId>,
        #[graphql(desc = "What they may do beside: `posts.update`, or `posts.update@own` for own records only.")] grants: Vec<String>,
        #[graphql(desc = "What they may not do, without a scope: `posts.delete`. Owners may nevertheless.")] denies: Vec<String>,
    ) -> Answer<Member> {
        on_member(ctx, Some(user_id.0), "SetPermissionOverrides", json!({ "grants": grants, "denies": denies })).await
    }

    /// Gives the workspace a permission of its own, one of at most 50: for its roles, for overrides, and for clients, who
    /// ask by `hasPermission`. Owners and administrators hold it from then on.
    async fn register_custom_permission(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its name: `custom.` and 1 to 20 of a-z, 0-9 and _, beginning with a letter.")] name: String,
        #[graphql(desc = "What it allows: at most 1,000 characters.")] description: Option<String>,
    ) -> Answer<Workspace> {
        on_workspace(ctx, "RegisterCustomPermission", json!({ "name": name, "description": description })).await
    }

    /// Lets a permission of the workspace's own count no longer, wherever it stands. Registered again, it counts again
    /// where it still stands.
    async fn retire_custom_permission(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its name: `custom.approve`.")] name: String,
    ) -> Answer<Workspace> {
        on_workspace(ctx, "RetireCustomPermission", json!({ "name": name })).await
    }
}

/// A command about a member's role, which comes by key or id.
async fn with_role(ctx: &Context<'_>, user: UserId, command: &'static str, role: String) -> Answer<Member> {
    let workspace = || Ok::<_, ApiError>(Viewer::get(ctx)?.chosen()?.workspace);
    match workspace() {
        Ok(workspace) => on_member(ctx, Some(user), command, json!({ "role": named(workspace, role) })).await,
        Err(error) => Some(Err(error.into())),
    }
}
