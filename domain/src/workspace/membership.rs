//! A membership joins a user to a workspace with one to ten roles; an owner stays a member.
//! Its id derives from the workspace and the user, so there is one for each pair, and who has left comes back to it.

use super::{Workspace, WorkspaceKind};
use crate::roles::{BuiltInRole, MEMBERS_REMOVE, ROLES_ASSIGN, USERS_DELETE};
use crate::{
    AccessChange, Act, Caller, ClaimChange, ClaimName, Decider, Email, FactRef, Guarded, Needs, Personal, ShortText, Title, UserId,
    WorkspaceId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The most roles a member can have (`spec/roles.md`).
pub const MAX_ROLES: usize = 10;

/// How a member came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum MemberSource {
    /// They created the workspace.
    Creator,
    /// They accepted an invitation.
    Invitation,
    /// The program added them.
    Provisioned,
}

/// What a workspace shows of a member: carried over from the user, who lives in the platform's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberProfile {
    /// The user's display name, if they have one.
    #[serde(default)]
    pub name: Option<Title>,
    /// The user's e-mail address.
    pub email: Email,
}

/// What can happen to a membership. Stored for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
pub enum MembershipEvent {
    /// A user is a member, for the first time or again.
    MemberJoined {
        /// The user.
        user_id: UserId,
        /// Their roles, in order and each once.
        roles: Vec<BuiltInRole>,
        /// How they came.
        source: MemberSource,
        /// Their display name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile_name: Option<Personal<String>>,
        /// Their e-mail address.
        profile_email: Personal<String>,
        /// The seats of the workspace's plan at that time; none is no limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
    /// A member has one more role.
    RoleAssigned {
        /// The member.
        user_id: UserId,
        /// The role.
        role: BuiltInRole,
        /// Who gave it; nobody when the program did so on its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assigned_by: Option<UserId>,
    },
    /// A member has one role less.
    RoleRevoked {
        /// The member.
        user_id: UserId,
        /// The role.
        role: BuiltInRole,
    },
    /// A user is a member no longer.
    MemberRemoved {
        /// The user.
        user_id: UserId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Personal<String>>,
        /// True when they left by themselves.
        left: bool,
    },
}

crate::event!(MembershipEvent);

/// What can be asked of a membership.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
pub enum MembershipCommand {
    /// Makes a user a member.
    AddMember {
        /// The user.
        user_id: UserId,
        /// One to ten roles, `owner` not among them.
        roles: Vec<BuiltInRole>,
        /// How they come.
        source: MemberSource,
        /// What the workspace shows of them.
        profile: MemberProfile,
    },
    /// Gives a member a role.
    AssignRole {
        /// The role.
        role: BuiltInRole,
    },
    /// Takes a role from a member.
    RevokeRole {
        /// The role.
        role: BuiltInRole,
    },
    /// Ends the membership.
    RemoveMember {
        /// Why.
        #[serde(default)]
        reason: Option<ShortText>,
    },
    /// Ends one's own membership.
    LeaveWorkspace {},
}

/// Why a membership refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum MembershipError {
    /// The user is no member.
    #[error("this user is no member of the workspace; add them first")]
    NotFound,
    /// The user is one already.
    #[error("this user is a member already, with other roles; assign or revoke roles instead")]
    AlreadyMember,
    /// There is nothing to join.
    #[error("there is no such workspace to join; create it first")]
    WorkspaceNotFound,
    /// Nobody but the owner.
    #[error("a PERSONAL workspace has its owner as its only member; create a TEAM workspace to work together")]
    PersonalWorkspace,
    /// No seat is left.
    #[error("the plan's seats are all taken; remove a member or choose a larger plan")]
    QuotaExceeded,
    /// Too few or too many roles.
    #[error("a member has 1 to {MAX_ROLES} roles; name as many")]
    RoleCount,
    /// Ownership is no role to hand out.
    #[error("`owner` is neither assigned nor revoked as a role; use GrantOwnership or RevokeOwnership of the workspace")]
    OwnerNotAssignable,
    /// Nobody hands on more than they have (guard rule 1).
    #[error("the role grants what you may not do yourself; ask somebody who holds all of it")]
    BeyondOwnGrants,
    /// Nobody changes their own roles (guard rule 3).
    #[error("nobody changes their own roles; ask another administrator")]
    OwnRoles,
    /// A member has a role.
    #[error("this is the member's last role; assign another first, or remove the member")]
    LastRole,
    /// Somebody must own the workspace.
    #[error("this is the workspace's last owner; grant ownership to another member first")]
    LastOwner,
    /// Owners stay.
    #[error("an owner cannot go; revoke their ownership first")]
    OwnerStays,
}

crate::refusal!(MembershipError, {
    Self::RoleCount => "roles",
    Self::OwnerNotAssignable | Self::BeyondOwnGrants | Self::LastRole => "role",
    Self::AlreadyMember | Self::PersonalWorkspace => "userId",
});

