//! What an entry of the directory decides.

use super::WorkspaceEntryCommand::*;
use super::WorkspaceEntryEvent::*;
use super::*;
use crate::testing::{ALICE, BOB, Given, alice_herself, noon, system};
use crate::{Rejection, SystemCaller, for_the_store};
use proptest::prelude::*;
use std::collections::BTreeSet;

static PROGRAM: SystemCaller = SystemCaller {
    name: "tests",
    commands: &["ReserveWorkspace", "ConfirmWorkspace", "ReserveSlug", "ConfirmSlug", "ReleaseSlug", "ReleaseWorkspace"],
};
const W: WorkspaceId = WorkspaceId(Uuid::from_u128(0x3));

fn given(events: impl IntoIterator<Item = WorkspaceEntryEvent>) -> Given<WorkspaceEntry> {
    crate::testing::given(events)
}

fn slug(text: &str) -> Slug {
    Slug::try_from(text).unwrap()
}

fn reserve(text: &str, kind: WorkspaceKind) -> WorkspaceEntryCommand {
    ReserveWorkspace { workspace_id: W, slug: slug(text), kind, owner_id: ALICE }
}

fn reserved(kind: WorkspaceKind) -> WorkspaceEntryEvent {
    let expires_at = (kind == WorkspaceKind::Team).then(|| noon() + Duration::hours(1));
    WorkspaceReserved { workspace_id: W, slug: "acme".into(), kind, owner_id: ALICE, expires_at }
}

fn team() -> WorkspaceEntryEvent {
    reserved(WorkspaceKind::Team)
}

fn confirmed() -> WorkspaceEntryEvent {
    WorkspaceConfirmed { workspace_id: W }
}

fn released() -> WorkspaceEntryEvent {
    WorkspaceReleased { workspace_id: W, slug: "acme".into(), kind: WorkspaceKind::Team, owner_id: ALICE }
}

fn next() -> WorkspaceEntryEvent {
    WorkspaceSlugReserved { slug: "apex".into(), previous: "acme".into() }
}

fn at(minutes: i64, caller: Caller) -> Caller {
    Caller { now: noon() + Duration::minutes(minutes), ..caller }
}

#[test]
fn only_the_program_keeps_the_directory() {
    for command in [reserve("acme", WorkspaceKind::Team), ConfirmWorkspace {}, ReserveSlug { slug: slug("apex") }, ReleaseWorkspace {}] {
        given([team()]).when(alice_herself(), command).then_denied("sys");
    }
}

#[test]
fn a_workspace_is_reserved_then_confirmed_and_only_then_resolves() {
    let state = given([]).when(system(&PROGRAM), reserve("acme", WorkspaceKind::Team)).then([team()]);
    assert_eq!((state.is_confirmed(), state.slug(), state.workspace_id()), (false, Some("acme"), Some(W)));
    assert_eq!((state.owner(), state.kind()), (Some(ALICE), Some(WorkspaceKind::Team)));
    assert!(given([team()]).when(system(&PROGRAM), ConfirmWorkspace {}).then([confirmed()]).is_confirmed());
    given([team(), confirmed()]).when(system(&PROGRAM), ConfirmWorkspace {}).then_nothing();
}

#[test]
fn a_creation_is_resumed_by_the_same_reservation_and_no_other() {
    for done in [vec![team()], vec![team(), confirmed()]] {
        given(done.clone()).when(system(&PROGRAM), reserve("acme", WorkspaceKind::Team)).then_nothing();
        given(done.clone()).when(system(&PROGRAM), reserve("apex", WorkspaceKind::Team)).then_refused(WorkspaceEntryError::Conflict);
        given(done).when(system(&PROGRAM), reserve("acme", WorkspaceKind::Personal)).then_refused(WorkspaceEntryError::Conflict);
    }
}

