//! What a membership decides.

mod rights;

use super::MembershipCommand::*;
use super::MembershipEvent::*;
use super::*;
use crate::roles::GrantSet;
use crate::testing::{ALICE, BOB, Given, ID, TENANT, alice, alice_herself, noon, somebody, system};
use crate::workspace::{Plan, RoleEvent, WorkspaceEvent};
use crate::{Access, Email, Principal, Rejection, RoleId, ShortText, SystemCaller, Title, for_the_store};
use proptest::prelude::*;

static PROGRAM: SystemCaller = SystemCaller { name: "tests", commands: &["AddMember"] };
const CAROL: UserId = UserId(Uuid::from_u128(0xca401));

fn given(events: impl IntoIterator<Item = MembershipEvent>) -> Given<Membership> {
    crate::testing::given(events)
}

fn workspace(kind: WorkspaceKind, plan: Plan) -> WorkspaceEvent {
    WorkspaceEvent::WorkspaceCreated { name: "Acme".into(), slug: "acme".into(), kind, owner_id: ALICE, plan, quota_reset_at: noon() }
}

/// Alice's team has this history; Carol shares the ownership if asked for.
fn in_team(events: impl IntoIterator<Item = MembershipEvent>, more: impl IntoIterator<Item = WorkspaceEvent>) -> Given<Membership> {
    given(events).and::<Workspace>(TENANT, [workspace(WorkspaceKind::Team, Plan::Free)].into_iter().chain(more))
}

fn profile() -> MemberProfile {
    MemberProfile { name: Some(Title::try_from("Bob").unwrap()), email: Email::try_from("bob@example.org").unwrap() }
}

fn refs(roles: &[BuiltInRole]) -> Vec<RoleRef> {
    roles.iter().copied().map(Into::into).collect()
}

fn add(user_id: UserId, roles: &[BuiltInRole]) -> MembershipCommand {
    AddMember { user_id, roles: refs(roles), source: MemberSource::Invitation, profile: profile() }
}

fn joined(user_id: UserId, roles: &[BuiltInRole], limit: Option<u32>) -> MembershipEvent {
    MemberJoined {
        user_id,
        roles: refs(roles),
        source: MemberSource::Invitation,
        profile_name: Some(Personal::new(user_id, "Bob".into())),
        profile_email: Personal::new(user_id, "bob@example.org".into()),
        limit,
    }
}

fn bob(roles: &[BuiltInRole]) -> MembershipEvent {
    joined(BOB, roles, Some(3))
}

fn gone() -> MembershipEvent {
    MemberRemoved { user_id: BOB, reason: None, left: false, custom_roles: vec![] }
}

fn remove() -> MembershipCommand {
    RemoveMember { reason: None }
}

#[test]
fn the_program_adds_members_with_the_seats_of_the_plan() {
    let roles = [BuiltInRole::Viewer, BuiltInRole::Member, BuiltInRole::Viewer];
    let state = in_team([], []).when(system(&PROGRAM), add(BOB, &roles)).then([bob(&[BuiltInRole::Member, BuiltInRole::Viewer])]);
    assert!(state.is_active() && state.roles().eq([BuiltInRole::Member, BuiltInRole::Viewer]));
    given([])
        .and::<Workspace>(TENANT, [workspace(WorkspaceKind::Team, Plan::Enterprise)])
        .when(system(&PROGRAM), add(BOB, &[BuiltInRole::Member]))
        .then([joined(BOB, &[BuiltInRole::Member], None)]);
    in_team([], []).when(alice(BuiltInRole::Owner), add(BOB, &[BuiltInRole::Member])).then_denied("sys");
}

#[test]
fn adding_the_same_member_again_changes_nothing_and_otherwise_is_refused() {
    in_team([bob(&[BuiltInRole::Member])], []).when(system(&PROGRAM), add(BOB, &[BuiltInRole::Member])).then_nothing();
    in_team([bob(&[BuiltInRole::Member])], [])
        .when(system(&PROGRAM), add(BOB, &[BuiltInRole::Pm]))
        .then_refused(MembershipError::AlreadyMember);
}

