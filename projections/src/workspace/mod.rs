//! Workspaces and their members.
//!
//! Who owns a workspace stands in the workspace's row alone; a member's row does not repeat it, queries join it.

mod members;
mod permissions;
mod roles;
mod workspaces;

pub use members::{
    Member, MemberFilter, MemberOrder, MemberSource, MemberStatus, count_members, member, member_by_id, members, members_by_user,
    role_holders,
};
pub use permissions::{CustomPermission, custom_permissions};
pub use roles::{Role, roles};
pub use workspaces::{Plan, Settings, Workspace, WorkspaceKind, WorkspaceStatus, my_workspaces, owner_ids, workspace};
