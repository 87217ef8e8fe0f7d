//! A workspace's entry in the platform's directory: it holds the slug, and with it the workspace's existence.
//! A slug resolves only once the entry is confirmed. All its commands are the program's, in the course of creating
//! a workspace or of changing its slug.

use crate::workspace::WorkspaceKind;
use crate::{Act, Caller, ClaimChange, ClaimName, Decider, Guarded, Moment, Needs, Slug, UserId, WorkspaceId};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long a TEAM reservation stands before another may have its slug (`spec/identity.md`).
const RESERVED_FOR: Duration = Duration::hours(1);
/// How many TEAM workspaces one user may own on the FREE plan (`spec/workspace.md`).
const TEAM_WORKSPACES: u32 = 10;

/// What can happen to an entry. Stored for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
pub enum WorkspaceEntryEvent {
    /// The workspace may be created under this slug.
    WorkspaceReserved {
        /// The workspace.
        workspace_id: WorkspaceId,
        /// Its slug.
        slug: String,
        /// One person's or a team's.
        kind: WorkspaceKind,
        /// Who will own it.
        owner_id: UserId,
        /// From when another may have the slug; none for a PERSONAL workspace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Moment>,
    },
    /// The workspace exists; its slug resolves from now on.
    WorkspaceConfirmed {
        /// The workspace.
        workspace_id: WorkspaceId,
    },
    /// The workspace holds a second slug, to change to it.
    WorkspaceSlugReserved {
        /// The slug it may change to.
        slug: String,
        /// The slug it has.
        previous: String,
    },
    /// The workspace holds one slug again.
    WorkspaceSlugReleased {
        /// The slug that is free.
        slug: String,
        /// The slug that it has from now on.
        current: String,
    },
    /// The reservation is given up.
    WorkspaceReleased {
        /// The workspace.
        workspace_id: WorkspaceId,
        /// The slug that is free.
        slug: String,
        /// What it would have been.
        kind: WorkspaceKind,
        /// Whose it would have been.
        owner_id: UserId,
    },
}

crate::event!(WorkspaceEntryEvent);

/// What can be asked of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
pub enum WorkspaceEntryCommand {
    /// Reserves a workspace and its slug. The same again changes nothing, so that a creation can be resumed; it
    /// prolongs a reservation that has expired.
    ReserveWorkspace {
        /// The workspace.
        workspace_id: WorkspaceId,
        /// Its slug.
        slug: Slug,
        /// One person's or a team's.
        kind: WorkspaceKind,
        /// Who will own it.
        owner_id: UserId,
    },
    /// Says that the workspace exists. An expired reservation that nobody has released can still be confirmed.
    ConfirmWorkspace {},
    /// Reserves a slug to change to.
    ReserveSlug {
        /// The new slug.
        slug: Slug,
    },
    /// Says that the workspace has changed to the reserved slug, and frees the old one.
    ConfirmSlug {
        /// The new slug.
        slug: Slug,
    },
    /// Gives a reserved slug up, and keeps the old one.
    ReleaseSlug {
        /// The slug that was reserved.
        slug: Slug,
    },
    /// Gives a reservation up: on behalf of its owner at any time, for others once it has expired. The process
    /// that sends this looks first that the workspace's log is empty, and confirms the reservation otherwise.
    ReleaseWorkspace {},
}

/// Why an entry refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkspaceEntryError {
    /// It does not exist.
    #[error("the directory has no such workspace; reserve it first")]
    NotFound,
    /// It stands for something else already.
    #[error("this entry is reserved with another slug, kind or owner; release it first or choose another workspace id")]
    Conflict,
    /// Not at this time of its life.
    #[error("this is not possible now: slugs are changed once the workspace is confirmed, and released before that only with it")]
    InvalidState,
    /// Another slug is under way.
    #[error("another change of the slug is under way; finish or release it first")]
    SlugChangePending,
    /// Not the slug that was reserved.
    #[error("this slug is not the one reserved for the workspace; reserve it first")]
    SlugNotReserved,
    /// Somebody is creating a workspace under it.
    #[error("the reservation has not expired yet; wait until it has, or choose another slug")]
    StillReserved,
    /// A workspace has it.
    #[error("the slug is taken; choose another")]
    SlugTaken,
    /// One for each user.
    #[error("this user has a PERSONAL workspace already; use that one")]
    PersonalWorkspaceExists,
    /// Enough.
    #[error("a user may own at most {TEAM_WORKSPACES} TEAM workspaces; use one of them")]
    QuotaExceeded,
}

