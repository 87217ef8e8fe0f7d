//! What a task and its template do and refuse.

use super::*;
use crate::roles::BuiltInRole::{Editor, Member, Operator, Viewer};
use crate::testing::{alice, somebody, system};
use crate::{ClaimChange, Json, Patch, Principal, SystemCaller, TaskTemplateId};
use TaskCommand::*;
use TaskEvent::*;
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

static PROGRAM: SystemCaller = SystemCaller { name: "tests", commands: &["CreateTaskFromTemplate", "RecordTaskDecision"] };
const VISIT: TaskTemplateId = TaskTemplateId(Uuid::from_u128(0x71517));

fn said(text: &str) -> Personal<String> {
    Personal::new(TENANT, text.to_owned())
}

fn task() -> TaskEvent {
    placed_from_birth(None)
}

fn placed_from_birth(place: Option<(PipelineId, StageId)>) -> TaskEvent {
    TaskCreated {
        template_id: None,
        source: TaskSource::Manual,
        source_ref: None,
        title: "Call Ada".into(),
        description: None,
        pipeline_id: place.map(|(pipeline, _)| pipeline),
        stage_id: place.map(|(_, stage)| stage),
        assignee_id: None,
        due_at: None,
        data: None,
        created_by: Some(ALICE),
    }
}

fn new_task(pipeline_id: Option<PipelineId>, stage_id: Option<StageId>, assignee_id: Option<UserId>) -> TaskCommand {
    let title = "Call Ada".try_into().unwrap();
    let (description, source, source_ref, due_at, data) = (None, TaskSource::Manual, None, None, None);
    CreateTask { title, description, source, source_ref, pipeline_id, stage_id, assignee_id, due_at, data }
}

fn tasks(events: impl IntoIterator<Item = TaskEvent>) -> Given<Task> {
    tasks_with(events, active(sales()))
}

fn tasks_with(events: impl IntoIterator<Item = TaskEvent>, sales: Vec<PipelineEvent>) -> Given<Task> {
    let given = given::<Task>(events).and::<Pipeline>(SALES, sales).and::<Pipeline>(BILLING, billing());
    [ALICE, BOB].map(member).into_iter().fold(given, |given, (id, events)| given.and::<Membership>(id, events))
}

fn block() -> TaskCommand {
    BlockTask { reason: "no phone".try_into().unwrap() }
}

fn cancel() -> TaskCommand {
    CancelTask { reason: "moot".try_into().unwrap() }
}

fn reopen() -> TaskCommand {
    ReopenTask { reason: "again".try_into().unwrap() }
}

fn submit() -> TaskCommand {
    SubmitTaskForReview { note: None }
}

fn complete() -> TaskCommand {
    CompleteTask { outcome: None }
}

fn request_changes() -> TaskCommand {
    RequestTaskChanges { note: "louder".try_into().unwrap() }
}

fn decision() -> TaskCommand {
    let word = |text: &str| text.try_into().unwrap();
    let llm_call = LlmCall { provider: word("p"), model: word("m"), prompt_hash: word("abc"), tokens_in: 1, tokens_out: 2, latency_ms: 3 };
    RecordTaskDecision {
        event_name: "routed".try_into().unwrap(),
        decision: json!({"to": "sales"}).try_into().unwrap(),
        llm_call: Some(llm_call),
    }
}

fn recipe(rule: AssigneeRule) -> NewRecipe {
    NewRecipe {
        title_pattern: "Visit {{customer}} in {{city}}".to_owned().try_into().unwrap(),
        description: Some("bring cake".try_into().unwrap()),
        steps: vec!["Ring".try_into().unwrap()],
        default_assignee_rule: rule,
        due_in_hours: Some(48.try_into().unwrap()),
        priority: Priority::High,
    }
}

fn template(rule: AssigneeRule) -> Vec<TemplateEvent> {
    let command = TemplateCommand::CreateTaskTemplate {
        label: "Visit".try_into().unwrap(),
        category: "field".try_into().unwrap(),
        preferred_pipeline_key: Some("sales".try_into().unwrap()),
        definition: recipe(rule),
    };
    given::<TaskTemplate>([]).when(alice(Operator), command).events()
}

fn visit(variables: serde_json::Value) -> TaskCommand {
    let variables: Option<Json<16>> = Some(variables.try_into().unwrap());
    CreateTaskFromTemplate { template_id: VISIT, variables, source: TaskSource::Intake, source_ref: None, pipeline_id: Some(SALES) }
}

