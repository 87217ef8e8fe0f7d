//! A workspace is a tenant: its aggregate's id is its log's id, and it is never without an owner.
//! That its slug and kind are those reserved in the platform's directory, and that a slug is changed only while
//! the new one is reserved there, is ensured by the process in `api` that sends these commands.

mod messages;

pub use messages::{WorkspaceCommand, WorkspaceError, WorkspaceEvent, WorkspaceKind};

use super::{Membership, Plan, Settings, SettingsChanges};
use crate::roles::{BuiltInRole, CustomPermission, ROLES_CREATE, WORKSPACE_DELETE, WORKSPACE_TRANSFER, WORKSPACE_UPDATE};
use crate::{AccessChange, Act, Caller, Decider, FactRef, Guarded, Moment, Needs, Patch, TenantId, UserId, edit};
use chrono::{Datelike, TimeDelta, TimeZone as _, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The most permissions of its own a workspace can have (`spec/roles.md`).
pub const MAX_CUSTOM_PERMISSIONS: usize = 50;

/// How long a deleted workspace can be restored (`spec/workspace.md`).
const RESTORABLE: TimeDelta = TimeDelta::days(30);

/// Whether a workspace is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkspaceStatus {
    /// It is.
    #[default]
    Active,
    /// It can only be read.
    Suspended,
    /// It can only be restored.
    Deleted,
}

/// A workspace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Workspace {
    /// There is none.
    #[default]
    Absent,
    /// There is one.
    Live {
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
        /// The permissions of its own that count.
        #[serde(default)]
        custom_permissions: BTreeSet<CustomPermission>,
        /// Whether it is in use.
        #[serde(default)]
        status: WorkspaceStatus,
    },
}

