//! A workspace is a tenant: its aggregate's id is its log's id, and it is never without an owner.
//! That its slug and kind are those reserved in the platform's directory, and that a slug is changed only while
//! the new one is reserved there, is ensured by the process in `api` that sends these commands.

use super::{Confidence, Currency, Membership, Plan, Settings, SettingsChanges};
use crate::roles::{BuiltInRole, WORKSPACE_TRANSFER, WORKSPACE_UPDATE};
use crate::{
    AccessChange, Act, Caller, Decider, FactRef, Guarded, Json, Moment, Name, Needs, Patch, Personal, ShortText, Slug, TenantId, TimeZone,
    UserId, edit,
};
use chrono::{Datelike, TimeZone as _, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
}

crate::refusal!(WorkspaceError, {
    Self::NotAMember | Self::LastOwner => "userId",
    Self::OwnerNotAssignable => "defaultRoleKey",
});

/// A workspace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Workspace {
    /// There is none.
    #[default]
    Absent,
    /// It is in use.
    Active {
        /// Its name for people.
        name: String,
        /// Its name in addresses.
        slug: String,
        /// One person's or a team's.
        kind: WorkspaceKind,
        /// What it may use.
        plan: Plan,
        /// When monthly quotas start anew.
        quota_reset_at: Moment,
        /// Its defaults.
        settings: Settings,
        /// Its owners: at least one.
        owners: BTreeSet<UserId>,
    },
}

impl Workspace {
    /// What it may use, if it exists.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        match self {
            Self::Absent => None,
            Self::Active { plan, .. } => Some(*plan),
        }
    }

    /// One person's or a team's, if it exists.
    #[must_use]
    pub fn kind(&self) -> Option<WorkspaceKind> {
        match self {
            Self::Absent => None,
            Self::Active { kind, .. } => Some(*kind),
        }
    }

    /// Its name in addresses, if it exists.
    #[must_use]
    pub fn slug(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Active { slug, .. } => Some(slug),
        }
    }

    /// Its owners; none while it does not exist.
    pub fn owners(&self) -> impl Iterator<Item = UserId> {
        let owners = match self {
            Self::Absent => None,
            Self::Active { owners, .. } => Some(owners),
        };
        owners.into_iter().flatten().copied()
    }

    /// True for its owners.
    #[must_use]
    pub fn is_owner(&self, user: UserId) -> bool {
        self.owners().any(|owner| owner == user)
    }
}

impl Guarded<Workspace> for WorkspaceCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, _: &Workspace, _: &Caller) -> Needs {
        match self {
            Self::CreateWorkspace { plan: None, .. } => Needs::Itself(None).or(Needs::System),
            Self::CreateWorkspace { plan: Some(_), .. } | Self::ChangePlan { .. } => Needs::System,
            Self::RenameWorkspace { .. } | Self::ChangeSlug { .. } | Self::UpdateSettings { .. } => Needs::new(WORKSPACE_UPDATE),
            Self::GrantOwnership { .. } | Self::RevokeOwnership { .. } => Needs::new(WORKSPACE_TRANSFER),
        }
    }

    fn facts(&self, _: &Workspace, caller: &Caller) -> Vec<FactRef> {
        match self {
            Self::GrantOwnership { user_id } | Self::RevokeOwnership { user_id } => vec![Membership::wanted(caller, *user_id)],
            _ => vec![],
        }
    }
}

impl Decider for Workspace {
    const TYPE: &'static str = "workspace";
    type Command = WorkspaceCommand;
    type Event = WorkspaceEvent;
    type Error = WorkspaceError;