#[test]
fn who_has_left_can_join_again() {
    in_team([bob(&[BuiltInRole::Member]), gone()], []).when(system(&PROGRAM), add(BOB, &[BuiltInRole::Pm])).then([bob(&[BuiltInRole::Pm])]);
}

#[test]
fn a_member_joins_with_one_to_ten_roles_and_never_as_owner() {
    in_team([], []).when(system(&PROGRAM), add(BOB, &[])).then_refused(MembershipError::RoleCount);
    in_team([], []).when(system(&PROGRAM), add(BOB, &[BuiltInRole::Member; 11])).then_refused(MembershipError::RoleCount);
    in_team([], []).when(system(&PROGRAM), add(BOB, &[BuiltInRole::Owner])).then_refused(MembershipError::OwnerNotAssignable);
}

#[test]
fn there_must_be_a_workspace_to_join() {
    given([]).when(system(&PROGRAM), add(BOB, &[BuiltInRole::Member])).then_refused(MembershipError::WorkspaceNotFound);
    given([])
        .and::<Workspace>(TENANT, [])
        .when(system(&PROGRAM), add(BOB, &[BuiltInRole::Member]))
        .then_refused(MembershipError::WorkspaceNotFound);
}

#[test]
fn a_personal_workspace_has_its_owner_as_its_only_member() {
    let personal = || given([]).and::<Workspace>(TENANT, [workspace(WorkspaceKind::Personal, Plan::Free)]);
    personal().when(system(&PROGRAM), add(BOB, &[BuiltInRole::Member])).then_refused(MembershipError::PersonalWorkspace);
    personal().when(system(&PROGRAM), add(ALICE, &[BuiltInRole::Admin])).then([joined(ALICE, &[BuiltInRole::Admin], Some(3))]);
}

#[test]
fn seats_are_counted_in_one_claim_of_the_workspace() {
    let seats = || ClaimName::clear("members", "all");
    assert_eq!(Membership::claims(&bob(&[BuiltInRole::Member]), Uuid::nil()), [ClaimChange::count(seats(), Some(3))]);
    assert_eq!(Membership::claims(&gone(), Uuid::nil()), [ClaimChange::release(seats())]);
    assert_eq!(Membership::claim_refused("members"), Some(MembershipError::QuotaExceeded));
    assert_eq!(Membership::claim_refused("slug"), None);
}

#[test]
fn an_administrator_gives_and_takes_roles() {
    let assigned = RoleAssigned { user_id: BOB, role: BuiltInRole::Pm.into(), assigned_by: Some(ALICE) };
    let assign = AssignRole { role: BuiltInRole::Pm.into() };
    in_team([bob(&[BuiltInRole::Member])], []).when(alice(BuiltInRole::Admin), assign.clone()).then([assigned.clone()]);
    in_team([bob(&[BuiltInRole::Member]), assigned.clone()], []).when(alice(BuiltInRole::Admin), assign.clone()).then_nothing();
    let revoke = RevokeRole { role: BuiltInRole::Member.into() };
    let revoked = RoleRevoked { user_id: BOB, role: BuiltInRole::Member.into() };
    in_team([bob(&[BuiltInRole::Member]), assigned.clone()], []).when(alice(BuiltInRole::Admin), revoke.clone()).then([revoked.clone()]);
    in_team([bob(&[BuiltInRole::Member]), assigned, revoked], []).when(alice(BuiltInRole::Admin), revoke).then_nothing();
    in_team([bob(&[BuiltInRole::Member])], []).when(alice(BuiltInRole::Pm), assign).then_denied("roles.assign");
}

#[test]
fn the_last_role_stays() {
    let revoke = RevokeRole { role: BuiltInRole::Member.into() };
    in_team([bob(&[BuiltInRole::Member])], []).when(alice(BuiltInRole::Admin), revoke).then_refused(MembershipError::LastRole);
}

