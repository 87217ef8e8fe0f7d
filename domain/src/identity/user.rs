//! A user is a person who signs in: known by one e-mail address over all workspaces.
//! The domain never sees a password. `api` checks the policy, that the two entries agree and, for a change, that
//! the current one is right; it stores the hash in the vault and sends where it is kept.

use super::names::Names;
use super::{LoginFailure, LoginMethod, PasswordReason, PasswordRef, Phone, ProfileChanges};
use crate::roles::{PlatformRole, SYSTEM_USERS};
use crate::{
    AccessChange, Act, Caller, ClaimChange, ClaimName, Decider, Email, Guarded, Moment, Name, Needs, Patch, Personal, Sealable, SessionId,
    TimeZone, Url, UserId, WorkspaceId, edit,
};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// So many failed sign-ins in a row lock the account (`spec/identity.md`).
const FAILURES_TO_LOCK: u32 = 10;
/// So long it stays locked.
const LOCKED_FOR: Duration = Duration::minutes(15);

/// Everybody's time zone until they say.
const UTC: &str = "UTC";

/// How far an account has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum UserStatus {
    /// The e-mail address is not verified. Until verification exists, such users have full access.
    PendingVerification,
}

/// What can happen to a user. Stored for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
pub enum UserEvent {
    /// A person registered.
    UserRegistered {
        /// The user.
        user_id: UserId,
        /// Their e-mail address, lower-cased.
        email: Personal<String>,
        /// Their first name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_name: Option<Personal<String>>,
        /// Their last name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_name: Option<Personal<String>>,
        /// Their display name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Personal<String>>,
        /// Name of a time zone in the IANA database.
        timezone: String,
    },
    /// The program made an account for a person, without a password.
    UserProvisioned {
        /// The user.
        user_id: UserId,
        /// Their e-mail address, lower-cased.
        email: Personal<String>,
        /// Their first name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_name: Option<Personal<String>>,
        /// Their last name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_name: Option<Personal<String>>,
        /// Their display name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Personal<String>>,
        /// Name of a time zone in the IANA database.
        timezone: String,
    },
    /// There is a password, or a new one.
    PasswordSet {
        /// Where its hash is kept.
        password: PasswordRef,
        /// Why it was set.
        reason: PasswordReason,
    },
    /// The user signed in.
    LoginSucceeded {
        /// How.
        method: LoginMethod,
        /// The session that begins.
        session_id: SessionId,
        /// When.
        at: Moment,
    },
    /// Somebody failed to sign in as the user.
    LoginFailed {
        /// Why.
        reason: LoginFailure,
        /// How many in a row by now; failures while locked do not count.
        failed_logins: u32,
        /// When.
        at: Moment,
    },
    /// Nobody can sign in as the user for a while.
    UserLocked {
        /// Until when.
        until: Moment,
    },
    /// The profile changed.
    ProfileUpdated {
        /// Only what changed.
        changes: Box<ProfileChanges>,
    },
    /// The user chose where they are after signing in.
    DefaultWorkspaceSet {
        /// The workspace.
        workspace_id: WorkspaceId,
    },
    /// The user got a role on the platform.
    PlatformRoleGranted {
        /// The user.
        user_id: UserId,
        /// The role.
        role: PlatformRole,
    },
    /// The user is on the platform like any other again.
    PlatformRoleRevoked {
        /// The user.
        user_id: UserId,
    },
}

crate::event!(UserEvent);

