//! Folds of the context, given events.

use super::*;
use crate::testing::{ALICE, BOB, log, minute, row, rows};
use crate::{Date, ERASED, JsonText, NodeId};
use chrono::NaiveDate;
use domain::pipeline::{ItemChanges, ItemEvent, PipelineChanges, PipelineEvent, StageChanges};
use domain::{Change, ItemId, Personal, PipelineId, Recorded, StageId, TenantId};
use uuid::Uuid;

const PIPELINE: PipelineId = PipelineId(Uuid::from_u128(0x100));
const ITEM: ItemId = ItemId(Uuid::from_u128(0x200));
const INBOX: StageId = StageId(Uuid::from_u128(0x301));
const OFFER: StageId = StageId(Uuid::from_u128(0x302));
const DONE: StageId = StageId(Uuid::from_u128(0x303));

fn pipeline_log(then: impl IntoIterator<Item = PipelineEvent>) -> Vec<Recorded> {
    let created = PipelineEvent::PipelineCreated {
        key: "sales".into(),
        name: "Sales".into(),
        pipeline_type: domain::pipeline::PipelineType::Sales,
        description: Some(free("deals")),
        created_by: Some(ALICE),
    };
    log::<domain::pipeline::Pipeline>(PIPELINE, std::iter::once(created).chain(then))
}

fn stage_added(stage_id: StageId, order: u32) -> PipelineEvent {
    PipelineEvent::StageAdded {
        stage_id,
        key: format!("s{order}"),
        name: "Stage".into(),
        order,
        is_terminal: false,
        color: None,
        wip_limit: Some(3),
    }
}

fn free(text: &str) -> Personal<String> {
    Personal::new(TenantId(Uuid::nil()), text.to_owned())
}

fn created() -> ItemEvent {
    ItemEvent::PipelineItemCreated {
        pipeline_id: PIPELINE,
        stage_id: INBOX,
        rank: "a".into(),
        title: "Roof".into(),
        description: None,
        assigned_to: Some(ALICE),
        due_date: None,
        priority: domain::pipeline::Priority::Medium,
        data: Some(free("{\"m2\":40}")),
        tags: vec!["new".into()],
        source_ref: None,
        attributes: None,
        created_by: Some(ALICE),
        entered_at: minute(1),
        wip_limit: None,
    }
}

fn moved(from: StageId, to: StageId, since: i64, at: i64) -> ItemEvent {
    ItemEvent::PipelineItemMoved {
        from,
        to,
        rank: "b".into(),
        left_stage_entered_at: minute(since),
        entered_at: minute(at),
        note: Some(free("on the phone")),
        attributes: None,
        wip_limit: None,
    }
}

fn item_log(then: impl IntoIterator<Item = ItemEvent>) -> Vec<Recorded> {
    log::<domain::pipeline::PipelineItem>(ITEM, std::iter::once(created()).chain(then))
}

fn the_item(then: impl IntoIterator<Item = ItemEvent>) -> Item {
    row(&item_log(then))
}

#[test]
fn a_pipeline_begins_inactive_and_is_deleted_inactive() {
    let pipeline: Pipeline = row(&pipeline_log([]));
    assert_eq!((pipeline.key.as_str(), pipeline.is_active, pipeline.description.as_deref()), ("sales", false, Some("deals")));
    let deleted = [PipelineEvent::PipelineActivated { limit: None }, PipelineEvent::PipelineDeleted { key: "sales".into() }];
    let pipeline: Pipeline = row(&pipeline_log(deleted.clone()));
    assert_eq!((pipeline.is_active, pipeline.deleted_at), (false, Some(minute(3))));
    let restored = deleted.into_iter().chain([PipelineEvent::PipelineRestored { key: "sales".into() }]);
    assert_eq!(row::<Pipeline>(&pipeline_log(restored)).deleted_at, None);
}

