//! Folds of tasks, their templates and decisions, and of the days of stages, given events.

use super::*;
use crate::testing::{ALICE, BOB, log, minute, row, rows};
use crate::{Date, ERASED, NodeId};
use domain::pipeline::{ItemEvent, Priority as Urgency};
use domain::pipeline::{LlmCall, Recipe, TaskChanges, TaskEvent, TemplateChanges, TemplateEvent};
use domain::{Change, ItemId, Personal, PipelineId, StageId, TaskId, TaskTemplateId, TenantId};
use uuid::Uuid;

const TASK: TaskId = TaskId(Uuid::from_u128(0x7a5c));
const VISIT: TaskTemplateId = TaskTemplateId(Uuid::from_u128(0x71517));
const PIPELINE: PipelineId = PipelineId(Uuid::from_u128(0x100));
const INBOX: StageId = StageId(Uuid::from_u128(0x301));
const OFFER: StageId = StageId(Uuid::from_u128(0x302));

fn free(text: &str) -> Personal<String> {
    Personal::new(TenantId(Uuid::nil()), text.to_owned())
}

fn erased() -> Personal<String> {
    Personal::Erased { subject: Uuid::nil() }
}

fn task_after(then: impl IntoIterator<Item = TaskEvent>) -> Task {
    let created = TaskEvent::TaskCreated {
        template_id: Some(VISIT),
        source: domain::pipeline::TaskSource::Intake,
        source_ref: Some("mail-1".into()),
        title: "Call".into(),
        description: Some(erased()),
        pipeline_id: None,
        stage_id: None,
        assignee_id: Some(ALICE),
        due_at: Some(minute(9)),
        data: Some(free("{}")),
        created_by: Some(ALICE),
    };
    row(&log::<domain::pipeline::Task>(TASK, std::iter::once(created).chain(then)))
}

#[test]
fn a_task_is_what_its_events_say() {
    let new = task_after([]);
    assert_eq!((new.status, new.due_at, new.template_id), (TaskStatus::New, Some(minute(9)), Some(NodeId(VISIT))));
    assert_eq!((new.description.as_deref(), new.source, new.assignee_id), (Some(ERASED), TaskSource::Intake, Some(NodeId(ALICE))));
    let changes = TaskChanges { title: Some(Change { from: "Call".into(), to: "Visit".into() }), ..TaskChanges::default() };
    let later = task_after([
        TaskEvent::TaskStarted,
        TaskEvent::TaskPlaced { from_pipeline_id: None, from_stage_id: None, pipeline_id: PIPELINE, stage_id: INBOX, open: true },
        TaskEvent::TaskUnassigned { user_id: ALICE },
        TaskEvent::TaskAssigned { user_id: BOB },
        TaskEvent::TaskUpdated { changes },
        TaskEvent::TaskSubmittedForReview { note: None },
    ]);
    assert_eq!((later.status, later.title.as_str(), later.assignee_id), (TaskStatus::NeedsReview, "Visit", Some(NodeId(BOB))));
    assert_eq!((later.pipeline_id, later.stage_id), (Some(NodeId(PIPELINE)), Some(NodeId(INBOX))));
}

#[test]
fn a_blocked_task_says_why_until_it_goes_on_as_what_it_was() {
    let blocked = || TaskEvent::TaskBlocked { reason: free("no phone") };
    let now = task_after([blocked()]);
    assert_eq!((now.status, now.blocked_reason.as_deref()), (TaskStatus::Blocked, Some("no phone")));
    let back = task_after([blocked(), TaskEvent::TaskUnblocked { status: domain::pipeline::TaskStatus::NeedsReview }]);
    assert_eq!((back.status, back.blocked_reason), (TaskStatus::NeedsReview, None));
    let gone = task_after([blocked(), TaskEvent::TaskCancelled { reason: free("moot"), pipeline_id: None }]);
    assert_eq!((gone.status, gone.blocked_reason), (TaskStatus::Cancelled, None));
    let closed = [TaskEvent::TaskCompleted { outcome: None, approved: true, pipeline_id: None }];
    assert_eq!(task_after(closed.clone()).status, TaskStatus::Done);
    let reopened = TaskEvent::TaskReopened { reason: free("again"), pipeline_id: None };
    assert_eq!(task_after(closed.into_iter().chain([reopened])).status, TaskStatus::InProgress);
    let deleted = task_after([TaskEvent::TaskDeleted { pipeline_id: None, stage_id: None }]);
    assert!(deleted.deleted_at.is_some());
}

