//! Who may do what: the permission catalogue, the built-in roles and the effective set of a member.
//! Pure constants and set algebra; a permission that is not in the catalogue cannot be written down.
//!
//! - [`Permission`], [`Scope`], [`PermissionGrant`]: one permission, and how far it reaches.
//! - `catalogue`: the table of all permissions, each with its constant ([`PIPELINE_ITEMS_MOVE`] …).
//! - [`BuiltInRole`], [`PlatformRole`]: the roles that are constants, with the table of their grants.
//! - [`GrantSet`]: a set of grants and its algebra.
//! - [`CustomPermission`], [`PermissionSet`]: what a workspace names itself, and what its own roles and overrides hold.
//! - [`RoleRef`]: which role, built-in or of the workspace.
//! - [`effective()`]: what a member may do, from roles, overrides, ownership and [`Standing`].

mod built_in;
mod catalogue;
mod custom;
mod effective;
mod grants;
mod permission;
mod role_ref;
#[cfg(test)]
mod tests;

pub use built_in::{BuiltInRole, PlatformRole};
pub use catalogue::*;
pub use custom::{CustomPermission, Grantable, PermissionName, PermissionSet};
pub use effective::{Role, Standing, administers, effective};
pub use grants::GrantSet;
pub use permission::{NameError, Permission, PermissionGrant, Scope};
pub use role_ref::RoleRef;