#[test]
fn a_team_reservation_expires_after_an_hour_and_a_personal_one_never() {
    let team = given([]).when(system(&PROGRAM), reserve("acme", WorkspaceKind::Team)).state;
    assert!(!team.expired(noon() + Duration::minutes(59)) && team.expired(noon() + Duration::hours(1)));
    let personal = given([]).when(system(&PROGRAM), reserve("acme", WorkspaceKind::Personal)).then([reserved(WorkspaceKind::Personal)]);
    assert!(!personal.expired(noon() + Duration::days(3650)));
    assert!(!given([self::team(), confirmed()]).when(system(&PROGRAM), ConfirmWorkspace {}).state.expired(noon() + Duration::days(1)));
}

#[test]
fn resuming_an_expired_creation_prolongs_its_reservation() {
    let again = WorkspaceReserved {
        workspace_id: W,
        slug: "acme".into(),
        kind: WorkspaceKind::Team,
        owner_id: ALICE,
        expires_at: Some(noon() + Duration::hours(3)),
    };
    given([team()]).when(at(120, system(&PROGRAM)), reserve("acme", WorkspaceKind::Team)).then([again]);
    given([team()]).when(at(120, system(&PROGRAM)), ConfirmWorkspace {}).then([confirmed()]);
}

#[test]
fn a_reservation_is_released_for_its_owner_or_once_it_has_expired() {
    let for_bob = || Caller { on_behalf_of: Some(BOB), ..system(&PROGRAM) };
    given([team()]).when(for_bob(), ReleaseWorkspace {}).then_refused(WorkspaceEntryError::StillReserved);
    given([team()]).when(at(60, for_bob()), ReleaseWorkspace {}).then([released()]);
    given([team()]).when(system(&PROGRAM), ReleaseWorkspace {}).then([released()]);
    given([team(), released()]).when(system(&PROGRAM), ReleaseWorkspace {}).then_nothing();
    given([team(), released()]).when(system(&PROGRAM), reserve("acme", WorkspaceKind::Team)).then([team()]);
    given([team(), confirmed()]).when(system(&PROGRAM), ReleaseWorkspace {}).then_refused(WorkspaceEntryError::InvalidState);
}

#[test]
fn a_slug_is_changed_by_reserving_the_new_and_freeing_the_old() {
    let state = given([team(), confirmed()]).when(system(&PROGRAM), ReserveSlug { slug: slug("apex") }).then([next()]);
    assert_eq!((state.slug(), state.next_slug()), (Some("acme"), Some("apex")));
    let freed = WorkspaceSlugReleased { slug: "acme".into(), current: "apex".into() };
    let state = given([team(), confirmed(), next()]).when(system(&PROGRAM), ConfirmSlug { slug: slug("apex") }).then([freed.clone()]);
    assert_eq!((state.slug(), state.next_slug()), (Some("apex"), None));
    given([team(), confirmed(), next(), freed]).when(system(&PROGRAM), ConfirmSlug { slug: slug("apex") }).then_nothing();
}

#[test]
fn a_reserved_slug_can_be_given_up() {
    let freed = WorkspaceSlugReleased { slug: "apex".into(), current: "acme".into() };
    let state = given([team(), confirmed(), next()]).when(system(&PROGRAM), ReleaseSlug { slug: slug("apex") }).then([freed.clone()]);
    assert_eq!((state.slug(), state.next_slug()), (Some("acme"), None));
    given([team(), confirmed(), next(), freed]).when(system(&PROGRAM), ReleaseSlug { slug: slug("apex") }).then_nothing();
    given([team(), confirmed(), next()])
        .when(system(&PROGRAM), ReleaseSlug { slug: slug("acme") })
        .then_refused(WorkspaceEntryError::SlugNotReserved);
}

#[test]
fn one_change_of_the_slug_at_a_time() {
    given([team(), confirmed(), next()]).when(system(&PROGRAM), ReserveSlug { slug: slug("apex") }).then_nothing();
    given([team(), confirmed(), next()])
        .when(system(&PROGRAM), ReserveSlug { slug: slug("other") })
        .then_refused(WorkspaceEntryError::SlugChangePending);
    given([team(), confirmed()]).when(system(&PROGRAM), ReserveSlug { slug: slug("acme") }).then_nothing();
    given([team(), confirmed()])
        .when(system(&PROGRAM), ConfirmSlug { slug: slug("apex") })
        .then_refused(WorkspaceEntryError::SlugNotReserved);
    given([team()]).when(system(&PROGRAM), ReserveSlug { slug: slug("apex") }).then_refused(WorkspaceEntryError::InvalidState);
    given([]).when(system(&PROGRAM), ConfirmWorkspace {}).then_refused(WorkspaceEntryError::NotFound);
}

