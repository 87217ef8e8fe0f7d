//! What a role decides.

use super::RoleCommand::*;
use super::RoleEvent::*;
use super::*;
use crate::roles::{CustomPermission, GrantSet, POSTS_READ, POSTS_UPDATE, WORKSPACE_DELETE};
use crate::testing::{ALICE, BOB, Given, ID, TENANT, alice, noon, somebody};
use crate::workspace::{MemberSource, MembershipEvent, Plan, WorkspaceEvent, WorkspaceKind};
use crate::{Principal, WorkspaceId, for_the_store};

fn workspace(owner: UserId) -> WorkspaceEvent {
    let (kind, plan) = (WorkspaceKind::Team, Plan::Free);
    WorkspaceEvent::WorkspaceCreated { name: "Acme".into(), slug: "acme".into(), kind, owner_id: owner, plan, quota_reset_at: noon() }
}

fn custom(name: &str) -> CustomPermission {
    name.parse().unwrap()
}

fn registered(name: &str) -> WorkspaceEvent {
    WorkspaceEvent::CustomPermissionRegistered { name: custom(name), description: None }
}

fn joined(roles: Vec<RoleRef>) -> MembershipEvent {
    let profile_email = Personal::new(ALICE, "a@example.org".into());
    MembershipEvent::MemberJoined {
        user_id: ALICE,
        roles,
        source: MemberSource::Provisioned,
        profile_name: None,
        profile_email,
        limit: None,
    }
}

/// In Bob's workspace, which knows `custom.approve`.
fn given(events: impl IntoIterator<Item = RoleEvent>) -> Given<Role> {
    crate::testing::given(events)
        .and::<Workspace>(TENANT, [workspace(BOB), registered("custom.approve")])
        .and::<Membership>(WorkspaceId::from(TENANT).membership(ALICE), [joined(vec![BuiltInRole::Admin.into()])])
}

fn admin() -> Caller {
    let caller = alice(BuiltInRole::Admin);
    Caller { custom: [custom("custom.approve")].into(), ..caller }
}

fn with(grants: impl IntoIterator<Item = Grantable>) -> Caller {
    let set: PermissionSet = grants.into_iter().collect();
    Caller { custom: set.custom, ..somebody(Principal::User(ALICE), set.catalogue) }
}

fn set(texts: &[&str]) -> PermissionSet {
    texts.iter().map(|text| text.parse::<Grantable>().unwrap()).collect()
}

fn create(name: &str, permissions: &[&str]) -> RoleCommand {
    let permissions = permissions.iter().map(|text| text.parse().unwrap()).collect();
    CreateRole { name: RoleName::try_from(name).unwrap(), description: None, permissions }
}

fn created(permissions: &[&str]) -> RoleEvent {
    RoleCreated { name: "Desk".into(), description: None, permissions: set(permissions), created_by: Some(ALICE) }
}

fn grant(text: &str) -> RoleCommand {
    GrantPermission { permission: text.parse().unwrap() }
}

fn revoke(text: &str) -> RoleCommand {
    RevokePermission { permission: text.parse().unwrap() }
}

fn rename(name: &str) -> RoleCommand {
    RenameRole { name: RoleName::try_from(name).unwrap() }
}

#[test]
fn a_role_is_any_subset_of_what_its_maker_holds() {
    let permissions = ["posts.read", "posts.update@own", "custom.approve"];
    let state = given([]).when(admin(), create("Desk", &permissions)).then([created(&permissions)]);
    assert_eq!(state.live().unwrap().permissions, set(&permissions));
    given([]).when(admin(), create("Desk", &[])).then([created(&[])]);
    given([]).when(admin(), create("Desk", &["billing.manage"])).then_refused(RoleError::BeyondOwnGrants);
    let author = || with([Grantable::Catalogue(ROLES_CREATE.any()), Grantable::Catalogue(POSTS_UPDATE.own())]);
    given([]).when(author(), create("Desk", &["posts.update"])).then_refused(RoleError::BeyondOwnGrants);
    given([]).when(author(), create("Desk", &["custom.approve"])).then_refused(RoleError::BeyondOwnGrants);
    given([]).when(author(), create("Desk", &["posts.update@own"])).then([created(&["posts.update@own"])]);
    given([]).when(alice(BuiltInRole::Pm), create("Desk", &[])).then_denied("roles.create");
    given([created(&[])]).when(admin(), create("Desk", &[])).then_refused(RoleError::AlreadyExists);
}

