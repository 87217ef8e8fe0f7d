//! A role that a workspace made: a name and any subset of the catalogue and of the workspace's own permissions. What
//! it grants is never more than its makers held, and it is not deleted while a member has it.

use super::handing_on::{may_hand_on, registered};
use super::{Membership, Workspace};
use crate::roles::{BuiltInRole, Grantable, PermissionName, PermissionSet, ROLES_CREATE, ROLES_DELETE, ROLES_UPDATE, RoleRef};
use crate::{
    AccessChange, Act, Caller, Change, ClaimChange, ClaimName, Decider, FactRef, Guarded, Needs, Personal, RoleId, RoleName, Sealable,
    ShortText, UserId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most roles of its own a workspace can have (`spec/roles.md`).
pub const MAX_CUSTOM_ROLES: u32 = 50;

/// What can happen to a role. Stored for ever: a change of shape needs a new version and an upcaster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
pub enum RoleEvent {
    /// The workspace has it.
    RoleCreated {
        /// Its name, unique in the workspace whatever the case of its letters.
        name: String,
        /// What it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        /// What it grants.
        permissions: PermissionSet,
        /// Who made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created_by: Option<UserId>,
    },
    /// What is said of it changed.
    RoleUpdated {
        /// Only what changed.
        changes: RoleChanges,
    },
    /// It grants one more.
    PermissionGranted {
        /// The permission and its scope.
        permission: Grantable,
    },
    /// It grants one less.
    PermissionRevoked {
        /// The permission, in whichever scope it was granted.
        permission: PermissionName,
    },
    /// It is gone for good, and its name is free.
    RoleDeleted {
        /// The name it had.
        name: String,
    },
}

crate::event!(RoleEvent);

/// What an update changed of a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoleChanges {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Change<String>>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Change<Option<Personal<String>>>>,
}

/// What can be asked of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
pub enum RoleCommand {
    /// Makes it, with permissions that whoever asks holds.
    CreateRole {
        /// Its name.
        name: RoleName,
        /// What it is for.
        #[serde(default)]
        description: Option<ShortText>,
        /// What it grants.
        #[serde(default)]
        permissions: Vec<Grantable>,
    },
    /// Gives it another name.
    RenameRole {
        /// The new name.
        name: RoleName,
    },
    /// Says what it is for, or nothing.
    DescribeRole {
        /// What it is for.
        #[serde(default)]
        description: Option<ShortText>,
    },
    /// Lets it grant one more, which whoever asks holds.
    GrantPermission {
        /// The permission: `posts.update`, or `posts.update@own` for own records only.
        permission: Grantable,
    },
    /// Lets it grant one less, which whoever asks holds.
    RevokePermission {
        /// The permission, in whichever scope it is granted.
        permission: PermissionName,
    },
    /// Deletes it for good, if no member has it.
    DeleteRole {},
}

/// Why a role refuses. The variants' names are the codes that clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum RoleError {
    /// There is none of this id.
    #[error("there is no such role in this workspace; built-in roles cannot be changed")]
    NotFound,
    /// There is one of this id.
    #[error("this role exists already")]
    AlreadyExists,
    /// Another has the name, or it is a built-in role's key.
    #[error("a role of this workspace, or a built-in one, has this name already; choose another")]
    NameTaken,
    /// No place is left.
    #[error("a workspace has at most {MAX_CUSTOM_ROLES} roles of its own; delete one first")]
    QuotaExceeded,
    /// The claim that no member has it failed.
    #[error("members have this role; revoke it from them first")]
    RoleInUse,
    /// Guard rule 1.
    #[error("you can only let a role grant, or no longer grant, what you may do yourself; ask somebody who may")]
    BeyondOwnGrants,
    /// Guard rule 3.
    #[error("you have this role yourself, and nobody changes their own rights; ask another member")]
    OwnRole,
    /// No such custom permission.
    #[error("the workspace has no permission `{0}`; register it first")]
    PermissionNotFound(String),
}

crate::refusal!(RoleError, {
    Self::NameTaken => "name",
});

/// What is said of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<Personal<String>>,
    /// What it grants.
    pub permissions: PermissionSet,
    /// Who made it.
    pub created_by: Option<UserId>,
}

