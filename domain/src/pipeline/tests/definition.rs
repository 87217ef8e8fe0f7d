//! What a pipeline does and refuses.

use super::*;
use crate::roles::BuiltInRole::{Member, Operator, Pm, Viewer};
use crate::testing::{alice, alice_herself};
use crate::workspace::Workspace;
use crate::{ClaimChange, Patch, Refusal};
use PipelineCommand::*;
use PipelineEvent::*;
use serde_json::json;

fn given(events: impl IntoIterator<Item = PipelineEvent>) -> Given<Pipeline> {
    crate::testing::given(events)
}

fn create(stages: Vec<NewStage>) -> PipelineCommand {
    CreatePipeline {
        key: "sales".try_into().unwrap(),
        name: "sales".try_into().unwrap(),
        kind: PipelineType::Sales,
        description: None,
        stages,
    }
}

fn add(key: &str, id: StageId, order: Option<u32>) -> PipelineCommand {
    AddStage { stage: new_stage(key, id, false), order }
}

fn update_stage(stage_id: StageId) -> PipelineCommand {
    UpdateStage { stage_id, name: Patch::Keep, color: Patch::Keep, is_terminal: Patch::Keep, wip_limit: Patch::Keep }
}

fn keys(pipeline: &Pipeline) -> Vec<&str> {
    pipeline.live().unwrap().stages.iter().map(|stage| stage.key.as_str()).collect()
}

fn gone() -> Vec<PipelineEvent> {
    let mut events = active(sales());
    events.push(PipelineDeleted { key: "sales".into() });
    events
}

#[test]
fn a_pipeline_is_created_inactive_with_its_stages_in_order() {
    let stages = vec![new_stage("lead", LEAD, false), new_stage("offer", OFFER, false), new_stage("won", WON, true)];
    let pipeline = given([]).when(alice(Pm), create(stages)).then(sales());
    assert!(!pipeline.live().unwrap().is_active);
    assert_eq!(keys(&pipeline), ["lead", "offer", "won"]);
}

#[test]
fn stages_without_ids_get_ids_of_their_own() {
    let mut stages = vec![new_stage("lead", LEAD, false), new_stage("won", WON, true)];
    stages.iter_mut().for_each(|stage| stage.stage_id = None);
    let pipeline = given([]).when(alice(Pm), create(stages)).state;
    let stages = &pipeline.live().unwrap().stages;
    assert_ne!(stages[0].id, stages[1].id);
    assert!(stages.iter().all(|stage| stage.id.0.get_version_num() == 7));
}

#[test]
fn stages_of_a_new_pipeline_have_different_keys_and_ids_and_are_at_most_fifty() {
    let twice = vec![new_stage("lead", LEAD, false), new_stage("lead", OFFER, false)];
    given([]).when(alice(Pm), create(twice)).then_refused(PipelineError::StageKeyRepeated("lead".into()));
    let same_id = vec![new_stage("lead", LEAD, false), new_stage("offer", LEAD, false)];
    given([]).when(alice(Pm), create(same_id)).then_refused(PipelineError::StageIdTaken(LEAD));
    let many = |n: u128| (0..n).map(|i| new_stage(&format!("s{i}"), StageId(Uuid::from_u128(i + 1)), false)).collect();
    given([]).when(alice(Pm), create(many(51))).then_refused(PipelineError::TooManyStages);
    let full = given([]).when(alice(Pm), create(many(50))).events();
    given(full).when(alice(Pm), add("more", NOWHERE, None)).then_refused(PipelineError::TooManyStages);
}

#[test]
fn a_pipeline_is_created_once_and_nothing_is_asked_of_one_that_does_not_exist() {
    given(sales()).when(alice(Pm), create(vec![])).then_refused(PipelineError::AlreadyExists);
    given(gone()).when(alice(Pm), create(vec![])).then_refused(PipelineError::AlreadyExists);
    for command in [ActivatePipeline, DeactivatePipeline, DeletePipeline, RestorePipeline, update_stage(LEAD)] {
        given([]).when(alice(Operator), command).then_refused(PipelineError::NotFound);
    }
}

