//! A membership joins a user to a workspace with one to ten roles; an owner stays a member, and is never suspended.
//! Its id derives from the workspace and the user, so there is one for each pair, and who has left comes back to it.

mod messages;

pub use messages::{MemberProfile, MemberSource, MembershipCommand, MembershipError, MembershipEvent, OverrideChanges};

use super::handing_on::{built_in, may_hand_on, registered, workspace};
use super::{Role, Workspace, WorkspaceKind, WorkspaceStatus};
use crate::roles::{
    BuiltInRole, Grantable, MEMBERS_REMOVE, MEMBERS_UPDATE, Permission, PermissionName, PermissionSet, ROLES_ASSIGN, RoleRef, USERS_DELETE,
};
use crate::{AccessChange, Act, Caller, Change, ClaimChange, ClaimName, Decider, FactRef, Guarded, Needs, Personal, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The most roles a member can have (`spec/roles.md`).
pub const MAX_ROLES: usize = 10;

/// A member, and what makes out what they may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seat {
    /// The user.
    pub user_id: UserId,
    /// One to ten roles, `owner` not among them.
    pub roles: BTreeSet<RoleRef>,
    /// What they may do beside.
    #[serde(default)]
    pub grants: PermissionSet,
    /// What they may not do.
    #[serde(default)]
    pub denies: BTreeSet<PermissionName>,
    /// They may do nothing for now.
    #[serde(default)]
    pub suspended: bool,
}

/// A membership.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Membership {
    /// The user has never been a member.
    #[default]
    Absent,
    /// The user is a member.
    Live(Seat),
    /// The user has been a member.
    Removed {
        /// The user.
        user_id: UserId,
    },
}

impl Membership {
    /// What a command declares whose decision depends on whether a user is a member.
    pub(crate) fn wanted(caller: &Caller, user: UserId) -> FactRef {
        FactRef::of::<Self>(WorkspaceId::from(caller.tenant).membership(user))
    }

    /// A user's membership, if the command has declared it.
    pub(crate) fn of(act: &Act, user: UserId) -> Option<&Self> {
        act.fact(WorkspaceId::from(act.caller().tenant).membership(user))
    }

    /// Whether a user is an active member, by the fact that the command has declared.
    pub(crate) fn has(act: &Act, user: UserId) -> bool {
        Self::of(act, user).is_some_and(Self::is_active)
    }

    /// The member, suspended or not, while the user is one.
    #[must_use]
    pub fn seat(&self) -> Option<&Seat> {
        match self {
            Self::Live(seat) => Some(seat),
            Self::Absent | Self::Removed { .. } => None,
        }
    }

    /// True while the user is a member and not suspended.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.seat().is_some_and(|seat| !seat.suspended)
    }

    /// Who it is about, once they have joined.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::Absent => None,
            Self::Live(Seat { user_id, .. }) | Self::Removed { user_id } => Some(*user_id),
        }
    }

    /// The roles of a member, `owner` never among them.
    pub fn roles(&self) -> impl Iterator<Item = RoleRef> {
        self.seat().into_iter().flat_map(|seat| &seat.roles).copied()
    }

    fn join(
        &self,
        user_id: UserId,
        roles: Vec<RoleRef>,
        source: MemberSource,
        profile: MemberProfile,
        act: &Act,
    ) -> Result<Vec<MembershipEvent>, MembershipError> {
        let (Some(plan), Some(kind)) = workspace(act).map_or((None, None), |workspace| (workspace.plan(), workspace.kind())) else {
            return Err(MembershipError::WorkspaceNotFound);
        };
        if roles.is_empty() || roles.len() > MAX_ROLES {
            return Err(MembershipError::RoleCount);
        }
        let wanted: BTreeSet<_> = roles.into_iter().collect();
        wanted.iter().try_for_each(|role| given_by(*role, act).map(drop))?;
        if let Self::Live(seat) = self {
            return if wanted == seat.roles { Ok(vec![]) } else { Err(MembershipError::AlreadyMember) };
        }
        open(act)?;
        if kind == WorkspaceKind::Personal && !workspace(act).is_some_and(|workspace| workspace.is_owner(user_id)) {
            return Err(MembershipError::PersonalWorkspace);
        }
        Ok(vec![MembershipEvent::MemberJoined {
            user_id,
            roles: wanted.into_iter().collect(),
            source,
            profile_name: profile.name.map(|name| Personal::new(user_id, name.into())),
            profile_email: Personal::new(user_id, profile.email.into()),
            limit: plan.members(),
        }])
    }
}

