//! Roles of the workspace's own, overrides and suspension: what makes out what a member may do.

use super::*;

const DESK: RoleId = RoleId(Uuid::from_u128(0xde5c));

fn desk(permissions: &[&str]) -> RoleEvent {
    let permissions = permissions.iter().map(|text| text.parse::<Grantable>().unwrap()).collect();
    RoleEvent::RoleCreated { name: "Desk".into(), description: None, permissions, created_by: None }
}

fn has(name: &str) -> WorkspaceEvent {
    WorkspaceEvent::CustomPermissionRegistered { name: name.parse().unwrap(), description: None }
}

/// Bob's membership in Alice's team, which has the role DESK.
fn with_desk(events: impl IntoIterator<Item = MembershipEvent>, permissions: &[&str]) -> Given<Membership> {
    in_team(events, [has("custom.approve")]).and::<Role>(DESK.0, [desk(permissions)])
}

fn assign(role: impl Into<RoleRef>) -> MembershipCommand {
    AssignRole { role: role.into() }
}

fn assigned(role: impl Into<RoleRef>) -> MembershipEvent {
    RoleAssigned { user_id: BOB, role: role.into(), assigned_by: Some(ALICE) }
}

#[test]
fn a_role_of_the_workspace_is_given_and_taken_like_any_other() {
    let revoke = || RevokeRole { role: DESK.into() };
    with_desk([bob(&[BuiltInRole::Member])], &["posts.read"]).when(alice(BuiltInRole::Admin), assign(DESK)).then([assigned(DESK)]);
    with_desk([bob(&[BuiltInRole::Member]), assigned(DESK)], &["posts.read"])
        .when(alice(BuiltInRole::Admin), revoke())
        .then([RoleRevoked { user_id: BOB, role: DESK.into() }]);
    assert_eq!(assign(DESK).facts(&Membership::Absent, &alice_herself()), [FactRef::of::<Workspace>(TENANT), FactRef::of::<Role>(DESK.0)]);
}

#[test]
fn a_role_that_is_not_there_is_not_given() {
    for gone in [vec![], vec![desk(&[]), RoleEvent::RoleDeleted { name: "Desk".into() }]] {
        let given = || in_team([bob(&[BuiltInRole::Member])], []).and::<Role>(DESK.0, gone.clone());
        given().when(alice(BuiltInRole::Admin), assign(DESK)).then_refused(MembershipError::RoleNotFound);
        given().when(alice(BuiltInRole::Admin), RevokeRole { role: DESK.into() }).then_refused(MembershipError::RoleNotFound);
    }
    let add = AddMember { user_id: BOB, roles: vec![DESK.into()], source: MemberSource::Invitation, profile: profile() };
    in_team([], []).when(system(&PROGRAM), add.clone()).then_refused(MembershipError::RoleNotFound);
    assert_eq!(with_desk([], &[]).when(system(&PROGRAM), add.clone()).events().len(), 1);
    assert_eq!(add.facts(&Membership::Absent, &alice_herself()), [FactRef::of::<Workspace>(TENANT), FactRef::of::<Role>(DESK.0)]);
}

#[test]
fn nobody_hands_on_a_role_that_grants_more_than_they_hold() {
    let assigner = |custom: &[&str]| {
        let grants = GrantSet::from_iter([ROLES_ASSIGN.any(), "posts.read".parse().unwrap()]);
        Caller { custom: custom.iter().map(|name| name.parse().unwrap()).collect(), ..somebody(Principal::User(ALICE), grants) }
    };
    let given = |permissions: &[&str]| with_desk([bob(&[BuiltInRole::Member])], permissions);
    given(&["posts.read"]).when(assigner(&[]), assign(DESK)).then([assigned(DESK)]);
    given(&["posts.update"]).when(assigner(&[]), assign(DESK)).then_refused(MembershipError::BeyondOwnGrants);
    given(&["custom.approve"]).when(assigner(&[]), assign(DESK)).then_refused(MembershipError::BeyondOwnGrants);
    given(&["custom.approve"]).when(assigner(&["custom.approve"]), assign(DESK)).then([assigned(DESK)]);
    // What is retired grants nothing.
    given(&["custom.retired"]).when(assigner(&[]), assign(DESK)).then([assigned(DESK)]);
    // Administrators hold the workspace's own permissions too, which only those hand on who hold them.
    let almost_admin = Caller { custom: BTreeSet::new(), ..alice(BuiltInRole::Admin) };
    given(&[]).when(almost_admin, assign(BuiltInRole::Admin)).then_refused(MembershipError::BeyondOwnGrants);
}

