//! Names as text, what a member may do, and the algebra of sets against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use crate::RoleId;
use uuid::Uuid;

const NO_ROLES: [BuiltInRole; 0] = [];
const NO_GRANTS: [PermissionGrant; 0] = [];
const NO_DENIES: [Permission; 0] = [];

fn held(role: BuiltInRole, standing: Standing) -> GrantSet {
    effective([role], NO_GRANTS, NO_DENIES, false, standing)
}

#[test]
fn names_survive_text_and_json() {
    for permission in Permission::all() {
        assert_eq!(permission.name().parse(), Ok(permission));
        for grant in [permission.any(), permission.own()] {
            assert_eq!(grant.to_string().parse(), Ok(grant));
            let json = serde_json::to_string(&grant).unwrap();
            assert_eq!(json, format!("\"{grant}\""));
            assert_eq!(serde_json::from_str::<PermissionGrant>(&json).unwrap(), grant);
        }
    }
    for role in BuiltInRole::ALL {
        assert_eq!(role.key().parse(), Ok(*role));
        assert_eq!(serde_json::to_string(role).unwrap(), format!("\"{}\"", role.key()));
        assert!(!role.label().is_empty() && role.description().ends_with('.'));
    }
    assert_eq!(PIPELINE_ITEMS_MOVE.own().to_string(), "pipeline_items.move@own");
    assert_eq!(serde_json::to_string(&[Scope::Own, Scope::Any]).unwrap(), r#"["own","any"]"#);
    assert!(Scope::Any > Scope::Own);
}

#[test]
fn an_unknown_name_is_refused_by_name() {
    let refused = |text: &str| serde_json::from_str::<GrantSet>(text).unwrap_err().to_string();
    assert!(refused(r#"["items.fly"]"#).contains("unknown permission `items.fly`"));
    assert!(refused(r#"["posts.read@any"]"#).contains("unknown scope in `posts.read@any`"));
    assert!(refused(r#"["posts.read@own@own"]"#).contains("unknown scope"));
    for name in ["", ".", "posts", "posts.", "Posts.read", "posts.read ", "posts.read@own"] {
        assert_eq!(Permission::parse(name), Err(NameError::UnknownPermission(name.to_owned())));
    }
    let endless = Permission::parse(&"é".repeat(5000)).unwrap_err();
    assert_eq!(endless, NameError::UnknownPermission("é".repeat(100)));
    let role = "Owner".parse::<BuiltInRole>();
    assert_eq!(role, Err(NameError::UnknownRole("Owner".to_owned())));
}

#[test]
fn a_suspended_member_may_do_nothing() {
    for role in BuiltInRole::ALL {
        assert!(held(*role, Standing::MemberSuspended).is_empty());
    }
}

#[test]
fn in_a_suspended_workspace_only_reading_is_left_and_billing_for_those_in_charge() {
    let suspended = Standing::WorkspaceSuspended;
    let operator = held(BuiltInRole::Operator, suspended);
    assert_eq!(operator, BuiltInRole::Operator.grants().read_only());
    let extra = [BILLING_VIEW.any()];
    assert!(!effective([BuiltInRole::Pm], extra, NO_DENIES, false, suspended).allows_any(BILLING_VIEW));

    let mut admin = BuiltInRole::Admin.grants().read_only();
    admin.grant(BILLING_VIEW.any());
    assert_eq!(held(BuiltInRole::Admin, suspended), admin);
    let mut owner = BuiltInRole::Owner.grants().read_only();
    owner.extend([BILLING_VIEW, BILLING_MANAGE].map(Permission::any));
    assert_eq!(effective(NO_ROLES, NO_GRANTS, NO_DENIES, true, suspended), owner);
}

#[test]
fn an_owner_ignores_denies_and_an_admin_does_not() {
    let denied = |is_owner| {
        let denies = [POSTS_READ];
        effective([BuiltInRole::Admin], NO_GRANTS, denies, is_owner, Standing::Active)
    };
    assert_eq!(denied(true), *BuiltInRole::Owner.grants());
    assert_eq!(denied(false).scope(POSTS_READ), None);
    assert_eq!(denied(false).len(), BuiltInRole::Admin.grants().len() - 1);
}

#[test]
fn ownership_comes_from_the_workspace_and_not_from_a_role() {
    assert!(held(BuiltInRole::Owner, Standing::Active).is_empty());
    assert!(administers(NO_ROLES, true) && administers([BuiltInRole::Admin], false));
    assert!(!administers([BuiltInRole::Owner, BuiltInRole::Pm], false));
}

#[test]
fn no_override_and_no_custom_role_gives_a_permission_of_the_platform() {
    let grants = PlatformRole::SystemAdmin.grants();
    let role = Role::Custom { id: RoleId(Uuid::nil()), grants };
    for is_owner in [false, true] {
        let set = effective([role], grants.iter(), NO_DENIES, is_owner, Standing::Active);
        assert!(set.iter().all(|grant| !grant.permission.is_system()));
    }
}

type Model = BTreeMap<Permission, Scope>;

fn model(set: &GrantSet) -> Model {
    Permission::all().filter_map(|p| Some((p, set.scope(p)?))).collect()
}

fn any_permission() -> impl Strategy<Value = Permission> {
    (0..Permission::COUNT as u16).prop_map(Permission)
}

fn any_grants() -> impl Strategy<Value = Vec<PermissionGrant>> {
    let grant = (any_permission(), any::<bool>()).prop_map(|(permission, own)| if own { permission.own() } else { permission.any() });
    prop::collection::vec(grant, 0..150)
}

fn any_set() -> impl Strategy<Value = GrantSet> {
    any_grants().prop_map(|grants| grants.into_iter().collect())
}

proptest! {
    #[test]
    fn a_set_is_a_map_in_which_the_wider_scope_stays(grants in any_grants(), deny in any_permission()) {
        let mut expected = Model::new();
        for grant in &grants {
            let scope = expected.entry(grant.permission).or_insert(grant.scope);
            *scope = grant.scope.max(*scope);
        }
        let mut set: GrantSet = grants.iter().copied().collect();
        prop_assert_eq!(model(&set), expected.clone());
        prop_assert_eq!(set.len(), expected.len());
        prop_assert_eq!(set.is_empty(), expected.is_empty());
        let listed: Vec<_> = set.iter().map(|grant| (grant.permission, grant.scope)).collect();
        prop_assert_eq!(listed, expected.clone().into_iter().collect::<Vec<_>>());
        set.deny(deny);
        expected.remove(&deny);
        prop_assert_eq!(model(&set), expected.clone());
        expected.retain(|permission, _| permission.action() == "read");
        prop_assert_eq!(model(&set.read_only()), expected);
    }

    #[test]
    fn union_and_intersection_are_a_lattice(a in any_set(), b in any_set(), c in any_set()) {
        for permission in Permission::all() {
            let (x, y) = (a.scope(permission), b.scope(permission));
            prop_assert_eq!(a.union(&b).scope(permission), x.max(y));
            prop_assert_eq!(a.intersection(&b).scope(permission), x.min(y));
        }
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(a.union(&a.intersection(&b)), a);
        prop_assert_eq!(a.intersection(&a.union(&b)), a);
    }

    #[test]
    fn a_subset_holds_nothing_that_the_other_lacks(a in any_set(), b in any_set()) {
        let lacks_nothing = a.iter().all(|grant| b.contains(grant));
        prop_assert_eq!(a.is_subset_of(&b), lacks_nothing);
        prop_assert!(a.is_subset_of(&a.union(&b)) && a.intersection(&b).is_subset_of(&b));
        prop_assert!(a.read_only().is_subset_of(&a) && GrantSet::EMPTY.is_subset_of(&a));
    }

    #[test]
    fn own_is_within_any_and_not_the_reverse(permission in any_permission()) {
        let [own, any] = [permission.own(), permission.any()].map(|g| GrantSet::from_iter([g]));
        prop_assert!(own.is_subset_of(&any) && !any.is_subset_of(&own));
    }

    #[test]
    fn a_set_is_its_sorted_texts(set in any_set()) {
        let json = serde_json::to_value(set).unwrap();
        let texts: Vec<String> = serde_json::from_value(json.clone()).unwrap();
        prop_assert!(texts.is_sorted());
        prop_assert_eq!(serde_json::from_value::<GrantSet>(json).unwrap(), set);
    }

    #[test]
    fn the_effective_set_is_roles_and_grants_less_denies(
        custom in any_set(), grants in any_grants(), denies in prop::collection::vec(any_permission(), 0..40),
        is_owner in any::<bool>(),
    ) {
        let roles = [Role::from(BuiltInRole::Member), Role::Custom { id: RoleId(Uuid::nil()), grants: &custom }];
        let find = |standing| effective(roles, grants.clone(), denies.clone(), is_owner, standing);
        let set = find(Standing::Active);
        for permission in Permission::all() {
            let overrides = grants.iter().filter(|g| g.permission == permission).map(|g| g.scope).max();
            let from_roles = roles.iter().map(|role| role.grants().scope(permission)).max().flatten();
            let expected = match () {
                () if permission.is_system() => None,
                () if is_owner => Some(Scope::Any),
                () if denies.contains(&permission) => None,
                () => overrides.max(from_roles),
            };
            prop_assert_eq!(set.scope(permission), expected, "{}", permission);
        }
        prop_assert!(find(Standing::WorkspaceSuspended).is_subset_of(&set));
        prop_assert!(find(Standing::MemberSuspended).is_empty());
    }
}
