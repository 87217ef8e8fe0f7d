//! What holds after any commands whatever.

use super::*;
use crate::roles::BuiltInRole::Operator;
use crate::testing::alice;
use crate::{Change, EventPayload, Patch, for_the_store};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn stage_id(n: u32) -> StageId {
    StageId(Uuid::from_u128(u128::from(n) + 1))
}

fn pipeline_command() -> impl Strategy<Value = PipelineCommand> {
    use PipelineCommand::*;
    let id = || (0..8_u32).prop_map(stage_id);
    let add = (0..8_u32, id(), prop::option::of(0..8_u32), any::<bool>())
        .prop_map(|(key, id, order, is_terminal)| AddStage { stage: new_stage(&format!("s{key}"), id, is_terminal), order });
    let update = (id(), any::<bool>(), prop::option::of(1..5_u32)).prop_map(|(stage_id, is_terminal, limit)| UpdateStage {
        stage_id,
        name: Patch::Keep,
        color: Patch::Keep,
        is_terminal: Patch::Set(is_terminal),
        wip_limit: Patch::Set(limit.and_then(|limit| limit.try_into().ok())),
    });
    let reorder =
        subsequence((0..8).map(stage_id).collect::<Vec<_>>(), 0..8).prop_shuffle().prop_map(|stage_ids| ReorderStages { stage_ids });
    prop_oneof![
        6 => add,
        2 => update,
        4 => reorder,
        2 => id().prop_map(|stage_id| RemoveStage { stage_id }),
        1 => Just(ActivatePipeline),
        1 => Just(DeactivatePipeline),
        1 => select(vec![ALICE, BOB]).prop_map(|user_id| AssignOperator { user_id }),
        1 => Just(UnassignOperator { user_id: BOB }),
        1 => select(vec![DeletePipeline, RestorePipeline, RestorePipeline]),
    ]
}

fn item_command() -> impl Strategy<Value = ItemCommand> {
    use ItemCommand::*;
    let stage = || select(vec![LEAD, OFFER, WON, DUE, PAID, NOWHERE]);
    let key = prop::option::of((0..3_i64).prop_map(|seconds| rank::at(noon() + chrono::TimeDelta::seconds(seconds)).try_into().unwrap()));
    prop_oneof![
        1 => Just(new_item()),
        6 => (stage(), key).prop_map(|(to_stage_id, rank)| MoveItem { to_stage_id, rank, note: None, attributes: None }),
        4 => (select(vec![SALES, BILLING]), stage()).prop_map(|(pipeline_id, stage_id)| TransferItem { pipeline_id, stage_id }),
        1 => Just(AssignItem { user_id: BOB }),
        1 => Just(UnassignItem),
        1 => Just(AddItemTag { tag: "a".try_into().unwrap() }),
        1 => Just(RemoveItemTag { tag: "a".try_into().unwrap() }),
        2 => Just(DeleteItem),
        2 => Just(RestoreItem),
    ]
}

fn on_some_boards(events: &[ItemEvent], sales: &[PipelineEvent]) -> Given<PipelineItem> {
    with_sales(events.iter().cloned(), sales.to_vec())
}

/// An item refers to its stage until it is deleted, and to its pipeline while it is open.
fn referred(item: &PipelineItem) -> BTreeSet<(&'static str, String)> {
    let Some(card) = item.card() else { return BTreeSet::new() };
    let stage = (item.status() != Some(ItemStatus::Deleted)).then(|| ("stage", card.stage_id.to_string()));
    let pipeline = (item.status() == Some(ItemStatus::Open)).then(|| ("pipeline", card.pipeline_id.to_string()));
    stage.into_iter().chain(pipeline).collect()
}