/// What can be asked of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
pub enum UserCommand {
    /// Registers a person.
    RegisterUser {
        /// Their e-mail address.
        email: Email,
        /// Where the hash of their password is kept.
        password: PasswordRef,
        /// Their first name.
        #[serde(default)]
        first_name: Option<Name>,
        /// Their last name.
        #[serde(default)]
        last_name: Option<Name>,
        /// Their time zone; UTC unless given.
        #[serde(default)]
        timezone: Option<TimeZone>,
    },
    /// Makes an account for a person, without a password and without a mail.
    ProvisionUser {
        /// Their e-mail address.
        email: Email,
        /// Their first name.
        #[serde(default)]
        first_name: Option<Name>,
        /// Their last name.
        #[serde(default)]
        last_name: Option<Name>,
        /// Their display name.
        #[serde(default)]
        name: Option<Name>,
    },
    /// Notes a sign-in; the failed ones before it count no more.
    RecordLogin {
        /// How.
        method: LoginMethod,
        /// The session that begins.
        session_id: SessionId,
    },
    /// Notes a failed sign-in; too many in a row lock the account.
    RecordLoginFailure {
        /// Why it failed.
        reason: LoginFailure,
    },
    /// Sets another password. That the user knew the current one, `api` has checked.
    ChangePassword {
        /// Where the hash of the new password is kept.
        password: PasswordRef,
    },
    /// Changes one's own profile.
    UpdateProfile {
        /// The first name.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        first_name: Patch<Option<Name>>,
        /// The last name.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        last_name: Patch<Option<Name>>,
        /// The display name.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        name: Patch<Option<Name>>,
        /// The phone number.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        phone: Patch<Option<Phone>>,
        /// The address of a picture.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        image_url: Patch<Option<Url>>,
        /// The time zone.
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        timezone: Patch<TimeZone>,
    },
    /// Chooses where one is after signing in. Memberships are in the workspaces' logs, so `api` checks before it
    /// sends this.
    SetDefaultWorkspace {
        /// The workspace.
        workspace_id: WorkspaceId,
    },
    /// Gives the user a role on the platform, in the place of the one they have.
    GrantPlatformRole {
        /// The role.
        role: PlatformRole,
    },
    /// Takes the role on the platform from the user. Whoever operates the machine can always make another administrator.
    RevokePlatformRole {},
}

/// Why a user's account refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum UserError {
    /// It does not exist.
    #[error("there is no such user; register first")]
    NotFound,
    /// It exists.
    #[error("this user exists already; sign in instead")]
    AlreadyExists,
    /// Somebody has the address.
    #[error("there is an account with this e-mail address already; sign in, or use another address")]
    EmailTaken,
    /// Not now.
    #[error("the account is locked after too many failed sign-ins; try again later")]
    AccountLocked,
}

crate::refusal!(UserError, { Self::EmailTaken => "email" });

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum User {
    /// There is none.
    #[default]
    Absent,
    /// There is an account.
    Registered(Box<Account>),
}

/// A user's account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The user.
    pub id: UserId,
    /// How far the account has come.
    pub status: UserStatus,
    /// The e-mail address, lower-cased.
    pub email: Personal<String>,
    /// The first name.
    pub first_name: Option<Personal<String>>,
    /// The last name.
    pub last_name: Option<Personal<String>>,
    /// The display name.
    pub name: Option<Personal<String>>,
    /// The phone number.
    pub phone: Option<Personal<String>>,
    /// The address of a picture.
    pub image_url: Option<Personal<String>>,
    /// Name of a time zone in the IANA database.
    pub timezone: String,
    /// Where the password's hash is kept, once there is one.
    pub password: Option<PasswordRef>,
    /// Where the user is after signing in, once chosen.
    pub default_workspace_id: Option<WorkspaceId>,
    /// Failed sign-ins since the last good one or the last lock.
    pub failed_logins: u32,
    /// Until when nobody can sign in, if it was ever locked since the last sign-in.
    pub locked_until: Option<Moment>,
    /// The session of the last sign-in.
    pub last_session_id: Option<SessionId>,
    /// When the user signed in last.
    pub last_login_at: Option<Moment>,
    /// The role on the platform.
    pub platform_role: PlatformRole,
}

impl User {
    /// The account, if there is one.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Absent => None,
            Self::Registered(account) => Some(account),
        }
    }

    /// The user, if there is one.
    #[must_use]
    pub fn id(&self) -> Option<UserId> {
        self.account().map(|account| account.id)
    }

    /// How far the account has come, if there is one.
    #[must_use]
    pub fn status(&self) -> Option<UserStatus> {
        self.account().map(|account| account.status)
    }

    /// Where the password's hash is kept, if there is a password.
    #[must_use]
    pub fn password(&self) -> Option<&PasswordRef> {
        self.account()?.password.as_ref()
    }

    /// True while nobody can sign in; it ends by itself.
    #[must_use]
    pub fn is_locked(&self, now: Moment) -> bool {
        self.account().is_some_and(|account| account.is_locked(now))
    }
}