#[test]
fn each_decision_is_a_row_and_is_counted() {
    let call = LlmCall { provider: "p".to_owned(), model: "m".into(), prompt_hash: "h".into(), tokens_in: 1, tokens_out: 2, latency_ms: 3 };
    let decided = |llm_call| TaskEvent::TaskDecisionRecorded { event_name: "routed".into(), decision: free("{}"), llm_call, at: minute(2) };
    let events = || [decided(Some(call.clone())), decided(None)];
    assert_eq!(task_after(events()).decision_count, 2);
    let found = rows::<TaskDecision>(&log::<domain::pipeline::Task>(TASK, events()));
    let found: Vec<_> = found.values().map(|decision| (decision.llm_model.as_deref(), decision.llm_tokens_out, decision.at)).collect();
    assert_eq!(found, [(Some("m"), Some(2), minute(2)), (None, None, minute(2))]);
}

#[test]
fn a_template_is_what_its_events_say() {
    let recipe = |hours: Option<u16>| Recipe {
        title_pattern: "Visit {{who}}".into(),
        description: Some(erased()),
        steps: vec!["Ring".into()],
        default_assignee_rule: domain::pipeline::AssigneeRule::Creator,
        due_in_hours: hours.and_then(|hours| hours.try_into().ok()),
        priority: Urgency::High,
    };
    let changes = TemplateChanges {
        label: Some(Change { from: "Visit".into(), to: "Call".into() }),
        definition: Some(Change { from: recipe(Some(2)), to: recipe(None) }),
        ..TemplateChanges::default()
    };
    let events = [
        TemplateEvent::TaskTemplateCreated {
            label: "Visit".into(),
            category: "field".into(),
            preferred_pipeline_key: Some("sales".into()),
            definition: recipe(Some(2)),
            created_by: Some(ALICE),
        },
        TemplateEvent::TaskTemplateDeactivated,
        TemplateEvent::TaskTemplateUpdated { changes },
        TemplateEvent::TaskTemplateActivated,
        TemplateEvent::TaskTemplateDeleted,
    ];
    let after = |count: usize| {
        let log = log::<domain::pipeline::TaskTemplate>(VISIT, events[..count].iter().cloned());
        row::<TaskTemplate>(&log)
    };
    let new = after(1);
    assert_eq!((new.is_active, new.due_in_hours, new.priority), (true, Some(2), Priority::High));
    assert_eq!((new.description.as_deref(), new.default_assignee_rule), (Some(ERASED), AssigneeRule::Creator));
    assert!(!after(2).is_active);
    assert_eq!((after(3).label.as_str(), after(3).due_in_hours), ("Call", None));
    assert!(after(4).is_active && after(4).deleted_at.is_none() && after(5).deleted_at.is_some());
}

#[test]
fn a_stages_days_count_who_came_and_who_left_after_how_long() {
    let created = ItemEvent::PipelineItemCreated {
        pipeline_id: PIPELINE,
        stage_id: INBOX,
        rank: "a".into(),
        title: "Roof".into(),
        description: None,
        assigned_to: None,
        due_date: None,
        priority: Urgency::Medium,
        data: None,
        tags: vec![],
        source_ref: None,
        attributes: None,
        created_by: None,
        entered_at: minute(1),
        wip_limit: None,
    };
    let moved = |from, to, since, at| ItemEvent::PipelineItemMoved {
        from,
        to,
        rank: "a".into(),
        left_stage_entered_at: since,
        entered_at: at,
        note: None,
        attributes: None,
        wip_limit: None,
    };
    let next_day = minute(1) + chrono::TimeDelta::days(1);
    let events = [
        created,
        moved(INBOX, OFFER, minute(1), minute(4)),
        moved(OFFER, INBOX, minute(4), next_day),
        moved(INBOX, OFFER, next_day, minute(2)),
    ];
    let log = log::<domain::pipeline::PipelineItem>(ItemId(Uuid::from_u128(0x200)), events);
    let day = |stage, at: chrono::DateTime<chrono::Utc>| {
        let found = &rows::<StageDay>(&log)[&(stage, at.date_naive())];
        assert_eq!((found.stage_id, found.day), (NodeId(stage), Date(at.date_naive())));
        (found.entered, found.departed, found.seconds)
    };
    // The last move is an import's, whose time ran backwards: no time, and on the day it names.
    assert_eq!(day(INBOX, minute(1)), (1, 2, 180));
    assert_eq!(day(OFFER, minute(1)), (2, 0, 0));
    assert_eq!(day(OFFER, next_day), (0, 1, 24 * 3600 - 180));
    assert_eq!(day(INBOX, next_day), (1, 0, 0));
}