crate::refusal!(WorkspaceEntryError, { Self::SlugTaken | Self::SlugNotReserved | Self::SlugChangePending => "slug" });

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum WorkspaceEntry {
    /// There is none.
    #[default]
    Absent,
    /// The workspace may be created.
    Reserved {
        /// What is reserved.
        entry: Entry,
        /// From when another may have the slug; none for a PERSONAL workspace.
        expires_at: Option<Moment>,
    },
    /// The workspace exists.
    Confirmed {
        /// What exists.
        entry: Entry,
        /// The slug it is about to change to.
        next_slug: Option<String>,
    },
    /// The reservation was given up; it can be made anew.
    Released,
}

/// What an entry says of its workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Its slug.
    pub slug: String,
    /// One person's or a team's.
    pub kind: WorkspaceKind,
    /// Who reserved it, and owned it first.
    pub owner_id: UserId,
}

impl WorkspaceEntry {
    /// What is reserved or confirmed.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Reserved { entry, .. } | Self::Confirmed { entry, .. } => Some(entry),
            Self::Absent | Self::Released => None,
        }
    }

    /// True once the workspace exists: only then does its slug resolve.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        matches!(self, Self::Confirmed { .. })
    }

    /// The workspace.
    #[must_use]
    pub fn workspace_id(&self) -> Option<WorkspaceId> {
        self.entry().map(|entry| entry.workspace_id)
    }

    /// The slug the workspace has.
    #[must_use]
    pub fn slug(&self) -> Option<&str> {
        self.entry().map(|entry| entry.slug.as_str())
    }

    /// The slug it is about to change to.
    #[must_use]
    pub fn next_slug(&self) -> Option<&str> {
        match self {
            Self::Confirmed { next_slug, .. } => next_slug.as_deref(),
            Self::Absent | Self::Reserved { .. } | Self::Released => None,
        }
    }

    /// One person's or a team's.
    #[must_use]
    pub fn kind(&self) -> Option<WorkspaceKind> {
        self.entry().map(|entry| entry.kind)
    }

    /// Who reserved it; who owns the workspace now, the workspace knows.
    #[must_use]
    pub fn owner(&self) -> Option<UserId> {
        self.entry().map(|entry| entry.owner_id)
    }

    /// True when the reservation has run out, so that another may have it released.
    #[must_use]
    pub fn expired(&self, now: Moment) -> bool {
        matches!(self, Self::Reserved { expires_at: Some(at), .. } if *at <= now)
    }
}

fn reserved(workspace_id: WorkspaceId, slug: Slug, kind: WorkspaceKind, owner_id: UserId, act: &Act) -> WorkspaceEntryEvent {
    let expires_at = (kind == WorkspaceKind::Team).then(|| act.now() + RESERVED_FOR);
    WorkspaceEntryEvent::WorkspaceReserved { workspace_id, slug: slug.into(), kind, owner_id, expires_at }
}

impl Guarded<WorkspaceEntry> for WorkspaceEntryCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, _: &WorkspaceEntry, _: &Caller) -> Needs {
        Needs::System
    }
}

impl Decider for WorkspaceEntry {
    const TYPE: &'static str = "workspace_entry";
    type Command = WorkspaceEntryCommand;
    type Event = WorkspaceEntryEvent;
    type Error = WorkspaceEntryError;