#[test]
fn claims_are_the_slug_and_a_place_of_the_owner() {
    let acme = || ClaimName::clear("slug", "acme");
    assert_eq!(
        WorkspaceEntry::claims(&team(), W.entry().0),
        [ClaimChange::take(acme()), ClaimChange::count(ClaimName::clear("team_workspaces", ALICE), Some(10))]
    );
    let personal = WorkspaceEntry::claims(&reserved(WorkspaceKind::Personal), W.entry().0);
    assert_eq!(personal, [ClaimChange::take(acme()), ClaimChange::take(ClaimName::clear("personal", ALICE))]);
    assert_eq!(
        WorkspaceEntry::claims(&released(), W.entry().0),
        [ClaimChange::release(acme()), ClaimChange::release(ClaimName::clear("team_workspaces", ALICE))]
    );
    let refusals = ["slug", "personal", "team_workspaces"].map(WorkspaceEntry::claim_refused);
    let expected = [WorkspaceEntryError::SlugTaken, WorkspaceEntryError::PersonalWorkspaceExists, WorkspaceEntryError::QuotaExceeded];
    assert_eq!(refusals, expected.map(Some));
}

#[test]
fn events_come_back_from_the_log_as_they_went() {
    for event in [team(), reserved(WorkspaceKind::Personal), confirmed(), next(), released()] {
        let json = for_the_store(|| serde_json::to_value(&event)).unwrap();
        assert_eq!(serde_json::from_value::<WorkspaceEntryEvent>(json).unwrap(), event);
    }
}

fn any_command() -> impl Strategy<Value = WorkspaceEntryCommand> {
    let any_slug = || prop::sample::select(vec!["a", "b", "c"]).prop_map(slug);
    prop_oneof![
        (any_slug(), any::<bool>())
            .prop_map(|(slug, personal)| reserve(slug.as_str(), if personal { WorkspaceKind::Personal } else { WorkspaceKind::Team })),
        Just(ConfirmWorkspace {}),
        any_slug().prop_map(|slug| ReserveSlug { slug }),
        any_slug().prop_map(|slug| ConfirmSlug { slug }),
        any_slug().prop_map(|slug| ReleaseSlug { slug }),
        Just(ReleaseWorkspace {}),
    ]
}

proptest! {
    #[test]
    fn the_slugs_claimed_are_those_of_the_state_and_a_command_repeated_changes_nothing(commands in prop::collection::vec((any_command(), 0_i64..180), 1..40)) {
        let mut events: Vec<WorkspaceEntryEvent> = vec![];
        let mut claimed = BTreeSet::new();
        for (command, minutes) in commands {
            let then = given(events.clone()).when(at(minutes, system(&PROGRAM)), command.clone());
            let Ok(new) = then.outcome else { continue };
            for change in new.iter().flat_map(|event| WorkspaceEntry::claims(event, W.entry().0)) {
                match change.op {
                    crate::ClaimOp::Take { .. } => drop(claimed.insert((change.name.kind, change.name.value))),
                    _ => prop_assert!(claimed.remove(&(change.name.kind, change.name.value))),
                }
            }
            events.extend(new);
            let slugs: BTreeSet<_> = then.state.slug().into_iter().chain(then.state.next_slug()).map(|slug| ("slug", slug.to_owned())).collect();
            prop_assert_eq!(claimed.iter().filter(|(kind, _)| *kind == "slug").cloned().collect::<BTreeSet<_>>(), slugs);
            prop_assert_eq!(claimed.iter().filter(|(kind, _)| *kind != "slug").count(), usize::from(then.state.entry().is_some()));
            let again = given(events.clone()).when(at(minutes, system(&PROGRAM)), command).outcome;
            prop_assert!(matches!(&again, Ok(none) if none.is_empty()) || matches!(again, Err(Rejection::Refused(_))), "{again:?}");
        }
    }
}