#[test]
fn nobody_hands_on_or_takes_what_they_do_not_have() {
    let mut grants = *BuiltInRole::Member.grants();
    grants.grant(ROLES_ASSIGN.any());
    let assigner = || somebody(Principal::User(ALICE), grants);
    in_team([bob(&[BuiltInRole::Viewer])], [])
        .when(assigner(), AssignRole { role: BuiltInRole::Admin.into() })
        .then_refused(MembershipError::BeyondOwnGrants);
    in_team([bob(&[BuiltInRole::Viewer, BuiltInRole::Admin])], [])
        .when(assigner(), RevokeRole { role: BuiltInRole::Admin.into() })
        .then_refused(MembershipError::BeyondOwnGrants);
    let member = RoleAssigned { user_id: BOB, role: BuiltInRole::Member.into(), assigned_by: Some(ALICE) };
    in_team([bob(&[BuiltInRole::Viewer])], []).when(assigner(), AssignRole { role: BuiltInRole::Member.into() }).then([member]);
    // An owner holds all there is, an administrator all that administrators have.
    for (caller, role) in [(BuiltInRole::Owner, BuiltInRole::Admin), (BuiltInRole::Admin, BuiltInRole::Admin)] {
        assert!(
            in_team([bob(&[BuiltInRole::Viewer])], []).when(alice(caller), AssignRole { role: role.into() }).outcome.is_ok(),
            "{caller} gives {role}"
        );
    }
}

#[test]
fn nobody_changes_their_own_roles() {
    let me = || joined(ALICE, &[BuiltInRole::Admin, BuiltInRole::Member], Some(3));
    in_team([me()], [])
        .when(alice(BuiltInRole::Owner), AssignRole { role: BuiltInRole::Pm.into() })
        .then_refused(MembershipError::OwnRoles);
    in_team([me()], [])
        .when(alice(BuiltInRole::Owner), RevokeRole { role: BuiltInRole::Member.into() })
        .then_refused(MembershipError::OwnRoles);
}

#[test]
fn owner_is_not_a_role_to_hand_out() {
    for command in [AssignRole { role: BuiltInRole::Owner.into() }, RevokeRole { role: BuiltInRole::Owner.into() }] {
        in_team([bob(&[BuiltInRole::Member])], [])
            .when(alice(BuiltInRole::Owner), command)
            .then_refused(MembershipError::OwnerNotAssignable);
    }
}

#[test]
fn who_may_remove_members_or_delete_users_removes_a_member() {
    let removed =
        MemberRemoved { user_id: BOB, reason: Some(Personal::new(TENANT, "left the company".into())), left: false, custom_roles: vec![] };
    let remove = RemoveMember { reason: Some(ShortText::try_from("left the company").unwrap()) };
    for permission in [MEMBERS_REMOVE, USERS_DELETE] {
        let caller = somebody(Principal::User(ALICE), GrantSet::from_iter([permission.any()]));
        in_team([bob(&[BuiltInRole::Member])], []).when(caller, remove.clone()).then([removed.clone()]);
    }
    in_team([bob(&[BuiltInRole::Member])], []).when(alice(BuiltInRole::Operator), remove.clone()).then_denied("members.remove");
    in_team([bob(&[BuiltInRole::Member]), removed], []).when(alice(BuiltInRole::Admin), remove).then_nothing();
}

#[test]
fn a_member_leaves_by_themselves_and_only_they() {
    let me = || joined(ALICE, &[BuiltInRole::Member], Some(3));
    let left = || MemberRemoved { user_id: ALICE, reason: None, left: true, custom_roles: vec![] };
    let bobs = || {
        let created = WorkspaceEvent::WorkspaceCreated {
            name: "B".into(),
            slug: "b".into(),
            kind: WorkspaceKind::Team,
            owner_id: BOB,
            plan: Plan::Free,
            quota_reset_at: noon(),
        };
        [created]
    };
    given([me()]).and::<Workspace>(TENANT, bobs()).when(alice_herself(), LeaveWorkspace {}).then([left()]);
    given([me(), left()]).and::<Workspace>(TENANT, bobs()).when(alice_herself(), LeaveWorkspace {}).then_nothing();
    in_team([bob(&[BuiltInRole::Member])], []).when(alice(BuiltInRole::Owner), LeaveWorkspace {}).then_denied("self");
}