/// A membership.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Membership {
    /// The user has never been a member.
    #[default]
    Absent,
    /// The user is a member.
    Active {
        /// The user.
        user_id: UserId,
        /// One to ten roles, `owner` not among them.
        roles: BTreeSet<BuiltInRole>,
    },
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

    /// Whether a user is an active member, by the fact that the command has declared.
    pub(crate) fn has(act: &Act, user: UserId) -> bool {
        let id = WorkspaceId::from(act.caller().tenant).membership(user);
        act.fact::<Self>(id).is_some_and(Self::is_active)
    }

    /// True while the user is a member.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Active { .. })
    }

    /// Who it is about, once they have joined.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::Absent => None,
            Self::Active { user_id, .. } | Self::Removed { user_id } => Some(*user_id),
        }
    }

    /// The roles of an active member, `owner` never among them.
    pub fn roles(&self) -> impl Iterator<Item = BuiltInRole> {
        let roles = match self {
            Self::Active { roles, .. } => Some(roles),
            Self::Absent | Self::Removed { .. } => None,
        };
        roles.into_iter().flatten().copied()
    }

    fn join(
        &self,
        user_id: UserId,
        roles: Vec<BuiltInRole>,
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
        if wanted.contains(&BuiltInRole::Owner) {
            return Err(MembershipError::OwnerNotAssignable);
        }
        if let Self::Active { roles, .. } = self {
            return if wanted == *roles { Ok(vec![]) } else { Err(MembershipError::AlreadyMember) };
        }
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

fn workspace(act: &Act) -> Option<&Workspace> {
    act.fact(act.caller().tenant)
}

/// Guard rules 1 and 3 of `spec/roles.md`, for giving and for taking.
fn may_hand_on(role: BuiltInRole, user_id: UserId, act: &Act) -> Result<(), MembershipError> {
    if role == BuiltInRole::Owner {
        Err(MembershipError::OwnerNotAssignable)
    } else if act.user() == Some(user_id) {
        Err(MembershipError::OwnRoles)
    } else if !role.grants().is_subset_of(&act.caller().grants) {
        Err(MembershipError::BeyondOwnGrants)
    } else {
        Ok(())
    }
}

/// Ownership is given up before membership: then the workspace alone watches over its last owner.
fn may_go(user_id: UserId, act: &Act) -> Result<(), MembershipError> {
    match workspace(act) {
        Some(workspace) if workspace.is_owner(user_id) => {
            Err(if workspace.owners().count() == 1 { MembershipError::LastOwner } else { MembershipError::OwnerStays })
        }
        Some(_) => Ok(()),
        None => Err(MembershipError::WorkspaceNotFound),
    }
}

impl Guarded<Membership> for MembershipCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, membership: &Membership, _: &Caller) -> Needs {
        match self {
            Self::AddMember { .. } => Needs::System,
            Self::AssignRole { .. } | Self::RevokeRole { .. } => Needs::new(ROLES_ASSIGN),
            Self::RemoveMember { .. } => Needs::new(MEMBERS_REMOVE).or(Needs::new(USERS_DELETE)),
            Self::LeaveWorkspace {} => Needs::Itself(membership.user_id()),
        }
    }

    fn facts(&self, _: &Membership, caller: &Caller) -> Vec<FactRef> {
        match self {
            Self::AddMember { .. } | Self::RemoveMember { .. } | Self::LeaveWorkspace {} => vec![FactRef::of::<Workspace>(caller.tenant)],
            Self::AssignRole { .. } | Self::RevokeRole { .. } => vec![],
        }
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
            (Self::Active { user_id, roles }, AssignRole { role }) => {
                may_hand_on(role, *user_id, act)?;
                if roles.contains(&role) { vec![] } else { vec![RoleAssigned { user_id: *user_id, role, assigned_by: act.user() }] }
            }
            (Self::Active { user_id, roles }, RevokeRole { role }) => {
                may_hand_on(role, *user_id, act)?;
                match (roles.contains(&role), roles.len()) {
                    (false, _) => vec![],
                    (true, 1) => return Err(MembershipError::LastRole),
                    (true, _) => vec![RoleRevoked { user_id: *user_id, role }],
                }
            }
            (Self::Active { user_id, .. }, RemoveMember { reason }) => {
                may_go(*user_id, act)?;
                vec![MemberRemoved { user_id: *user_id, reason: reason.map(|text| act.free_text(text)), left: false }]
            }
            (Self::Active { user_id, .. }, LeaveWorkspace {}) => {
                may_go(*user_id, act)?;
                vec![MemberRemoved { user_id: *user_id, reason: None, left: true }]
            }
        })
    }

    fn apply(&mut self, event: MembershipEvent) {
        use MembershipEvent::*;
        match event {
            MemberJoined { user_id, roles, .. } => *self = Self::Active { user_id, roles: roles.into_iter().collect() },
            MemberRemoved { user_id, .. } => *self = Self::Removed { user_id },
            RoleAssigned { role, .. } => {
                if let Self::Active { roles, .. } = self {
                    roles.insert(role);
                }
            }
            RoleRevoked { role, .. } => {
                if let Self::Active { roles, .. } = self {
                    roles.remove(&role);
                }
            }
        }
    }

    fn claims(event: &MembershipEvent, _: Uuid) -> Vec<ClaimChange> {
        // One counter for the workspace: its value says nothing.
        let seats = || ClaimName::clear("members", "all");
        match event {
            MembershipEvent::MemberJoined { limit, .. } => vec![ClaimChange::count(seats(), *limit)],
            MembershipEvent::MemberRemoved { .. } => vec![ClaimChange::release(seats())],
            MembershipEvent::RoleAssigned { .. } | MembershipEvent::RoleRevoked { .. } => vec![],
        }
    }

    fn claim_refused(kind: &str) -> Option<MembershipError> {
        (kind == "members").then_some(MembershipError::QuotaExceeded)
    }

    fn access(event: &MembershipEvent) -> Option<AccessChange> {
        Some(match event {
            MembershipEvent::MemberJoined { user_id, roles, .. } => AccessChange::Joined(*user_id, roles.clone()),
            MembershipEvent::RoleAssigned { user_id, role, .. } => AccessChange::RoleAdded(*user_id, *role),
            MembershipEvent::RoleRevoked { user_id, role } => AccessChange::RoleRemoved(*user_id, *role),
            MembershipEvent::MemberRemoved { user_id, .. } => AccessChange::Left(*user_id),
        })
    }
}

#[cfg(test)]
mod tests;