    fn decide(&self, command: WorkspaceCommand, act: &Act) -> Result<Vec<WorkspaceEvent>, WorkspaceError> {
        use WorkspaceCommand::*;
        use WorkspaceEvent::*;
        let Self::Active { name: old_name, slug: old_slug, kind, plan: old_plan, settings, owners, .. } = self else {
            return match command {
                CreateWorkspace { name, slug, kind, plan } => {
                    // Whoever creates a workspace owns it: it must not happen in the log of another one.
                    if act.id::<TenantId>() != act.caller().tenant {
                        return Err(WorkspaceError::ForeignLog);
                    }
                    let owner_id = act.user().ok_or(WorkspaceError::NoOwner)?;
                    let quota_reset_at = next_month(act.now());
                    Ok(vec![WorkspaceCreated {
                        name: name.into(),
                        slug: slug.into(),
                        kind,
                        owner_id,
                        plan: plan.unwrap_or_default(),
                        quota_reset_at,
                    }])
                }
                _ => Err(WorkspaceError::NotFound),
            };
        };
        let personal = *kind == WorkspaceKind::Personal;
        Ok(match command {
            CreateWorkspace { .. } => return Err(WorkspaceError::AlreadyExists),
            RenameWorkspace { name } if name.as_str() == old_name => vec![],
            RenameWorkspace { name } => vec![WorkspaceRenamed { from: old_name.clone(), to: name.into() }],
            ChangeSlug { slug } if slug.as_str() == old_slug => vec![],
            ChangeSlug { slug } => vec![WorkspaceSlugChanged { from: old_slug.clone(), to: slug.into() }],
            UpdateSettings { default_role_key: Patch::Set(BuiltInRole::Owner), .. } => return Err(WorkspaceError::OwnerNotAssignable),
            UpdateSettings { default_role_key, timezone, currency, ai_min_confidence, custom } => {
                let changes = SettingsChanges {
                    default_role_key: edit(&settings.default_role_key, default_role_key, |role| role),
                    timezone: edit(&settings.timezone, timezone, String::from),
                    currency: edit(&settings.currency, currency, |code| code.map(String::from)),
                    ai_min_confidence: edit(&settings.ai_min_confidence, ai_min_confidence, u16::from),
                    custom: edit(&settings.custom, custom, |json| json.map(String::from)),
                };
                if changes.is_empty() { vec![] } else { vec![WorkspaceSettingsUpdated { changes }] }
            }
            GrantOwnership { .. } | RevokeOwnership { .. } if personal => return Err(WorkspaceError::PersonalWorkspace),
            GrantOwnership { user_id } if owners.contains(&user_id) => vec![],
            GrantOwnership { user_id } | RevokeOwnership { user_id } if !owners.contains(&user_id) && !Membership::has(act, user_id) => {
                return Err(WorkspaceError::NotAMember);
            }
            GrantOwnership { user_id } => vec![OwnershipGranted { user_id }],
            RevokeOwnership { user_id } if !owners.contains(&user_id) => vec![],
            RevokeOwnership { .. } if owners.len() == 1 => return Err(WorkspaceError::LastOwner),
            RevokeOwnership { user_id } => vec![OwnershipRevoked { user_id }],
            ChangePlan { plan, .. } if plan == *old_plan => vec![],
            ChangePlan { plan, reason } => {
                vec![WorkspacePlanChanged { from: *old_plan, to: plan, reason: reason.map(|text| act.free_text(text)) }]
            }
        })
    }

    fn apply(&mut self, event: WorkspaceEvent) {
        use WorkspaceEvent::*;
        if let WorkspaceCreated { name, slug, kind, owner_id, plan, quota_reset_at } = event {
            *self = Self::Active { name, slug, kind, plan, quota_reset_at, settings: Settings::default(), owners: [owner_id].into() };
            return;
        }
        let Self::Active { name, slug, plan, settings, owners, .. } = self else { return };
        match event {
            WorkspaceCreated { .. } => {}
            WorkspaceRenamed { to, .. } => *name = to,
            WorkspaceSlugChanged { to, .. } => *slug = to,
            WorkspaceSettingsUpdated { changes } => changes.apply_to(settings),
            OwnershipGranted { user_id } => drop(owners.insert(user_id)),
            OwnershipRevoked { user_id } => drop(owners.remove(&user_id)),
            WorkspacePlanChanged { to, .. } => *plan = to,
        }
    }

    fn access(event: &WorkspaceEvent) -> Option<AccessChange> {
        match event {
            WorkspaceEvent::WorkspaceCreated { owner_id, .. } => Some(AccessChange::OwnerAdded(*owner_id)),
            WorkspaceEvent::OwnershipGranted { user_id } => Some(AccessChange::OwnerAdded(*user_id)),
            WorkspaceEvent::OwnershipRevoked { user_id } => Some(AccessChange::OwnerRemoved(*user_id)),
            _ => None,
        }
    }
}

/// The first moment of the month after this one, UTC.
fn next_month(now: Moment) -> Moment {
    let (year, month) = if now.month() == 12 { (now.year() + 1, 1) } else { (now.year(), now.month() + 1) };
    // The first of a month at midnight exists in UTC, for every year a clock can show.
    Utc.with_ymd_and_hms(year, month, 1, 0, 0, 0).single().unwrap_or(now)
}

#[cfg(test)]
mod tests;
