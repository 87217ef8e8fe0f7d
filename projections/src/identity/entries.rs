//! The directory of workspaces: which exist or are about to, and under which slug.

use crate::query::{Scope, row};
use crate::workspace::WorkspaceKind;
use crate::{NodeId, ReadModel, Stored};
use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, Utc};
use domain::identity::WorkspaceEntryEvent;
use domain::{Decider, Recorded, UserId, WorkspaceEntryId, WorkspaceId};
use serde::{Deserialize, Serialize};

/// How far a workspace has come in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(name = "WorkspaceEntryStatus")]
pub enum EntryStatus {
    /// It may be created.
    Reserved,
    /// It exists, and its slug resolves.
    Confirmed,
}

/// A workspace in the directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "WorkspaceEntryRow")]
pub struct WorkspaceEntry {
    /// The entry's own id.
    pub id: NodeId<WorkspaceEntryId>,
    /// The workspace.
    pub workspace_id: NodeId<WorkspaceId>,
    /// Its slug.
    pub slug: String,
    /// The slug it is about to change to.
    pub next_slug: Option<String>,
    /// One person's or a team's.
    pub kind: WorkspaceKind,
    /// Who reserved it, and owned it first.
    pub owner_id: NodeId<UserId>,
    /// Whether it exists yet.
    pub status: EntryStatus,
    /// From when another may have the slug, while it is reserved.
    pub expires_at: Option<DateTime<Utc>>,
}

impl ReadModel for WorkspaceEntry {
    const TABLE: &'static str = "identity_workspace_entries";
    const READS: &'static [&'static str] = &[domain::identity::WorkspaceEntry::TYPE];
    type Key = WorkspaceEntryId;

    fn keys(event: &Recorded) -> Vec<WorkspaceEntryId> {
        event.of::<WorkspaceEntryEvent>().map(|_| WorkspaceEntryId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &WorkspaceEntryId, event: &Recorded) -> Option<Self> {
        let Some(change) = event.of::<WorkspaceEntryEvent>() else { return row };
        match change {
            WorkspaceEntryEvent::WorkspaceReserved { workspace_id, slug, kind, owner_id, expires_at } => Some(Self {
                id: NodeId(*key),
                workspace_id: NodeId(*workspace_id),
                slug: slug.clone(),
                next_slug: None,
                kind: (*kind).into(),
                owner_id: NodeId(*owner_id),
                status: EntryStatus::Reserved,
                expires_at: *expires_at,
            }),
            WorkspaceEntryEvent::WorkspaceConfirmed { .. } => {
                row.map(|row| Self { status: EntryStatus::Confirmed, expires_at: None, ..row })
            }
            WorkspaceEntryEvent::WorkspaceSlugReserved { slug, .. } => row.map(|row| Self { next_slug: Some(slug.clone()), ..row }),
            WorkspaceEntryEvent::WorkspaceSlugReleased { current, .. } => {
                row.map(|row| Self { slug: current.clone(), next_slug: None, ..row })
            }
            // Nothing is reserved any more; the same entry may be reserved anew.
            WorkspaceEntryEvent::WorkspaceReleased { .. } => None,
        }
    }
}

/// The workspace that a slug resolves to. For a scope of the platform.
///
/// # Errors
/// The database.
pub async fn entry_by_slug(scope: &mut Scope, slug: &str) -> Result<Option<Stored<WorkspaceEntry>>, sqlx::Error> {
    let slug = slug.to_owned();
    row(scope, move |query| {
        query.push(" and t.status = 'CONFIRMED' and t.slug = ").push_bind(slug.clone());
    })
    .await
}

/// A workspace's entry. For a scope of the platform.
///
/// # Errors
/// The database.
pub async fn entry_of(scope: &mut Scope, workspace: WorkspaceId) -> Result<Option<Stored<WorkspaceEntry>>, sqlx::Error> {
    row(scope, move |query| {
        query.push(" and t.id = ").push_bind(workspace.entry().0);
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ALICE, log, minute, row, rows};
    use domain::identity::WorkspaceEntryEvent::*;
    use domain::workspace::WorkspaceKind as Kind;
    use uuid::Uuid;

    const ID: WorkspaceId = WorkspaceId(Uuid::from_u128(7));

    fn reserved() -> WorkspaceEntryEvent {
        WorkspaceReserved { workspace_id: ID, slug: "acme".into(), kind: Kind::Team, owner_id: ALICE, expires_at: Some(minute(60)) }
    }

    fn entries(events: impl IntoIterator<Item = WorkspaceEntryEvent>) -> Vec<Recorded> {
        log::<domain::identity::WorkspaceEntry>(ID.entry(), events)
    }

    #[test]
    fn a_confirmed_reservation_no_longer_expires() {
        let entry: WorkspaceEntry = row(&entries([reserved()]));
        assert_eq!((entry.status, entry.expires_at), (EntryStatus::Reserved, Some(minute(60))));
        let entry: WorkspaceEntry = row(&entries([reserved(), WorkspaceConfirmed { workspace_id: ID }]));
        assert_eq!((entry.status, entry.expires_at), (EntryStatus::Confirmed, None));
    }

    #[test]
    fn a_change_of_slug_ends_with_the_slug_that_the_release_leaves() {
        let begun =
            [reserved(), WorkspaceConfirmed { workspace_id: ID }, WorkspaceSlugReserved { slug: "new".into(), previous: "acme".into() }];
        let entry: WorkspaceEntry = row(&entries(begun.clone()));
        assert_eq!((entry.slug.as_str(), entry.next_slug.as_deref()), ("acme", Some("new")));
        let released = |slug: &str, current: &str| WorkspaceSlugReleased { slug: slug.into(), current: current.into() };
        for (slug, current) in [("acme", "new"), ("new", "acme")] {
            let entry: WorkspaceEntry = row(&entries(begun.clone().into_iter().chain([released(slug, current)])));
            assert_eq!((entry.slug.as_str(), entry.next_slug), (current, None));
        }
    }

    #[test]
    fn a_released_reservation_is_gone_until_it_is_made_anew() {
        let released = WorkspaceReleased { workspace_id: ID, slug: "acme".into(), kind: Kind::Team, owner_id: ALICE };
        assert!(rows::<WorkspaceEntry>(&entries([reserved(), released.clone()])).is_empty());
        assert_eq!(row::<WorkspaceEntry>(&entries([reserved(), released, reserved()])).slug, "acme");
    }
}
