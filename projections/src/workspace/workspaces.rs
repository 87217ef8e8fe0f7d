//! A workspace: one row in each workspace's tables. Its owners are here and nowhere else.

use crate::model::take;
use crate::query::{Scope, row, rows_of_all_tenants};
use crate::{JsonText, NodeId, ReadModel, Stored};
use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, Utc};
use domain::workspace::{SettingsChanges, WorkspaceEvent};
use domain::{Decider, Recorded, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

/// Whether a workspace is one person's or a team's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::workspace::WorkspaceKind")]
pub enum WorkspaceKind {
    /// One user's own; that user is its only member and owner for ever.
    Personal,
    /// Of any number of members, as the plan allows.
    Team,
}

/// What a workspace may use, from the smallest to the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::workspace::Plan")]
pub enum Plan {
    /// What every workspace starts with.
    Free,
    /// A small team.
    Starter,
    /// A company.
    Professional,
    /// Without limits on members, pipelines and documents.
    Enterprise,
}

/// Whether a workspace is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::workspace::WorkspaceStatus")]
pub enum WorkspaceStatus {
    /// It is.
    Active,
    /// It can only be read, and paid for.
    Suspended,
    /// It can only be restored, by an owner.
    Deleted,
}

/// A workspace's own defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "WorkspaceSettings")]
pub struct Settings {
    /// The role that new members get when nobody names one, by key.
    pub default_role_key: String,
    /// Name of a time zone in the IANA database.
    pub timezone: String,
    /// ISO 4217 code, once one is chosen.
    pub currency: Option<String>,
    /// From which confidence an AI's answer counts without review, in thousandths: 0 to 1000.
    pub ai_min_confidence: i32,
    /// What clients keep for themselves.
    pub custom: Option<JsonText>,
}

/// A tenant, as its members see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "WorkspaceRow")]
pub struct Workspace {
    /// The id, which is its log's too.
    pub id: NodeId<WorkspaceId>,
    /// Its name for people.
    pub name: String,
    /// Its name in addresses.
    pub slug: String,
    /// One person's or a team's.
    pub kind: WorkspaceKind,
    /// What it may use.
    pub plan: Plan,
    /// When monthly quotas start anew.
    pub quota_reset_at: DateTime<Utc>,
    /// Its owners, in the order they came.
    pub owner_ids: Vec<NodeId<UserId>>,
    /// Its defaults.
    pub settings: Settings,
    /// Whether it is in use.
    pub status: WorkspaceStatus,
    /// From when on it may be purged, if it is deleted.
    pub purge_after: Option<DateTime<Utc>>,
}

impl Settings {
    fn of(settings: &domain::workspace::Settings) -> Self {
        Self {
            default_role_key: settings.default_role_key.key().to_owned(),
            timezone: settings.timezone.clone(),
            currency: settings.currency.clone(),
            ai_min_confidence: i32::from(settings.ai_min_confidence),
            custom: settings.custom.clone().map(JsonText),
        }
    }

    fn updated(mut self, changes: &SettingsChanges) -> Self {
        let SettingsChanges { default_role_key, timezone, currency, ai_min_confidence, custom } = changes;
        take(&mut self.default_role_key, default_role_key.as_ref(), |role| role.key().to_owned());
        take(&mut self.timezone, timezone.as_ref(), Clone::clone);
        take(&mut self.currency, currency.as_ref(), Clone::clone);
        take(&mut self.ai_min_confidence, ai_min_confidence.as_ref(), |confidence| i32::from(*confidence));
        take(&mut self.custom, custom.as_ref(), |custom| custom.clone().map(JsonText));
        self
    }
}

impl ReadModel for Workspace {
    const TABLE: &'static str = "workspace_workspaces";
    const VERSION: i32 = 2;
    const READS: &'static [&'static str] = &[domain::workspace::Workspace::TYPE];
    type Key = WorkspaceId;

    fn keys(event: &Recorded) -> Vec<WorkspaceId> {
        event.of::<WorkspaceEvent>().map(|_| WorkspaceId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &WorkspaceId, event: &Recorded) -> Option<Self> {
        let Some(change) = event.of::<WorkspaceEvent>() else { return row };
        if let WorkspaceEvent::WorkspaceCreated { name, slug, kind, owner_id, plan, quota_reset_at } = change {
            return Some(Self {
                id: NodeId(*key),
                name: name.clone(),
                slug: slug.clone(),
                kind: (*kind).into(),
                plan: (*plan).into(),
                quota_reset_at: *quota_reset_at,
                owner_ids: vec![NodeId(*owner_id)],
                settings: Settings::of(&domain::workspace::Settings::default()),
                status: WorkspaceStatus::Active,
                purge_after: None,
            });
        }
        let mut row = row?;
        match change {
            WorkspaceEvent::WorkspaceCreated { .. } => {}
            WorkspaceEvent::WorkspaceRenamed { to, .. } => row.name.clone_from(to),
            WorkspaceEvent::WorkspaceSlugChanged { to, .. } => row.slug.clone_from(to),
            WorkspaceEvent::WorkspaceSettingsUpdated { changes } => row.settings = row.settings.updated(changes),
            WorkspaceEvent::OwnershipGranted { user_id } => {
                if !row.owner_ids.contains(&NodeId(*user_id)) {
                    row.owner_ids.push(NodeId(*user_id));
                }
            }
            WorkspaceEvent::OwnershipRevoked { user_id } => row.owner_ids.retain(|owner| owner.0 != *user_id),
            WorkspaceEvent::WorkspacePlanChanged { to, .. } => row.plan = (*to).into(),
            WorkspaceEvent::WorkspaceSuspended { .. } => row.status = WorkspaceStatus::Suspended,
            WorkspaceEvent::WorkspaceDeleted { purge_after } => {
                (row.status, row.purge_after) = (WorkspaceStatus::Deleted, Some(*purge_after));
            }
            WorkspaceEvent::WorkspaceReinstated | WorkspaceEvent::WorkspaceRestored => {
                (row.status, row.purge_after) = (WorkspaceStatus::Active, None);
            }
            WorkspaceEvent::CustomPermissionRegistered { .. } | WorkspaceEvent::CustomPermissionRetired { .. } => {}
        }
        Some(row)
    }
}

/// The workspace of a scope.
///
/// # Errors
/// The database.
pub async fn workspace(scope: &mut Scope) -> Result<Option<Stored<Workspace>>, sqlx::Error> {
    row(scope, |_| {}).await
}

/// The owners of a scope's workspace: of its active members, these have the role `owner` besides.
///
/// # Errors
/// The database.
pub async fn owner_ids(scope: &mut Scope) -> Result<Vec<UserId>, sqlx::Error> {
    Ok(workspace(scope).await?.into_iter().flat_map(|stored| stored.row.owner_ids).map(|owner| owner.0).collect())
}

/// The workspaces that the user of a scope of the platform is an active member of, by name; deleted ones to their owners
/// only. At most `limit`.
///
/// They stand in as many logs; the database shows a user their own over all of them, to a scope of the platform
/// only.
///
/// # Errors
/// The database.
pub async fn my_workspaces(scope: &mut Scope, limit: i64) -> Result<Vec<Stored<Workspace>>, sqlx::Error> {
    rows_of_all_tenants(
        scope,
        |query| {
            query.push(
                " and t.tenant_id = any (array(select m.tenant_id from read_models.workspace_members m
                  where m.user_id = event_store.current_actor() and m.status = 'ACTIVE'))
                 and (t.status <> 'DELETED' or event_store.current_actor() = any (t.owner_ids))",
            );
        },
        "lower(t.name), t.id",
        limit,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ALICE, BOB, TENANT, log, minute, row};
    use domain::Change;
    use domain::workspace::WorkspaceEvent::*;
    use domain::workspace::{Plan as DomainPlan, WorkspaceKind as Kind};

    fn workspace(then: impl IntoIterator<Item = WorkspaceEvent>) -> Workspace {
        let created = WorkspaceCreated {
            name: "Acme".into(),
            slug: "acme".into(),
            kind: Kind::Team,
            owner_id: ALICE,
            plan: DomainPlan::Free,
            quota_reset_at: minute(0),
        };
        row(&log::<domain::workspace::Workspace>(TENANT.0, std::iter::once(created).chain(then)))
    }

    #[test]
    fn its_creator_owns_it_before_anybody_is_a_member() {
        let workspace = workspace([]);
        assert_eq!((workspace.owner_ids, workspace.plan, workspace.kind), (vec![NodeId(ALICE)], Plan::Free, WorkspaceKind::Team));
        assert_eq!(workspace.settings.default_role_key, "member");
    }

    #[test]
    fn ownership_comes_and_goes() {
        let granted = OwnershipGranted { user_id: BOB };
        assert_eq!(workspace([granted.clone(), granted.clone()]).owner_ids, [NodeId(ALICE), NodeId(BOB)]);
        assert_eq!(workspace([granted, OwnershipRevoked { user_id: ALICE }]).owner_ids, [NodeId(BOB)]);
    }

    #[test]
    fn a_workspace_is_suspended_or_deleted_and_back() {
        let purge_after = minute(100);
        let status = |then: Vec<WorkspaceEvent>| {
            let workspace = workspace(then);
            (workspace.status, workspace.purge_after)
        };
        let suspended = WorkspaceSuspended { reason: None };
        assert_eq!(status(vec![suspended.clone()]), (WorkspaceStatus::Suspended, None));
        assert_eq!(status(vec![suspended, WorkspaceReinstated]), (WorkspaceStatus::Active, None));
        assert_eq!(status(vec![WorkspaceDeleted { purge_after }]), (WorkspaceStatus::Deleted, Some(purge_after)));
        assert_eq!(status(vec![WorkspaceDeleted { purge_after }, WorkspaceRestored]), (WorkspaceStatus::Active, None));
    }

    #[test]
    fn names_plan_and_settings_are_the_last_ones() {
        let changes = SettingsChanges {
            currency: Some(Change { from: None, to: Some("EUR".into()) }),
            ai_min_confidence: Some(Change { from: 700, to: 900 }),
            ..SettingsChanges::default()
        };
        let workspace = workspace([
            WorkspaceRenamed { from: "Acme".into(), to: "Apex".into() },
            WorkspaceSlugChanged { from: "acme".into(), to: "apex".into() },
            WorkspaceSettingsUpdated { changes },
            WorkspacePlanChanged { from: DomainPlan::Free, to: DomainPlan::Enterprise, reason: None },
        ]);
        assert_eq!((workspace.name.as_str(), workspace.slug.as_str(), workspace.plan), ("Apex", "apex", Plan::Enterprise));
        assert_eq!((workspace.settings.currency.as_deref(), workspace.settings.ai_min_confidence), (Some("EUR"), 900));
        assert_eq!(workspace.settings.timezone, "UTC");
    }
}