impl Account {
    fn is_locked(&self, now: Moment) -> bool {
        self.locked_until.is_some_and(|until| now < until)
    }

    fn names(&self) -> Names {
        let open = |name: &Option<Personal<String>>| name.as_ref().and_then(Personal::open).cloned();
        Names { first: open(&self.first_name), last: open(&self.last_name), name: open(&self.name) }
    }
}

impl Guarded<User> for UserCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, user: &User, _: &Caller) -> Needs {
        match self {
            Self::RegisterUser { .. } => Needs::Public,
            Self::ProvisionUser { .. } | Self::RecordLogin { .. } | Self::RecordLoginFailure { .. } => Needs::System,
            Self::GrantPlatformRole { .. } | Self::RevokePlatformRole { .. } => Needs::new(SYSTEM_USERS).or(Needs::System),
            Self::ChangePassword { .. } | Self::UpdateProfile { .. } | Self::SetDefaultWorkspace { .. } => Needs::Itself(user.id()),
        }
    }
}

impl Decider for User {
    const TYPE: &'static str = "user";
    type Command = UserCommand;
    type Event = UserEvent;
    type Error = UserError;

    fn decide(&self, command: UserCommand, act: &Act) -> Result<Vec<UserEvent>, UserError> {
        use UserCommand::*;
        use UserEvent::*;
        let user_id: UserId = act.id();
        let mine = |text: String| Personal::new(user_id, text);
        let since_now = |password: PasswordRef| PasswordRef { set_at: password.set_at.or(Some(act.now())), ..password };
        let Self::Registered(account) = self else {
            return match command {
                RegisterUser { email, password, first_name, last_name, timezone } => {
                    let names = Names::given(first_name, last_name, None);
                    Ok(vec![
                        UserRegistered {
                            user_id,
                            email: mine(email.into()),
                            first_name: names.first.map(mine),
                            last_name: names.last.map(mine),
                            name: names.name.map(mine),
                            timezone: timezone.map_or_else(|| UTC.to_owned(), String::from),
                        },
                        PasswordSet { password: since_now(password), reason: PasswordReason::Registration },
                    ])
                }
                ProvisionUser { email, first_name, last_name, name } => {
                    let names = Names::given(first_name, last_name, name);
                    Ok(vec![UserProvisioned {
                        user_id,
                        email: mine(email.into()),
                        first_name: names.first.map(mine),
                        last_name: names.last.map(mine),
                        name: names.name.map(mine),
                        timezone: UTC.to_owned(),
                    }])
                }
                _ => Err(UserError::NotFound),
            };
        };
        Ok(match command {
            RegisterUser { .. } | ProvisionUser { .. } => return Err(UserError::AlreadyExists),
            RecordLogin { session_id, .. } if account.last_session_id == Some(session_id) => vec![],
            RecordLogin { .. } if account.is_locked(act.now()) => return Err(UserError::AccountLocked),
            RecordLogin { method, session_id } => vec![LoginSucceeded { method, session_id, at: act.now() }],
            // Else whoever keeps trying keeps the owner out for ever.
            RecordLoginFailure { reason } if reason == LoginFailure::Locked || account.is_locked(act.now()) => {
                vec![LoginFailed { reason, failed_logins: account.failed_logins, at: act.now() }]
            }
            RecordLoginFailure { reason } => {
                let failed_logins = account.failed_logins.saturating_add(1);
                let mut events = vec![LoginFailed { reason, failed_logins, at: act.now() }];
                if failed_logins >= FAILURES_TO_LOCK {
                    events.push(UserLocked { until: act.now() + LOCKED_FOR });
                }
                events
            }
            ChangePassword { password } if account.password.as_ref().is_some_and(|old| old.secret_ref == password.secret_ref) => vec![],
            ChangePassword { password } => vec![PasswordSet { password: since_now(password), reason: PasswordReason::Change }],
            UpdateProfile { first_name, last_name, name, phone, image_url, timezone } => {
                let names = account.names().patched(first_name, last_name, name);
                let changes = ProfileChanges {
                    first_name: edit(&account.first_name, Patch::Set(names.first), |name| name.map(mine)),
                    last_name: edit(&account.last_name, Patch::Set(names.last), |name| name.map(mine)),
                    name: edit(&account.name, Patch::Set(names.name), |name| name.map(mine)),
                    phone: edit(&account.phone, phone, |phone| phone.map(|phone| mine(phone.into()))),
                    image_url: edit(&account.image_url, image_url, |url| url.map(|url| mine(url.into()))),
                    timezone: edit(&account.timezone, timezone, String::from),
                };
                if changes.is_empty() { vec![] } else { vec![ProfileUpdated { changes: Box::new(changes) }] }
            }
            SetDefaultWorkspace { workspace_id } if account.default_workspace_id == Some(workspace_id) => vec![],
            SetDefaultWorkspace { workspace_id } => vec![DefaultWorkspaceSet { workspace_id }],
            GrantPlatformRole { role } if role == account.platform_role => vec![],
            GrantPlatformRole { role: PlatformRole::None } => vec![PlatformRoleRevoked { user_id }],
            GrantPlatformRole { role } => vec![PlatformRoleGranted { user_id, role }],
            RevokePlatformRole {} if account.platform_role == PlatformRole::None => vec![],
            RevokePlatformRole {} => vec![PlatformRoleRevoked { user_id }],
        })
    }

