//! What a user's account decides.

use super::UserCommand::*;
use super::UserEvent::*;
use super::*;
use crate::roles::{BuiltInRole, GrantSet};
use crate::testing::{ALICE, BOB, Given, ID, alice, noon, somebody, system};
use crate::{Principal, Refusal as _, Rejection, SystemCaller, for_the_store};
use proptest::prelude::*;

static PROGRAM: SystemCaller = SystemCaller { name: "tests", commands: &["ProvisionUser", "RecordLogin", "RecordLoginFailure"] };
const ME: UserId = UserId(ID);
const SESSION: SessionId = SessionId(Uuid::from_u128(0x5e));

fn given(events: impl IntoIterator<Item = UserEvent>) -> Given<User> {
    crate::testing::given(events)
}

fn name(text: &str) -> Option<Name> {
    Some(Name::try_from(text).unwrap())
}

fn mine(text: &str) -> Option<Personal<String>> {
    Some(Personal::new(ME, text.to_owned()))
}

fn secret(n: u128) -> PasswordRef {
    PasswordRef { secret_ref: Uuid::from_u128(n), algorithm: "argon2id".into(), set_at: None }
}

fn register() -> UserCommand {
    RegisterUser {
        email: Email::try_from("Ada@Example.org").unwrap(),
        password: secret(1),
        first_name: name("Ada"),
        last_name: name("Byron"),
        timezone: None,
    }
}

fn registered() -> UserEvent {
    UserRegistered {
        user_id: ME,
        email: Personal::new(ME, "ada@example.org".into()),
        first_name: mine("Ada"),
        last_name: mine("Byron"),
        name: mine("Ada Byron"),
        timezone: "UTC".into(),
    }
}

fn password_set(n: u128, reason: PasswordReason) -> UserEvent {
    PasswordSet { password: PasswordRef { set_at: Some(noon()), ..secret(n) }, reason }
}

fn history() -> [UserEvent; 2] {
    [registered(), password_set(1, PasswordReason::Registration)]
}

fn public() -> Caller {
    somebody(Principal::Public, GrantSet::EMPTY)
}

fn myself() -> Caller {
    somebody(Principal::User(ME), GrantSet::EMPTY)
}

fn failure() -> UserCommand {
    RecordLoginFailure { reason: LoginFailure::BadPassword }
}

fn failed(failed_logins: u32) -> UserEvent {
    LoginFailed { reason: LoginFailure::BadPassword, failed_logins, at: noon() }
}

fn locked() -> UserEvent {
    UserLocked { until: noon() + Duration::minutes(15) }
}

fn login() -> UserCommand {
    RecordLogin { method: LoginMethod::Password, session_id: SESSION }
}

fn succeeded(at: Moment) -> UserEvent {
    LoginSucceeded { method: LoginMethod::Password, session_id: SESSION, at }
}

