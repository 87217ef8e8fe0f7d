//! What a session decides.

use super::SessionCommand::*;
use super::SessionEvent::*;
use super::*;
use crate::identity::UserEvent;
use crate::roles::GrantSet;
use crate::testing::{ALICE, BOB, Given, alice_herself, noon, somebody, system};
use crate::{Principal, SystemCaller, WorkspaceId, for_the_store};
use proptest::prelude::*;
use uuid::Uuid;

static PROGRAM: SystemCaller = SystemCaller { name: "tests", commands: &["StartSession", "RevokeSession"] };
const OFFICE: WorkspaceId = WorkspaceId(Uuid::from_u128(0x0ff1ce));

fn given(events: impl IntoIterator<Item = SessionEvent>) -> Given<Session> {
    crate::testing::given(events)
}

fn hash(n: u32) -> TokenHash {
    TokenHash::try_from(format!("{n:016x}{n:048x}")).unwrap()
}

fn start() -> SessionCommand {
    StartSession {
        user_id: ALICE,
        method: LoginMethod::Password,
        refresh_hash: hash(0),
        client_label: Some(Title::try_from("Firefox").unwrap()),
    }
}

fn started() -> SessionEvent {
    SessionStarted {
        user_id: ALICE,
        method: LoginMethod::Password,
        refresh_hash: hash(0).into(),
        client_label: Some(Personal::new(ALICE, "Firefox".into())),
        started_at: noon(),
        refresh_expires_at: noon() + Duration::days(7),
        absolute_expires_at: noon() + Duration::days(30),
    }
}

fn refreshed(rotation: u32) -> SessionEvent {
    SessionRefreshed { rotation, refresh_hash: hash(rotation).into(), refresh_expires_at: noon() + Duration::days(7) }
}

fn refresh(presented: u32, new: u32) -> SessionCommand {
    RefreshSession { presented_hash: hash(presented), new_hash: hash(new) }
}

fn revoked(reason: RevokeReason) -> SessionEvent {
    SessionRevoked { user_id: ALICE, reason }
}

fn public() -> Caller {
    somebody(Principal::Public, GrantSet::EMPTY)
}

fn at(now: Moment, caller: Caller) -> Caller {
    Caller { now, ..caller }
}

fn user() -> UserEvent {
    UserEvent::UserProvisioned {
        user_id: ALICE,
        email: Personal::new(ALICE, "a@example.org".into()),
        first_name: None,
        last_name: None,
        name: None,
        timezone: "UTC".into(),
    }
}

fn with_user(events: impl IntoIterator<Item = SessionEvent>, more: impl IntoIterator<Item = UserEvent>) -> Given<Session> {
    given(events).and::<User>(ALICE, [user()].into_iter().chain(more))
}

#[test]
fn the_program_starts_a_session_for_a_user_who_is_there_and_not_locked() {
    let state = with_user([], []).when(system(&PROGRAM), start()).then([started()]);
    assert_eq!(state.user_id(), Some(ALICE));
    with_user([], []).when(alice_herself(), start()).then_denied("sys");
    given([]).when(system(&PROGRAM), start()).then_refused(SessionError::UserNotFound);
    given([]).and::<User>(ALICE, []).when(system(&PROGRAM), start()).then_refused(SessionError::UserNotFound);
    with_user([], [UserEvent::UserLocked { until: noon() + Duration::seconds(1) }])
        .when(system(&PROGRAM), start())
        .then_refused(SessionError::AccountLocked);
    with_user([], [UserEvent::UserLocked { until: noon() }]).when(system(&PROGRAM), start()).then([started()]);
    with_user([started()], []).when(system(&PROGRAM), start()).then_refused(SessionError::AlreadyExists);
}

#[test]
fn a_refresh_token_is_good_once_and_slides_the_expiry() {
    let later = noon() + Duration::days(6);
    let state = given([started()]).when(at(later, public()), refresh(0, 1)).then([SessionRefreshed {
        rotation: 1,
        refresh_hash: hash(1).into(),
        refresh_expires_at: later + Duration::days(7),
    }]);
    assert!(state.live(later + Duration::days(6)).is_some());
    assert!(state.live(later + Duration::days(7)).is_none());
}

#[test]
fn no_refresh_goes_beyond_thirty_days() {
    let last = SessionRefreshed { rotation: 1, refresh_hash: hash(1).into(), refresh_expires_at: noon() + Duration::days(30) };
    let late = noon() + Duration::days(29);
    given([started(), last.clone()]).when(at(late, public()), refresh(1, 2)).then([SessionRefreshed {
        rotation: 2,
        refresh_hash: hash(2).into(),
        refresh_expires_at: noon() + Duration::days(30),
    }]);
    given([started(), last]).when(at(noon() + Duration::days(30), public()), refresh(1, 2)).then_refused(SessionError::SessionExpired);
}

#[test]
fn an_expired_session_does_nothing_but_end() {
    let late = noon() + Duration::days(7);
    given([started()]).when(at(late, public()), refresh(0, 1)).then_refused(SessionError::SessionExpired);
    given([started()]).when(at(late, alice_herself()), SwitchWorkspace { workspace_id: OFFICE }).then_refused(SessionError::SessionExpired);
    given([started()])
        .when(at(late, alice_herself()), RevokeSession { reason: RevokeReason::Logout })
        .then([revoked(RevokeReason::Logout)]);
}