#[test]
fn a_member_has_at_most_ten_roles() {
    let role = |n: u128| RoleId(Uuid::from_u128(n));
    let history = std::iter::once(bob(&[BuiltInRole::Member])).chain((1..10).map(|n| assigned(role(n))));
    let full = history.collect::<Vec<_>>();
    with_desk(full.clone(), &[]).when(alice(BuiltInRole::Admin), assign(DESK)).then_refused(MembershipError::RoleCount);
    with_desk(full, &[]).and::<Role>(role(3).0, [desk(&[])]).when(alice(BuiltInRole::Admin), assign(role(3))).then_nothing();
}

#[test]
fn members_refer_to_the_roles_of_the_workspace_they_have() {
    let reference = || ClaimName::clear("role", DESK);
    let joined = MemberJoined {
        user_id: BOB,
        roles: vec![BuiltInRole::Member.into(), DESK.into()],
        source: MemberSource::Invitation,
        profile_name: None,
        profile_email: Personal::new(BOB, "bob@example.org".into()),
        limit: None,
    };
    assert_eq!(Membership::claims(&joined, ID)[1..], [ClaimChange::refer(reference())]);
    assert_eq!(Membership::claims(&assigned(DESK), ID), [ClaimChange::refer(reference())]);
    assert_eq!(Membership::claims(&assigned(BuiltInRole::Pm), ID), []);
    let revoked = RoleRevoked { user_id: BOB, role: DESK.into() };
    assert_eq!(Membership::claims(&revoked, ID), [ClaimChange::release(reference())]);
    let events = in_team([joined], []).when(alice(BuiltInRole::Admin), remove()).events();
    assert_eq!(Membership::claims(&events[0], ID)[1..], [ClaimChange::release(reference())]);
    assert_eq!(Membership::claim_refused("role"), Some(MembershipError::RoleNotFound));
}