#[test]
fn permissions_that_do_not_exist_or_are_the_platforms_make_no_command() {
    for bad in ["posts.fly", "posts.read@all", "system.audit", "custom.", "custom.Approve", "custom.approve@own", "custom.1st"] {
        let command = format!(r#"{{"GrantPermission":{{"permission":"{bad}"}}}}"#);
        assert!(serde_json::from_str::<RoleCommand>(&command).is_err(), "{bad}");
    }
    given([created(&[])]).when(admin(), grant("custom.unheard_of")).then_refused(RoleError::PermissionNotFound("custom.unheard_of".into()));
}

#[test]
fn a_role_gains_and_loses_permissions_one_by_one() {
    let gained = || PermissionGranted { permission: "posts.update".parse().unwrap() };
    let lost = || PermissionRevoked { permission: "posts.update".parse().unwrap() };
    given([created(&["posts.read"])]).when(admin(), grant("posts.update")).then([gained()]);
    given([created(&[]), gained()]).when(admin(), grant("posts.update")).then_nothing();
    given([created(&[]), gained()]).when(admin(), grant("posts.update@own")).then_nothing();
    given([created(&["posts.update@own"])]).when(admin(), grant("posts.update")).then([gained()]);
    given([created(&["posts.update@own"])]).when(admin(), revoke("posts.update")).then([lost()]);
    given([created(&[]), gained(), lost()]).when(admin(), revoke("posts.update")).then_nothing();
    given([created(&[])]).when(alice(BuiltInRole::Pm), grant("posts.update")).then_denied("roles.update");
}

#[test]
fn nobody_gives_or_takes_by_a_role_what_they_do_not_hold() {
    let updater = || with([ROLES_UPDATE.any(), POSTS_READ.any(), POSTS_UPDATE.own()].map(Grantable::Catalogue));
    given([created(&["posts.update"])]).when(updater(), revoke("posts.update")).then_refused(RoleError::BeyondOwnGrants);
    given([created(&[])]).when(updater(), grant("posts.update")).then_refused(RoleError::BeyondOwnGrants);
    given([created(&[])])
        .when(updater(), grant("posts.update@own"))
        .then([PermissionGranted { permission: "posts.update@own".parse().unwrap() }]);
    given([created(&["custom.approve"])]).when(updater(), revoke("custom.approve")).then_refused(RoleError::BeyondOwnGrants);
    // What is retired gives nothing: it can be tidied away by anybody who may change the role.
    given([created(&["custom.retired"])])
        .when(updater(), revoke("custom.retired"))
        .then([PermissionRevoked { permission: "custom.retired".parse().unwrap() }]);
}

#[test]
fn nobody_changes_what_a_role_of_their_own_grants_but_an_owner() {
    let mine = || vec![BuiltInRole::Admin.into(), RoleRef::Custom(RoleId(ID))];
    let having = |owner: UserId| {
        crate::testing::given::<Role>([created(&["posts.read"])])
            .and::<Workspace>(TENANT, [workspace(owner)])
            .and::<Membership>(WorkspaceId::from(TENANT).membership(ALICE), [joined(mine())])
    };
    having(BOB).when(admin(), grant("posts.update")).then_refused(RoleError::OwnRole);
    having(BOB).when(admin(), revoke("posts.read")).then_refused(RoleError::OwnRole);
    assert_eq!(having(BOB).when(admin(), rename("Front desk")).events().len(), 1);
    assert_eq!(having(ALICE).when(alice(BuiltInRole::Owner), grant("posts.update")).events().len(), 1);
}

#[test]
fn a_role_that_is_ones_own_is_one_that_one_has_made() {
    let own = || with([ROLES_UPDATE.own(), POSTS_READ.any()].map(Grantable::Catalogue));
    assert_eq!(given([created(&[])]).when(own(), grant("posts.read")).events().len(), 1);
    let of_bob = RoleCreated { name: "Desk".into(), description: None, permissions: set(&[]), created_by: Some(BOB) };
    for command in [grant("posts.read"), rename("Front desk"), DescribeRole { description: None }] {
        given([of_bob.clone()]).when(own(), command).then_denied("roles.update");
    }
    let deleter = somebody(Principal::User(ALICE), GrantSet::from_iter([ROLES_DELETE.own()]));
    given([of_bob]).when(deleter, DeleteRole {}).then_denied("roles.delete");
}

#[test]
fn names_are_unique_and_no_built_in_roles_key_whatever_their_case() {
    for taken in ["owner", "Viewer", "ADMIN"] {
        given([]).when(admin(), create(taken, &[])).then_refused(RoleError::NameTaken);
        given([created(&[])]).when(admin(), rename(taken)).then_refused(RoleError::NameTaken);
    }
    let name = |value: &str| ClaimName::clear("role_name", value);
    assert_eq!(
        Role::claims(&created(&[]), ID),
        [ClaimChange::take(name("desk")), ClaimChange::count(ClaimName::clear("roles", "all"), Some(MAX_CUSTOM_ROLES))]
    );
    let renamed = |to: &str| {
        let name = Change { from: "Desk".to_owned(), to: to.to_owned() };
        RoleUpdated { changes: RoleChanges { name: Some(name), description: None } }
    };
    given([created(&[])]).when(admin(), rename("Front desk")).then([renamed("Front desk")]);
    given([created(&[]), renamed("Front desk")]).when(admin(), rename("Front desk")).then_nothing();
    assert_eq!(Role::claims(&renamed("Büro"), ID), [ClaimChange::release(name("desk")), ClaimChange::take(name("büro"))]);
    assert_eq!(Role::claims(&renamed("DESK"), ID), []);
    for (kind, error) in [("role_name", RoleError::NameTaken), ("roles", RoleError::QuotaExceeded), ("role", RoleError::RoleInUse)] {
        assert_eq!(Role::claim_refused(kind), Some(error));
    }
}

#[test]
fn a_role_says_what_it_is_for() {
    let describe = |text: Option<&str>| DescribeRole { description: text.map(|text| ShortText::try_from(text).unwrap()) };
    let state = given([created(&[])]).when(admin(), describe(Some("The front desk"))).state;
    assert_eq!(state.live().unwrap().description.as_ref().and_then(Personal::open).map(String::as_str), Some("The front desk"));
    given([created(&[])]).when(admin(), describe(None)).then_nothing();
}

#[test]
fn a_role_that_nobody_has_is_deleted_for_good() {
    let deleted = || RoleDeleted { name: "Desk".into() };
    given([created(&[])]).when(admin(), DeleteRole {}).then([deleted()]);
    given([created(&[]), deleted()]).when(admin(), DeleteRole {}).then_nothing();
    for command in [grant("posts.read"), revoke("posts.read"), rename("Again"), DescribeRole { description: None }] {
        given([created(&[]), deleted()]).when(admin(), command.clone()).then_refused(RoleError::NotFound);
        given([]).when(admin(), command).then_refused(RoleError::NotFound);
    }
    given([]).when(admin(), DeleteRole {}).then_refused(RoleError::NotFound);
    given([created(&[]), deleted()]).when(admin(), create("Desk", &[])).then_refused(RoleError::AlreadyExists);
    let claims = Role::claims(&deleted(), ID);
    assert_eq!(claims[0], ClaimChange::require_none(ClaimName::clear("role", RoleId(ID))), "{claims:?}");
    assert_eq!(claims.len(), 3);
}

#[test]
fn what_a_role_grants_moves_access_and_what_is_said_of_it_does_not() {
    let id = RoleId(ID);
    assert_eq!(Role::access(&created(&["posts.read"]), ID), Some(AccessChange::RoleDefined(id, set(&["posts.read"]))));
    let granted = PermissionGranted { permission: Grantable::Catalogue(POSTS_READ.any()) };
    assert_eq!(Role::access(&granted, ID), Some(AccessChange::RoleWidened(id, Grantable::Catalogue(POSTS_READ.any()))));
    let revoked = PermissionRevoked { permission: PermissionName::Catalogue(WORKSPACE_DELETE) };
    assert_eq!(Role::access(&revoked, ID), Some(AccessChange::RoleNarrowed(id, PermissionName::Catalogue(WORKSPACE_DELETE))));
    assert_eq!(Role::access(&RoleDeleted { name: "Desk".into() }, ID), Some(AccessChange::RoleDropped(id)));
    assert_eq!(Role::access(&RoleUpdated { changes: RoleChanges::default() }, ID), None);
}

#[test]
fn events_come_back_from_the_log_as_they_went() {
    let description = Some(Personal::new(TENANT, "For the desk".to_owned()));
    let made =
        RoleCreated { name: "Desk".into(), description, permissions: set(&["posts.update@own", "custom.approve"]), created_by: None };
    for event in
        [made, created(&[]), PermissionGranted { permission: "posts.read@own".parse().unwrap() }, RoleDeleted { name: "Desk".into() }]
    {
        let json = for_the_store(|| serde_json::to_value(&event)).unwrap();
        assert_eq!(serde_json::from_value::<RoleEvent>(json).unwrap(), event);
    }
}