fn profile(json: &str) -> UserCommand {
    serde_json::from_str(&format!(r#"{{"UpdateProfile":{json}}}"#)).unwrap()
}

#[test]
fn anybody_registers_with_a_password_that_the_domain_never_sees() {
    let state = given([]).when(public(), register()).then(history());
    assert_eq!(state.password().map(|password| password.secret_ref), Some(Uuid::from_u128(1)));
    assert_eq!((state.id(), state.status()), (Some(ME), Some(UserStatus::PendingVerification)));
    given(history()).when(public(), register()).then_refused(UserError::AlreadyExists);
}

#[test]
fn the_program_makes_accounts_without_a_password() {
    let provision =
        || ProvisionUser { email: Email::try_from("ada@example.org").unwrap(), first_name: None, last_name: None, name: name("Ada Byron") };
    let UserRegistered { user_id, email, first_name, last_name, name, timezone } = registered() else { unreachable!() };
    let provisioned = UserProvisioned { user_id, email, first_name, last_name, name, timezone };
    let state = given([]).when(system(&PROGRAM), provision()).then([provisioned.clone()]);
    assert_eq!((state.password(), state.status()), (None, Some(UserStatus::PendingVerification)));
    given([provisioned]).when(system(&PROGRAM), provision()).then_refused(UserError::AlreadyExists);
    given([]).when(alice(BuiltInRole::Owner), provision()).then_denied("sys");
    given([]).when(public(), provision()).then_denied("sys");
}

#[test]
fn an_address_belongs_to_one_user() {
    let taken = [ClaimChange::take(ClaimName::personal("email", "ada@example.org"))];
    assert_eq!(User::claims(&registered(), ID), taken);
    assert_eq!(User::claims(&locked(), ID), []);
    let refusal = User::claim_refused("email").unwrap();
    assert_eq!((refusal.code(), refusal.field()), ("EMAIL_TAKEN", Some("email")));
}

#[test]
fn the_tenth_failure_in_a_row_locks_for_a_quarter_of_an_hour() {
    let nine = || history().into_iter().chain((1..=9).map(failed));
    given(history()).when(system(&PROGRAM), failure()).then([failed(1)]);
    let state = given(nine()).when(system(&PROGRAM), failure()).then([failed(10), locked()]);
    assert!(state.is_locked(noon()) && state.is_locked(noon() + Duration::seconds(899)));
    assert!(!state.is_locked(noon() + Duration::minutes(15)));
    given(history()).when(myself(), failure()).then_denied("sys");
}

#[test]
fn failures_while_locked_do_not_prolong_the_lock() {
    let state = given(history().into_iter().chain([failed(10), locked()])).when(system(&PROGRAM), failure()).then([failed(0)]);
    assert!(!state.is_locked(noon() + Duration::minutes(15)));
    let refused = RecordLoginFailure { reason: LoginFailure::Locked };
    given(history()).when(system(&PROGRAM), refused).then([LoginFailed { reason: LoginFailure::Locked, failed_logins: 0, at: noon() }]);
}

#[test]
fn after_the_lock_the_count_begins_anew() {
    let later = Caller { now: noon() + Duration::minutes(15), ..system(&PROGRAM) };
    let events = given(history().into_iter().chain([failed(10), locked()])).when(later, failure()).events();
    assert!(matches!(events[..], [LoginFailed { failed_logins: 1, .. }]));
}

#[test]
fn a_sign_in_clears_the_failures_and_is_noted_once() {
    let state = given(history().into_iter().chain([failed(1), failed(2)])).when(system(&PROGRAM), login()).then([succeeded(noon())]);
    let account = state.account().unwrap();
    assert_eq!((account.failed_logins, account.last_login_at), (0, Some(noon())));
    given(history().into_iter().chain([succeeded(noon())])).when(system(&PROGRAM), login()).then_nothing();
    given(history()).when(myself(), login()).then_denied("sys");
}

#[test]
fn nobody_signs_in_to_a_locked_account_until_the_lock_ends() {
    given(history().into_iter().chain([locked()])).when(system(&PROGRAM), login()).then_refused(UserError::AccountLocked);
    let at = noon() + Duration::minutes(15);
    given(history().into_iter().chain([locked()])).when(Caller { now: at, ..system(&PROGRAM) }, login()).then([succeeded(at)]);
}

#[test]
fn users_change_their_own_password_and_nobody_elses() {
    let change = ChangePassword { password: secret(2) };
    let changed = password_set(2, PasswordReason::Change);
    given(history()).when(myself(), change.clone()).then([changed.clone()]);
    given(history().into_iter().chain([changed])).when(myself(), change.clone()).then_nothing();
    given(history()).when(somebody(Principal::User(BOB), GrantSet::EMPTY), change.clone()).then_denied("self");
    given(history()).when(alice(BuiltInRole::Owner), change).then_denied("self");
}

#[test]
fn a_profile_records_only_what_changed() {
    let update = profile(r#"{"lastName":"King","phone":"+44 20 1234","timezone":"Europe/London","imageUrl":null}"#);
    let changes = ProfileChanges {
        last_name: Some(crate::Change { from: mine("Byron"), to: mine("King") }),
        name: Some(crate::Change { from: mine("Ada Byron"), to: mine("Ada King") }),
        phone: Some(crate::Change { from: None, to: mine("+44 20 1234") }),
        timezone: Some(crate::Change { from: "UTC".into(), to: "Europe/London".into() }),
        ..ProfileChanges::default()
    };
    let updated = ProfileUpdated { changes: Box::new(changes) };
    let state = given(history()).when(myself(), update.clone()).then([updated.clone()]);
    assert_eq!(state.account().and_then(|account| account.name.clone()), mine("Ada King"));
    given(history().into_iter().chain([updated])).when(myself(), update.clone()).then_nothing();
    given(history()).when(myself(), profile("{}")).then_nothing();
    given(history()).when(somebody(Principal::User(ALICE), GrantSet::EMPTY), update).then_denied("self");
}

#[test]
fn a_profile_is_emptied_by_null() {
    let named = given(history()).when(myself(), profile(r#"{"firstName":null,"lastName":null}"#)).state;
    let account = named.account().unwrap();
    assert_eq!((&account.first_name, &account.last_name, &account.name), (&None, &None, &None));
}

#[test]
fn the_default_workspace_is_ones_own_choice() {
    let set = SetDefaultWorkspace { workspace_id: WorkspaceId::personal(ME) };
    let done = DefaultWorkspaceSet { workspace_id: WorkspaceId::personal(ME) };
    given(history()).when(myself(), set.clone()).then([done.clone()]);
    given(history().into_iter().chain([done])).when(myself(), set.clone()).then_nothing();
    given(history()).when(somebody(Principal::User(BOB), GrantSet::EMPTY), set).then_denied("self");
}

#[test]
fn nothing_is_asked_of_a_user_who_is_not_there() {
    for (caller, command) in [
        (system(&PROGRAM), login()),
        (system(&PROGRAM), failure()),
        (myself(), profile("{}")),
        (myself(), ChangePassword { password: secret(1) }),
    ] {
        given([]).when(caller, command).then_refused(UserError::NotFound);
    }
}

#[test]
fn every_personal_value_of_the_state_can_be_sealed() {
    let update = profile(r#"{"name":"Countess","phone":"112345","imageUrl":"https://example.org/a.png"}"#);
    let mut state = given(history()).when(myself(), update).state;
    assert!(serde_json::to_string(&state).is_err(), "open values are not serialised");
    let mut seen = 0;
    state.personal(&mut |value| {
        seen += 1;
        value.seal(&mut |_, bytes| hex::encode(bytes)).unwrap();
    });
    assert_eq!(seen, 6);
    assert!(serde_json::to_string(&state).is_ok());
}

#[test]
fn events_come_back_from_the_log_as_they_went() {
    let updated = given(history()).when(myself(), profile(r#"{"lastName":"King","phone":null}"#)).events();
    for event in history().into_iter().chain([succeeded(noon()), failed(1), locked()]).chain(updated) {
        let json = for_the_store(|| serde_json::to_value(&event)).unwrap();
        assert_eq!(serde_json::from_value::<UserEvent>(json).unwrap(), event);
    }
}

fn any_command() -> impl Strategy<Value = (Caller, UserCommand)> {
    let text = || prop::option::of("[a-c]{1,2}( [a-c])?").prop_map(|text| serde_json::to_string(&text).unwrap());
    prop_oneof![
        (0_u128..3)
            .prop_map(|n| (system(&PROGRAM), RecordLogin { method: LoginMethod::Password, session_id: SessionId(Uuid::from_u128(n)) })),
        (1_u128..4).prop_map(|n| (myself(), ChangePassword { password: secret(n) })),
        (text(), text()).prop_map(|(first, last)| (myself(), profile(&format!(r#"{{"firstName":{first},"lastName":{last}}}"#)))),
        text().prop_map(|text| (myself(), profile(&format!(r#"{{"name":{text}}}"#)))),
        Just((public(), register())),
    ]
}

proptest! {
    #[test]
    fn a_command_repeated_changes_nothing_and_failures_stay_below_the_lock(steps in prop::collection::vec((any_command(), 0_u32..4, 0_i64..10), 1..30)) {
        let mut events = history().to_vec();
        let mut now = noon();
        for ((caller, command), failures, minutes) in steps {
            now += Duration::minutes(minutes);
            for _ in 0..failures {
                events.extend(given(events.clone()).when(Caller { now, ..system(&PROGRAM) }, failure()).events());
            }
            let decide = |events: &[UserEvent]| given(events.to_vec()).when(Caller { now, ..caller.clone() }, command.clone());
            let then = decide(&events);
            let account = then.state.account().unwrap();
            prop_assert!(account.failed_logins < FAILURES_TO_LOCK);
            prop_assert!(account.name.is_some() || (account.first_name.is_none() && account.last_name.is_none()));
            prop_assert!(account.locked_until.is_none_or(|until| until <= now + LOCKED_FOR));
            if let Ok(new) = then.outcome {
                events.extend(new);
                let again = decide(&events).outcome;
                prop_assert!(matches!(&again, Ok(none) if none.is_empty()) || matches!(again, Err(Rejection::Refused(_))), "{again:?}");
            }
        }
    }
}

#[test]
fn a_role_on_the_platform_is_given_by_the_program_or_by_who_manages_users_and_moves_access() {
    static MACHINE: SystemCaller = SystemCaller { name: "tests", commands: &["GrantPlatformRole", "RevokePlatformRole"] };
    let grant = || GrantPlatformRole { role: PlatformRole::SystemAdmin };
    let granted = PlatformRoleGranted { user_id: ME, role: PlatformRole::SystemAdmin };
    let revoked = PlatformRoleRevoked { user_id: ME };
    given(history()).when(system(&MACHINE), grant()).then([granted.clone()]);
    let administrator = somebody(Principal::User(BOB), *PlatformRole::SystemAdmin.grants());
    given(history()).when(administrator, grant()).then([granted.clone()]);
    given(history()).when(myself(), grant()).then_denied("system.users");
    given(history()).when(system(&PROGRAM), grant()).then_denied("system.users");

    let administrator = || history().into_iter().chain([granted.clone()]);
    given(administrator()).when(system(&MACHINE), grant()).then_nothing();
    given(administrator()).when(system(&MACHINE), RevokePlatformRole {}).then([revoked.clone()]);
    given(administrator()).when(system(&MACHINE), GrantPlatformRole { role: PlatformRole::None }).then([revoked.clone()]);
    given(administrator().chain([revoked.clone()])).when(system(&MACHINE), RevokePlatformRole {}).then_nothing();
    given([]).when(system(&MACHINE), grant()).then_refused(UserError::NotFound);

    let mut access = crate::Access::default();
    let held = |access: &crate::Access| access.grants(ME).scope(SYSTEM_USERS).is_some();
    access.apply(User::access(&granted, ALICE.0).unwrap());
    assert!(held(&access) && !access.is_member(ME));
    access.apply(User::access(&revoked, ALICE.0).unwrap());
    assert!(!held(&access));
}