/// A role as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Role {
    /// Never made.
    #[default]
    Absent,
    /// The workspace has it.
    Live(Definition),
    /// Gone for good.
    Deleted,
}

impl Role {
    /// What a command declares whose decision depends on a role.
    pub(crate) fn wanted(id: RoleId) -> FactRef {
        FactRef::of::<Self>(id)
    }

    /// What it is, while the workspace has it.
    #[must_use]
    pub fn live(&self) -> Option<&Definition> {
        match self {
            Self::Live(definition) => Some(definition),
            Self::Absent | Self::Deleted => None,
        }
    }

    /// The claim that members who have a role hold.
    pub(crate) fn reference(id: RoleId) -> ClaimName {
        ClaimName::clear("role", id)
    }
}

impl Guarded<Role> for RoleCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, role: &Role, _: &Caller) -> Needs {
        let permission = match self {
            Self::CreateRole { .. } => return Needs::new(ROLES_CREATE),
            Self::DeleteRole {} => ROLES_DELETE,
            _ => ROLES_UPDATE,
        };
        match role.live() {
            Some(role) => Needs::owned_by(permission, role.created_by),
            None => Needs::new(permission),
        }
    }

    fn facts(&self, _: &Role, caller: &Caller) -> Vec<FactRef> {
        match self {
            Self::RenameRole { .. } | Self::DescribeRole { .. } | Self::DeleteRole {} => vec![],
            // What is registered, who owns it, and whether whoever acts has the role.
            _ => {
                let own = caller.principal.user().map(|user| Membership::wanted(caller, user));
                std::iter::once(FactRef::of::<Workspace>(caller.tenant)).chain(own).collect()
            }
        }
    }
}

/// Guard rules 1 and 3, and that custom permissions that are given are registered.
fn may_change(id: RoleId, given: &PermissionSet, taken: &PermissionSet, act: &Act) -> Result<(), RoleError> {
    if let Some(unknown) = given.custom.iter().find(|permission| !registered(permission, act)) {
        return Err(RoleError::PermissionNotFound(unknown.to_string()));
    }
    if !may_hand_on(given, act) || !may_hand_on(taken, act) {
        return Err(RoleError::BeyondOwnGrants);
    }
    // An owner may do everything in any case.
    let user = act.caller().principal.user().filter(|user| !super::handing_on::workspace(act).is_some_and(|w| w.is_owner(*user)));
    match user.and_then(|user| Membership::of(act, user)) {
        Some(membership) if membership.roles().any(|role| role == RoleRef::Custom(id)) => Err(RoleError::OwnRole),
        _ => Ok(()),
    }
}

fn named(name: RoleName) -> Result<String, RoleError> {
    let name = String::from(name);
    if name.to_lowercase().parse::<BuiltInRole>().is_ok() { Err(RoleError::NameTaken) } else { Ok(name) }
}

impl Decider for Role {
    const TYPE: &'static str = "role";
    type Command = RoleCommand;
    type Event = RoleEvent;
    type Error = RoleError;