fn ada() -> TaskCommand {
    visit(json!({"customer": "Ada {{city}}", "city": "York"}))
}

/// A task in each state, by the events that lead there.
fn in_state(status: TaskStatus) -> Vec<TaskEvent> {
    let more = match status {
        TaskStatus::New => vec![],
        TaskStatus::InProgress => vec![TaskStarted],
        TaskStatus::NeedsReview => vec![TaskStarted, TaskSubmittedForReview { note: None }],
        TaskStatus::Blocked => vec![TaskBlocked { reason: said("no phone") }],
        TaskStatus::Done => vec![TaskStarted, TaskCompleted { outcome: None, approved: false, pipeline_id: None }],
        TaskStatus::Cancelled => vec![TaskCancelled { reason: said("moot"), pipeline_id: None }],
    };
    std::iter::once(task()).chain(more).collect()
}

#[test]
fn every_state_has_its_ways_out_and_no_others() {
    use TaskStatus::*;
    let ways: [(TaskCommand, &[(TaskStatus, TaskStatus)]); 9] = [
        (StartTask, &[(New, InProgress)]),
        (submit(), &[(InProgress, NeedsReview)]),
        (request_changes(), &[(NeedsReview, InProgress)]),
        (ApproveTask, &[(NeedsReview, Done)]),
        (complete(), &[(InProgress, Done)]),
        (block(), &[(New, Blocked), (InProgress, Blocked), (NeedsReview, Blocked)]),
        (UnblockTask, &[(Blocked, New)]),
        (cancel(), &[(New, Cancelled), (InProgress, Cancelled), (NeedsReview, Cancelled), (Blocked, Cancelled)]),
        (reopen(), &[(Done, InProgress), (Cancelled, InProgress)]),
    ];
    for (command, ways) in ways {
        for from in [New, InProgress, NeedsReview, Blocked, Done, Cancelled] {
            let then = tasks(in_state(from)).when(alice(Operator), command.clone());
            let to = then.state.work().unwrap().status;
            match ways.iter().find(|(start, _)| *start == from) {
                Some((_, end)) => assert_eq!((then.outcome.map(|events| events.len()), to), (Ok(1), *end), "{command:?} from {from:?}"),
                None => {
                    assert_eq!(to, from, "{command:?} from {from:?}");
                    let same = ways.iter().any(|(_, end)| *end == from)
                        && !matches!(command, RequestTaskChanges { .. } | UnblockTask | ReopenTask { .. });
                    assert_eq!(then.outcome.is_ok(), same, "{command:?} from {from:?}");
                }
            }
        }
    }
}

#[test]
fn an_unblocked_task_is_what_it_was_before() {
    for status in [TaskStatus::New, TaskStatus::InProgress, TaskStatus::NeedsReview] {
        let blocked = tasks(in_state(status)).when(alice(Operator), block());
        assert_eq!(blocked.state.work().unwrap().blocked_reason, Some(said("no phone")));
        let events = in_state(status).into_iter().chain(blocked.events());
        let back = tasks(events).when(alice(Operator), UnblockTask).then([TaskUnblocked { status }]);
        assert_eq!(back.work().map(|work| (work.status, work.before, work.blocked_reason.is_some())), Some((status, None, false)));
    }
}

#[test]
fn each_command_needs_its_permission() {
    tasks([]).when(alice(Viewer), new_task(None, None, None)).then_denied("tasks.create");
    let changing =
        [StartTask, submit(), block(), UnblockTask, complete(), cancel(), reopen(), PlaceTask { pipeline_id: SALES, stage_id: LEAD }];
    for command in changing {
        tasks([task()]).when(alice(Viewer), command).then_denied("tasks.update");
    }
    for command in [ApproveTask, request_changes()] {
        tasks(in_state(TaskStatus::NeedsReview)).when(alice(Member), command).then_denied("tasks.review");
    }
    for command in [AssignTask { user_id: BOB }, UnassignTask] {
        tasks([task()]).when(alice(Member), command).then_denied("tasks.assign");
    }
    tasks([task()]).when(alice(Member), DeleteTask).then_denied("tasks.delete");
    tasks([task()]).when(alice(Operator), decision()).then_denied("sys");
    tasks([]).when(alice(Viewer), ada()).then_denied("tasks.create");
}

