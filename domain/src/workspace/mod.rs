//! Workspaces: what a tenant is called, who owns it, what it may use, and who is a member in which roles.
//!
//! - [`Workspace`]: one per tenant, under the tenant's id; there is always an owner.
//! - [`Membership`]: one per workspace and user; one to ten roles, `owner` never among them.
//! - [`Plan`]: the limits of what a workspace may use.
//! - [`Settings`]: the workspace's own defaults.

mod aggregate;
mod membership;
mod plan;
mod settings;

pub use aggregate::{Workspace, WorkspaceCommand, WorkspaceError, WorkspaceEvent, WorkspaceKind};
pub use membership::{MAX_ROLES, MemberProfile, MemberSource, Membership, MembershipCommand, MembershipError, MembershipEvent};
pub use plan::Plan;
pub use settings::{Confidence, Currency, Settings, SettingsChanges};