#[test]
fn an_update_says_what_it_changed_and_says_nothing_twice() {
    let update = || UpdatePipeline {
        name: Patch::Set("Sales 2".try_into().unwrap()),
        kind: Patch::Set(PipelineType::Sales),
        description: Patch::Set(Some("for Ada".try_into().unwrap())),
    };
    let events = given(sales()).when(alice(Pm), update()).events();
    let [PipelineUpdated { changes }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(changes.name.as_ref().map(|change| (change.from.as_str(), change.to.as_str())), Some(("sales", "Sales 2")));
    assert_eq!(changes.pipeline_type, None, "it was for sales before");
    let description = changes.description.as_ref().and_then(|change| change.to.as_ref()).unwrap();
    assert_eq!((description.subject(), description.open().map(String::as_str)), (TENANT.0, Some("for Ada")));
    let after: Vec<_> = sales().into_iter().chain(events).collect();
    given(after.clone()).when(alice(Pm), update()).then_nothing();
    let mut pipeline = given(after).when(alice(Pm), DeactivatePipeline).state;
    let mut seen = 0;
    pipeline.personal(&mut |_| seen += 1);
    assert_eq!(seen, 1, "the description is sealed in the cache");
}

#[test]
fn activating_takes_a_place_of_the_plan() {
    let events = given(sales()).and::<Workspace>(TENANT, free_workspace()).when(alice(Pm), ActivatePipeline).events();
    assert_eq!(events, [PipelineActivated { limit: Some(3) }]);
    let place = ClaimName::clear("active_pipelines", "workspace");
    assert_eq!(Pipeline::claims(&events[0], ID), [ClaimChange::count(place, Some(3))]);
    assert_eq!(Pipeline::claim_refused("active_pipelines"), Some(PipelineError::QuotaExceeded));
    given(sales()).when(alice(Pm), ActivatePipeline).then([PipelineActivated { limit: Some(0) }]);
}

#[test]
fn activating_and_deactivating_twice_is_doing_it_once() {
    given(active(sales())).when(alice(Pm), ActivatePipeline).then_nothing();
    given(sales()).when(alice(Pm), DeactivatePipeline).then_nothing();
    let pipeline = given(active(sales())).when(alice(Pm), DeactivatePipeline).then([PipelineDeactivated]);
    assert!(!pipeline.live().unwrap().is_active);
}

#[test]
fn an_active_pipeline_always_has_a_stage_that_is_not_terminal() {
    let ends = vec![created("sales"), stage_added(0, "won", WON, true)];
    given(ends).when(alice(Pm), ActivatePipeline).then_refused(PipelineError::NoOpenStage);
    given([created("sales")]).when(alice(Pm), ActivatePipeline).then_refused(PipelineError::NoOpenStage);
    let close = UpdateStage { stage_id: DUE, name: Patch::Keep, color: Patch::Keep, is_terminal: Patch::Set(true), wip_limit: Patch::Keep };
    given(billing()).when(alice(Pm), close).then_refused(PipelineError::NoOpenStage);
    given(billing()).when(alice(Pm), RemoveStage { stage_id: DUE }).then_refused(PipelineError::NoOpenStage);
    given(billing()).when(alice(Pm), RemoveStage { stage_id: PAID }).then([StageRemoved { stage_id: PAID }]);
}

#[test]
fn a_stage_is_added_at_its_place_and_the_others_move_back() {
    let pipeline = given(sales()).when(alice(Pm), add("first", NOWHERE, Some(0))).then([stage_added(0, "first", NOWHERE, false)]);
    assert_eq!(keys(&pipeline), ["first", "lead", "offer", "won"]);
    let pipeline = given(sales()).when(alice(Pm), add("last", NOWHERE, None)).then([stage_added(3, "last", NOWHERE, false)]);
    assert_eq!(keys(&pipeline), ["lead", "offer", "won", "last"]);
    given(sales()).when(alice(Pm), add("far", NOWHERE, Some(4))).then_refused(PipelineError::OrderOutOfRange(3));
    given(sales()).when(alice(Pm), add("lead", NOWHERE, None)).then_refused(PipelineError::StageKeyTaken("lead".into()));
    given(sales()).when(alice(Pm), add("new", LEAD, None)).then_refused(PipelineError::StageIdTaken(LEAD));
}

#[test]
fn a_stage_is_updated_field_by_field() {
    let update = || UpdateStage {
        stage_id: LEAD,
        name: Patch::Set("Leads".try_into().unwrap()),
        color: Patch::Set(Some("#3366CC".try_into().unwrap())),
        is_terminal: Patch::Keep,
        wip_limit: Patch::Set(Some(5.try_into().unwrap())),
    };
    let events = given(sales()).when(alice(Pm), update()).events();
    let after: Vec<_> = sales().into_iter().chain(events).collect();
    let pipeline = given(after.clone()).when(alice(Pm), DeactivatePipeline).state;
    let stage = pipeline.live().and_then(|sales| sales.stage(LEAD)).unwrap();
    assert_eq!((stage.name.as_str(), stage.color.as_deref(), stage.wip_limit), ("Leads", Some("#3366CC"), Some(5)));
    given(after).when(alice(Pm), update()).then_nothing();
    given(sales()).when(alice(Pm), update_stage(LEAD)).then_nothing();
    given(sales()).when(alice(Pm), update_stage(NOWHERE)).then_refused(PipelineError::StageNotFound);
    assert!(WipLimit::try_from(0).is_err() && WipLimit::try_from(10_001).is_err() && WipLimit::try_from(10_000).is_ok());
}

#[test]
fn reordering_names_every_stage_exactly_once() {
    let reorder = |stage_ids: &[StageId]| ReorderStages { stage_ids: stage_ids.to_vec() };
    let pipeline =
        given(sales()).when(alice(Pm), reorder(&[WON, LEAD, OFFER])).then([StagesReordered { stage_ids: vec![WON, LEAD, OFFER] }]);
    assert_eq!(keys(&pipeline), ["won", "lead", "offer"]);
    given(sales()).when(alice(Pm), reorder(&[LEAD, OFFER, WON])).then_nothing();
    for bad in [&[WON, LEAD][..], &[WON, LEAD, LEAD], &[WON, LEAD, OFFER, OFFER], &[]] {
        given(sales()).when(alice(Pm), reorder(bad)).then_refused(PipelineError::NotAllStages);
    }
    given(sales()).when(alice(Pm), reorder(&[WON, LEAD, NOWHERE])).then_refused(PipelineError::NoSuchStage);
}

#[test]
fn a_stage_goes_only_when_no_item_refers_to_it() {
    let events = given(sales()).when(alice(Pm), RemoveStage { stage_id: OFFER }).events();
    let nobody = ["stage", "task_stage"].map(|kind| ClaimChange::require_none(ClaimName::clear(kind, OFFER)));
    assert_eq!(Pipeline::claims(&events[0], ID), nobody);
    assert!(["stage", "task_stage"].map(Pipeline::claim_refused).iter().all(|error| *error == Some(PipelineError::StageInUse)));
    let after: Vec<_> = sales().into_iter().chain(events).collect();
    given(after).when(alice(Pm), RemoveStage { stage_id: OFFER }).then_refused(PipelineError::StageNotFound);
}

#[test]
fn only_active_members_become_operators() {
    let assign = || AssignOperator { user_id: BOB };
    let ((id, member), (_, former)) = (member(BOB), former_member(BOB));
    let assigned = OperatorAssigned { user_id: BOB };
    given(sales()).and::<Membership>(id, member.clone()).when(alice(Pm), assign()).then([assigned.clone()]);
    given(sales()).and::<Membership>(id, former).when(alice(Pm), assign()).then_refused(PipelineError::OperatorNotMember);
    given(sales()).when(alice(Pm), assign()).then_refused(PipelineError::OperatorNotMember);
    let after: Vec<_> = sales().into_iter().chain([assigned]).collect();
    given(after.clone()).when(alice(Pm), assign()).then_nothing();
    given(after).when(alice(Pm), UnassignOperator { user_id: BOB }).then([OperatorUnassigned { user_id: BOB }]);
    given(sales()).and::<Membership>(id, member).when(alice(Pm), UnassignOperator { user_id: BOB }).then_nothing();
    given(sales()).when(alice(Pm), UnassignOperator { user_id: BOB }).then_refused(PipelineError::OperatorNotMember);
}

#[test]
fn a_deleted_pipeline_comes_back_inactive_and_does_nothing_else() {
    given(active(sales())).when(alice(Operator), DeletePipeline).then([PipelineDeleted { key: "sales".into() }]);
    given(gone()).when(alice(Operator), DeletePipeline).then_nothing();
    for command in [ActivatePipeline, add("new", NOWHERE, None), UnassignOperator { user_id: BOB }] {
        given(gone()).when(alice(Operator), command).then_refused(PipelineError::Deleted);
    }
    let pipeline = given(gone()).when(alice(Operator), RestorePipeline).then([PipelineRestored { key: "sales".into() }]);
    assert!(!pipeline.live().unwrap().is_active);
    given(sales()).when(alice(Operator), RestorePipeline).then_nothing();
}

#[test]
fn the_key_is_held_until_deletion_and_taken_again_by_restoring() {
    let key = ("pipeline_key", "sales".to_owned());
    let place = ("active_pipelines", "workspace".to_owned());
    assert_eq!(held::<Pipeline>(&sales()), [key.clone()].into());
    assert_eq!(held::<Pipeline>(&active(sales())), [key.clone(), place].into());
    assert_eq!(held::<Pipeline>(&gone()), [].into());
    let back: Vec<_> = gone().into_iter().chain([PipelineRestored { key: "sales".into() }]).collect();
    assert_eq!(held::<Pipeline>(&back), [key].into());
    let claims = Pipeline::claims(&PipelineDeleted { key: "sales".into() }, SALES.0);
    assert!(claims.contains(&ClaimChange::require_none(ClaimName::clear("pipeline", SALES))), "no open items");
    assert_eq!(Pipeline::claim_refused("pipeline_key"), Some(PipelineError::KeyTaken));
    assert_eq!(Pipeline::claim_refused("pipeline"), Some(PipelineError::PipelineInUse));
}

#[test]
fn each_command_needs_its_permission() {
    let restored = || [PipelineRestored { key: "sales".into() }];
    given([]).when(alice(Viewer), create(vec![])).then_denied("pipelines.create");
    given([]).when(alice(Member), create(vec![])).then_denied("pipelines.create");
    given([]).when(alice_herself(), create(vec![])).then_denied("pipelines.create");
    let updates = [
        UpdatePipeline { name: Patch::Keep, kind: Patch::Keep, description: Patch::Keep },
        ActivatePipeline,
        DeactivatePipeline,
        add("new", NOWHERE, None),
        update_stage(LEAD),
        ReorderStages { stage_ids: vec![LEAD, OFFER, WON] },
        RemoveStage { stage_id: OFFER },
        AssignOperator { user_id: BOB },
        UnassignOperator { user_id: ALICE },
    ];
    let operated = || sales().into_iter().chain([OperatorAssigned { user_id: ALICE }]);
    for command in updates {
        given(operated()).when(alice(Member), command.clone()).then_denied("pipelines.update");
        let (id, member) = member(BOB);
        given(operated()).and::<Membership>(id, member).when(alice(Pm), command).events();
    }
    given(sales()).when(alice(Pm), DeletePipeline).then_denied("pipelines.delete");
    given(gone()).when(alice(Pm), RestorePipeline).then_denied("pipelines.delete");
    given(gone()).when(alice(Operator), RestorePipeline).then(restored());
}

#[test]
fn who_may_update_only_their_own_updates_what_they_created_or_operate() {
    use crate::roles::{GrantSet, PIPELINES_UPDATE};
    let own = || {
        let grants: GrantSet = [PIPELINES_UPDATE.own()].into_iter().collect();
        crate::testing::somebody(crate::Principal::User(BOB), grants)
    };
    given(active(sales())).when(own(), DeactivatePipeline).then_denied("pipelines.update");
    let operated = active(sales()).into_iter().chain([OperatorAssigned { user_id: BOB }]);
    given(operated).when(own(), DeactivatePipeline).then([PipelineDeactivated]);
}

#[test]
fn commands_have_the_field_names_of_the_api() {
    let command: PipelineCommand = serde_json::from_value(json!({"CreatePipeline": {
        "key": "sales", "name": "Sales", "type": "SALES", "stages": [{"key": "won", "name": "Won", "isTerminal": true, "wipLimit": 3}],
    }}))
    .unwrap();
    let CreatePipeline { stages, kind: PipelineType::Sales, .. } = command else { panic!("{command:?}") };
    assert_eq!((stages[0].is_terminal, stages[0].wip_limit.map(u32::from)), (true, Some(3)));
    let add: PipelineCommand =
        serde_json::from_value(json!({"AddStage": {"key": "won", "name": "Won", "stageId": WON, "order": 1}})).unwrap();
    assert_eq!(serde_json::from_value::<PipelineCommand>(serde_json::to_value(&add).unwrap()).unwrap(), add);
    let AddStage { stage, order: Some(1) } = add else { panic!("{add:?}") };
    assert_eq!(stage.stage_id, Some(WON));
    let clear: PipelineCommand = serde_json::from_value(json!({"UpdateStage": {"stageId": LEAD, "wipLimit": null}})).unwrap();
    let UpdateStage { wip_limit: Patch::Set(None), color: Patch::Keep, .. } = clear else { panic!("{clear:?}") };
    let zero = json!({"UpdateStage": {"stageId": LEAD, "wipLimit": 0}});
    assert!(serde_json::from_value::<PipelineCommand>(zero).unwrap_err().to_string().contains("must be 1 to 10000; it is 0"));
    assert_eq!(PipelineError::Deleted.code(), "INVALID_STATE");
    assert_eq!(PipelineError::StageIdTaken(LEAD).code(), "CONFLICT");
    assert_eq!(PipelineError::StageKeyRepeated(String::new()).code(), "STAGE_KEY_TAKEN");
    assert_eq!((PipelineError::KeyTaken.code(), PipelineError::KeyTaken.field()), ("KEY_TAKEN", Some("key")));
}