#[test]
fn a_member_changes_what_they_created_or_are_assigned_and_nothing_else() {
    let bob = || somebody(Principal::User(BOB), *Member.grants());
    tasks([task()]).when(alice(Member), StartTask).then([TaskStarted]);
    tasks([task()]).when(bob(), StartTask).then_denied("tasks.update");
    tasks([task(), TaskAssigned { user_id: BOB }]).when(bob(), StartTask).then([TaskStarted]);
}

#[test]
fn a_task_is_placed_only_in_a_stage_of_an_active_pipeline() {
    let create = |stage| new_task(Some(SALES), stage, None);
    tasks([]).when(alice(Member), create(None)).then([placed_from_birth(Some((SALES, LEAD)))]);
    tasks([]).when(alice(Member), create(Some(DUE))).then_refused(TaskError::StageNotFound);
    tasks_with([], sales()).when(alice(Member), create(None)).then_refused(TaskError::PipelineInactive);
    tasks_with([], vec![]).when(alice(Member), create(None)).then_refused(TaskError::PipelineNotFound);
    tasks([]).when(alice(Member), new_task(None, Some(LEAD), None)).then_refused(TaskError::PipelineMissing);
    let place = PlaceTask { pipeline_id: BILLING, stage_id: DUE };
    let events = tasks([placed_from_birth(Some((SALES, LEAD)))]).when(alice(Member), place.clone()).events();
    let (refer, release) = (ClaimChange::refer, ClaimChange::release);
    let expected = vec![
        release(ClaimName::clear("task_stage", LEAD)),
        refer(ClaimName::clear("task_stage", DUE)),
        release(ClaimName::clear("pipeline", SALES)),
        refer(ClaimName::clear("pipeline", BILLING)),
    ];
    assert_eq!(Task::claims(&events[0], ID), expected);
    tasks([placed_from_birth(Some((BILLING, DUE)))]).when(alice(Member), place).then_nothing();
}

#[test]
fn a_closed_task_lets_its_pipeline_go_and_is_not_reopened_without_it() {
    let done = [placed_from_birth(Some((SALES, LEAD))), TaskCancelled { reason: said("moot"), pipeline_id: Some(SALES) }];
    assert_eq!(held::<Task>(&done), [("task_stage", LEAD.to_string())].into());
    let gone = || sales().into_iter().chain([PipelineEvent::PipelineDeleted { key: "sales".into() }]).collect();
    tasks_with(done.clone(), gone()).when(alice(Operator), reopen()).then_refused(TaskError::PipelineGone);
    let elsewhere = tasks_with(done.clone(), gone()).when(alice(Operator), PlaceTask { pipeline_id: BILLING, stage_id: DUE }).events();
    tasks(done.into_iter().chain(elsewhere))
        .when(alice(Operator), reopen())
        .then([TaskReopened { reason: said("again"), pipeline_id: Some(BILLING) }]);
}

#[test]
fn only_active_members_are_assigned_and_only_who_may_assign_gives_a_new_task_away() {
    let stranger = UserId(Uuid::from_u128(0x57));
    tasks([]).when(alice(Member), new_task(None, None, Some(BOB))).then_refused(TaskError::AssignNotAllowed);
    assert!(tasks([]).when(alice(Member), new_task(None, None, Some(ALICE))).outcome.is_ok());
    tasks([]).when(alice(Operator), new_task(None, None, Some(stranger))).then_refused(TaskError::AssigneeNotMember);
    tasks([task()]).when(alice(Operator), AssignTask { user_id: stranger }).then_refused(TaskError::UserNotMember);
    tasks([task(), TaskAssigned { user_id: BOB }]).when(alice(Operator), AssignTask { user_id: BOB }).then_nothing();
    tasks([task(), TaskAssigned { user_id: BOB }]).when(alice(Operator), UnassignTask).then([TaskUnassigned { user_id: BOB }]);
    tasks([task()]).when(alice(Operator), UnassignTask).then_nothing();
}

#[test]
fn a_task_made_after_a_template_has_its_title_place_steps_and_hour() {
    let made = |caller| tasks([]).and::<TaskTemplate>(VISIT, template(AssigneeRule::Creator)).when(caller, ada()).state;
    for state in [made(alice(Editor)), made(system(&PROGRAM))] {
        let work = state.work().unwrap();
        assert_eq!(work.title, "Visit Ada {{city}} in York", "what fills a title is not filled again");
        assert_eq!((work.template_id, work.source, work.assignee_id), (Some(VISIT), TaskSource::Intake, Some(ALICE)));
        assert_eq!((work.pipeline_id, work.stage_id, work.due_at), (Some(SALES), Some(LEAD), Some(noon() + TimeDelta::hours(48))));
        let data: serde_json::Value = serde_json::from_str(work.data.as_ref().unwrap().open().unwrap()).unwrap();
        assert_eq!((&data["steps"], &data["priority"], &data["variables"]["city"]), (&json!(["Ring"]), &json!("HIGH"), &json!("York")));
        assert_eq!(work.description, Some(said("bring cake")));
    }
}

