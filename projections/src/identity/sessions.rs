//! A session as its user sees it: one sign-in, still good or ended. The refresh token's hash is not here.

use crate::model::shown;
use crate::query::{Page, PageArgs, QueryError, Scope, Sort, page, row};
use crate::{NodeId, ReadModel, Stored};
use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, Utc};
use domain::identity::SessionEvent;
use domain::{Decider, Recorded, SessionId, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

/// How a user proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::identity::LoginMethod")]
pub enum LoginMethod {
    /// By password.
    Password,
    /// By another provider's word.
    Oauth,
    /// By password and a second factor.
    Mfa,
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::identity::RevokeReason", name = "SessionEndReason")]
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

/// Whether a session was ended. One that is not is over all the same once it has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SessionStatus {
    /// Good until it expires.
    Active,
    /// Ended.
    Revoked,
}

/// One sign-in of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "SessionRow")]
pub struct Session {
    /// The id.
    pub id: NodeId<SessionId>,
    /// Whose it is.
    pub user_id: NodeId<UserId>,
    /// Where the user works, once they have said so.
    pub workspace_id: Option<NodeId<WorkspaceId>>,
    /// How the user proved who they are.
    pub method: LoginMethod,
    /// What the client calls itself or its device.
    pub client_label: Option<String>,
    /// Whether it was ended.
    pub status: SessionStatus,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was refreshed last.
    pub last_refresh_at: Option<DateTime<Utc>>,
    /// When it ends unless it is refreshed before.
    pub expires_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub absolute_expires_at: DateTime<Utc>,
    /// When it was ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it was ended.
    pub end_reason: Option<RevokeReason>,
}

impl ReadModel for Session {
    const TABLE: &'static str = "identity_sessions";
    const READS: &'static [&'static str] = &[domain::identity::Session::TYPE];
    type Key = SessionId;

    fn keys(event: &Recorded) -> Vec<SessionId> {
        event.of::<SessionEvent>().map(|_| SessionId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &SessionId, event: &Recorded) -> Option<Self> {
        let Some(change) = event.of::<SessionEvent>() else { return row };
        match change {
            SessionEvent::SessionStarted { user_id, method, client_label, started_at, refresh_expires_at, absolute_expires_at, .. } => {
                Some(Self {
                    id: NodeId(*key),
                    user_id: NodeId(*user_id),
                    workspace_id: None,
                    method: (*method).into(),
                    client_label: client_label.as_ref().map(shown),
                    status: SessionStatus::Active,
                    started_at: *started_at,
                    last_refresh_at: None,
                    expires_at: *refresh_expires_at.min(absolute_expires_at),
                    absolute_expires_at: *absolute_expires_at,
                    ended_at: None,
                    end_reason: None,
                })
            }
            SessionEvent::SessionRefreshed { refresh_expires_at, .. } => row.map(|row| Self {
                last_refresh_at: Some(event.at()),
                expires_at: (*refresh_expires_at).min(row.absolute_expires_at),
                ..row
            }),
            SessionEvent::RefreshTokenReuseDetected { .. } => row,
            SessionEvent::SessionWorkspaceSwitched { to, .. } => row.map(|row| Self { workspace_id: Some(NodeId(*to)), ..row }),
            SessionEvent::SessionRevoked { reason, .. } => row.map(|row| Self {
                status: SessionStatus::Revoked,
                ended_at: Some(event.at()),
                end_reason: Some((*reason).into()),
                ..row
            }),
        }
    }
}

/// From the newest to the oldest.
const NEWEST: Sort = Sort { name: "STARTED_AT_DESC", by: &[("t.started_at", "timestamptz"), ("t.id", "uuid")], descending: true };

/// A session of the scope's user.
///
/// # Errors
/// The database.
pub async fn my_session(scope: &mut Scope, id: SessionId) -> Result<Option<Stored<Session>>, sqlx::Error> {
    row(scope, |query| {
        query.push(" and t.user_id = event_store.current_actor() and t.id = ").push_bind(id.0);
    })
    .await
}

/// The sessions of the scope's user, from the newest to the oldest.
///
/// # Errors
/// The page's arguments, or the database.
pub async fn my_sessions(scope: &mut Scope, status: Option<SessionStatus>, args: &PageArgs) -> Result<Page<Session>, QueryError> {
    page(
        scope,
        |query| {
            query.push(" and t.user_id = event_store.current_actor()");
            if let Some(status) = status {
                query.push(" and t.status = ").push_bind(if status == SessionStatus::Active { "ACTIVE" } else { "REVOKED" });
            }
        },
        &NEWEST,
        args,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ALICE, log, minute, row};
    use domain::Personal;
    use domain::identity::{RevokeReason as Reason, SessionEvent::*};
    use uuid::Uuid;

    const ID: SessionId = SessionId(Uuid::from_u128(5));

    fn session(then: impl IntoIterator<Item = SessionEvent>) -> Session {
        let started = SessionStarted {
            user_id: ALICE,
            method: domain::identity::LoginMethod::Password,
            refresh_hash: "ab".repeat(32),
            client_label: Some(Personal::new(ALICE, "Firefox".into())),
            started_at: minute(1),
            refresh_expires_at: minute(10),
            absolute_expires_at: minute(30),
        };
        row(&log::<domain::identity::Session>(ID, std::iter::once(started).chain(then)))
    }

    #[test]
    fn a_session_begins_active_and_without_its_token() {
        let session = session([]);
        assert_eq!(
            (session.status, session.method, session.client_label.as_deref()),
            (SessionStatus::Active, LoginMethod::Password, Some("Firefox"))
        );
        assert!(!serde_json::to_string(&session).unwrap().contains("abab"), "the hash of the token is nobody's business");
    }

    #[test]
    fn refreshing_prolongs_it_up_to_its_end_and_no_further() {
        let refreshed = |until| SessionRefreshed { rotation: 1, refresh_hash: "1".repeat(64), refresh_expires_at: minute(until) };
        let session_until = |until| session([refreshed(until)]).expires_at;
        assert_eq!((session_until(20), session_until(40)), (minute(20), minute(30)));
        assert_eq!(session([refreshed(20)]).last_refresh_at, Some(minute(2)));
    }

    #[test]
    fn a_revoked_session_says_when_and_why() {
        let to = WorkspaceId::personal(ALICE);
        let switched = SessionWorkspaceSwitched { from: None, to };
        let reused = RefreshTokenReuseDetected { user_id: ALICE, rotation: 1 };
        let session = session([switched, reused, SessionRevoked { user_id: ALICE, reason: Reason::Reuse }]);
        assert_eq!(
            (session.status, session.ended_at, session.end_reason),
            (SessionStatus::Revoked, Some(minute(4)), Some(RevokeReason::Reuse))
        );
        assert_eq!(session.workspace_id, Some(NodeId(to)));
    }
}
