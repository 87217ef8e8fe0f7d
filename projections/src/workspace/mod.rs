//! Workspaces and their members.
//!
//! Who owns a workspace stands in the workspace's row alone; a member's row does not repeat it, queries join it.

mod members;
mod workspaces;

pub use members::{
    Member, MemberFilter, MemberOrder, MemberSource, MemberStatus, count_members, member, member_by_id, members, members_by_user,
};
pub use workspaces::{Plan, Settings, Workspace, WorkspaceKind, my_workspaces, owner_ids, workspace};
