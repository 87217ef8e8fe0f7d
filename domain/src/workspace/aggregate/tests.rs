//! What a workspace decides.

use super::WorkspaceCommand::*;
use super::WorkspaceEvent::*;
use super::*;
use crate::testing::{ALICE, BOB, Given, ID, Then, alice, alice_herself, noon, system};
use crate::workspace::{MemberSource, MembershipEvent, WorkspaceStatus};
use crate::{Change, Name, Personal, Refusal as _, ShortText, Slug, SystemCaller, for_the_store};
use proptest::prelude::*;

static PROGRAM: SystemCaller =
    SystemCaller { name: "tests", commands: &["CreateWorkspace", "ChangePlan", "SuspendWorkspace", "ReinstateWorkspace"] };
static OTHER_PROGRAM: SystemCaller = SystemCaller { name: "other", commands: &[] };

const HERE: TenantId = TenantId(ID);

fn given(events: impl IntoIterator<Item = WorkspaceEvent>) -> Given<Workspace> {
    crate::testing::given(events)
}

fn here(caller: Caller) -> Caller {
    Caller { tenant: HERE, ..caller }
}

fn create(kind: WorkspaceKind, plan: Option<Plan>) -> WorkspaceCommand {
    CreateWorkspace { name: Name::try_from("Acme").unwrap(), slug: Slug::try_from("acme").unwrap(), kind, plan }
}

fn created(kind: WorkspaceKind) -> WorkspaceEvent {
    let quota_reset_at = "2026-07-01T00:00:00Z".parse().unwrap();
    WorkspaceCreated { name: "Acme".into(), slug: "acme".into(), kind, owner_id: ALICE, plan: Plan::Free, quota_reset_at }
}

fn team() -> WorkspaceEvent {
    created(WorkspaceKind::Team)
}

