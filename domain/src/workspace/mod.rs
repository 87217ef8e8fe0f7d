//! Workspaces: what a tenant is called, who owns it, what it may use, and who is a member in which roles.
//!
//! - [`Workspace`]: one per tenant, under the tenant's id; there is always an owner.
//! - [`Membership`]: one per workspace and user; one to ten roles, `owner` never among them.
//! - [`Role`]: one for each role that a workspace made itself.
//! - [`Plan`]: the limits of what a workspace may use.
//! - [`Settings`]: the workspace's own defaults.

#[cfg(test)]
mod access_laws;
mod aggregate;
mod handing_on;
mod membership;
mod plan;
mod role;
mod settings;

pub use aggregate::{MAX_CUSTOM_PERMISSIONS, Workspace, WorkspaceCommand, WorkspaceError, WorkspaceEvent, WorkspaceKind, WorkspaceStatus};
pub use membership::{
    MAX_ROLES, MemberProfile, MemberSource, Membership, MembershipCommand, MembershipError, MembershipEvent, OverrideChanges, Seat,
};
pub use plan::Plan;
pub use role::{Definition, MAX_CUSTOM_ROLES, Role, RoleChanges, RoleCommand, RoleError, RoleEvent};
pub use settings::{Confidence, Currency, Settings, SettingsChanges};