    fn decide(&self, command: WorkspaceEntryCommand, act: &Act) -> Result<Vec<WorkspaceEntryEvent>, WorkspaceEntryError> {
        use WorkspaceEntryCommand::*;
        use WorkspaceEntryEvent::*;
        Ok(match (self, command) {
            (Self::Absent | Self::Released, ReserveWorkspace { workspace_id, slug, kind, owner_id }) => {
                vec![reserved(workspace_id, slug, kind, owner_id, act)]
            }
            (Self::Reserved { entry, .. } | Self::Confirmed { entry, .. }, ReserveWorkspace { workspace_id, slug, kind, owner_id }) => {
                if *entry != (Entry { workspace_id, slug: slug.as_str().to_owned(), kind, owner_id }) {
                    return Err(WorkspaceEntryError::Conflict);
                }
                if self.expired(act.now()) { vec![reserved(workspace_id, slug, kind, owner_id, act)] } else { vec![] }
            }
            (Self::Released, ReleaseWorkspace {}) => vec![],
            (Self::Absent | Self::Released, _) => return Err(WorkspaceEntryError::NotFound),

            (Self::Reserved { entry, .. }, ConfirmWorkspace {}) => vec![WorkspaceConfirmed { workspace_id: entry.workspace_id }],
            (Self::Reserved { entry, .. }, ReleaseWorkspace {}) => {
                if act.user() != Some(entry.owner_id) && !self.expired(act.now()) {
                    return Err(WorkspaceEntryError::StillReserved);
                }
                let Entry { workspace_id, slug, kind, owner_id } = entry.clone();
                vec![WorkspaceReleased { workspace_id, slug, kind, owner_id }]
            }
            (Self::Reserved { .. }, ReserveSlug { .. } | ConfirmSlug { .. } | ReleaseSlug { .. }) => {
                return Err(WorkspaceEntryError::InvalidState);
            }

            (Self::Confirmed { .. }, ConfirmWorkspace {}) => vec![],
            (Self::Confirmed { .. }, ReleaseWorkspace {}) => return Err(WorkspaceEntryError::InvalidState),
            (Self::Confirmed { entry, next_slug }, ReserveSlug { slug }) => match next_slug {
                None if slug.as_str() == entry.slug => vec![],
                None => vec![WorkspaceSlugReserved { slug: slug.into(), previous: entry.slug.clone() }],
                Some(next) if slug.as_str() == next => vec![],
                Some(_) => return Err(WorkspaceEntryError::SlugChangePending),
            },
            (Self::Confirmed { entry, next_slug }, ConfirmSlug { slug }) => match next_slug {
                None if slug.as_str() == entry.slug => vec![],
                Some(next) if slug.as_str() == next => vec![WorkspaceSlugReleased { slug: entry.slug.clone(), current: slug.into() }],
                None | Some(_) => return Err(WorkspaceEntryError::SlugNotReserved),
            },
            (Self::Confirmed { entry, .. }, ReleaseSlug { slug }) if slug.as_str() == entry.slug => {
                return Err(WorkspaceEntryError::SlugNotReserved);
            }
            (Self::Confirmed { entry, next_slug }, ReleaseSlug { slug }) => match next_slug {
                Some(next) if slug.as_str() == next => vec![WorkspaceSlugReleased { slug: slug.into(), current: entry.slug.clone() }],
                None | Some(_) => vec![],
            },
        })
    }

    fn apply(&mut self, event: WorkspaceEntryEvent) {
        use WorkspaceEntryEvent::*;
        match (std::mem::take(self), event) {
            (_, WorkspaceReserved { workspace_id, slug, kind, owner_id, expires_at }) => {
                *self = Self::Reserved { entry: Entry { workspace_id, slug, kind, owner_id }, expires_at };
            }
            (Self::Reserved { entry, .. }, WorkspaceConfirmed { .. }) => *self = Self::Confirmed { entry, next_slug: None },
            (Self::Confirmed { entry, .. }, WorkspaceSlugReserved { slug, .. }) => *self = Self::Confirmed { entry, next_slug: Some(slug) },
            (Self::Confirmed { entry, .. }, WorkspaceSlugReleased { current, .. }) => {
                *self = Self::Confirmed { entry: Entry { slug: current, ..entry }, next_slug: None };
            }
            (_, WorkspaceReleased { .. }) => *self = Self::Released,
            (state, _) => *self = state,
        }
    }

    fn claims(event: &WorkspaceEntryEvent, _: Uuid) -> Vec<ClaimChange> {
        use WorkspaceEntryEvent::*;
        let slug_claim = |slug: &str| ClaimName::clear("slug", slug);
        let personal = |user: &UserId| ClaimName::clear("personal", user);
        let teams = |user: &UserId| ClaimName::clear("team_workspaces", user);
        match event {
            WorkspaceReserved { slug, kind: WorkspaceKind::Personal, owner_id, .. } => {
                vec![ClaimChange::take(slug_claim(slug)), ClaimChange::take(personal(owner_id))]
            }
            WorkspaceReserved { slug, kind: WorkspaceKind::Team, owner_id, .. } => {
                vec![ClaimChange::take(slug_claim(slug)), ClaimChange::count(teams(owner_id), Some(TEAM_WORKSPACES))]
            }
            WorkspaceConfirmed { .. } => vec![],
            WorkspaceSlugReserved { slug, .. } => vec![ClaimChange::take(slug_claim(slug))],
            WorkspaceSlugReleased { slug, .. } => vec![ClaimChange::release(slug_claim(slug))],
            WorkspaceReleased { slug, kind: WorkspaceKind::Personal, owner_id, .. } => {
                vec![ClaimChange::release(slug_claim(slug)), ClaimChange::release(personal(owner_id))]
            }
            WorkspaceReleased { slug, kind: WorkspaceKind::Team, owner_id, .. } => {
                vec![ClaimChange::release(slug_claim(slug)), ClaimChange::release(teams(owner_id))]
            }
        }
    }

    fn claim_refused(kind: &str) -> Option<WorkspaceEntryError> {
        match kind {
            "slug" => Some(WorkspaceEntryError::SlugTaken),
            "personal" => Some(WorkspaceEntryError::PersonalWorkspaceExists),
            "team_workspaces" => Some(WorkspaceEntryError::QuotaExceeded),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
