//! Who signs in, and which workspaces there are: what belongs to no workspace and lives in the platform's log.
//!
//! - [`User`]: a person who signs in. The domain never sees a password, only where its hash is kept.
//! - [`Session`]: one sign-in, kept alive by a refresh token that is used once.
//! - [`WorkspaceEntry`]: the directory of workspaces, which holds their slugs.

mod names;
mod phone;
mod profile;
mod session;
mod sign_in;
mod user;
mod workspace_entry;

pub use phone::Phone;
pub use profile::ProfileChanges;
pub use session::{Live, RevokeReason, Session, SessionCommand, SessionError, SessionEvent};
pub use sign_in::{LoginFailure, LoginMethod, PasswordReason, PasswordRef, TokenHash};
pub use user::{Account, User, UserCommand, UserError, UserEvent, UserStatus};
pub use workspace_entry::{Entry, WorkspaceEntry, WorkspaceEntryCommand, WorkspaceEntryError, WorkspaceEntryEvent};
