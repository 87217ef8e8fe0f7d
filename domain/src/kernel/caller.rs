//! Who sends a command, and what they may do.

use super::{SessionId, TenantId, UserId};
use crate::roles::{CustomPermission, GrantSet, Permission, Scope};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::net::IpAddr;
use uuid::Uuid;

/// A part of the program that sends commands in its own name. All there are stand in one module of `api`.
#[derive(Debug)]
pub struct SystemCaller {
    /// How events name it: `sign_in`.
    pub name: &'static str,
    /// The commands it may send, by name.
    pub commands: &'static [&'static str],
}

/// Who acts.
#[derive(Clone, Copy, Debug)]
pub enum Principal {
    /// A signed-in user.
    User(UserId),
    /// The program itself.
    System(&'static SystemCaller),
    /// Anybody.
    Public,
}

impl Principal {
    /// How events name the kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "USER",
            Self::System(_) => "SYSTEM",
            Self::Public => "PUBLIC",
        }
    }

    /// How events name the principal; empty for the public.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::User(user) => user.to_string(),
            Self::System(caller) => caller.name.to_owned(),
            Self::Public => String::new(),
        }
    }

    /// The user, if it is one.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User(user) => Some(*user),
            Self::System(_) | Self::Public => None,
        }
    }
}

/// Where a request came from. Sealed in the log, under a key of the month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The address of the client.
    pub ip: Option<IpAddr>,
    /// What the client calls itself, at most 500 characters.
    pub user_agent: Option<String>,
}

/// A principal in a tenant, with what it may do there as of a position of that tenant's log.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who acts.
    pub principal: Principal,
    /// In which log.
    pub tenant: TenantId,
    /// What they may do.
    pub grants: GrantSet,
    /// The workspace's own permissions that they hold.
    pub custom: BTreeSet<CustomPermission>,
    /// The position of the log to which the grants were folded.
    pub grants_position: i64,
    /// For whom, when the program acts for a user.
    pub on_behalf_of: Option<UserId>,
    /// The session of a signed-in user.
    pub session: Option<SessionId>,
    /// The world's time of the command, if it was given one (imports).
    pub occurred_at: Option<DateTime<Utc>>,
    /// The clock when the command was taken up.
    pub now: DateTime<Utc>,
    /// Names this command; ids that the decision makes derive from it.
    pub command_id: Uuid,
}

/// By what a command was allowed: what its events say in `permission` and `scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A permission of the catalogue, with the scope that was enough.
    Permission(Permission, Scope),
    /// Everybody may do it to themselves.
    Itself,
    /// Everybody may.
    Public,
    /// The program may.
    System,
    /// Whoever holds a valid one-time or refresh token may.
    Token,
}

impl Authority {
    /// How events name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Permission(permission, _) => permission.name(),
            Self::Itself => "self",
            Self::Public => "public",
            Self::System => "sys",
            Self::Token => "token",
        }
    }

    /// The scope that was enough, for permissions.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Permission(_, scope) => Some(*scope),
            _ => None,
        }
    }
}