#[test]
fn an_update_of_a_pipeline_touches_what_it_names_only() {
    let changes = PipelineChanges { description: Some(Change { from: Some(free("deals")), to: None }), ..PipelineChanges::default() };
    let pipeline: Pipeline = row(&pipeline_log([PipelineEvent::PipelineUpdated { changes }]));
    assert_eq!((pipeline.name.as_str(), pipeline.description, pipeline.pipeline_type), ("Sales", None, PipelineType::Sales));
}

#[test]
fn stages_keep_the_order_of_their_events() {
    let added = [stage_added(INBOX, 0), stage_added(DONE, 1), stage_added(OFFER, 1)];
    let order = |then: Vec<PipelineEvent>| row::<Pipeline>(&pipeline_log(added.clone().into_iter().chain(then))).stage_ids;
    assert_eq!(order(vec![]), [INBOX, OFFER, DONE].map(NodeId));
    assert_eq!(order(vec![PipelineEvent::StageRemoved { stage_id: OFFER }]), [INBOX, DONE].map(NodeId));
    assert_eq!(order(vec![PipelineEvent::StagesReordered { stage_ids: vec![DONE, INBOX, OFFER] }]), [DONE, INBOX, OFFER].map(NodeId));
}

#[test]
fn a_removed_stage_keeps_its_row_for_the_histories_that_name_it() {
    let changes = StageChanges {
        name: Some(Change { from: "Stage".into(), to: "Inbox".into() }),
        wip_limit: Some(Change { from: Some(3), to: None }),
        ..StageChanges::default()
    };
    let events =
        [stage_added(INBOX, 0), PipelineEvent::StageUpdated { stage_id: INBOX, changes }, PipelineEvent::StageRemoved { stage_id: INBOX }];
    let stage: Stage = row(&pipeline_log(events));
    assert_eq!(
        (stage.pipeline_id, stage.name.as_str(), stage.wip_limit, stage.deleted_at),
        (NodeId(PIPELINE), "Inbox", None, Some(minute(4)))
    );
}

#[test]
fn an_operator_is_one_until_unassigned() {
    let assigned = PipelineEvent::OperatorAssigned { user_id: BOB };
    assert_eq!(row::<Operator>(&pipeline_log([assigned.clone()])).user_id, NodeId(BOB));
    assert!(rows::<Operator>(&pipeline_log([assigned, PipelineEvent::OperatorUnassigned { user_id: BOB }])).is_empty());
}

#[test]
fn an_item_stands_where_it_was_moved_to_last() {
    let item = the_item([moved(INBOX, OFFER, 1, 5), moved(OFFER, DONE, 5, 9)]);
    assert_eq!((item.stage_id, item.rank.as_str(), item.entered_stage_at, item.status), (NodeId(DONE), "b", minute(9), ItemStatus::Open));
    let other = PipelineId(Uuid::from_u128(0x101));
    let transferred = ItemEvent::PipelineItemTransferred {
        from_pipeline_id: PIPELINE,
        from_stage_id: INBOX,
        pipeline_id: other,
        stage_id: OFFER,
        rank: "c".into(),
        left_stage_entered_at: minute(1),
        entered_at: minute(4),
        open: true,
        wip_limit: None,
    };
    let item = the_item([transferred]);
    assert_eq!((item.pipeline_id, item.stage_id, item.rank.as_str()), (NodeId(other), NodeId(OFFER), "c"));
    assert_eq!(the_item([ItemEvent::PipelineItemReordered { rank: "z".into() }]).rank, "z");
}