proptest! {
    #[test]
    fn stages_are_a_row_of_different_keys_and_claims_follow_the_state(commands in prop::collection::vec(pipeline_command(), 1..60)) {
        let mut events = vec![created("sales")];
        let mut added = 0_usize;
        for command in commands {
            let given = [ALICE, BOB].map(member).into_iter().fold(given::<Pipeline>(events.clone()), |given, (id, events)| given.and::<Membership>(id, events));
            let then = given.when(alice(Operator), command.clone());
            let Ok(new) = then.outcome else { continue };
            for event in &new {
                added += usize::from(matches!(event, PipelineEvent::StageAdded { .. }));
                added -= usize::from(matches!(event, PipelineEvent::StageRemoved { .. }));
            }
            let (Pipeline::Live(now) | Pipeline::Deleted(now)) = &then.state else { panic!("it exists") };
            prop_assert_eq!(now.stages.len(), added, "no stage is lost by moving");
            let keys: BTreeSet<_> = now.stages.iter().map(|stage| &stage.key).collect();
            let ids: BTreeSet<_> = now.stages.iter().map(|stage| stage.id).collect();
            prop_assert!(keys.len() == added && ids.len() == added && added <= MAX_STAGES);
            prop_assert!(!now.is_active || now.stages.iter().any(|stage| !stage.is_terminal));
            if let PipelineCommand::ReorderStages { stage_ids } = &command {
                prop_assert!(now.stages.iter().map(|stage| stage.id).eq(stage_ids.iter().copied()));
            }
            events.extend(new);
            let mut expected = BTreeSet::new();
            if then.state.live().is_some() {
                expected.insert(("pipeline_key", "sales".to_owned()));
            }
            if now.is_active {
                expected.insert(("active_pipelines", "workspace".to_owned()));
            }
            prop_assert_eq!(held::<Pipeline>(&events), expected);
        }
    }

    #[test]
    fn an_item_refers_to_its_stage_and_pipeline_and_to_nothing_else(steps in prop::collection::vec((item_command(), 0..10_u8), 1..60)) {
        let mut events = vec![item()];
        for (command, world) in steps {
            // Sometimes the pipeline is inactive or without its first stage.
            let sales = match world {
                0 => sales(),
                1 => active(sales().into_iter().chain([PipelineEvent::StageRemoved { stage_id: LEAD }]).collect()),
                _ => active(sales()),
            };
            let then = on_some_boards(&events, &sales).when(alice(Operator), command.clone());
            let Ok(new) = then.outcome else { continue };
            events.extend(new);
            prop_assert_eq!(held::<PipelineItem>(&events), referred(&then.state));
            let repeated = on_some_boards(&events, &sales).when(alice(Operator), command.clone());
            if let Ok(more) = repeated.outcome {
                prop_assert!(more.is_empty(), "{:?} repeated yields {:?}", command, more);
            }
        }
    }
}

fn every_item_event() -> Vec<ItemEvent> {
    use ItemEvent::*;
    let said = || Some(Personal::new(TENANT, "{}".to_owned()));
    let (pipeline_id, stage_id, user_id, tag) = (SALES, LEAD, BOB, || "a".to_owned());
    let changes = ItemChanges {
        description: Some(Change { from: None, to: said() }),
        data: Some(Change { from: said(), to: None }),
        ..ItemChanges::default()
    };
    let (data, attributes) = (said(), said());
    vec![
        item(),
        PipelineItemUpdated { changes },
        moved(LEAD, WON),
        PipelineItemReordered { rank: rank::at(noon()) },
        completed(),
        PipelineItemReopened { pipeline_id },
        PipelineItemActivityRecorded { name: "call".into(), lifecycle: None, data, attributes, at: noon() },
        PipelineItemTransferred {
            from_pipeline_id: SALES,
            from_stage_id: LEAD,
            pipeline_id: BILLING,
            stage_id: DUE,
            rank: rank::at(noon()),
            left_stage_entered_at: noon(),
            entered_at: noon(),
            open: true,
            wip_limit: Some(3),
        },
        PipelineItemAssigned { user_id },
        PipelineItemUnassigned { user_id },
        PipelineItemTagged { tag: tag() },
        PipelineItemUntagged { tag: tag() },
        deleted(LEAD, true),
        PipelineItemRestored { pipeline_id, stage_id, open: true, wip_limit: None },
    ]
}

fn every_pipeline_event() -> Vec<PipelineEvent> {
    use PipelineEvent::*;
    let name = Some(Change { from: "a".to_owned(), to: "b".to_owned() });
    let changes = PipelineChanges { name: name.clone(), ..PipelineChanges::default() };
    let key = || "sales".to_owned();
    vec![
        created("sales"),
        PipelineUpdated { changes },
        PipelineActivated { limit: None },
        PipelineDeactivated,
        stage_added(0, "lead", LEAD, false),
        StageUpdated { stage_id: LEAD, changes: StageChanges { name, ..StageChanges::default() } },
        StagesReordered { stage_ids: vec![LEAD] },
        StageRemoved { stage_id: LEAD },
        OperatorAssigned { user_id: BOB },
        OperatorUnassigned { user_id: BOB },
        PipelineDeleted { key: key() },
        PipelineRestored { key: key() },
    ]
}

fn stored_and_read_back<E: EventPayload>(events: Vec<E>) {
    let names: Vec<String> = events.iter().map(cqrs_es::DomainEvent::event_type).collect();
    assert_eq!(names, E::NAMES, "all of them, in order");
    for event in events {
        let stored = for_the_store(|| serde_json::to_value(&event)).unwrap();
        assert_eq!((stored["type"].as_str(), event.event_version().as_str()), (Some(event.event_type().as_str()), "1"));
        assert!(crate::check_canonical(&stored).is_ok());
        assert_eq!(serde_json::from_value::<E>(stored).unwrap(), event);
    }
}

#[test]
fn every_event_is_stored_and_read_back_under_its_name() {
    stored_and_read_back(every_item_event());
    stored_and_read_back(every_pipeline_event());
}

#[test]
fn events_that_meet_no_state_change_nothing() {
    for event in every_item_event().into_iter().skip(1) {
        let mut item = PipelineItem::default();
        item.apply(event);
        assert_eq!(item, PipelineItem::Absent);
    }
    for event in every_pipeline_event().into_iter().skip(1) {
        let mut pipeline = Pipeline::default();
        pipeline.apply(event);
        assert_eq!(pipeline, Pipeline::Absent);
    }
}
