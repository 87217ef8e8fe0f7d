//! A session is one sign-in of a user. Its refresh token is good for one use; using one a second time ends it.

use super::{LoginMethod, TokenHash, User};
use crate::{Act, Caller, Decider, FactRef, Guarded, Moment, Needs, Personal, Title, UserId, WorkspaceId};
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// How long a refresh token is good for, from its making (`spec/decisions.md`, C-05).
const REFRESH_FOR: Duration = Duration::days(7);
/// How long a session lasts at most, whatever is refreshed.
const ABSOLUTE: Duration = Duration::days(30);
/// How often a session is refreshed at most: once in four minutes for its whole life. The spent tokens of a
/// session are all remembered (else a thief could push the victim's out of memory by refreshing often), so
/// their number needs a bound.
const MAX_ROTATIONS: u32 = 10_000;

/// The first 64 bits of a hash: enough to know a spent token again among ten thousand.
fn mark(hash: &str) -> u64 {
    hash.chars().take(16).fold(0, |bits, digit| bits << 4 | u64::from(digit.to_digit(16).unwrap_or(0)))
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum RevokeReason {
    /// The user signed out.
    Logout,
    /// An administrator ended it.
    Admin,
    /// The password changed.
    Password,
    /// The user is gone.
    UserDeleted,
    /// A spent refresh token was presented again: it was stolen, or the one in use was.
    Reuse,
}

/// What can happen to a session. Stored for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
pub enum SessionEvent {
    /// A user signed in.
    SessionStarted {
        /// The user.
        user_id: UserId,
        /// How they proved who they are.
        method: LoginMethod,
        /// Hash of the first refresh token.
        refresh_hash: String,
        /// What the client calls itself or its device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_label: Option<Personal<String>>,
        /// When.
        started_at: Moment,
        /// Until when the refresh token is good.
        refresh_expires_at: Moment,
        /// When the session ends at the latest.
        absolute_expires_at: Moment,
    },
    /// The refresh token was used, and there is a new one.
    SessionRefreshed {
        /// How often this has happened: 1, 2, 3 …
        rotation: u32,
        /// Hash of the new token.
        refresh_hash: String,
        /// Until when it is good.
        refresh_expires_at: Moment,
    },
    /// A spent refresh token was presented.
    RefreshTokenReuseDetected {
        /// The session's user.
        user_id: UserId,
        /// How often the token had been rotated by then.
        rotation: u32,
    },
    /// The user works in another workspace.
    SessionWorkspaceSwitched {
        /// The workspace before, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<WorkspaceId>,
        /// The workspace now.
        to: WorkspaceId,
    },
    /// The session is ended.
    SessionRevoked {
        /// Its user.
        user_id: UserId,
        /// Why.
        reason: RevokeReason,
    },
}

crate::event!(SessionEvent);

/// What can be asked of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
pub enum SessionCommand {
    /// Signs a user in who has proved who they are.
    StartSession {
        /// The user.
        user_id: UserId,
        /// How they proved it.
        method: LoginMethod,
        /// Hash of the first refresh token.
        refresh_hash: TokenHash,
        /// What the client calls itself or its device.
        #[serde(default)]
        client_label: Option<Title>,
    },
    /// Uses the refresh token. A spent one is answered by events that end the session, not by an error; whoever
    /// sends this looks whether the session is still active.
    RefreshSession {
        /// Hash of the token presented.
        presented_hash: TokenHash,
        /// Hash of the token that takes its place.
        new_hash: TokenHash,
    },
    /// Moves to another workspace. Memberships are in the workspaces' logs, so `api` checks before it sends this.
    SwitchWorkspace {
        /// The workspace.
        workspace_id: WorkspaceId,
    },
    /// Ends the session.
    RevokeSession {
        /// Why; users can say LOGOUT and PASSWORD.
        reason: RevokeReason,
    },
}

/// Why a session refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum SessionError {
    /// It does not exist.
    #[error("there is no such session; sign in")]
    NotFound,
    /// It exists.
    #[error("this session exists already; start another under an id of its own")]
    AlreadyExists,
    /// Nobody to sign in.
    #[error("there is no such user to sign in; register first")]
    UserNotFound,
    /// Not now.
    #[error("the account is locked after too many failed sign-ins; try again later")]
    AccountLocked,
    /// Not a token of this session.
    #[error("the refresh token is not valid; sign in again")]
    InvalidToken,
    /// The program offered an old token as the new one.
    #[error("the new refresh token was in use before; make a random one")]
    TokenNotNew,
    /// Too late.
    #[error("the session has expired; sign in again")]
    SessionExpired,
    /// Over.
    #[error("the session has been ended; sign in again")]
    SessionEnded,
    /// Too often.
    #[error("the session was refreshed {MAX_ROTATIONS} times; sign in again")]
    RotationLimit,
}