impl Workspace {
    /// What it may use, if it exists.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        match self {
            Self::Absent => None,
            Self::Live { plan, .. } => Some(*plan),
        }
    }

    /// One person's or a team's, if it exists.
    #[must_use]
    pub fn kind(&self) -> Option<WorkspaceKind> {
        match self {
            Self::Absent => None,
            Self::Live { kind, .. } => Some(*kind),
        }
    }

    /// Its name in addresses, if it exists.
    #[must_use]
    pub fn slug(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::Live { slug, .. } => Some(slug),
        }
    }

    /// Whether it is in use, if it exists.
    #[must_use]
    pub fn status(&self) -> Option<WorkspaceStatus> {
        match self {
            Self::Absent => None,
            Self::Live { status, .. } => Some(*status),
        }
    }

    /// The permissions of its own that count.
    pub fn custom_permissions(&self) -> impl Iterator<Item = &CustomPermission> {
        let known = match self {
            Self::Absent => None,
            Self::Live { custom_permissions, .. } => Some(custom_permissions),
        };
        known.into_iter().flatten()
    }

    /// Its owners; none while it does not exist.
    pub fn owners(&self) -> impl Iterator<Item = UserId> {
        let owners = match self {
            Self::Absent => None,
            Self::Live { owners, .. } => Some(owners),
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

    fn needs(&self, workspace: &Workspace, _: &Caller) -> Needs {
        // A workspace is its owners' own.
        let held = |permission| Needs::owned_by(permission, workspace.owners());
        match self {
            Self::CreateWorkspace { plan: None, .. } => Needs::Itself(None).or(Needs::System),
            Self::CreateWorkspace { plan: Some(_), .. }
            | Self::ChangePlan { .. }
            | Self::SuspendWorkspace { .. }
            | Self::ReinstateWorkspace {} => Needs::System,
            Self::RenameWorkspace { .. } | Self::ChangeSlug { .. } | Self::UpdateSettings { .. } => held(WORKSPACE_UPDATE),
            Self::GrantOwnership { .. } | Self::RevokeOwnership { .. } => held(WORKSPACE_TRANSFER),
            Self::RegisterCustomPermission { .. } => Needs::new(ROLES_CREATE),
            Self::RetireCustomPermission { .. } => held(ROLES_CREATE),
            Self::DeleteWorkspace { .. } | Self::RestoreWorkspace {} => held(WORKSPACE_DELETE),
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
        let Self::Live { name: old_name, slug: old_slug, kind, plan: old_plan, settings, owners, custom_permissions, status, .. } = self
        else {
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
            RestoreWorkspace {} if *status == WorkspaceStatus::Deleted => vec![WorkspaceRestored],
            RestoreWorkspace {} => vec![],
            DeleteWorkspace { .. } if *status == WorkspaceStatus::Deleted => vec![],
            _ if *status == WorkspaceStatus::Deleted => return Err(WorkspaceError::Deleted),
            DeleteWorkspace { .. } if *status == WorkspaceStatus::Suspended => return Err(WorkspaceError::Suspended),
            DeleteWorkspace { confirm_slug } if confirm_slug != *old_slug => return Err(WorkspaceError::SlugMismatch),
            DeleteWorkspace { .. } => vec![WorkspaceDeleted { purge_after: act.now() + RESTORABLE }],
            SuspendWorkspace { .. } if *status == WorkspaceStatus::Suspended => vec![],
            SuspendWorkspace { reason } => vec![WorkspaceSuspended { reason: reason.map(|text| act.free_text(text)) }],
            ReinstateWorkspace {} if *status == WorkspaceStatus::Suspended => vec![WorkspaceReinstated],
            ReinstateWorkspace {} => vec![],
            RegisterCustomPermission { name, .. } if custom_permissions.contains(&name) => vec![],
            RegisterCustomPermission { .. } if custom_permissions.len() >= MAX_CUSTOM_PERMISSIONS => {
                return Err(WorkspaceError::QuotaExceeded);
            }
            RegisterCustomPermission { name, description } => {
                vec![CustomPermissionRegistered { name, description: description.map(|text| act.free_text(text)) }]
            }
            RetireCustomPermission { name } if custom_permissions.contains(&name) => vec![CustomPermissionRetired { name }],
            RetireCustomPermission { .. } => return Err(WorkspaceError::PermissionNotFound),
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
            *self = Self::Live {
                name,
                slug,
                kind,
                plan,
                quota_reset_at,
                settings: Settings::default(),
                owners: [owner_id].into(),
                custom_permissions: BTreeSet::new(),
                status: WorkspaceStatus::Active,
            };
            return;
        }
        let Self::Live { name, slug, plan, settings, owners, custom_permissions, status, .. } = self else { return };
        match event {
            WorkspaceCreated { .. } => {}
            WorkspaceRenamed { to, .. } => *name = to,
            WorkspaceSlugChanged { to, .. } => *slug = to,
            WorkspaceSettingsUpdated { changes } => changes.apply_to(settings),
            OwnershipGranted { user_id } => drop(owners.insert(user_id)),
            OwnershipRevoked { user_id } => drop(owners.remove(&user_id)),
            WorkspacePlanChanged { to, .. } => *plan = to,
            CustomPermissionRegistered { name, .. } => drop(custom_permissions.insert(name)),
            CustomPermissionRetired { name } => drop(custom_permissions.remove(&name)),
            WorkspaceSuspended { .. } => *status = WorkspaceStatus::Suspended,
            WorkspaceDeleted { .. } => *status = WorkspaceStatus::Deleted,
            WorkspaceReinstated | WorkspaceRestored => *status = WorkspaceStatus::Active,
        }
    }

    fn access(event: &WorkspaceEvent, _: Uuid) -> Option<AccessChange> {
        match event {
            WorkspaceEvent::WorkspaceCreated { owner_id, .. } => Some(AccessChange::OwnerAdded(*owner_id)),
            WorkspaceEvent::OwnershipGranted { user_id } => Some(AccessChange::OwnerAdded(*user_id)),
            WorkspaceEvent::OwnershipRevoked { user_id } => Some(AccessChange::OwnerRemoved(*user_id)),
            WorkspaceEvent::CustomPermissionRegistered { name, .. } => Some(AccessChange::PermissionRegistered(name.clone())),
            WorkspaceEvent::CustomPermissionRetired { name } => Some(AccessChange::PermissionRetired(name.clone())),
            WorkspaceEvent::WorkspaceSuspended { .. } => Some(AccessChange::WorkspaceSuspended(true)),
            WorkspaceEvent::WorkspaceReinstated => Some(AccessChange::WorkspaceSuspended(false)),
            WorkspaceEvent::WorkspaceDeleted { .. } => Some(AccessChange::WorkspaceDeleted(true)),
            WorkspaceEvent::WorkspaceRestored => Some(AccessChange::WorkspaceDeleted(false)),
            WorkspaceEvent::WorkspaceRenamed { .. }
            | WorkspaceEvent::WorkspaceSlugChanged { .. }
            | WorkspaceEvent::WorkspaceSettingsUpdated { .. }
            | WorkspaceEvent::WorkspacePlanChanged { .. } => None,
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
