//! A user as the user sees it. The row is visible to that user alone; workspaces show their members instead.

use crate::model::{shown, take};
use crate::query::{Scope, row};
use crate::{NodeId, ReadModel, Stored};
use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, Utc};
use domain::identity::{ProfileChanges, UserEvent};
use domain::{Change, Decider, Personal, Recorded, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

/// How far an account has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::identity::UserStatus")]
pub enum UserStatus {
    /// The e-mail address is not verified.
    PendingVerification,
}

/// A person who signs in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "UserRow")]
pub struct User {
    /// The id.
    pub id: NodeId<UserId>,
    /// How far the account has come.
    pub status: UserStatus,
    /// The e-mail address, lower-cased; `[erased]` once the person is forgotten.
    pub email: String,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The phone number.
    pub phone: Option<String>,
    /// The address of a picture.
    pub image_url: Option<String>,
    /// Name of a time zone in the IANA database.
    pub timezone: String,
    /// Can the user sign in with a password?
    pub has_password: bool,
    /// Where the user is after signing in, once chosen.
    pub default_workspace_id: Option<NodeId<WorkspaceId>>,
    /// When the user signed in last.
    pub last_login_at: Option<DateTime<Utc>>,
    /// Until when nobody can sign in, after too many failures.
    pub locked_until: Option<DateTime<Utc>>,
}

impl ReadModel for User {
    const TABLE: &'static str = "identity_users";
    const READS: &'static [&'static str] = &[domain::identity::User::TYPE];
    type Key = UserId;

    fn keys(event: &Recorded) -> Vec<UserId> {
        event.of::<UserEvent>().map(|_| UserId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, _: &UserId, event: &Recorded) -> Option<Self> {
        let Some(change) = event.of::<UserEvent>() else { return row };
        match change {
            UserEvent::UserRegistered { user_id, email, first_name, last_name, name, timezone }
            | UserEvent::UserProvisioned { user_id, email, first_name, last_name, name, timezone } => Some(Self {
                id: NodeId(*user_id),
                status: UserStatus::PendingVerification,
                email: shown(email),
                first_name: first_name.as_ref().map(shown),
                last_name: last_name.as_ref().map(shown),
                name: name.as_ref().map(shown),
                phone: None,
                image_url: None,
                timezone: timezone.clone(),
                has_password: false,
                default_workspace_id: None,
                last_login_at: None,
                locked_until: None,
            }),
            UserEvent::PasswordSet { .. } => row.map(|row| Self { has_password: true, ..row }),
            UserEvent::LoginSucceeded { at, .. } => row.map(|row| Self { last_login_at: Some(*at), locked_until: None, ..row }),
            UserEvent::LoginFailed { .. } | UserEvent::PlatformRoleGranted { .. } | UserEvent::PlatformRoleRevoked { .. } => row,
            UserEvent::UserLocked { until } => row.map(|row| Self { locked_until: Some(*until), ..row }),
            UserEvent::ProfileUpdated { changes } => row.map(|row| row.updated(changes)),
            UserEvent::DefaultWorkspaceSet { workspace_id } => {
                row.map(|row| Self { default_workspace_id: Some(NodeId(*workspace_id)), ..row })
            }
        }
    }
}

impl User {
    fn updated(mut self, changes: &ProfileChanges) -> Self {
        fn optional(field: &mut Option<String>, change: Option<&Change<Option<Personal<String>>>>) {
            take(field, change, |value| value.as_ref().map(shown));
        }
        let ProfileChanges { first_name, last_name, name, phone, image_url, timezone } = changes;
        optional(&mut self.first_name, first_name.as_ref());
        optional(&mut self.last_name, last_name.as_ref());
        optional(&mut self.name, name.as_ref());
        optional(&mut self.phone, phone.as_ref());
        optional(&mut self.image_url, image_url.as_ref());
        take(&mut self.timezone, timezone.as_ref(), Clone::clone);
        self
    }
}

/// The user of a scope of the platform.
///
/// # Errors
/// The database.
pub async fn me(scope: &mut Scope) -> Result<Option<Stored<User>>, sqlx::Error> {
    row(scope, |query| {
        query.push(" and t.id = event_store.current_actor()");
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ERASED;
    use crate::testing::{ALICE, BOB, log, minute, row};
    use domain::SessionId;
    use domain::identity::{LoginMethod, PasswordReason, PasswordRef, UserEvent::*};
    use uuid::Uuid;

    fn registered(email: Personal<String>) -> UserEvent {
        UserRegistered {
            user_id: ALICE,
            email,
            first_name: Some(Personal::new(ALICE, "Alice".into())),
            last_name: None,
            name: None,
            timezone: "UTC".into(),
        }
    }

    fn user(events: impl IntoIterator<Item = UserEvent>) -> User {
        row(&log::<domain::identity::User>(ALICE, events))
    }

    #[test]
    fn a_registered_user_is_shown_in_clear() {
        let user = user([registered(Personal::new(ALICE, "alice@example.org".into()))]);
        assert_eq!((user.id, user.email.as_str(), user.first_name.as_deref()), (NodeId(ALICE), "alice@example.org", Some("Alice")));
        assert!(!user.has_password && user.last_login_at.is_none());
    }

    #[test]
    fn an_erased_address_reads_as_erased_and_not_as_missing() {
        assert_eq!(user([registered(Personal::Erased { subject: ALICE.0 })]).email, ERASED);
    }

    #[test]
    fn signing_in_lifts_the_lock_that_failures_brought() {
        let start = || registered(Personal::new(ALICE, "a@example.org".into()));
        let password = PasswordRef { secret_ref: Uuid::nil(), algorithm: "argon2id".into(), set_at: None };
        let locked = [start(), PasswordSet { password, reason: PasswordReason::Registration }, UserLocked { until: minute(15) }];
        assert_eq!((user(locked.clone()).locked_until, user(locked.clone()).has_password), (Some(minute(15)), true));
        let signed_in = LoginSucceeded { method: LoginMethod::Password, session_id: SessionId(Uuid::nil()), at: minute(20) };
        let user = user(locked.into_iter().chain([signed_in]));
        assert_eq!((user.locked_until, user.last_login_at), (None, Some(minute(20))));
    }

    #[test]
    fn an_update_of_the_profile_touches_what_it_names_only() {
        let changes = ProfileChanges {
            first_name: Some(Change { from: None, to: None }),
            phone: Some(Change { from: None, to: Some(Personal::new(ALICE, "+49 30 1".into())) }),
            timezone: Some(Change { from: "UTC".into(), to: "Europe/Berlin".into() }),
            ..ProfileChanges::default()
        };
        let workspace = WorkspaceId::personal(BOB);
        let user = user([
            registered(Personal::new(ALICE, "a@example.org".into())),
            ProfileUpdated { changes: Box::new(changes) },
            DefaultWorkspaceSet { workspace_id: workspace },
        ]);
        assert_eq!((user.first_name, user.phone.as_deref(), user.timezone.as_str()), (None, Some("+49 30 1"), "Europe/Berlin"));
        assert_eq!((user.email.as_str(), user.default_workspace_id), ("a@example.org", Some(NodeId(workspace))));
    }
}