crate::refusal!(SessionError);

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Session {
    /// There is none.
    #[default]
    Absent,
    /// The user is signed in, as long as it has not expired.
    Active(Box<Live>),
    /// It was ended.
    Revoked {
        /// Whose it was.
        user_id: UserId,
        /// Why.
        reason: RevokeReason,
    },
}

/// A session that is not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Whose it is.
    pub user_id: UserId,
    /// Where the user works, once they have said so.
    pub workspace_id: Option<WorkspaceId>,
    /// How the user proved who they are.
    pub method: LoginMethod,
    /// Hash of the refresh token that is good.
    pub refresh_hash: String,
    /// How often it was rotated.
    pub rotation: u32,
    /// When the session began.
    pub started_at: Moment,
    /// Until when the refresh token is good.
    pub refresh_expires_at: Moment,
    /// When the session ends at the latest.
    pub absolute_expires_at: Moment,
    /// The first 64 bits of the hash of every token that was good once.
    spent: Vec<u64>,
}

impl Live {
    fn expired(&self, now: Moment) -> bool {
        now >= self.refresh_expires_at || now >= self.absolute_expires_at
    }

    fn was_good(&self, hash: &TokenHash) -> bool {
        self.spent.contains(&mark(hash.as_str()))
    }

    fn refresh(&self, presented: &TokenHash, new: TokenHash, now: Moment) -> Result<Vec<SessionEvent>, SessionError> {
        if self.expired(now) {
            return Err(SessionError::SessionExpired);
        }
        if presented.as_str() != self.refresh_hash {
            return if self.was_good(presented) {
                Ok(vec![
                    SessionEvent::RefreshTokenReuseDetected { user_id: self.user_id, rotation: self.rotation },
                    SessionEvent::SessionRevoked { user_id: self.user_id, reason: RevokeReason::Reuse },
                ])
            } else {
                Err(SessionError::InvalidToken)
            };
        }
        if new == *presented || self.was_good(&new) {
            return Err(SessionError::TokenNotNew);
        }
        if self.rotation >= MAX_ROTATIONS {
            return Err(SessionError::RotationLimit);
        }
        let refresh_expires_at = (now + REFRESH_FOR).min(self.absolute_expires_at);
        Ok(vec![SessionEvent::SessionRefreshed { rotation: self.rotation + 1, refresh_hash: new.into(), refresh_expires_at }])
    }
}

impl Session {
    /// Whose it is or was.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::Absent => None,
            Self::Active(live) => Some(live.user_id),
            Self::Revoked { user_id, .. } => Some(*user_id),
        }
    }

    /// The session, unless it is ended or has expired.
    #[must_use]
    pub fn live(&self, now: Moment) -> Option<&Live> {
        match self {
            Self::Active(live) if !live.expired(now) => Some(live),
            Self::Absent | Self::Active(_) | Self::Revoked { .. } => None,
        }
    }

    /// Why it was ended, if it was.
    #[must_use]
    pub fn revoked(&self) -> Option<RevokeReason> {
        match self {
            Self::Revoked { reason, .. } => Some(*reason),
            Self::Absent | Self::Active(_) => None,
        }
    }
}

