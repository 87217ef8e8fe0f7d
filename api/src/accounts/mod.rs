//! Accounts: what takes more than one command, or more than one log. Each process is a row of steps, every one of
//! which may be repeated; whoever finds one unfinished goes on at the first step that is missing.

mod password;
mod people;
mod registration;
mod sign_in;
mod slug;
mod suspension;
mod workspaces;

pub use password::{PasswordChange, change_password};
pub use people::{NewUser, add_member, provision_user, user_by_email};
pub use registration::{NewAccount, Registered, complete_personal_workspace, open_account, register};
pub use sign_in::{Signed, SignedIn, authenticate, end_session, logout, refresh, sign_in};
pub use slug::change_slug;
pub use suspension::{Standing, set_standing};
pub use workspaces::{Creation, NewTeam, Step, create_team_workspace, create_workspace, workspace_by_slug_or_id};

use crate::app;
use domain::{ClientInfo, Principal, SessionId, SystemCaller, TenantId, UserId};
use event_store::Request;
use uuid::Uuid;

/// What all commands of one request have in common, whoever sends them.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where the request came from.
    pub client: Option<ClientInfo>,
    /// The session of the user who asked.
    pub session: Option<SessionId>,
    /// Names the request.
    pub correlation_id: Uuid,
}

impl Origin {
    /// A new request from nowhere in particular: the command line, the program itself.
    #[must_use]
    pub fn new() -> Self {
        Self { client: None, session: None, correlation_id: crate::clock::new_uuid() }
    }

    /// A command of a principal.
    #[must_use]
    pub fn request(&self, principal: Principal, tenant: TenantId) -> Request {
        Request {
            client: self.client.clone(),
            session: self.session,
            correlation_id: self.correlation_id,
            ..app::request(principal, tenant)
        }
    }

    /// A command of the program, for a user.
    #[must_use]
    pub fn system(&self, caller: &'static SystemCaller, tenant: TenantId, user: Option<UserId>) -> Request {
        Request { session: self.session, ..app::system_request(caller, tenant, user, self.correlation_id, self.client.clone()) }
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self::new()
    }
}