/// What a role that can be assigned gives here.
fn given_by(role: RoleRef, act: &Act) -> Result<PermissionSet, MembershipError> {
    match role {
        RoleRef::BuiltIn(BuiltInRole::Owner) => Err(MembershipError::OwnerNotAssignable),
        RoleRef::BuiltIn(role) => Ok(built_in(role, act)),
        RoleRef::Custom(id) => {
            act.fact::<Role>(id).and_then(Role::live).map(|role| role.permissions.clone()).ok_or(MembershipError::RoleNotFound)
        }
    }
}

/// Nothing comes or goes where the workspace stands still.
fn open(act: &Act) -> Result<(), MembershipError> {
    match workspace(act).and_then(Workspace::status) {
        Some(WorkspaceStatus::Active) => Ok(()),
        Some(WorkspaceStatus::Suspended | WorkspaceStatus::Deleted) => Err(MembershipError::WorkspaceClosed),
        None => Err(MembershipError::WorkspaceNotFound),
    }
}

/// Guard rule 3.
fn not_oneself(user_id: UserId, act: &Act) -> Result<(), MembershipError> {
    if act.user() == Some(user_id) { Err(MembershipError::OwnRoles) } else { Ok(()) }
}

/// Guard rules 1 and 3, for giving and for taking.
fn may_change(role: RoleRef, user_id: UserId, act: &Act) -> Result<(), MembershipError> {
    let given = given_by(role, act)?;
    not_oneself(user_id, act)?;
    if may_hand_on(&given, act) { Ok(()) } else { Err(MembershipError::BeyondOwnGrants) }
}

/// The overrides that come into a member's, and those that go, by guard rule 1: whoever lifts a denial gives, and
/// whoever denies takes, all of the permission.
fn overridden(
    seat: &Seat,
    grants: PermissionSet,
    denies: BTreeSet<PermissionName>,
    act: &Act,
) -> Result<Vec<MembershipEvent>, MembershipError> {
    not_oneself(seat.user_id, act)?;
    let whole = |permission: &PermissionName| match permission {
        PermissionName::Catalogue(permission) => Grantable::Catalogue(permission.any()),
        PermissionName::Custom(permission) => Grantable::Custom(permission.clone()),
    };
    let new = |held: &PermissionSet, others: &PermissionSet| {
        held.iter().filter(|grant| others.held(&grant.permission()).as_ref() != Some(grant)).collect::<Vec<_>>()
    };
    let added: Vec<Grantable> = new(&grants, &seat.grants).into_iter().chain(denies.difference(&seat.denies).map(whole)).collect();
    let unknown = added.iter().find_map(|grant| match grant {
        Grantable::Custom(permission) if !registered(permission, act) => Some(permission),
        _ => None,
    });
    if let Some(unknown) = unknown {
        return Err(MembershipError::PermissionNotFound(unknown.to_string()));
    }
    let gone = new(&seat.grants, &grants).into_iter().chain(seat.denies.difference(&denies).map(whole));
    if !may_hand_on(&added.into_iter().chain(gone).collect(), act) {
        return Err(MembershipError::BeyondOwnGrants);
    }
    let changes = OverrideChanges {
        grants: (grants != seat.grants).then(|| Change { from: seat.grants.clone(), to: grants }),
        denies: (denies != seat.denies).then(|| Change { from: seat.denies.clone(), to: denies }),
    };
    let changed = changes != OverrideChanges::default();
    Ok(changed.then_some(MembershipEvent::PermissionOverridesSet { user_id: seat.user_id, changes }).into_iter().collect())
}