impl Guarded<Session> for SessionCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, session: &Session, _: &Caller) -> Needs {
        match self {
            Self::StartSession { .. } => Needs::System,
            Self::RefreshSession { .. } => Needs::Token,
            Self::SwitchWorkspace { .. } => Needs::Itself(session.user_id()),
            Self::RevokeSession { reason: RevokeReason::Logout | RevokeReason::Password } => {
                Needs::Itself(session.user_id()).or(Needs::System)
            }
            Self::RevokeSession { reason: RevokeReason::Admin | RevokeReason::UserDeleted | RevokeReason::Reuse } => Needs::System,
        }
    }

    fn facts(&self, _: &Session, _: &Caller) -> Vec<FactRef> {
        match self {
            Self::StartSession { user_id, .. } => vec![FactRef::of::<User>(*user_id)],
            _ => vec![],
        }
    }
}

impl Decider for Session {
    const TYPE: &'static str = "session";
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Error = SessionError;

    fn decide(&self, command: SessionCommand, act: &Act) -> Result<Vec<SessionEvent>, SessionError> {
        use SessionCommand::*;
        use SessionEvent::*;
        Ok(match (self, command) {
            (Self::Absent, StartSession { user_id, method, refresh_hash, client_label }) => {
                match act.fact::<User>(user_id) {
                    Some(user) if user.is_locked(act.now()) => return Err(SessionError::AccountLocked),
                    Some(User::Registered(_)) => {}
                    Some(User::Absent) | None => return Err(SessionError::UserNotFound),
                }
                vec![SessionStarted {
                    user_id,
                    method,
                    refresh_hash: refresh_hash.into(),
                    client_label: client_label.map(|label| Personal::new(user_id, label.into())),
                    started_at: act.now(),
                    refresh_expires_at: act.now() + REFRESH_FOR,
                    absolute_expires_at: act.now() + ABSOLUTE,
                }]
            }
            (_, StartSession { .. }) => return Err(SessionError::AlreadyExists),
            (Self::Absent, _) => return Err(SessionError::NotFound),
            (Self::Revoked { .. }, RevokeSession { .. }) => vec![],
            (Self::Revoked { .. }, _) => return Err(SessionError::SessionEnded),
            (Self::Active(live), RefreshSession { presented_hash, new_hash }) => live.refresh(&presented_hash, new_hash, act.now())?,
            (Self::Active(live), SwitchWorkspace { .. }) if live.expired(act.now()) => return Err(SessionError::SessionExpired),
            (Self::Active(live), SwitchWorkspace { workspace_id }) if live.workspace_id == Some(workspace_id) => vec![],
            (Self::Active(live), SwitchWorkspace { workspace_id }) => {
                vec![SessionWorkspaceSwitched { from: live.workspace_id, to: workspace_id }]
            }
            (Self::Active(live), RevokeSession { reason }) => vec![SessionRevoked { user_id: live.user_id, reason }],
        })
    }

    fn apply(&mut self, event: SessionEvent) {
        use SessionEvent::*;
        match (&mut *self, event) {
            (_, SessionStarted { user_id, method, refresh_hash, started_at, refresh_expires_at, absolute_expires_at, client_label: _ }) => {
                *self = Self::Active(Box::new(Live {
                    user_id,
                    workspace_id: None,
                    method,
                    refresh_hash,
                    rotation: 0,
                    started_at,
                    refresh_expires_at,
                    absolute_expires_at,
                    spent: vec![],
                }));
            }
            (Self::Active(live), SessionRefreshed { rotation, refresh_hash, refresh_expires_at }) => {
                live.spent.push(mark(&live.refresh_hash));
                live.refresh_hash = refresh_hash;
                live.rotation = rotation;
                live.refresh_expires_at = refresh_expires_at;
            }
            (Self::Active(live), SessionWorkspaceSwitched { to, .. }) => live.workspace_id = Some(to),
            (_, SessionRevoked { user_id, reason }) => *self = Self::Revoked { user_id, reason },
            (_, RefreshTokenReuseDetected { .. } | SessionRefreshed { .. } | SessionWorkspaceSwitched { .. }) => {}
        }
    }
}

#[cfg(test)]
mod tests;