    fn decide(&self, command: RoleCommand, act: &Act) -> Result<Vec<RoleEvent>, RoleError> {
        use RoleCommand::*;
        use RoleEvent::*;
        let nothing = PermissionSet::default();
        Ok(match (self, command) {
            (Self::Absent, CreateRole { name, description, permissions }) => {
                let permissions = permissions.into_iter().collect();
                may_change(act.id(), &permissions, &nothing, act)?;
                vec![RoleCreated {
                    name: named(name)?,
                    description: description.map(|text| act.free_text(text)),
                    permissions,
                    created_by: act.user(),
                }]
            }
            (_, CreateRole { .. }) => return Err(RoleError::AlreadyExists),
            (Self::Deleted, DeleteRole {}) => vec![],
            (Self::Absent | Self::Deleted, _) => return Err(RoleError::NotFound),
            (Self::Live(role), RenameRole { name }) if role.name == name.as_str() => vec![],
            (Self::Live(role), RenameRole { name }) => {
                let name = Change { from: role.name.clone(), to: named(name)? };
                vec![RoleUpdated { changes: RoleChanges { name: Some(name), description: None } }]
            }
            (Self::Live(role), DescribeRole { description }) => {
                let to = description.map(|text| act.free_text(text));
                if to == role.description {
                    vec![]
                } else {
                    let description = Change { from: role.description.clone(), to };
                    vec![RoleUpdated { changes: RoleChanges { name: None, description: Some(description) } }]
                }
            }
            (Self::Live(role), GrantPermission { permission }) if role.permissions.contains(&permission) => vec![],
            (Self::Live(_), GrantPermission { permission }) => {
                may_change(act.id(), &PermissionSet::from_iter([permission.clone()]), &nothing, act)?;
                vec![PermissionGranted { permission }]
            }
            (Self::Live(role), RevokePermission { permission }) => match role.permissions.held(&permission) {
                None => vec![],
                Some(held) => {
                    may_change(act.id(), &nothing, &PermissionSet::from_iter([held]), act)?;
                    vec![PermissionRevoked { permission }]
                }
            },
            (Self::Live(role), DeleteRole {}) => vec![RoleDeleted { name: role.name.clone() }],
        })
    }

    fn apply(&mut self, event: RoleEvent) {
        use RoleEvent::*;
        match (&mut *self, event) {
            (_, RoleCreated { name, description, permissions, created_by }) => {
                *self = Self::Live(Definition { name, description, permissions, created_by });
            }
            (_, RoleDeleted { .. }) => *self = Self::Deleted,
            (Self::Live(role), RoleUpdated { changes }) => {
                changes.name.into_iter().for_each(|change| role.name = change.to);
                changes.description.into_iter().for_each(|change| role.description = change.to);
            }
            (Self::Live(role), PermissionGranted { permission }) => role.permissions.grant(permission),
            (Self::Live(role), PermissionRevoked { permission }) => role.permissions.deny(&permission),
            (Self::Absent | Self::Deleted, _) => {}
        }
    }

    fn personal(&mut self, visit: &mut dyn FnMut(&mut dyn Sealable)) {
        if let Self::Live(role) = self {
            role.description.iter_mut().for_each(|text| visit(text));
        }
    }

    fn claims(event: &RoleEvent, id: Uuid) -> Vec<ClaimChange> {
        let place = || ClaimName::clear("roles", "all");
        let name = |name: &str| ClaimName::clear("role_name", name.to_lowercase());
        match event {
            RoleEvent::RoleCreated { name: new, .. } => {
                vec![ClaimChange::take(name(new)), ClaimChange::count(place(), Some(MAX_CUSTOM_ROLES))]
            }
            RoleEvent::RoleUpdated { changes: RoleChanges { name: Some(Change { from, to }), .. } } if name(from) != name(to) => {
                vec![ClaimChange::release(name(from)), ClaimChange::take(name(to))]
            }
            RoleEvent::RoleDeleted { name: old } => {
                vec![ClaimChange::require_none(Self::reference(RoleId(id))), ClaimChange::release(name(old)), ClaimChange::release(place())]
            }
            RoleEvent::RoleUpdated { .. } | RoleEvent::PermissionGranted { .. } | RoleEvent::PermissionRevoked { .. } => vec![],
        }
    }

    fn claim_refused(kind: &str) -> Option<RoleError> {
        match kind {
            "role_name" => Some(RoleError::NameTaken),
            "roles" => Some(RoleError::QuotaExceeded),
            "role" => Some(RoleError::RoleInUse),
            _ => None,
        }
    }

    fn access(event: &RoleEvent, id: Uuid) -> Option<AccessChange> {
        let role = RoleId(id);
        match event {
            RoleEvent::RoleCreated { permissions, .. } => Some(AccessChange::RoleDefined(role, permissions.clone())),
            RoleEvent::PermissionGranted { permission } => Some(AccessChange::RoleWidened(role, permission.clone())),
            RoleEvent::PermissionRevoked { permission } => Some(AccessChange::RoleNarrowed(role, permission.clone())),
            RoleEvent::RoleDeleted { .. } => Some(AccessChange::RoleDropped(role)),
            RoleEvent::RoleUpdated { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
