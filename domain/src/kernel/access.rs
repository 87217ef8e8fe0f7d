//! Who may do what in a tenant: a fold of that tenant's access events, in memory, never a read model.

use super::UserId;
use crate::roles::{BuiltInRole, GrantSet, PlatformRole, Role, Standing, effective};
use std::collections::{BTreeSet, HashMap};

/// What an event does to access. The events for which this is something are the very ones that move the
/// tenant's `access_position`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessChange {
    /// A user owns the workspace.
    OwnerAdded(UserId),
    /// A user owns it no longer.
    OwnerRemoved(UserId),
    /// A user is a member with these roles.
    Joined(UserId, Vec<BuiltInRole>),
    /// A member got a role.
    RoleAdded(UserId, BuiltInRole),
    /// A member lost a role.
    RoleRemoved(UserId, BuiltInRole),
    /// A user is a member no longer.
    Left(UserId),
    /// A user got a role on the platform, or lost it.
    PlatformRole(UserId, PlatformRole),
}

/// The access of a tenant at a position of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    position: i64,
    owners: BTreeSet<UserId>,
    members: HashMap<UserId, BTreeSet<BuiltInRole>>,
    /// Only in the platform's log, which has no members.
    platform: HashMap<UserId, PlatformRole>,
}

impl Access {
    /// The position up to which the fold is right.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Folds one change.
    pub fn apply(&mut self, change: AccessChange) {
        match change {
            AccessChange::OwnerAdded(user) => drop(self.owners.insert(user)),
            AccessChange::OwnerRemoved(user) => drop(self.owners.remove(&user)),
            AccessChange::Joined(user, roles) => drop(self.members.insert(user, roles.into_iter().collect())),
            AccessChange::RoleAdded(user, role) => drop(self.members.entry(user).or_default().insert(role)),
            AccessChange::RoleRemoved(user, role) => {
                if let Some(roles) = self.members.get_mut(&user) {
                    roles.remove(&role);
                }
            }
            AccessChange::Left(user) => drop(self.members.remove(&user)),
            AccessChange::PlatformRole(user, role) => drop(self.platform.insert(user, role)),
        }
    }

    /// Everything up to this position has been folded.
    pub fn advance(&mut self, position: i64) {
        self.position = self.position.max(position);
    }

    /// What a user may do: as a member, or, in the platform's log, by their role there.
    #[must_use]
    pub fn grants(&self, user: UserId) -> GrantSet {
        let Some(roles) = self.members.get(&user) else {
            return *self.platform.get(&user).copied().unwrap_or_default().grants();
        };
        effective(roles.iter().copied().map(Role::BuiltIn), [], [], self.owners.contains(&user), Standing::Active)
    }

    /// True for members of the workspace.
    #[must_use]
    pub fn is_member(&self, user: UserId) -> bool {
        self.members.contains_key(&user)
    }

    /// The roles of a member, `owner` among them for those who own the workspace.
    #[must_use]
    pub fn roles(&self, user: UserId) -> BTreeSet<BuiltInRole> {
        let owner = (self.is_member(user) && self.owners.contains(&user)).then_some(BuiltInRole::Owner);
        self.members.get(&user).into_iter().flatten().copied().chain(owner).collect()
    }

    /// True while nobody has ever had access: a tenant that does not exist.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.members.is_empty()
    }
}
