//! Who may do what in a tenant: a fold of that tenant's access events, in memory, never a read model. It holds all
//! that the effective set depends on, so that an event which changes that set is an access event.

use super::{RoleId, UserId};
use crate::roles::{
    BuiltInRole, CustomPermission, GrantSet, Grantable, PermissionName, PermissionSet, PlatformRole, Role, RoleRef, Standing, administers,
    effective,
};
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
    Joined(UserId, Vec<RoleRef>),
    /// A member got a role.
    RoleAdded(UserId, RoleRef),
    /// A member lost a role.
    RoleRemoved(UserId, RoleRef),
    /// A member has other overrides; what is not said stays.
    Overridden(UserId, Option<PermissionSet>, Option<BTreeSet<PermissionName>>),
    /// A member may do nothing for now.
    Suspended(UserId),
    /// A suspended member is back.
    Reinstated(UserId),
    /// A user is a member no longer.
    Left(UserId),
    /// A user got a role on the platform, or lost it.
    PlatformRole(UserId, PlatformRole),
    /// A role of the workspace's own grants this.
    RoleDefined(RoleId, PermissionSet),
    /// It grants one more.
    RoleWidened(RoleId, Grantable),
    /// It grants one less.
    RoleNarrowed(RoleId, PermissionName),
    /// It is no more.
    RoleDropped(RoleId),
    /// A custom permission counts.
    PermissionRegistered(CustomPermission),
    /// A custom permission counts no longer, wherever it stands.
    PermissionRetired(CustomPermission),
    /// The workspace can only be read, or everything again.
    WorkspaceSuspended(bool),
    /// The workspace is deleted, or back.
    WorkspaceDeleted(bool),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seat {
    roles: BTreeSet<RoleRef>,
    grants: PermissionSet,
    denies: BTreeSet<PermissionName>,
    suspended: bool,
}