#[test]
fn an_item_is_completed_reopened_deleted_and_restored_as_it_was() {
    let completed = ItemEvent::PipelineItemCompleted { pipeline_id: PIPELINE, completed_at: minute(2) };
    let item = the_item([completed.clone()]);
    assert_eq!((item.status, item.completed_at), (ItemStatus::Completed, Some(minute(2))));
    let item = the_item([completed.clone(), ItemEvent::PipelineItemReopened { pipeline_id: PIPELINE }]);
    assert_eq!((item.status, item.completed_at), (ItemStatus::Open, None));
    let deleted = [completed, ItemEvent::PipelineItemDeleted { pipeline_id: PIPELINE, stage_id: INBOX, was_open: false }];
    let item = the_item(deleted.clone());
    assert_eq!((item.status, item.deleted_at), (ItemStatus::Deleted, Some(minute(3))));
    let restored = ItemEvent::PipelineItemRestored { pipeline_id: PIPELINE, stage_id: INBOX, open: false, wip_limit: None };
    let item = the_item(deleted.into_iter().chain([restored]));
    assert_eq!((item.status, item.completed_at, item.deleted_at), (ItemStatus::Completed, Some(minute(2)), None));
}

#[test]
fn an_update_of_an_item_touches_what_it_names_only() {
    let day = NaiveDate::from_ymd_opt(2026, 7, 1);
    let changes = ItemChanges {
        description: Some(Change { from: None, to: Some(Personal::Erased { subject: Uuid::nil() }) }),
        due_date: Some(Change { from: None, to: day }),
        priority: Some(Change { from: domain::pipeline::Priority::Medium, to: domain::pipeline::Priority::Urgent }),
        ..ItemChanges::default()
    };
    let item = the_item([ItemEvent::PipelineItemUpdated { changes }]);
    assert_eq!((item.title.as_str(), item.description.as_deref()), ("Roof", Some(ERASED)));
    assert_eq!((item.due_date, item.priority, item.data), (day.map(Date), Priority::Urgent, Some(JsonText("{\"m2\":40}".into()))));
}

#[test]
fn assignments_and_tags_come_and_go() {
    let item = the_item([ItemEvent::PipelineItemAssigned { user_id: BOB }, ItemEvent::PipelineItemTagged { tag: "hot".into() }]);
    assert_eq!((item.assigned_to, item.tags), (Some(NodeId(BOB)), vec!["new".to_owned(), "hot".to_owned()]));
    let item = the_item([ItemEvent::PipelineItemUnassigned { user_id: ALICE }, ItemEvent::PipelineItemUntagged { tag: "new".into() }]);
    assert_eq!((item.assigned_to, item.tags.len()), (None, 0));
}

#[test]
fn the_tags_by_which_items_are_found_are_those_they_have() {
    let tags = |then: Vec<ItemEvent>| rows::<ItemTag>(&item_log(then)).into_keys().map(|(tag, _)| tag).collect::<Vec<_>>();
    let tagged = ItemEvent::PipelineItemTagged { tag: "hot".into() };
    assert_eq!(tags(vec![tagged.clone()]), ["hot", "new"]);
    assert_eq!(tags(vec![tagged, ItemEvent::PipelineItemUntagged { tag: "new".into() }]), ["hot"]);
}

#[test]
fn a_history_has_a_row_for_each_event_and_knows_how_long_an_item_stood_in_the_stage_it_left() {
    let activity = ItemEvent::PipelineItemActivityRecorded {
        name: "Phone".into(),
        lifecycle: Some("complete".into()),
        data: None,
        attributes: Some(free("{\"a\":1}")),
        at: minute(3),
    };
    let history: Vec<ItemHistory> = rows(&item_log([moved(INBOX, OFFER, 1, 5), activity])).into_values().collect();
    let kinds: Vec<HistoryKind> = history.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, [HistoryKind::Created, HistoryKind::Moved, HistoryKind::Activity]);
    assert_eq!(
        (history[0].to_pipeline_id, history[0].to_stage_id, history[0].seconds_in_stage),
        (Some(NodeId(PIPELINE)), Some(NodeId(INBOX)), None)
    );
    assert_eq!((history[1].from_stage_id, history[1].to_stage_id), (Some(NodeId(INBOX)), Some(NodeId(OFFER))));
    assert_eq!((history[1].seconds_in_stage, history[1].at, history[1].note.as_deref()), (Some(240), minute(5), Some("on the phone")));
    assert_eq!((history[1].actor_kind.as_str(), history[1].actor_id.as_str()), ("USER", ALICE.to_string().as_str()));
    assert_eq!(
        (history[2].activity.as_deref(), history[2].lifecycle.as_deref(), history[2].at),
        (Some("Phone"), Some("complete"), minute(3))
    );
}