#[test]
fn a_template_that_is_gone_inactive_or_not_filled_makes_no_task() {
    let with = |events| tasks([]).and::<TaskTemplate>(VISIT, events);
    let and = |event| template(AssigneeRule::Nobody).into_iter().chain([event]).collect::<Vec<_>>();
    with(vec![]).when(alice(Member), ada()).then_refused(TaskError::TaskTemplateNotFound);
    with(and(TemplateEvent::TaskTemplateDeleted)).when(alice(Member), ada()).then_refused(TaskError::TaskTemplateNotFound);
    with(and(TemplateEvent::TaskTemplateDeactivated)).when(alice(Member), ada()).then_refused(TaskError::TaskTemplateInactive);
    let filled = |variables| with(template(AssigneeRule::Nobody)).when(alice(Member), visit(variables));
    filled(json!({"customer": "Ada"})).then_refused(TaskError::VariableMissing("city".into()));
    filled(json!({"customer": "Ada", "city": 7})).then_refused(TaskError::VariableMissing("city".into()));
    filled(json!(["Ada"])).then_refused(TaskError::VariablesInvalid);
    let long = filled(json!({"customer": "a".repeat(200), "city": "York"}));
    assert!(matches!(long.outcome, Err(crate::Rejection::Refused(TaskError::TitleInvalid(_)))));
}

#[test]
fn a_preferred_pipeline_that_takes_nothing_is_done_without() {
    let made = |events| {
        let state = tasks_with([], events).and::<TaskTemplate>(VISIT, template(AssigneeRule::Nobody)).when(alice(Member), ada()).state;
        state.work().map(|work| (work.pipeline_id, work.assignee_id))
    };
    assert_eq!(made(sales()), Some((None, None)), "inactive");
    assert_eq!(made(billing()), Some((None, None)), "another key");
}

