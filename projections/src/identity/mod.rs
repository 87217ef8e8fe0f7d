//! Users, their sessions and the directory of workspaces: what stands in the platform's log.
//!
//! Users and sessions are seen by the user they belong to and nobody else; the database holds queries to that.

mod entries;
mod sessions;
mod users;

pub use entries::{EntryStatus, WorkspaceEntry, entry_by_slug, entry_of};
pub use sessions::{LoginMethod, RevokeReason, Session, SessionStatus, my_session, my_sessions};
pub use users::{User, UserStatus, me};
