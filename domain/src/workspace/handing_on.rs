//! Guard rule 1 of `spec/roles.md`: nobody hands on, or takes away, what they do not hold themselves.

use super::Workspace;
use crate::Act;
use crate::roles::{BuiltInRole, CustomPermission, PermissionSet};

/// The workspace, for commands that have declared it as a fact.
pub(super) fn workspace(act: &Act) -> Option<&Workspace> {
    act.fact(act.caller().tenant)
}

/// Whether a custom permission can be given: it is registered, and not retired.
pub(super) fn registered(permission: &CustomPermission, act: &Act) -> bool {
    workspace(act).is_some_and(|workspace| workspace.custom_permissions().any(|known| known == permission))
}

/// Whether whoever acts holds all of this. What is retired gives nothing, and so may be handed on.
pub(super) fn may_hand_on(permissions: &PermissionSet, act: &Act) -> bool {
    let caller = act.caller();
    permissions.catalogue.is_subset_of(&caller.grants)
        && permissions.custom.iter().all(|permission| caller.custom.contains(permission) || !registered(permission, act))
}

/// What a built-in role gives in this workspace: administrators hold its own permissions too.
pub(super) fn built_in(role: BuiltInRole, act: &Act) -> PermissionSet {
    let all = matches!(role, BuiltInRole::Owner | BuiltInRole::Admin);
    let custom = workspace(act).filter(|_| all).into_iter().flat_map(Workspace::custom_permissions).cloned().collect();
    PermissionSet { catalogue: *role.grants(), custom }
}