/// Ownership is given up before membership: then the workspace alone watches over its last owner.
fn not_an_owner(user_id: UserId, act: &Act) -> Result<(), MembershipError> {
    match workspace(act) {
        Some(workspace) if workspace.is_owner(user_id) => {
            Err(if workspace.owners().count() == 1 { MembershipError::LastOwner } else { MembershipError::OwnerStays })
        }
        Some(_) => Ok(()),
        None => Err(MembershipError::WorkspaceNotFound),
    }
}

impl Seat {
    /// The end of the membership. From a workspace that is deleted nobody goes; one may leave a suspended one.
    fn gone(&self, reason: Option<Personal<String>>, left: bool, act: &Act) -> Result<Vec<MembershipEvent>, MembershipError> {
        if workspace(act).and_then(Workspace::status) == Some(WorkspaceStatus::Deleted) {
            return Err(MembershipError::WorkspaceClosed);
        }
        not_an_owner(self.user_id, act)?;
        let custom_roles = self.roles.iter().filter_map(|role| role.custom()).collect();
        Ok(vec![MembershipEvent::MemberRemoved { user_id: self.user_id, reason, left, custom_roles }])
    }
}

impl Guarded<Membership> for MembershipCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, membership: &Membership, _: &Caller) -> Needs {
        // A member's membership is their own, and nobody else's.
        let held = |permission: Permission| match membership.user_id() {
            Some(user) => Needs::owned_by(permission, [user]),
            None => Needs::new(permission),
        };
        match self {
            Self::AddMember { .. } => Needs::System,
            Self::AssignRole { .. } | Self::RevokeRole { .. } | Self::SetPermissionOverrides { .. } => held(ROLES_ASSIGN),
            Self::SuspendMember { .. } | Self::ReinstateMember {} => held(MEMBERS_UPDATE),
            Self::RemoveMember { .. } => held(MEMBERS_REMOVE).or(held(USERS_DELETE)),
            Self::LeaveWorkspace {} => Needs::Itself(membership.user_id()),
        }
    }

    fn facts(&self, _: &Membership, caller: &Caller) -> Vec<FactRef> {
        let roles = match self {
            Self::AddMember { roles, .. } => roles.as_slice(),
            Self::AssignRole { role } | Self::RevokeRole { role } => std::slice::from_ref(role),
            _ => &[],
        };
        let wanted = roles.iter().filter_map(|role| role.custom()).map(Role::wanted);
        std::iter::once(FactRef::of::<Workspace>(caller.tenant)).chain(wanted).collect()
    }
}

impl Decider for Membership {
    const TYPE: &'static str = "membership";
    type Command = MembershipCommand;
    type Event = MembershipEvent;
    type Error = MembershipError;

    fn decide(&self, command: MembershipCommand, act: &Act) -> Result<Vec<MembershipEvent>, MembershipError> {
        use MembershipCommand::*;
        use MembershipEvent::*;
        Ok(match (self, command) {
            (_, AddMember { user_id, roles, source, profile }) => self.join(user_id, roles, source, profile, act)?,
            (Self::Removed { .. }, RemoveMember { .. } | LeaveWorkspace {}) => vec![],
            (Self::Absent | Self::Removed { .. }, _) => return Err(MembershipError::NotFound),
            (Self::Live(Seat { user_id, roles, .. }), AssignRole { role }) => {
                may_change(role, *user_id, act)?;
                match (roles.contains(&role), roles.len()) {
                    (true, _) => vec![],
                    (false, MAX_ROLES..) => return Err(MembershipError::RoleCount),
                    (false, _) => vec![RoleAssigned { user_id: *user_id, role, assigned_by: act.user() }],
                }
            }
            (Self::Live(Seat { user_id, roles, .. }), RevokeRole { role }) => {
                may_change(role, *user_id, act)?;
                match (roles.contains(&role), roles.len()) {
                    (false, _) => vec![],
                    (true, 1) => return Err(MembershipError::LastRole),
                    (true, _) => vec![RoleRevoked { user_id: *user_id, role }],
                }
            }
            (Self::Live(seat), SetPermissionOverrides { grants, denies }) => {
                overridden(seat, grants.into_iter().collect(), denies.into_iter().collect(), act)?
            }
            (Self::Live(Seat { user_id, suspended, .. }), SuspendMember { reason }) => {
                not_oneself(*user_id, act)?;
                not_an_owner(*user_id, act)?;
                let reason = reason.map(|text| act.free_text(text));
                if *suspended { vec![] } else { vec![MemberSuspended { user_id: *user_id, reason }] }
            }
            (Self::Live(Seat { user_id, suspended, .. }), ReinstateMember {}) => {
                not_oneself(*user_id, act)?;
                if *suspended { vec![MemberReinstated { user_id: *user_id }] } else { vec![] }
            }
            (Self::Live(seat), RemoveMember { reason }) => seat.gone(reason.map(|text| act.free_text(text)), false, act)?,
            (Self::Live(seat), LeaveWorkspace {}) => seat.gone(None, true, act)?,
        })
    }