#[test]
fn a_spent_token_ends_the_session() {
    let reuse = |rotation| [RefreshTokenReuseDetected { user_id: ALICE, rotation }, revoked(RevokeReason::Reuse)];
    let state = given([started(), refreshed(1)]).when(public(), refresh(0, 9)).then(reuse(1));
    assert_eq!((state.revoked(), state.live(noon()).is_some()), (Some(RevokeReason::Reuse), false));
    // The thief refreshed a thousand times meanwhile: the victim's token is still known.
    let busy = (1..=1000).map(refreshed);
    given([started()].into_iter().chain(busy)).when(public(), refresh(0, 2000)).then(reuse(1000));
    // The same request twice is a token used twice.
    given([started(), refreshed(1)]).when(public(), refresh(0, 1)).then(reuse(1));
}

#[test]
fn an_unknown_token_is_refused_and_ends_nothing() {
    given([started(), refreshed(1)]).when(public(), refresh(7, 8)).then_refused(SessionError::InvalidToken);
    given([]).when(public(), refresh(0, 1)).then_refused(SessionError::NotFound);
    given([started(), revoked(RevokeReason::Logout)]).when(public(), refresh(0, 1)).then_refused(SessionError::SessionEnded);
}

#[test]
fn the_new_token_was_never_good_before() {
    given([started(), refreshed(1)]).when(public(), refresh(1, 1)).then_refused(SessionError::TokenNotNew);
    given([started(), refreshed(1)]).when(public(), refresh(1, 0)).then_refused(SessionError::TokenNotNew);
}

#[test]
fn after_ten_thousand_refreshes_one_signs_in_again() {
    let events = [started()].into_iter().chain((1..=MAX_ROTATIONS).map(refreshed));
    given(events).when(public(), refresh(MAX_ROTATIONS, MAX_ROTATIONS + 1)).then_refused(SessionError::RotationLimit);
}

#[test]
fn only_its_user_moves_a_session_to_another_workspace() {
    let switch = SwitchWorkspace { workspace_id: OFFICE };
    let switched = SessionWorkspaceSwitched { from: None, to: OFFICE };
    let state = given([started()]).when(alice_herself(), switch.clone()).then([switched.clone()]);
    assert_eq!(state.live(noon()).and_then(|live| live.workspace_id), Some(OFFICE));
    given([started(), switched]).when(alice_herself(), switch.clone()).then_nothing();
    given([started()]).when(somebody(Principal::User(BOB), GrantSet::EMPTY), switch.clone()).then_denied("self");
    given([started(), revoked(RevokeReason::Logout)]).when(alice_herself(), switch).then_refused(SessionError::SessionEnded);
}

#[test]
fn its_user_or_the_program_ends_a_session_once() {
    let logout = RevokeSession { reason: RevokeReason::Logout };
    given([started()]).when(alice_herself(), logout.clone()).then([revoked(RevokeReason::Logout)]);
    given([started()]).when(system(&PROGRAM), logout.clone()).then([revoked(RevokeReason::Logout)]);
    given([started(), revoked(RevokeReason::Admin)]).when(alice_herself(), logout.clone()).then_nothing();
    given([started()]).when(somebody(Principal::User(BOB), GrantSet::EMPTY), logout.clone()).then_denied("self");
    given([started()]).when(public(), logout.clone()).then_denied("self");
    given([]).when(alice_herself(), logout).then_refused(SessionError::NotFound);
}

#[test]
fn reasons_that_are_not_a_users_to_give_need_the_program() {
    let end = RevokeSession { reason: RevokeReason::UserDeleted };
    given([started()]).when(alice_herself(), end.clone()).then_denied("sys");
    given([started()]).when(system(&PROGRAM), end).then([revoked(RevokeReason::UserDeleted)]);
}

#[test]
fn events_come_back_from_the_log_as_they_went() {
    for event in [
        started(),
        refreshed(1),
        RefreshTokenReuseDetected { user_id: ALICE, rotation: 1 },
        SessionWorkspaceSwitched { from: None, to: OFFICE },
        revoked(RevokeReason::Reuse),
    ] {
        let json = for_the_store(|| serde_json::to_value(&event)).unwrap();
        assert_eq!(serde_json::from_value::<SessionEvent>(json).unwrap(), event);
    }
}

proptest! {
    #[test]
    fn exactly_the_last_token_is_good_and_every_older_one_ends_the_session(uses in prop::collection::vec((0_u32..30, 1_i64..100), 1..30)) {
        let mut events = vec![started()];
        let mut made: Vec<u32> = vec![0];
        let mut ended = false;
        let mut now = noon();
        for (presented, hours) in uses {
            now += Duration::hours(hours);
            let new = u32::try_from(made.len()).unwrap();
            let then = given(events.clone()).when(at(now, public()), refresh(presented, new));
            let before = given(events.clone()).when(at(now, public()), refresh(999, 1000)).state;
            let outcome = then.outcome.clone();
            if ended {
                prop_assert!(outcome.is_err());
            } else if before.live(now).is_none() {
                prop_assert_eq!(outcome, Err(crate::Rejection::Refused(SessionError::SessionExpired)));
            } else if made.last() == Some(&presented) {
                let live = then.state.live(now).cloned().unwrap();
                prop_assert_eq!(&live.refresh_hash, &String::from(hash(new)));
                prop_assert_eq!(live.rotation, new);
                prop_assert!(live.refresh_expires_at <= live.absolute_expires_at);
                made.push(new);
            } else if made.contains(&presented) {
                prop_assert_eq!(then.state.revoked(), Some(RevokeReason::Reuse));
                ended = true;
            } else {
                prop_assert_eq!(outcome, Err(crate::Rejection::Refused(SessionError::InvalidToken)));
            }
            events.extend(then.outcome.unwrap_or_default());
        }
    }
}