#[test]
fn an_owner_gives_up_ownership_before_going() {
    let me = || joined(ALICE, &[BuiltInRole::Admin], Some(3));
    let carol = || WorkspaceEvent::OwnershipGranted { user_id: CAROL };
    for command in [remove(), LeaveWorkspace {}] {
        in_team([me()], []).when(alice(BuiltInRole::Owner), command.clone()).then_refused(MembershipError::LastOwner);
        in_team([me()], [carol()]).when(alice(BuiltInRole::Owner), command.clone()).then_refused(MembershipError::OwnerStays);
        let stepped_down = [carol(), WorkspaceEvent::OwnershipRevoked { user_id: ALICE }];
        assert!(in_team([me()], stepped_down).when(alice(BuiltInRole::Owner), command.clone()).outcome.is_ok());
        // Without the workspace's state nothing can be said: it is asked for, and so guards the append.
        given([me()]).when(alice(BuiltInRole::Owner), command.clone()).then_refused(MembershipError::WorkspaceNotFound);
        assert_eq!(command.facts(&Membership::Absent, &alice_herself()), [FactRef::of::<Workspace>(TENANT)]);
    }
}

#[test]
fn nothing_is_asked_of_a_membership_that_is_not_there() {
    for command in [AssignRole { role: BuiltInRole::Pm.into() }, RevokeRole { role: BuiltInRole::Pm.into() }, remove(), LeaveWorkspace {}] {
        in_team([], []).when(alice(BuiltInRole::Owner), command).then_refused(MembershipError::NotFound);
    }
    in_team([bob(&[BuiltInRole::Member]), gone()], [])
        .when(alice(BuiltInRole::Owner), AssignRole { role: BuiltInRole::Pm.into() })
        .then_refused(MembershipError::NotFound);
}

#[test]
fn events_come_back_from_the_log_as_they_went() {
    let assigned = RoleAssigned { user_id: BOB, role: BuiltInRole::Pm.into(), assigned_by: None };
    for event in [bob(&[BuiltInRole::Member]), joined(BOB, &[], None), assigned, gone()] {
        let json = for_the_store(|| serde_json::to_value(&event)).unwrap();
        assert_eq!(serde_json::from_value::<MembershipEvent>(json).unwrap(), event);
    }
}

fn any_command() -> impl Strategy<Value = MembershipCommand> {
    let role = || prop::sample::select(BuiltInRole::ALL);
    prop_oneof![
        2 => prop::collection::vec(role(), 0..12).prop_map(|roles| add(BOB, &roles)),
        4 => role().prop_map(|role| AssignRole { role: role.into() }),
        4 => role().prop_map(|role| RevokeRole { role: role.into() }),
        1 => Just(remove()),
        1 => Just(LeaveWorkspace {}),
    ]
}

proptest! {
    #[test]
    fn an_active_member_has_one_to_ten_roles_and_access_says_the_same(commands in prop::collection::vec(any_command(), 1..40)) {
        let mut events = vec![];
        let mut access = Access::default();
        for command in commands {
            let caller = || match command {
                AddMember { .. } => system(&PROGRAM),
                LeaveWorkspace {} => somebody(Principal::User(BOB), GrantSet::EMPTY),
                _ => alice(BuiltInRole::Owner),
            };
            let then = in_team(events.clone(), []).when(caller(), command.clone());
            if let Ok(new) = then.outcome {
                new.iter().filter_map(|event| Membership::access(event, ID)).for_each(|change| access.apply(change));
                events.extend(new);
                let again = in_team(events.clone(), []).when(caller(), command.clone()).outcome;
                prop_assert!(matches!(&again, Ok(none) if none.is_empty()) || matches!(again, Err(Rejection::Refused(_))), "{again:?}");
            }
            prop_assert_eq!(access.is_member(BOB), then.state.is_active());
            prop_assert_eq!(access.roles(BOB), then.state.roles().collect::<BTreeSet<_>>());
            prop_assert!(!then.state.is_active() || (1..=MAX_ROLES).contains(&then.state.roles().count()));
            prop_assert!(then.state.roles().all(|role| role != BuiltInRole::Owner));
        }
    }
}
