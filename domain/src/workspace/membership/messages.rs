//! What can happen to a membership, what can be asked of it, and why it refuses.

use super::MAX_ROLES;
use crate::roles::{Grantable, PermissionName, PermissionSet, RoleRef};
use crate::{Change, Email, Personal, RoleId, ShortText, Title, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
        roles: Vec<RoleRef>,
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
        role: RoleRef,
        /// Who gave it; nobody when the program did so on its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assigned_by: Option<UserId>,
    },
    /// A member has one role less.
    RoleRevoked {
        /// The member.
        user_id: UserId,
        /// The role.
        role: RoleRef,
    },
    /// A member may do more or less than their roles say.
    PermissionOverridesSet {
        /// The member.
        user_id: UserId,
        /// Only what changed.
        changes: OverrideChanges,
    },
    /// A member may do nothing for now.
    MemberSuspended {
        /// The member.
        user_id: UserId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Personal<String>>,
    },
    /// A suspended member is back, as they were.
    MemberReinstated {
        /// The member.
        user_id: UserId,
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
        /// The workspace's own roles that they had, which have one holder less.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        custom_roles: Vec<RoleId>,
    },
}

crate::event!(MembershipEvent);

/// What a change of a member's overrides changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OverrideChanges {
    /// What they may do beside what their roles grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Change<PermissionSet>>,
    /// What they may not do, whatever their roles grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denies: Option<Change<BTreeSet<PermissionName>>>,
}

/// What can be asked of a membership.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
pub enum MembershipCommand {
    /// Makes a user a member.
    AddMember {
        /// The user.
        user_id: UserId,
        /// One to ten roles, `owner` not among them.
        roles: Vec<RoleRef>,
        /// How they come.
        source: MemberSource,
        /// What the workspace shows of them.
        profile: MemberProfile,
    },
    /// Gives a member a role.
    AssignRole {
        /// The role.
        role: RoleRef,
    },
    /// Takes a role from a member.
    RevokeRole {
        /// The role.
        role: RoleRef,
    },
    /// Sets what a member may do beside, and not do in spite of, what their roles grant. Both are the whole of it.
    SetPermissionOverrides {
        /// What they may do beside.
        grants: Vec<Grantable>,
        /// What they may not do; an owner may nevertheless.
        denies: Vec<PermissionName>,
    },
    /// Lets a member do nothing, until they are reinstated.
    SuspendMember {
        /// Why.
        #[serde(default)]
        reason: Option<ShortText>,
    },
    /// Ends a suspension.
    ReinstateMember {},
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
    #[error("this is about what you may not do yourself; ask somebody who holds all of it")]
    BeyondOwnGrants,
    /// Nobody changes their own roles, overrides or suspension (guard rule 3).
    #[error("nobody changes their own rights; ask another administrator")]
    OwnRoles,
    /// A member has a role.
    #[error("this is the member's last role; assign another first, or remove the member")]
    LastRole,
    /// Somebody must own the workspace.
    #[error("this is the workspace's last owner; grant ownership to another member first")]
    LastOwner,
    /// Owners stay.
    #[error("an owner can neither go nor be suspended; revoke their ownership first")]
    OwnerStays,
    /// No such role of the workspace.
    #[error("there is no such role in this workspace; name a built-in one by its key, or one of its own by its id")]
    RoleNotFound,
    /// No such custom permission.
    #[error("the workspace has no permission `{0}`; register it first")]
    PermissionNotFound(String),
    /// Nobody joins or leaves what stands still.
    #[error("this workspace is suspended or deleted; it takes no such change before it is back")]
    #[strum(serialize = "INVALID_STATE")]
    WorkspaceClosed,
}

crate::refusal!(MembershipError, {
    Self::RoleCount => "roles",
    Self::OwnerNotAssignable | Self::LastRole => "role",
    Self::AlreadyMember | Self::PersonalWorkspace => "userId",
});
