//! What can happen to a workspace, what can be asked of it, and why it refuses.

use super::MAX_CUSTOM_PERMISSIONS;
use crate::roles::{BuiltInRole, CustomPermission};
use crate::workspace::{Confidence, Currency, Plan, SettingsChanges};
use crate::{Json, Moment, Name, Patch, Personal, ShortText, Slug, TimeZone, UserId};
use serde::{Deserialize, Serialize};

/// Whether a workspace is one person's or a team's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkspaceKind {
    /// One user's own; that user is its only member and owner for ever.
    Personal,
    /// Of any number of members, as the plan allows.
    Team,
}

/// What can happen to a workspace. Stored for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
pub enum WorkspaceEvent {
    /// It came into being: the first event of its log.
    WorkspaceCreated {
        /// Its name for people.
        name: String,
        /// Its name in addresses, reserved in the directory before.
        slug: String,
        /// One person's or a team's.
        kind: WorkspaceKind,
        /// Its first owner.
        owner_id: UserId,
        /// What it may use.
        plan: Plan,
        /// When monthly quotas start anew: the first moment of a month, UTC.
        quota_reset_at: Moment,
    },
    /// It is called otherwise.
    WorkspaceRenamed {
        /// The name it had.
        from: String,
        /// The name it has.
        to: String,
    },
    /// It has another name in addresses.
    WorkspaceSlugChanged {
        /// The slug it had.
        from: String,
        /// The slug it has.
        to: String,
    },
    /// Its defaults changed.
    WorkspaceSettingsUpdated {
        /// Only what changed.
        changes: SettingsChanges,
    },
    /// A member owns it too.
    OwnershipGranted {
        /// The new owner.
        user_id: UserId,
    },
    /// A user owns it no longer.
    OwnershipRevoked {
        /// The former owner.
        user_id: UserId,
    },
    /// It may use more or less from now on.
    WorkspacePlanChanged {
        /// The plan it had.
        from: Plan,
        /// The plan it has.
        to: Plan,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Personal<String>>,
    },
    /// It has a permission of its own, for its roles, overrides and clients.
    CustomPermissionRegistered {
        /// Its name.
        name: CustomPermission,
        /// What it allows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
    },
    /// A permission of its own counts no longer, wherever it stands.
    CustomPermissionRetired {
        /// Its name.
        name: CustomPermission,
    },
    /// Nothing can be done in it but reading.
    WorkspaceSuspended {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Personal<String>>,
    },
    /// A suspended workspace is as it was.
    WorkspaceReinstated,
    /// Nothing can be done in it but restoring it.
    WorkspaceDeleted {
        /// From when on it may be purged.
        purge_after: Moment,
    },
    /// A deleted workspace is as it was.
    WorkspaceRestored,
}

crate::event!(WorkspaceEvent);

/// What can be asked of a workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
pub enum WorkspaceCommand {
    /// Creates it, in the log of its own id, for the user who asks or for whom the program acts.
    CreateWorkspace {
        /// Its name for people.
        name: Name,
        /// Its name in addresses.
        slug: Slug,
        /// One person's or a team's.
        kind: WorkspaceKind,
        /// FREE unless the program says otherwise; users may not say.
        #[serde(default)]
        plan: Option<Plan>,
    },
    /// Gives it another name.
    RenameWorkspace {
        /// The new name.
        name: Name,
    },
    /// Gives it another name in addresses.
    ChangeSlug {
        /// The new slug.
        slug: Slug,
    },
    /// Changes its defaults.
    UpdateSettings {
        /// The role that new members get when nobody names one.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        default_role_key: Patch<BuiltInRole>,
        /// Its time zone.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        timezone: Patch<TimeZone>,
        /// Its currency.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        currency: Patch<Option<Currency>>,
        /// From which confidence an AI's answer counts without review.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        ai_min_confidence: Patch<Confidence>,
        /// What clients keep for themselves.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        custom: Patch<Option<Json<64>>>,
    },
    /// Makes an active member an owner.
    GrantOwnership {
        /// The member.
        user_id: UserId,
    },
    /// Takes ownership from somebody, oneself included, while another owner is left.
    RevokeOwnership {
        /// The owner.
        user_id: UserId,
    },
    /// Sets what it may use. What it uses beyond a smaller plan stays; only more is refused.
    ChangePlan {
        /// The new plan.
        plan: Plan,
        /// Why.
        #[serde(default)]
        reason: Option<ShortText>,
    },
    /// Gives it a permission of its own.
    RegisterCustomPermission {
        /// Its name: `custom.` and an action.
        name: CustomPermission,
        /// What it allows.
        #[serde(default)]
        description: Option<ShortText>,
    },
    /// Lets a permission of its own count no longer. Registered again, it counts again wherever it still stands.
    RetireCustomPermission {
        /// Its name.
        name: CustomPermission,
    },
    /// Lets nothing be done in it but reading, and billing by those in charge.
    SuspendWorkspace {
        /// Why.
        #[serde(default)]
        reason: Option<ShortText>,
    },
    /// Ends a suspension.
    ReinstateWorkspace {},
    /// Deletes it: nothing can be done in it, until an owner restores it or it is purged.
    DeleteWorkspace {
        /// Its slug, so that it is not done by mistake.
        confirm_slug: String,
    },
    /// Brings it back after a deletion.
    RestoreWorkspace {},
}

/// Why a workspace refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkspaceError {
    /// It does not exist.
    #[error("there is no such workspace; create it first")]
    NotFound,
    /// It exists.
    #[error("this workspace exists already; choose another id to create another")]
    AlreadyExists,
    /// The command stands in another log.
    #[error("a workspace is created in the log of its own id; send the command to that tenant")]
    ForeignLog,
    /// The program acts for nobody.
    #[error("a workspace needs an owner; create it as a user or on behalf of one")]
    NoOwner,
    /// There is only one owner, for ever.
    #[error("a PERSONAL workspace has one owner for ever; create a TEAM workspace to share ownership")]
    PersonalWorkspace,
    /// Only members can own.
    #[error("there is no such active member in this workspace; add the user first")]
    #[strum(serialize = "MEMBER_NOT_FOUND")]
    NotAMember,
    /// Somebody must own it.
    #[error("this is the last owner; grant ownership to another member first")]
    LastOwner,
    /// Ownership is no role to hand out.
    #[error("`owner` cannot be a default role; name another role, and make owners by GrantOwnership")]
    OwnerNotAssignable,
    /// It is suspended.
    #[error("this workspace is suspended; it takes no such change before it is reinstated")]
    #[strum(serialize = "INVALID_STATE")]
    Suspended,
    /// It is deleted.
    #[error("this workspace is deleted; restore it first")]
    #[strum(serialize = "INVALID_STATE")]
    Deleted,
    /// Not by mistake.
    #[error("this is not the workspace's slug; write the slug to confirm the deletion")]
    SlugMismatch,
    /// No place is left.
    #[error("a workspace has at most {MAX_CUSTOM_PERMISSIONS} permissions of its own; retire one first")]
    QuotaExceeded,
    /// No such permission of its own.
    #[error("the workspace has no permission of its own by this name")]
    PermissionNotFound,
}

crate::refusal!(WorkspaceError, {
    Self::NotAMember | Self::LastOwner => "userId",
    Self::OwnerNotAssignable => "defaultRoleKey",
    Self::SlugMismatch => "confirmSlug",
    Self::PermissionNotFound => "name",
});