#[test]
fn a_stay_that_ends_before_it_began_took_no_time() {
    let history: Vec<ItemHistory> = rows(&item_log([moved(INBOX, OFFER, 9, 5)])).into_values().collect();
    assert_eq!(history[1].seconds_in_stage, Some(0));
}

#[test]
fn an_update_in_a_history_names_the_fields_as_the_api_does() {
    let changes = ItemChanges { due_date: Some(Change { from: None, to: NaiveDate::from_ymd_opt(2026, 7, 1) }), ..ItemChanges::default() };
    let history: Vec<ItemHistory> = rows(&item_log([ItemEvent::PipelineItemUpdated { changes }])).into_values().collect();
    assert_eq!(history[1].changed, ["dueDate"]);
}

#[test]
fn places_count_the_items_that_stand_there_and_pipelines_those_that_are_open() {
    let other = PipelineId(Uuid::from_u128(0x101));
    let transferred = |open| ItemEvent::PipelineItemTransferred {
        from_pipeline_id: PIPELINE,
        from_stage_id: OFFER,
        pipeline_id: other,
        stage_id: DONE,
        rank: "c".into(),
        left_stage_entered_at: minute(1),
        entered_at: minute(4),
        open,
        wip_limit: None,
    };
    let counted = |then: Vec<ItemEvent>| {
        let rows = rows::<ItemCount>(&item_log(then));
        [INBOX.0, OFFER.0, DONE.0, PIPELINE.0, other.0].map(|place| rows.get(&place).map_or(0, |count| count.items))
    };
    let completed = |pipeline_id| ItemEvent::PipelineItemCompleted { pipeline_id, completed_at: minute(5) };
    let deleted = |was_open| ItemEvent::PipelineItemDeleted { pipeline_id: PIPELINE, stage_id: OFFER, was_open };
    let restored = |open| ItemEvent::PipelineItemRestored { pipeline_id: PIPELINE, stage_id: OFFER, open, wip_limit: None };
    let to_offer = moved(INBOX, OFFER, 1, 2);
    assert_eq!(counted(vec![]), [1, 0, 0, 1, 0]);
    assert_eq!(counted(vec![to_offer.clone()]), [0, 1, 0, 1, 0]);
    assert_eq!(counted(vec![to_offer.clone(), completed(PIPELINE)]), [0, 1, 0, 0, 0]);
    assert_eq!(counted(vec![to_offer.clone(), transferred(true)]), [0, 0, 1, 0, 1]);
    assert_eq!(counted(vec![to_offer.clone(), transferred(true), completed(other)]), [0, 0, 1, 0, 0]);
    assert_eq!(counted(vec![to_offer.clone(), completed(PIPELINE), transferred(false)]), [0, 0, 1, 0, 0]);
    let reopened = ItemEvent::PipelineItemReopened { pipeline_id: other };
    assert_eq!(counted(vec![to_offer.clone(), completed(PIPELINE), transferred(false), reopened]), [0, 0, 1, 0, 1]);
    assert_eq!(counted(vec![to_offer.clone(), deleted(true)]), [0, 0, 0, 0, 0]);
    assert_eq!(counted(vec![to_offer.clone(), deleted(true), restored(true)]), [0, 1, 0, 1, 0]);
    assert_eq!(counted(vec![to_offer, completed(PIPELINE), deleted(false), restored(false)]), [0, 1, 0, 0, 0]);
}