fn settings(json: &str) -> WorkspaceCommand {
    serde_json::from_str(&format!(r#"{{"UpdateSettings":{json}}}"#)).unwrap()
}

fn membership(user: UserId) -> Uuid {
    crate::WorkspaceId::from(HERE).membership(user).0
}

fn joined(user_id: UserId) -> MembershipEvent {
    MembershipEvent::MemberJoined {
        user_id,
        roles: vec![BuiltInRole::Member.into()],
        source: MemberSource::Provisioned,
        profile_name: None,
        profile_email: Personal::new(user_id, "x@example.org".into()),
        limit: None,
    }
}

fn left(user_id: UserId) -> MembershipEvent {
    MembershipEvent::MemberRemoved { user_id, reason: None, left: true, custom_roles: vec![] }
}

fn nothing_or_a_refusal(then: Then<Workspace>) {
    assert!(
        then.outcome.as_ref().is_ok_and(Vec::is_empty) || matches!(then.outcome, Err(crate::Rejection::Refused(_))),
        "{:?}",
        then.outcome
    );
}

#[test]
fn whoever_creates_a_workspace_owns_it_on_the_free_plan() {
    let state = given([]).when(here(alice_herself()), create(WorkspaceKind::Team, None)).then([team()]);
    assert!(state.is_owner(ALICE) && !state.is_owner(BOB));
    assert_eq!((state.plan(), state.kind(), state.slug()), (Some(Plan::Free), Some(WorkspaceKind::Team), Some("acme")));
}

#[test]
fn the_program_creates_on_behalf_of_a_user_and_only_it_names_a_plan() {
    let state = given([]).when(here(system(&PROGRAM)), create(WorkspaceKind::Team, Some(Plan::Enterprise)));
    assert_eq!(state.state.plan(), Some(Plan::Enterprise));
    given([]).when(here(alice_herself()), create(WorkspaceKind::Team, Some(Plan::Enterprise))).then_denied("sys");
    let nobody = Caller { on_behalf_of: None, ..here(system(&PROGRAM)) };
    given([]).when(nobody, create(WorkspaceKind::Team, None)).then_refused(WorkspaceError::NoOwner);
}

#[test]
fn nobody_becomes_an_owner_by_creating_in_another_log() {
    given([]).when(alice_herself(), create(WorkspaceKind::Team, None)).then_refused(WorkspaceError::ForeignLog);
}

#[test]
fn a_workspace_is_created_once_and_nothing_is_asked_of_one_that_is_not_there() {
    given([team()]).when(here(alice_herself()), create(WorkspaceKind::Team, None)).then_refused(WorkspaceError::AlreadyExists);
    given([]).when(here(alice(BuiltInRole::Owner)), RevokeOwnership { user_id: ALICE }).then_refused(WorkspaceError::NotFound);
}

#[test]
fn quotas_start_anew_with_the_next_month_at_the_end_of_the_year_too() {
    let december = Utc.with_ymd_and_hms(2026, 12, 31, 23, 59, 59).unwrap();
    assert_eq!(next_month(december).to_rfc3339(), "2027-01-01T00:00:00+00:00");
    assert_eq!(next_month(noon()).to_rfc3339(), "2026-07-01T00:00:00+00:00");
}

#[test]
fn name_and_slug_change_once() {
    let rename = RenameWorkspace { name: Name::try_from("Apex").unwrap() };
    let renamed = WorkspaceRenamed { from: "Acme".into(), to: "Apex".into() };
    given([team()]).when(here(alice(BuiltInRole::Admin)), rename.clone()).then([renamed.clone()]);
    given([team(), renamed]).when(here(alice(BuiltInRole::Admin)), rename).then_nothing();
    let change = ChangeSlug { slug: Slug::try_from("apex").unwrap() };
    let changed = WorkspaceSlugChanged { from: "acme".into(), to: "apex".into() };
    given([team()]).when(here(alice(BuiltInRole::Owner)), change.clone()).then([changed.clone()]);
    given([team(), changed]).when(here(alice(BuiltInRole::Owner)), change).then_nothing();
}

#[test]
fn settings_record_only_what_changed() {
    let update = settings(r#"{"defaultRoleKey":"viewer","timezone":"UTC","currency":"EUR","aiMinConfidence":900,"custom":{"b":1,"a":[]}}"#);
    let changes = SettingsChanges {
        default_role_key: Some(Change { from: BuiltInRole::Member, to: BuiltInRole::Viewer }),
        timezone: None,
        currency: Some(Change { from: None, to: Some("EUR".into()) }),
        ai_min_confidence: Some(Change { from: 700, to: 900 }),
        custom: Some(Change { from: None, to: Some(r#"{"a":[],"b":1}"#.into()) }),
    };
    let state =
        given([team()]).when(here(alice(BuiltInRole::Admin)), update.clone()).then([WorkspaceSettingsUpdated { changes: changes.clone() }]);
    assert!(
        matches!(&state, Workspace::Live { settings, .. } if settings.currency.as_deref() == Some("EUR") && settings.timezone == "UTC")
    );
    given([team(), WorkspaceSettingsUpdated { changes }]).when(here(alice(BuiltInRole::Admin)), update).then_nothing();
    given([team()]).when(here(alice(BuiltInRole::Admin)), settings(r#"{"currency":null}"#)).then_nothing();
}

#[test]
fn owner_is_no_default_role() {
    given([team()])
        .when(here(alice(BuiltInRole::Admin)), settings(r#"{"defaultRoleKey":"owner"}"#))
        .then_refused(WorkspaceError::OwnerNotAssignable);
    assert_eq!(WorkspaceError::OwnerNotAssignable.field(), Some("defaultRoleKey"));
}

#[test]
fn settings_of_a_wrong_kind_are_no_command() {
    for bad in [
        r#"{"aiMinConfidence":1001}"#,
        r#"{"currency":"euro"}"#,
        r#"{"timezone":"Mars"}"#,
        r#"{"defaultRoleKey":"king"}"#,
        r#"{"custom":1.5}"#,
    ] {
        assert!(serde_json::from_str::<WorkspaceCommand>(&format!(r#"{{"UpdateSettings":{bad}}}"#)).is_err(), "{bad}");
    }
}

#[test]
fn ownership_goes_to_active_members_only() {
    let grant = GrantOwnership { user_id: BOB };
    let owner = || here(alice(BuiltInRole::Owner));
    given([team()]).when(owner(), grant.clone()).then_refused(WorkspaceError::NotAMember);
    given([team()]).and::<Membership>(membership(BOB), []).when(owner(), grant.clone()).then_refused(WorkspaceError::NotAMember);
    given([team()])
        .and::<Membership>(membership(BOB), [joined(BOB), left(BOB)])
        .when(owner(), grant.clone())
        .then_refused(WorkspaceError::NotAMember);
    given([team()])
        .and::<Membership>(membership(BOB), [joined(BOB)])
        .when(owner(), grant.clone())
        .then([OwnershipGranted { user_id: BOB }]);
    assert_eq!(grant.facts(&Workspace::Absent, &owner()), [FactRef { aggregate_type: "membership", id: membership(BOB) }]);
}

#[test]
fn ownership_granted_twice_or_revoked_twice_changes_nothing() {
    let granted = || OwnershipGranted { user_id: BOB };
    given([team(), granted()]).when(here(alice(BuiltInRole::Owner)), GrantOwnership { user_id: BOB }).then_nothing();
    given([team(), granted()])
        .when(here(alice(BuiltInRole::Owner)), RevokeOwnership { user_id: BOB })
        .then([OwnershipRevoked { user_id: BOB }]);
    given([team()])
        .and::<Membership>(membership(BOB), [joined(BOB)])
        .when(here(alice(BuiltInRole::Owner)), RevokeOwnership { user_id: BOB })
        .then_nothing();
    given([team()]).when(here(alice(BuiltInRole::Owner)), RevokeOwnership { user_id: BOB }).then_refused(WorkspaceError::NotAMember);
}

#[test]
fn an_owner_may_step_down_but_not_the_last() {
    given([team(), OwnershipGranted { user_id: BOB }])
        .when(here(alice(BuiltInRole::Owner)), RevokeOwnership { user_id: ALICE })
        .then([OwnershipRevoked { user_id: ALICE }]);
    given([team()]).when(here(alice(BuiltInRole::Owner)), RevokeOwnership { user_id: ALICE }).then_refused(WorkspaceError::LastOwner);
}

#[test]
fn a_personal_workspace_has_one_owner_for_ever() {
    for command in [GrantOwnership { user_id: BOB }, RevokeOwnership { user_id: ALICE }] {
        given([created(WorkspaceKind::Personal)])
            .and::<Membership>(membership(BOB), [joined(BOB)])
            .when(here(alice(BuiltInRole::Owner)), command)
            .then_refused(WorkspaceError::PersonalWorkspace);
    }
}

#[test]
fn the_program_alone_changes_the_plan() {
    let change = ChangePlan { plan: Plan::Starter, reason: Some(ShortText::try_from("Ada asked").unwrap()) };
    let reason = Some(Personal::new(HERE, "Ada asked".to_owned()));
    let changed = WorkspacePlanChanged { from: Plan::Free, to: Plan::Starter, reason };
    let state = given([team()]).when(here(system(&PROGRAM)), change.clone()).then([changed.clone()]);
    assert_eq!(state.plan(), Some(Plan::Starter));
    given([team(), changed]).when(here(system(&PROGRAM)), change.clone()).then_nothing();
    given([team()]).when(here(alice(BuiltInRole::Owner)), change.clone()).then_denied("sys");
    given([team()]).when(here(system(&OTHER_PROGRAM)), change).then_denied("sys");
}

#[test]
fn the_permissions_are_those_of_the_specification() {
    let name = || RenameWorkspace { name: Name::try_from("Apex").unwrap() };
    for (command, needs) in [
        (name(), "workspace.update"),
        (ChangeSlug { slug: Slug::try_from("apex").unwrap() }, "workspace.update"),
        (settings("{}"), "workspace.update"),
        (GrantOwnership { user_id: BOB }, "workspace.transfer"),
        (RevokeOwnership { user_id: BOB }, "workspace.transfer"),
    ] {
        given([team()]).when(here(alice(BuiltInRole::Pm)), command.clone()).then_denied(needs);
        if needs == "workspace.transfer" {
            given([team()]).when(here(alice(BuiltInRole::Admin)), command).then_denied(needs);
        }
    }
}

#[test]
fn ownership_moves_access_and_nothing_else_does() {
    assert_eq!(Workspace::access(&team(), ID), Some(AccessChange::OwnerAdded(ALICE)));
    assert_eq!(Workspace::access(&OwnershipGranted { user_id: BOB }, ID), Some(AccessChange::OwnerAdded(BOB)));
    assert_eq!(Workspace::access(&OwnershipRevoked { user_id: BOB }, ID), Some(AccessChange::OwnerRemoved(BOB)));
    assert_eq!(Workspace::access(&WorkspaceRenamed { from: "a".into(), to: "b".into() }, ID), None);
}

#[test]
fn events_come_back_from_the_log_as_they_went() {
    let reason = Some(Personal::new(HERE, "because".to_owned()));
    for event in [
        team(),
        WorkspacePlanChanged { from: Plan::Free, to: Plan::Enterprise, reason },
        WorkspaceSettingsUpdated { changes: SettingsChanges::default() },
    ] {
        let json = for_the_store(|| serde_json::to_value(&event)).unwrap();
        assert_eq!(serde_json::from_value::<WorkspaceEvent>(json).unwrap(), event);
    }
}

fn any_command() -> impl Strategy<Value = WorkspaceCommand> {
    let user = || (0_u128..4).prop_map(|n| if n == 0 { ALICE } else { UserId(Uuid::from_u128(n)) });
    prop_oneof![
        3 => user().prop_map(|user_id| GrantOwnership { user_id }),
        3 => user().prop_map(|user_id| RevokeOwnership { user_id }),
        1 => "[a-z]{1,3}".prop_map(|name| RenameWorkspace { name: Name::try_from(name).unwrap() }),
        1 => "[a-z]{1,3}".prop_map(|slug| ChangeSlug { slug: Slug::try_from(slug).unwrap() }),
        1 => (0_i64..=1000).prop_map(|n| settings(&format!(r#"{{"aiMinConfidence":{n}}}"#))),
        1 => Just(create(WorkspaceKind::Team, None)),
    ]
}

proptest! {
    #[test]
    fn there_is_always_an_owner_and_a_command_repeated_changes_nothing(commands in prop::collection::vec(any_command(), 1..40), personal: bool) {
        let mut events = vec![created(if personal { WorkspaceKind::Personal } else { WorkspaceKind::Team })];
        for command in commands {
            let decided = |events: &[WorkspaceEvent]| {
                (0..4).map(|n| UserId(Uuid::from_u128(n))).fold(given(events.to_vec()), |given, user| given.and::<Membership>(membership(user), [joined(user)]))
                    .and::<Membership>(membership(ALICE), [joined(ALICE)])
                    .when(here(alice(BuiltInRole::Owner)), command.clone())
            };
            let then = decided(&events);
            prop_assert!(then.state.owners().count() >= 1);
            prop_assert!(!personal || then.state.owners().eq([ALICE]));
            if let Ok(new) = then.outcome {
                events.extend(new);
                nothing_or_a_refusal(decided(&events));
            }
        }
    }
}

fn suspend() -> WorkspaceCommand {
    SuspendWorkspace { reason: Some(ShortText::try_from("unpaid").unwrap()) }
}

fn suspended() -> WorkspaceEvent {
    WorkspaceSuspended { reason: Some(Personal::new(HERE, "unpaid".to_owned())) }
}

fn delete(slug: &str) -> WorkspaceCommand {
    DeleteWorkspace { confirm_slug: slug.to_owned() }
}

fn deleted() -> WorkspaceEvent {
    WorkspaceDeleted { purge_after: "2026-07-01T12:00:00Z".parse().unwrap() }
}

#[test]
fn the_program_alone_suspends_and_reinstates() {
    let state = given([team()]).when(here(system(&PROGRAM)), suspend()).then([suspended()]);
    assert_eq!(state.status(), Some(WorkspaceStatus::Suspended));
    given([team(), suspended()]).when(here(system(&PROGRAM)), suspend()).then_nothing();
    let state = given([team(), suspended()]).when(here(system(&PROGRAM)), ReinstateWorkspace {}).then([WorkspaceReinstated]);
    assert_eq!(state.status(), Some(WorkspaceStatus::Active));
    given([team()]).when(here(system(&PROGRAM)), ReinstateWorkspace {}).then_nothing();
    for command in [suspend(), ReinstateWorkspace {}] {
        given([team()]).when(here(alice(BuiltInRole::Owner)), command).then_denied("sys");
    }
}

#[test]
fn an_owner_deletes_by_writing_the_slug_and_can_restore() {
    let owner = || here(alice(BuiltInRole::Owner));
    given([team()]).when(owner(), delete("acne")).then_refused(WorkspaceError::SlugMismatch);
    let state = given([team()]).when(owner(), delete("acme")).then([deleted()]);
    assert_eq!(state.status(), Some(WorkspaceStatus::Deleted));
    given([team(), deleted()]).when(owner(), delete("acme")).then_nothing();
    given([team(), deleted()]).when(owner(), RestoreWorkspace {}).then([WorkspaceRestored]);
    given([team()]).when(owner(), RestoreWorkspace {}).then_nothing();
    for command in [delete("acme"), RestoreWorkspace {}] {
        given([team()]).when(here(alice(BuiltInRole::Admin)), command).then_denied("workspace.delete");
    }
    given([team(), suspended()]).when(owner(), delete("acme")).then_refused(WorkspaceError::Suspended);
}

#[test]
fn nothing_but_restoring_is_done_to_a_deleted_workspace_by_the_program_either() {
    for command in [suspend(), ReinstateWorkspace {}, ChangePlan { plan: Plan::Starter, reason: None }] {
        given([team(), deleted()]).when(here(system(&PROGRAM)), command).then_refused(WorkspaceError::Deleted);
    }
    for command in [settings("{}"), GrantOwnership { user_id: BOB }, register("custom.approve")] {
        given([team(), deleted()]).when(here(alice(BuiltInRole::Owner)), command).then_refused(WorkspaceError::Deleted);
    }
}

fn register(name: &str) -> WorkspaceCommand {
    RegisterCustomPermission { name: name.parse().unwrap(), description: None }
}

fn has(name: &str) -> WorkspaceEvent {
    CustomPermissionRegistered { name: name.parse().unwrap(), description: None }
}

#[test]
fn a_workspace_names_permissions_of_its_own_and_retires_them() {
    let (approve, retire) = (register("custom.approve"), RetireCustomPermission { name: "custom.approve".parse().unwrap() });
    let retired = || CustomPermissionRetired { name: "custom.approve".parse().unwrap() };
    given([team()]).when(here(alice(BuiltInRole::Admin)), approve.clone()).then([has("custom.approve")]);
    given([team(), has("custom.approve")]).when(here(alice(BuiltInRole::Admin)), approve.clone()).then_nothing();
    given([team(), has("custom.approve")]).when(here(alice(BuiltInRole::Admin)), retire.clone()).then([retired()]);
    given([team(), has("custom.approve"), retired()])
        .when(here(alice(BuiltInRole::Admin)), retire.clone())
        .then_refused(WorkspaceError::PermissionNotFound);
    given([team(), has("custom.approve"), retired()]).when(here(alice(BuiltInRole::Admin)), approve.clone()).then([has("custom.approve")]);
    for command in [approve, retire] {
        given([team()]).when(here(alice(BuiltInRole::Pm)), command).then_denied("roles.create");
    }
    let many = (0..MAX_CUSTOM_PERMISSIONS).map(|n| has(&format!("custom.n{n}")));
    given(std::iter::once(team()).chain(many))
        .when(here(alice(BuiltInRole::Admin)), register("custom.more"))
        .then_refused(WorkspaceError::QuotaExceeded);
    for bad in ["approve", "customs.approve", "custom.", "custom.A", "custom.a.b", "custom.abcdefghijklmnopqrstu"] {
        let command = format!(r#"{{"RegisterCustomPermission":{{"name":"{bad}"}}}}"#);
        assert!(serde_json::from_str::<WorkspaceCommand>(&command).is_err(), "{bad}");
    }
}

#[test]
fn a_workspace_is_its_owners_own() {
    use crate::roles::GrantSet;
    let own = || {
        let grants: GrantSet =
            [WORKSPACE_UPDATE, WORKSPACE_TRANSFER, WORKSPACE_DELETE, ROLES_CREATE].map(crate::roles::Permission::own).into_iter().collect();
        here(crate::testing::somebody(crate::Principal::User(ALICE), grants))
    };
    let of_bob = || {
        let (kind, plan) = (WorkspaceKind::Team, Plan::Free);
        [WorkspaceCreated { name: "B".into(), slug: "b".into(), kind, owner_id: BOB, plan, quota_reset_at: noon() }, has("custom.approve")]
    };
    let rename = || RenameWorkspace { name: Name::try_from("Apex").unwrap() };
    given([team()]).when(own(), rename()).then([WorkspaceRenamed { from: "Acme".into(), to: "Apex".into() }]);
    given(of_bob()).when(own(), rename()).then_denied("workspace.update");
    given(of_bob()).when(own(), GrantOwnership { user_id: ALICE }).then_denied("workspace.transfer");
    given(of_bob()).when(own(), delete("b")).then_denied("workspace.delete");
    given(of_bob()).when(own(), RetireCustomPermission { name: "custom.approve".parse().unwrap() }).then_denied("roles.create");
}

#[test]
fn suspension_deletion_and_custom_permissions_move_access() {
    for (event, change) in [
        (suspended(), AccessChange::WorkspaceSuspended(true)),
        (WorkspaceReinstated, AccessChange::WorkspaceSuspended(false)),
        (deleted(), AccessChange::WorkspaceDeleted(true)),
        (WorkspaceRestored, AccessChange::WorkspaceDeleted(false)),
        (has("custom.approve"), AccessChange::PermissionRegistered("custom.approve".parse().unwrap())),
        (
            CustomPermissionRetired { name: "custom.approve".parse().unwrap() },
            AccessChange::PermissionRetired("custom.approve".parse().unwrap()),
        ),
    ] {
        assert_eq!(Workspace::access(&event, ID), Some(change));
        let json = for_the_store(|| serde_json::to_value(&event)).unwrap();
        assert_eq!(serde_json::from_value::<WorkspaceEvent>(json).unwrap(), event);
    }
}