    fn apply(&mut self, event: UserEvent) {
        use UserEvent::*;
        if let UserRegistered { user_id, email, first_name, last_name, name, timezone }
        | UserProvisioned { user_id, email, first_name, last_name, name, timezone } = event
        {
            *self = Self::Registered(Box::new(Account {
                id: user_id,
                status: UserStatus::PendingVerification,
                email,
                first_name,
                last_name,
                name,
                phone: None,
                image_url: None,
                timezone,
                password: None,
                default_workspace_id: None,
                failed_logins: 0,
                locked_until: None,
                last_session_id: None,
                last_login_at: None,
                platform_role: PlatformRole::None,
            }));
            return;
        }
        let Self::Registered(account) = self else { return };
        match event {
            UserRegistered { .. } | UserProvisioned { .. } => {}
            PasswordSet { password, .. } => account.password = Some(password),
            LoginSucceeded { session_id, at, .. } => {
                account.failed_logins = 0;
                account.locked_until = None;
                account.last_session_id = Some(session_id);
                account.last_login_at = Some(at);
            }
            LoginFailed { failed_logins, .. } => account.failed_logins = failed_logins,
            // After a lock the count begins anew.
            UserLocked { until } => {
                account.failed_logins = 0;
                account.locked_until = Some(until);
            }
            ProfileUpdated { changes } => changes.apply_to(account),
            DefaultWorkspaceSet { workspace_id } => account.default_workspace_id = Some(workspace_id),
            PlatformRoleGranted { role, .. } => account.platform_role = role,
            PlatformRoleRevoked { .. } => account.platform_role = PlatformRole::None,
        }
    }

    fn personal(&mut self, visit: &mut dyn FnMut(&mut dyn Sealable)) {
        if let Self::Registered(account) = self {
            visit(&mut account.email);
            let optional = [&mut account.first_name, &mut account.last_name, &mut account.name, &mut account.phone, &mut account.image_url];
            optional.into_iter().flatten().for_each(|value| visit(value));
        }
    }

    fn claims(event: &UserEvent, _: Uuid) -> Vec<ClaimChange> {
        match event {
            // Claims are made when the event is, while the address is open.
            UserEvent::UserRegistered { email, .. } | UserEvent::UserProvisioned { email, .. } => {
                email.open().map(|email| ClaimChange::take(ClaimName::personal("email", email))).into_iter().collect()
            }
            _ => vec![],
        }
    }

    fn access(event: &UserEvent, _id: Uuid) -> Option<AccessChange> {
        match event {
            UserEvent::PlatformRoleGranted { user_id, role } => Some(AccessChange::PlatformRole(*user_id, *role)),
            UserEvent::PlatformRoleRevoked { user_id } => Some(AccessChange::PlatformRole(*user_id, PlatformRole::None)),
            _ => None,
        }
    }

    fn claim_refused(kind: &str) -> Option<UserError> {
        (kind == "email").then_some(UserError::EmailTaken)
    }
}

#[cfg(test)]
mod tests;