/// The access of a tenant at a position of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    position: i64,
    owners: BTreeSet<UserId>,
    members: HashMap<UserId, Seat>,
    roles: HashMap<RoleId, PermissionSet>,
    custom: BTreeSet<CustomPermission>,
    suspended: bool,
    deleted: bool,
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
        use AccessChange::*;
        match change {
            OwnerAdded(user) => drop(self.owners.insert(user)),
            OwnerRemoved(user) => drop(self.owners.remove(&user)),
            Joined(user, roles) => drop(self.members.insert(user, Seat { roles: roles.into_iter().collect(), ..Seat::default() })),
            Left(user) => drop(self.members.remove(&user)),
            RoleAdded(user, role) => self.seat(user, |seat| _ = seat.roles.insert(role)),
            RoleRemoved(user, role) => self.seat(user, |seat| _ = seat.roles.remove(&role)),
            Overridden(user, grants, denies) => self.seat(user, |seat| {
                seat.grants = grants.unwrap_or_else(|| std::mem::take(&mut seat.grants));
                seat.denies = denies.unwrap_or_else(|| std::mem::take(&mut seat.denies));
            }),
            Suspended(user) => self.seat(user, |seat| seat.suspended = true),
            Reinstated(user) => self.seat(user, |seat| seat.suspended = false),
            PlatformRole(user, role) => drop(self.platform.insert(user, role)),
            RoleDefined(role, permissions) => drop(self.roles.insert(role, permissions)),
            RoleWidened(role, grant) => self.roles.entry(role).or_default().grant(grant),
            RoleNarrowed(role, permission) => self.roles.entry(role).or_default().deny(&permission),
            RoleDropped(role) => drop(self.roles.remove(&role)),
            PermissionRegistered(permission) => drop(self.custom.insert(permission)),
            PermissionRetired(permission) => drop(self.custom.remove(&permission)),
            WorkspaceSuspended(suspended) => self.suspended = suspended,
            WorkspaceDeleted(deleted) => self.deleted = deleted,
        }
    }

    fn seat(&mut self, user: UserId, change: impl FnOnce(&mut Seat)) {
        if let Some(seat) = self.members.get_mut(&user) {
            change(seat);
        }
    }

    /// Everything up to this position has been folded.
    pub fn advance(&mut self, position: i64) {
        self.position = self.position.max(position);
    }

    /// What a user may do: as a member, or, in the platform's log, by their role there.
    #[must_use]
    pub fn grants(&self, user: UserId) -> GrantSet {
        let Some(seat) = self.members.get(&user) else {
            return *self.platform.get(&user).copied().unwrap_or_default().grants();
        };
        let denies = seat.denies.iter().filter_map(|permission| match permission {
            PermissionName::Catalogue(permission) => Some(*permission),
            PermissionName::Custom(_) => None,
        });
        effective(self.held_by(seat), seat.grants.catalogue.iter(), denies, self.owners.contains(&user), self.standing(seat))
    }

    /// Which of the workspace's own permissions a user holds. Owners and administrators hold all of them, as they do
    /// of the catalogue.
    #[must_use]
    pub fn custom(&self, user: UserId) -> BTreeSet<CustomPermission> {
        let Some(seat) = self.members.get(&user).filter(|_| !self.custom.is_empty()) else { return BTreeSet::new() };
        let is_owner = self.owners.contains(&user);
        let all = administers(self.held_by(seat), is_owner);
        let given = |permission: &CustomPermission| {
            all || seat.grants.custom.contains(permission)
                || seat.roles.iter().filter_map(|role| self.roles.get(&role.custom()?)).any(|role| role.custom.contains(permission))
        };
        let denied = |permission: &CustomPermission| !is_owner && seat.denies.contains(&PermissionName::Custom(permission.clone()));
        let left = |permission: &CustomPermission| match self.standing(seat) {
            Standing::Active => true,
            Standing::WorkspaceSuspended => permission.action() == "read",
            Standing::MemberSuspended | Standing::WorkspaceDeleted => false,
        };
        self.custom.iter().filter(|permission| given(permission) && !denied(permission) && left(permission)).cloned().collect()
    }

    /// All that a user may do.
    #[must_use]
    pub fn effective(&self, user: UserId) -> PermissionSet {
        PermissionSet { catalogue: self.grants(user), custom: self.custom(user) }
    }

    fn held_by<'a>(&'a self, seat: &'a Seat) -> impl Iterator<Item = Role<'a>> {
        seat.roles.iter().filter_map(|role| match role {
            RoleRef::BuiltIn(role) => Some(Role::BuiltIn(*role)),
            RoleRef::Custom(id) => self.roles.get(id).map(|role| Role::Custom { id: *id, grants: &role.catalogue }),
        })
    }

    fn standing(&self, seat: &Seat) -> Standing {
        match (self.deleted, seat.suspended, self.suspended) {
            (true, ..) => Standing::WorkspaceDeleted,
            (_, true, _) => Standing::MemberSuspended,
            (.., true) => Standing::WorkspaceSuspended,
            _ => Standing::Active,
        }
    }

    /// True for members of the workspace, suspended ones included.
    #[must_use]
    pub fn is_member(&self, user: UserId) -> bool {
        self.members.contains_key(&user)
    }

    /// True for those who own the workspace.
    #[must_use]
    pub fn is_owner(&self, user: UserId) -> bool {
        self.is_member(user) && self.owners.contains(&user)
    }

    /// The roles of a member, `owner` among them for those who own the workspace.
    #[must_use]
    pub fn roles(&self, user: UserId) -> BTreeSet<RoleRef> {
        let owner = self.is_owner(user).then_some(BuiltInRole::Owner.into());
        self.members.get(&user).into_iter().flat_map(|seat| &seat.roles).copied().chain(owner).collect()
    }

    /// The workspace's own permissions that are registered and not retired.
    pub fn registered(&self) -> impl Iterator<Item = &CustomPermission> {
        self.custom.iter()
    }

    /// True while nobody has ever had access: a tenant that does not exist.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.members.is_empty()
    }
}