#[test]
fn what_was_stored_while_there_were_only_built_in_roles_reads_as_it_was() {
    let old = serde_json::json!({
        "type": "MemberJoined", "user_id": BOB, "roles": ["member", "pm"], "source": "INVITATION",
        "profile_email": { "$erased": { "subject": BOB } },
    });
    let MemberJoined { roles, .. } = serde_json::from_value(old).unwrap() else { panic!() };
    assert_eq!(roles, refs(&[BuiltInRole::Member, BuiltInRole::Pm]));
    let old = serde_json::json!({ "type": "RoleAssigned", "user_id": BOB, "role": "pm", "assigned_by": ALICE });
    assert_eq!(serde_json::from_value::<MembershipEvent>(old.clone()).unwrap(), assigned(BuiltInRole::Pm));
    assert_eq!(serde_json::to_value(assigned(BuiltInRole::Pm)).unwrap(), old, "and is written as it was");
    let old = serde_json::json!({ "type": "MemberRemoved", "user_id": BOB, "left": false });
    assert_eq!(serde_json::from_value::<MembershipEvent>(old.clone()).unwrap(), gone());
    assert_eq!(serde_json::to_value(gone()).unwrap(), old);
    assert!(serde_json::from_str::<RoleRef>(r#""Owner""#).unwrap_err().to_string().contains("unknown role `Owner`"));
    assert_eq!(serde_json::to_value(RoleRef::from(DESK)).unwrap(), serde_json::json!(DESK));
}

fn overrides(grants: &[&str], denies: &[&str]) -> MembershipCommand {
    let (grants, denies) = (grants.iter().map(|text| text.parse().unwrap()), denies.iter().map(|text| text.parse().unwrap()));
    SetPermissionOverrides { grants: grants.collect(), denies: denies.collect() }
}

fn overridden_by(grants: &[&str], denies: &[&str]) -> MembershipEvent {
    let (grants, denies): (PermissionSet, BTreeSet<PermissionName>) =
        (grants.iter().map(|text| text.parse::<Grantable>().unwrap()).collect(), denies.iter().map(|text| text.parse().unwrap()).collect());
    let changes = OverrideChanges {
        grants: (!grants.is_empty()).then(|| Change { from: PermissionSet::default(), to: grants }),
        denies: (!denies.is_empty()).then(|| Change { from: BTreeSet::new(), to: denies }),
    };
    PermissionOverridesSet { user_id: BOB, changes }
}

#[test]
fn overrides_give_and_deny_beside_the_roles() {
    let admin = || Caller { custom: ["custom.approve".parse().unwrap()].into(), ..alice(BuiltInRole::Admin) };
    let team = |events: Vec<MembershipEvent>| in_team(std::iter::once(bob(&[BuiltInRole::Member])).chain(events), [has("custom.approve")]);
    let (grants, denies) = (["posts.update@own", "custom.approve"], ["tasks.create"]);
    let state = team(vec![]).when(admin(), overrides(&grants, &denies)).then([overridden_by(&grants, &denies)]);
    assert_eq!(state.seat().unwrap().denies.len(), 1);
    team(vec![overridden_by(&grants, &denies)]).when(admin(), overrides(&grants, &denies)).then_nothing();
    team(vec![]).when(admin(), overrides(&[], &denies)).then([overridden_by(&[], &denies)]);
    assert_eq!(
        team(vec![overridden_by(&grants, &denies)]).when(admin(), overrides(&[], &[])).state.seat().unwrap().grants,
        PermissionSet::default()
    );
    team(vec![]).when(alice(BuiltInRole::Pm), overrides(&grants, &denies)).then_denied("roles.assign");
}

#[test]
fn overrides_follow_the_guard_rules() {
    let me = || joined(ALICE, &[BuiltInRole::Admin], Some(3));
    in_team([me()], []).when(alice(BuiltInRole::Owner), overrides(&["posts.read"], &[])).then_refused(MembershipError::OwnRoles);
    let assigner = || {
        somebody(
            Principal::User(ALICE),
            GrantSet::from_iter([ROLES_ASSIGN.any(), "posts.read".parse().unwrap(), "posts.update@own".parse().unwrap()]),
        )
    };
    let team = |events: Vec<MembershipEvent>| in_team(std::iter::once(bob(&[BuiltInRole::Member])).chain(events), [has("custom.approve")]);
    let beyond =
        |history: Vec<MembershipEvent>, command| team(history).when(assigner(), command).then_refused(MembershipError::BeyondOwnGrants);
    beyond(vec![], overrides(&["posts.update"], &[]));
    beyond(vec![], overrides(&["custom.approve"], &[]));
    beyond(vec![], overrides(&[], &["posts.delete"]));
    beyond(vec![], overrides(&[], &["posts.update"]));
    // To lift a denial is to give, to lift a grant is to take.
    beyond(vec![overridden_by(&[], &["posts.delete"])], overrides(&[], &[]));
    beyond(vec![overridden_by(&["posts.delete"], &[])], overrides(&[], &[]));
    assert_eq!(
        team(vec![overridden_by(&["posts.delete"], &[])])
            .when(assigner(), overrides(&["posts.delete", "posts.update@own"], &["posts.read"]))
            .events()
            .len(),
        1
    );
    team(vec![])
        .when(alice(BuiltInRole::Owner), overrides(&["custom.new"], &[]))
        .then_refused(MembershipError::PermissionNotFound("custom.new".into()));
    team(vec![])
        .when(alice(BuiltInRole::Owner), overrides(&[], &["custom.new"]))
        .then_refused(MembershipError::PermissionNotFound("custom.new".into()));
    for bad in ["posts.fly", "system.audit", "posts.read@any"] {
        assert!(
            serde_json::from_str::<MembershipCommand>(&format!(r#"{{"SetPermissionOverrides":{{"grants":["{bad}"],"denies":[]}}}}"#))
                .is_err(),
            "{bad}"
        );
    }
}

#[test]
fn a_suspended_member_is_no_active_one_until_reinstated() {
    let suspend = SuspendMember { reason: Some(ShortText::try_from("on leave").unwrap()) };
    let suspended = || MemberSuspended { user_id: BOB, reason: Some(Personal::new(TENANT, "on leave".into())) };
    let back = || MemberReinstated { user_id: BOB };
    let state = in_team([bob(&[BuiltInRole::Member])], []).when(alice(BuiltInRole::Admin), suspend.clone()).then([suspended()]);
    assert!(!state.is_active() && state.roles().eq([BuiltInRole::Member]));
    in_team([bob(&[BuiltInRole::Member]), suspended()], []).when(alice(BuiltInRole::Admin), suspend.clone()).then_nothing();
    let state = in_team([bob(&[BuiltInRole::Member]), suspended()], []).when(alice(BuiltInRole::Admin), ReinstateMember {}).then([back()]);
    assert!(state.is_active());
    in_team([bob(&[BuiltInRole::Member])], []).when(alice(BuiltInRole::Admin), ReinstateMember {}).then_nothing();
    for command in [suspend.clone(), ReinstateMember {}] {
        in_team([bob(&[BuiltInRole::Member])], []).when(alice(BuiltInRole::Pm), command.clone()).then_denied("members.update");
        in_team([joined(ALICE, &[BuiltInRole::Admin], None)], [])
            .when(alice(BuiltInRole::Owner), command)
            .then_refused(MembershipError::OwnRoles);
    }
    let carol = || joined(CAROL, &[BuiltInRole::Member], None);
    in_team([carol()], [WorkspaceEvent::OwnershipGranted { user_id: CAROL }])
        .when(alice(BuiltInRole::Owner), suspend)
        .then_refused(MembershipError::OwnerStays);
}

#[test]
fn nobody_joins_a_workspace_that_stands_still_and_nobody_leaves_a_deleted_one() {
    let suspended = || WorkspaceEvent::WorkspaceSuspended { reason: None };
    let deleted = || WorkspaceEvent::WorkspaceDeleted { purge_after: noon() };
    for event in [suspended(), deleted()] {
        in_team([], [event]).when(system(&PROGRAM), add(BOB, &[BuiltInRole::Member])).then_refused(MembershipError::WorkspaceClosed);
    }
    let bob_leaves =
        |event| in_team([bob(&[BuiltInRole::Member])], [event]).when(somebody(Principal::User(BOB), GrantSet::EMPTY), LeaveWorkspace {});
    bob_leaves(deleted()).then_refused(MembershipError::WorkspaceClosed);
    assert_eq!(bob_leaves(suspended()).events().len(), 1);
}

#[test]
fn a_membership_is_the_members_own_so_that_own_scopes_lead_nowhere() {
    let own = || {
        let all = [ROLES_ASSIGN, MEMBERS_UPDATE, MEMBERS_REMOVE, USERS_DELETE].map(Permission::own);
        somebody(Principal::User(ALICE), GrantSet::from_iter(all))
    };
    for (command, needs) in [
        (assign(BuiltInRole::Member), "roles.assign"),
        (RevokeRole { role: BuiltInRole::Member.into() }, "roles.assign"),
        (overrides(&[], &[]), "roles.assign"),
        (SuspendMember { reason: None }, "members.update"),
        (ReinstateMember {}, "members.update"),
        (remove(), "members.remove"),
    ] {
        in_team([bob(&[BuiltInRole::Member])], []).when(own(), command).then_denied(needs);
    }
}