    fn apply(&mut self, event: MembershipEvent) {
        use MembershipEvent::*;
        match (&mut *self, event) {
            (_, MemberJoined { user_id, roles, .. }) => {
                let (grants, denies) = Default::default();
                *self = Self::Live(Seat { user_id, roles: roles.into_iter().collect(), grants, denies, suspended: false });
            }
            (_, MemberRemoved { user_id, .. }) => *self = Self::Removed { user_id },
            (Self::Live(seat), RoleAssigned { role, .. }) => drop(seat.roles.insert(role)),
            (Self::Live(seat), RoleRevoked { role, .. }) => drop(seat.roles.remove(&role)),
            (Self::Live(seat), PermissionOverridesSet { changes, .. }) => {
                changes.grants.into_iter().for_each(|change| seat.grants = change.to);
                changes.denies.into_iter().for_each(|change| seat.denies = change.to);
            }
            (Self::Live(seat), MemberSuspended { .. }) => seat.suspended = true,
            (Self::Live(seat), MemberReinstated { .. }) => seat.suspended = false,
            (Self::Absent | Self::Removed { .. }, _) => {}
        }
    }

    fn claims(event: &MembershipEvent, _: Uuid) -> Vec<ClaimChange> {
        // One counter for the workspace: its value says nothing.
        let seats = || ClaimName::clear("members", "all");
        match event {
            MembershipEvent::MemberJoined { limit, roles, .. } => {
                let roles = roles.iter().filter_map(|role| role.custom()).map(|id| ClaimChange::refer(Role::reference(id)));
                std::iter::once(ClaimChange::count(seats(), *limit)).chain(roles).collect()
            }
            MembershipEvent::MemberRemoved { custom_roles, .. } => {
                let roles = custom_roles.iter().map(|id| ClaimChange::release(Role::reference(*id)));
                std::iter::once(ClaimChange::release(seats())).chain(roles).collect()
            }
            MembershipEvent::RoleAssigned { role: RoleRef::Custom(id), .. } => vec![ClaimChange::refer(Role::reference(*id))],
            MembershipEvent::RoleRevoked { role: RoleRef::Custom(id), .. } => vec![ClaimChange::release(Role::reference(*id))],
            _ => vec![],
        }
    }

    fn claim_refused(kind: &str) -> Option<MembershipError> {
        match kind {
            "members" => Some(MembershipError::QuotaExceeded),
            "role" => Some(MembershipError::RoleNotFound),
            _ => None,
        }
    }

    fn access(event: &MembershipEvent, _: Uuid) -> Option<AccessChange> {
        Some(match event.clone() {
            MembershipEvent::MemberJoined { user_id, roles, .. } => AccessChange::Joined(user_id, roles),
            MembershipEvent::RoleAssigned { user_id, role, .. } => AccessChange::RoleAdded(user_id, role),
            MembershipEvent::RoleRevoked { user_id, role } => AccessChange::RoleRemoved(user_id, role),
            MembershipEvent::PermissionOverridesSet { user_id, changes: OverrideChanges { grants, denies } } => {
                AccessChange::Overridden(user_id, grants.map(|change| change.to), denies.map(|change| change.to))
            }
            MembershipEvent::MemberSuspended { user_id, .. } => AccessChange::Suspended(user_id),
            MembershipEvent::MemberReinstated { user_id } => AccessChange::Reinstated(user_id),
            MembershipEvent::MemberRemoved { user_id, .. } => AccessChange::Left(user_id),
        })
    }
}

#[cfg(test)]
mod tests;