#[test]
fn the_program_records_decisions_and_nobody_else_and_each_counts() {
    let recorded = tasks([task()]).when(system(&PROGRAM), decision()).events();
    let [TaskDecisionRecorded { event_name, decision: sealed, llm_call: Some(call), at }] = &recorded[..] else { panic!("{recorded:?}") };
    assert_eq!((event_name.as_str(), sealed, call.tokens_out, *at), ("routed", &said(r#"{"to":"sales"}"#), 2, noon()));
    let again = tasks([task()].into_iter().chain(recorded)).when(system(&PROGRAM), decision()).state;
    assert_eq!(again.work().unwrap().decisions, 2);
}

#[test]
fn a_deleted_task_is_gone_for_ever_and_refers_to_nothing() {
    let events = [placed_from_birth(Some((SALES, LEAD))), TaskDeleted { pipeline_id: Some(SALES), stage_id: Some(LEAD) }];
    assert!(held::<Task>(&events).is_empty());
    tasks(events.clone()).when(alice(Operator), DeleteTask).then_nothing();
    tasks(events.clone()).when(alice(Operator), StartTask).then_refused(TaskError::Deleted);
    tasks(events).when(alice(Operator), new_task(None, None, None)).then_refused(TaskError::AlreadyExists);
    tasks([]).when(alice(Operator), StartTask).then_refused(TaskError::NotFound);
}

#[test]
fn an_update_says_what_it_changed_and_free_text_is_the_workspaces() {
    let due_at = Some(noon());
    let update = UpdateTask {
        title: Patch::Set("Call Ada".try_into().unwrap()),
        description: Patch::Set(Some("soon".try_into().unwrap())),
        due_at: Patch::Set(due_at),
        data: Patch::Keep,
    };
    let changes = TaskChanges {
        description: Some(crate::Change { from: None, to: Some(said("soon")) }),
        due_at: Some(crate::Change { from: None, to: due_at }),
        ..TaskChanges::default()
    };
    tasks([task()]).when(alice(Member), update.clone()).then([TaskUpdated { changes: changes.clone() }]);
    tasks([task(), TaskUpdated { changes }]).when(alice(Member), update).then_nothing();
}

#[test]
fn a_template_is_made_changed_switched_and_deleted_by_those_who_may() {
    use TemplateCommand::*;
    let now = || given::<TaskTemplate>(template(AssigneeRule::Nobody));
    let rename = || UpdateTaskTemplate {
        label: Patch::Set("Call".try_into().unwrap()),
        category: Patch::Keep,
        preferred_pipeline_key: Patch::Keep,
        definition: Patch::Set(recipe(AssigneeRule::Nobody)),
    };
    let label = Some(crate::Change { from: "Visit".to_owned(), to: "Call".to_owned() });
    let changes = TemplateChanges { label, ..TemplateChanges::default() };
    now().when(alice(Operator), rename()).then([TemplateEvent::TaskTemplateUpdated { changes }]);
    now().when(alice(Member), rename()).then_denied("task_templates.update");
    now().when(alice(Member), DeactivateTaskTemplate).then_denied("task_templates.update");
    now().when(alice(Operator), DeleteTaskTemplate).then_denied("task_templates.delete");
    now().when(alice(Operator), ActivateTaskTemplate).then_nothing();
    now().when(alice(Operator), DeactivateTaskTemplate).then([TemplateEvent::TaskTemplateDeactivated]);
    let pm = || alice(BuiltInRole::Pm);
    now().when(pm(), DeleteTaskTemplate).then([TemplateEvent::TaskTemplateDeleted]);
    let gone = || given::<TaskTemplate>(template(AssigneeRule::Nobody).into_iter().chain([TemplateEvent::TaskTemplateDeleted]));
    gone().when(pm(), DeleteTaskTemplate).then_nothing();
    gone().when(pm(), rename()).then_refused(TemplateError::Deleted);
    given::<TaskTemplate>([]).when(pm(), ActivateTaskTemplate).then_refused(TemplateError::NotFound);
    let many = NewRecipe { steps: vec!["Ring".try_into().unwrap(); MAX_STEPS + 1], ..recipe(AssigneeRule::Nobody) };
    let update =
        UpdateTaskTemplate { label: Patch::Keep, category: Patch::Keep, preferred_pipeline_key: Patch::Keep, definition: Patch::Set(many) };
    now().when(pm(), update).then_refused(TemplateError::TooManySteps);
}

#[test]
fn a_titles_pattern_has_whole_placeholders_named_by_keys() {
    for good in ["Call", "Call {{a}}", "{{a_1}}{{b}}", "a } b"] {
        assert!(TitlePattern::try_from(good.to_owned()).is_ok(), "{good}");
    }
    for bad in ["{{", "{{a", "{{}}", "{{A b}}", ""] {
        assert!(TitlePattern::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}

fn any_command() -> impl Strategy<Value = TaskCommand> {
    let places = [(SALES, LEAD), (SALES, OFFER), (BILLING, DUE), (SALES, NOWHERE)];
    prop_oneof![
        6 => select(vec![StartTask, submit(), request_changes(), ApproveTask, block(), UnblockTask, complete(), cancel(), reopen()]),
        3 => select(places.to_vec()).prop_map(|(pipeline_id, stage_id)| PlaceTask { pipeline_id, stage_id }),
        1 => select(vec![AssignTask { user_id: BOB }, UnassignTask]),
        1 => Just(DeleteTask),
    ]
}

proptest! {
    #[test]
    fn whatever_is_asked_claims_follow_the_state_and_repeating_changes_nothing(commands in prop::collection::vec(any_command(), 1..60)) {
        let mut events = vec![placed_from_birth(Some((SALES, LEAD)))];
        for command in commands {
            let then = tasks(events.clone()).when(alice(Operator), command.clone());
            let Ok(new) = then.outcome else { continue };
            events.extend(new);
            let work = then.state.work().unwrap();
            prop_assert_eq!(work.status == TaskStatus::Blocked, work.before.is_some());
            let live = matches!(then.state, Task::Live(_));
            let stage = work.stage_id.filter(|_| live).map(|id| ("task_stage", id.to_string()));
            let pipeline = work.pipeline_id.filter(|_| live && work.status.is_open()).map(|id| ("pipeline", id.to_string()));
            prop_assert_eq!(held::<Task>(&events), stage.into_iter().chain(pipeline).collect::<BTreeSet<_>>());
            if let Ok(more) = tasks(events.clone()).when(alice(Operator), command.clone()).outcome {
                prop_assert!(more.is_empty(), "{:?} repeated yields {:?}", command, more);
            }
        }
    }
}
