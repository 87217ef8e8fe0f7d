//! What a member may do: (union of the roles + grants) - denies, within what the member's and the
//! workspace's standing leave. No `system.*` permission ever comes out of a workspace.

use super::{BuiltInRole, GrantSet, Permission, PermissionGrant, WORKSPACE_DELETE};
use crate::RoleId;

/// A role as a member holds it: one of the constants, or a workspace's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// A role of the catalogue.
    BuiltIn(BuiltInRole),
    /// A role that the workspace made.
    Custom {
        /// The role's aggregate.
        id: RoleId,
        /// What it grants.
        grants: &'a GrantSet,
    },
}

impl<'a> Role<'a> {
    /// What the role grants.
    pub fn grants(self) -> &'a GrantSet {
        match self {
            Role::BuiltIn(role) => role.grants(),
            Role::Custom { grants, .. } => grants,
        }
    }
}

impl From<BuiltInRole> for Role<'_> {
    fn from(role: BuiltInRole) -> Self {
        Role::BuiltIn(role)
    }
}

/// Whether member and workspace are in order. What leaves less stands for both: a suspended member of a suspended
/// workspace is `MemberSuspended`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Both are active.
    Active,
    /// The member may do nothing.
    MemberSuspended,
    /// Everybody keeps `*.read` of what they hold; owners and admins keep `billing.*` as well.
    WorkspaceSuspended,
    /// Nobody may do anything; owners keep `workspace.delete`, by which they restore it.
    WorkspaceDeleted,
}

/// Whether somebody with these roles is an owner or holds `admin`: they keep billing in a suspended
/// workspace, and their `any` grants reach private records.
pub fn administers<'a>(roles: impl IntoIterator<Item = impl Into<Role<'a>>>, is_owner: bool) -> bool {
    is_owner || roles.into_iter().any(|role| role.into() == Role::BuiltIn(BuiltInRole::Admin))
}

/// The effective set of a member. `grants` and `denies` are the member's overrides.
///
/// Ownership is kept by the workspace and comes as `is_owner`: owners have the role `owner` whatever
/// else they hold, and ignore denies. `BuiltInRole::Owner` among `roles` gives nothing, as it is
/// never among a member's roles.
pub fn effective<'a, R: Into<Role<'a>>>(
    roles: impl IntoIterator<Item = R>,
    grants: impl IntoIterator<Item = PermissionGrant>,
    denies: impl IntoIterator<Item = Permission>,
    is_owner: bool,
    standing: Standing,
) -> GrantSet {
    let roles: Vec<Role<'a>> = roles.into_iter().map(Into::into).filter(|role| *role != Role::BuiltIn(BuiltInRole::Owner)).collect();
    let mut held: GrantSet = grants.into_iter().collect();
    for role in &roles {
        held = held.union(role.grants());
    }
    if is_owner {
        held = held.union(BuiltInRole::Owner.grants());
    } else {
        denies.into_iter().for_each(|permission| held.deny(permission));
    }
    // The owner's are all but the platform's.
    let held = held.intersection(BuiltInRole::Owner.grants());

    match standing {
        Standing::Active => held,
        Standing::MemberSuspended => GrantSet::EMPTY,
        Standing::WorkspaceDeleted => held.retain(|permission| is_owner && permission == WORKSPACE_DELETE),
        Standing::WorkspaceSuspended => {
            let keeps_billing = administers(roles, is_owner);
            held.retain(|permission| permission.is_read() || (keeps_billing && permission.resource() == "billing"))
        }
    }
}
