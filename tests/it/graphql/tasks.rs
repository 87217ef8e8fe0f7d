//! Tasks, their templates and the decisions about them, through HTTP.

use super::*;
use crate::harness::{eventually, named};
use chrono::{DateTime, TimeDelta};
use domain::pipeline::{LlmCall, Task, TaskCommand};
use domain::{Json, Principal, SystemCaller};

/// The part of the program that decides.
static AGENT: SystemCaller = SystemCaller { name: "agent", commands: &["RecordTaskDecision"] };

/// A new task of somebody's, `more` being further fields of its input.
async fn task(person: &Person, title: &str, more: &str) -> Uuid {
    uuid(&person.client.run("createTask", &format!("input: {{ title: \"{title}\", {more} }}"), "id").await["entity"]["id"])
}

/// Runs a mutation of a task; answers what `entity` selects of it.
async fn with_task(person: &Person, mutation: &str, task: Uuid, more: &str, entity: &str) -> Value {
    person.client.run(mutation, &format!("taskId: \"{task}\", {more}"), entity).await["entity"].clone()
}

/// Runs a mutation of a task; answers its status.
async fn status(person: &Person, mutation: &str, task: Uuid, more: &str) -> String {
    with_task(person, mutation, task, more, "status").await["status"].as_str().unwrap().to_owned()
}

/// The code with which a mutation of a task is refused, empty where it is not.
async fn code(person: &Person, mutation: &str, task: Uuid, more: &str) -> String {
    person.client.mutate(mutation, &format!("taskId: \"{task}\", {more}"), "id").await.code()
}

/// The titles of the tasks that a filter and an order name.
async fn titles(person: &Person, arguments: &str) -> Vec<String> {
    let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
    let data = person.client.get(&format!("{{ tasks{arguments} {{ totalCount nodes {{ title }} }} }}"), json!({})).await;
    let titles = data["tasks"]["nodes"].as_array().unwrap().iter().map(|node| node["title"].as_str().unwrap().to_owned());
    let titles: Vec<_> = titles.collect();
    assert_eq!(data["tasks"]["totalCount"], titles.len());
    titles
}

async fn ends_well(world: &World) {
    equals_its_replay(&world.app).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_begun_reviewed_sent_back_and_approved() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (owner, worker) = (&acme.owner, acme.member(BuiltInRole::Member).await);
    let board = acme.board().await;
    let place = format!("pipelineId: \"{}\", assigneeId: \"{}\", source: INTAKE, sourceRef: \"mail-1\"", board.id, worker.id);
    let more = format!("{place}, dueAt: \"2036-06-02T09:00:00Z\", description: \"By phone\", data: {{ phone: [1, 2] }}");
    let made = owner
        .client
        .run(
            "createTask",
            &format!("input: {{ title: \"Call Ada\", {more} }}"),
            "id title description status source sourceRef dueAt data decisionCount createdBy pipeline { id } stage { id key } assignee { userId }",
        )
        .await["entity"]
        .clone();
    let task = uuid(&made["id"]);
    assert_eq!(
        made,
        json!({
            "id": task, "title": "Call Ada", "description": "By phone", "status": "NEW", "source": "INTAKE", "sourceRef": "mail-1",
            "dueAt": "2036-06-02T09:00:00+00:00", "data": { "phone": [1, 2] }, "decisionCount": 0, "createdBy": owner.id,
            "pipeline": { "id": board.id }, "stage": { "id": board.stages[0], "key": "s0" }, "assignee": { "userId": worker.id }
        })
    );
    assert_eq!(code(&worker, "completeTask", task, "").await, "INVALID_STATE");
    assert_eq!(status(&worker, "startTask", task, "").await, "IN_PROGRESS");
    assert_eq!(status(&worker, "submitTaskForReview", task, "note: \"Look\"").await, "NEEDS_REVIEW");
    assert_eq!(code(&worker, "completeTask", task, "").await, "INVALID_STATE", "what is in review is approved");
    assert_eq!(code(&worker, "approveTask", task, "").await, "FORBIDDEN");
    assert_eq!(status(owner, "requestTaskChanges", task, "note: \"Call again\"").await, "IN_PROGRESS");
    assert_eq!(status(&worker, "submitTaskForReview", task, "").await, "NEEDS_REVIEW");
    assert_eq!(status(owner, "approveTask", task, "").await, "DONE");
    assert_eq!(code(&worker, "startTask", task, "").await, "INVALID_STATE");

    let seen = owner.client.get(&format!("{{ task(id: \"{task}\") {{ status }} node(id: \"{task}\") {{ id }} }}"), json!({})).await;
    assert_eq!(seen, json!({ "task": { "status": "DONE" }, "node": { "id": task } }));
    assert_eq!(with_task(owner, "unassignTask", task, "", "assignee { userId }").await, json!({ "assignee": null }));
    let edited = "input: { title: \"Ada called\", description: null, dueAt: null, data: null }";
    assert_eq!(
        with_task(owner, "updateTask", task, edited, "title description dueAt data").await,
        json!({ "title": "Ada called", "description": null, "dueAt": null, "data": null })
    );
    assert!(with_task(owner, "deleteTask", task, "", "deletedAt").await["deletedAt"].is_string());
    assert_eq!(code(owner, "reopenTask", task, "reason: \"x\"").await, "INVALID_STATE");
    assert_eq!((titles(owner, "").await.len(), titles(owner, "filter: { includeDeleted: true }").await.len()), (0, 1));
    ends_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_task_becomes_what_it_was_and_a_closed_one_is_taken_up_again() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let owner = &acme.owner;
    let task = task(owner, "Call", "").await;
    let block = async || {
        let blocked = with_task(owner, "blockTask", task, "reason: \"No phone\"", "status blockedReason").await;
        assert_eq!(blocked, json!({ "status": "BLOCKED", "blockedReason": "No phone" }));
    };
    let unblock = async || with_task(owner, "unblockTask", task, "", "status blockedReason").await;
    assert_eq!(code(owner, "unblockTask", task, "").await, "INVALID_STATE");
    let ways = [("", "NEW"), ("startTask", "IN_PROGRESS"), ("submitTaskForReview", "NEEDS_REVIEW")];
    for (mutation, before) in ways {
        if !mutation.is_empty() {
            status(owner, mutation, task, "").await;
        }
        block().await;
        assert_eq!(code(owner, "startTask", task, "").await, "INVALID_STATE");
        assert_eq!(unblock().await, json!({ "status": before, "blockedReason": null }));
    }
    block().await;
    let cancelled = with_task(owner, "cancelTask", task, "reason: \"Moot\"", "status blockedReason").await;
    assert_eq!(cancelled, json!({ "status": "CANCELLED", "blockedReason": null }));
    assert_eq!(code(owner, "blockTask", task, "reason: \"x\"").await, "INVALID_STATE");
    assert_eq!(status(owner, "reopenTask", task, "reason: \"After all\"").await, "IN_PROGRESS");
    assert_eq!(status(owner, "completeTask", task, "outcome: \"Called\"").await, "DONE");
    assert_eq!(status(owner, "reopenTask", task, "reason: \"Again\"").await, "IN_PROGRESS");
    let long = format!("taskId: \"{task}\", reason: \"{}\"", "x".repeat(1_001));
    for mutation in ["blockTask", "cancelTask", "reopenTask"] {
        let reply = owner.client.mutate(mutation, &long, "id").await;
        assert_eq!(reply.user_errors(), [("VALIDATION_ERROR".to_owned(), vec!["reason".to_owned()])], "{}", reply.text);
    }
    ends_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_makes_tasks_of_variables_in_the_pipeline_that_it_prefers() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (owner, board) = (&acme.owner, acme.board().await);
    let of = format!("{{ pipeline(id: \"{}\") {{ key }} }}", board.id);
    let key = owner.client.get(&of, json!({})).await["pipeline"]["key"].as_str().unwrap().to_owned();
    let definition = "titlePattern: \"Call {{customer}} of {{city}}\", description: \"By phone\", steps: [\"Dial\", \"Talk\"],
        defaultAssigneeRule: CREATOR, dueInHours: 48, priority: HIGH";
    let input = format!("label: \"Call\", category: \"phone\", preferredPipelineKey: \"{key}\", definition: {{ {definition} }}");
    let shown = "id isActive titlePattern steps defaultAssigneeRule dueInHours priority";
    let made = owner.client.run("createTaskTemplate", &format!("input: {{ {input} }}"), shown).await["entity"].clone();
    let template = uuid(&made["id"]);
    assert_eq!(
        made,
        json!({
            "id": template, "isActive": true, "titlePattern": "Call {{customer}} of {{city}}", "steps": ["Dial", "Talk"],
            "defaultAssigneeRule": "CREATOR", "dueInHours": 48, "priority": "HIGH"
        })
    );
    let input = |variables: &str| format!("input: {{ templateId: \"{template}\", variables: {variables} }}");
    let filled = "{ customer: \"{{city}}\", city: \"Ulm\", n: 7 }";
    let entity = "title description status templateId template { label isActive } pipelineId stageId assigneeId dueAt createdAt data";
    let task = owner.client.run("createTaskFromTemplate", &input(filled), entity).await["entity"].clone();
    let at = |field: &str| DateTime::parse_from_rfc3339(task[field].as_str().unwrap()).unwrap();
    // The time of the decision, which is shortly before that of the log.
    let late = at("createdAt") + TimeDelta::hours(48) - at("dueAt");
    assert!((TimeDelta::zero()..TimeDelta::minutes(1)).contains(&late), "{late}");
    let variables = json!({ "customer": "{{city}}", "city": "Ulm", "n": 7 });
    for (field, expected) in [
        ("title", json!("Call {{city}} of Ulm")),
        ("description", json!("By phone")),
        ("status", json!("NEW")),
        ("templateId", json!(template)),
        ("template", json!({ "label": "Call", "isActive": true })),
        ("pipelineId", json!(board.id)),
        ("stageId", json!(board.stages[0])),
        ("assigneeId", json!(owner.id)),
        ("data", json!({ "priority": "HIGH", "steps": ["Dial", "Talk"], "variables": variables })),
    ] {
        assert_eq!(task[field], expected, "{field}");
    }

    let refused = async |variables: &str| {
        let reply = owner.client.mutate("createTaskFromTemplate", &input(variables), "id").await;
        assert!(reply.payload()["userErrors"][0]["message"].is_string(), "{}", reply.text);
        reply.user_errors()
    };
    let of_variables = |code: &str| vec![(code.to_owned(), vec!["input".to_owned(), "variables".to_owned()])];
    for (variables, code) in [
        ("{ customer: \"Ada\" }", "VARIABLE_MISSING"),
        ("{ customer: \"Ada\", city: 7 }", "VARIABLE_MISSING"),
        ("[\"Ada\"]", "VARIABLES_INVALID"),
        (&format!("{{ customer: \"{}\", city: \"x\" }}", "x".repeat(200)), "TITLE_INVALID"),
    ] {
        assert_eq!(refused(variables).await, of_variables(code), "{variables}");
    }
    let broken = "label: \"x\", category: \"x\", definition: { titlePattern: \"Call {{Customer}}\" }";
    let reply = owner.client.mutate("createTaskTemplate", &format!("input: {{ {broken} }}"), "id").await;
    let path = ["input", "definition", "titlePattern"].map(str::to_owned).to_vec();
    assert_eq!(reply.user_errors(), [("VALIDATION_ERROR".to_owned(), path)], "{}", reply.text);

    // Where the pipeline takes nothing, the task stands in none. Under a key, the task is the same wherever it stands.
    let keyed = owner.client.with("Idempotency-Key", "once");
    let once = keyed.run("createTaskFromTemplate", &input(filled), "id stageId").await["entity"].clone();
    owner.client.run("deactivatePipeline", &format!("pipelineId: \"{}\"", board.id), "id").await;
    let nowhere = owner.client.run("createTaskFromTemplate", &input(filled), "pipelineId stageId").await;
    assert_eq!(nowhere["entity"], json!({ "pipelineId": null, "stageId": null }));
    assert_eq!(keyed.run("createTaskFromTemplate", &input(filled), "id stageId").await["entity"], once);
    let change = format!("templateId: \"{template}\", input: {{ definition: {{ titlePattern: \"Visit\" }}, preferredPipelineKey: null }}");
    let changed = owner.client.run("updateTaskTemplate", &change, "label titlePattern steps preferredPipelineKey").await;
    assert_eq!(changed["entity"], json!({ "label": "Call", "titlePattern": "Visit", "steps": [], "preferredPipelineKey": null }));
    assert_eq!(titles(owner, &format!("filter: {{ templateId: \"{template}\" }}")).await.len(), 3);

    let gone = async |mutation: &str| {
        owner.client.run(mutation, &format!("templateId: \"{template}\""), "id").await;
        refused("{}").await[0].clone()
    };
    let of_template = |code: &str| (code.to_owned(), vec!["input".to_owned(), "templateId".to_owned()]);
    assert_eq!(gone("deactivateTaskTemplate").await, of_template("TASK_TEMPLATE_INACTIVE"));
    assert_eq!(gone("deleteTaskTemplate").await, of_template("TASK_TEMPLATE_NOT_FOUND"));
    let listed = owner.client.get("{ taskTemplates { totalCount } all: taskTemplates(filter: { includeDeleted: true, category: \"phone\" }) { totalCount nodes { isActive } } }", json!({})).await;
    let all = json!({ "totalCount": 1, "nodes": [{ "isActive": false }] });
    assert_eq!(listed, json!({ "taskTemplates": { "totalCount": 0 }, "all": all }));
    ends_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overdue_is_what_is_open_and_should_be_done_by_now() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (owner, worker) = (&acme.owner, acme.member(BuiltInRole::Member).await);
    let due = |hours: i64| format!("dueAt: \"{}\"", (clock::now() + TimeDelta::hours(hours)).to_rfc3339());
    task(owner, "late", &due(-1)).await;
    task(owner, "early", &due(1)).await;
    task(owner, "never", "").await;
    let done = task(owner, "done", &due(-2)).await;
    status(owner, "cancelTask", done, "reason: \"Moot\"").await;
    let theirs = task(owner, "theirs", &format!("{}, assigneeId: \"{}\", source: AGENT", due(-3), worker.id)).await;
    for (arguments, expected) in [
        ("filter: { overdue: true }, orderBy: DUE_AT_ASC", vec!["theirs", "late"]),
        ("filter: { overdue: false }, orderBy: DUE_AT_ASC", vec!["done", "early", "never"]),
        ("orderBy: DUE_AT_DESC", vec!["never", "early", "late", "done", "theirs"]),
        ("orderBy: CREATED_AT_ASC", vec!["late", "early", "never", "done", "theirs"]),
        ("", vec!["theirs", "done", "never", "early", "late"]),
        ("filter: { status: CANCELLED }", vec!["done"]),
        ("filter: { source: AGENT }", vec!["theirs"]),
        (&format!("filter: {{ assigneeId: \"{}\", overdue: true }}", worker.id), vec!["theirs"]),
    ] {
        assert_eq!(titles(owner, arguments).await, expected, "{arguments}");
    }
    // Pages join without a gap, around what is never due too.
    for order in ["DUE_AT_ASC", "DUE_AT_DESC"] {
        let all = titles(owner, &format!("orderBy: {order}")).await;
        let (mut paged, mut after): (Vec<String>, _) = (vec![], Value::Null);
        while paged.len() < all.len() {
            let query = format!(
                "query ($after: String) {{ tasks(orderBy: {order}, first: 1, after: $after) {{ nodes {{ title }} pageInfo {{ endCursor hasNextPage }} }} }}"
            );
            let page = owner.client.get(&query, json!({ "after": after })).await["tasks"].clone();
            paged.push(page["nodes"][0]["title"].as_str().unwrap().to_owned());
            assert_eq!(page["pageInfo"]["hasNextPage"], paged.len() < all.len());
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(paged, all, "{order}");
    }
    with_task(owner, "updateTask", theirs, &format!("input: {{ {} }}", due(3)), "dueAt").await;
    assert_eq!(titles(owner, "filter: { overdue: true }").await, ["late"]);
    for kind in ["pipelineId", "templateId", "assigneeId"] {
        let query = format!("{{ tasks(filter: {{ {kind}: \"{}\" }}) {{ totalCount }} }}", clock::new_uuid());
        assert_eq!(owner.client.ask(&query, json!({})).await.code(), "NOT_FOUND", "{kind}");
    }
    ends_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_the_programs_to_record_and_are_listed_in_their_order() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (owner, task) = (&acme.owner, task(&acme.owner, "Call", "").await);
    let call = LlmCall {
        provider: named("local"),
        model: named("small-1"),
        prompt_hash: named("abc123"),
        tokens_in: 812,
        tokens_out: 33,
        latency_ms: 450,
    };
    let record = |event: &str, decision: Value, llm_call| TaskCommand::RecordTaskDecision {
        event_name: named(event),
        decision: Json::try_from(decision).unwrap(),
        llm_call,
    };
    let request = || Origin::new().system(&AGENT, acme.id.into(), None);
    for command in
        [record("routed", json!({ "to": "sales" }), Some(call)), record("held", json!(["x"]), None), record("held", json!(["x"]), None)]
    {
        world.app.commands.execute::<Task>(&request(), Target::Existing(task), command).await.unwrap();
    }
    let by_user = Origin::new().request(Principal::User(owner.id), acme.id.into());
    let refused = world.app.commands.execute::<Task>(&by_user, Target::Existing(task), record("routed", json!({}), None)).await;
    assert!(refused.is_err(), "{refused:?}");

    let fields = "eventName decision byModel llmProvider llmModel llmPromptHash llmTokensIn llmTokensOut llmLatencyMs taskId";
    let query = format!(
        "{{ taskDecisions(taskId: \"{task}\") {{ nodes {{ {fields} }} }} task(id: \"{task}\") {{ decisionCount decisions(first: 2) {{ nodes {{ {fields} }} pageInfo {{ hasNextPage }} }} }} }}"
    );
    let data = eventually("the decisions to be shown", || async {
        let data = owner.client.get(&query, json!({})).await;
        let rows = data["taskDecisions"]["nodes"].as_array().unwrap().len();
        let its = &data["task"];
        // Each field reads for itself: all of them must have come so far.
        (rows == 3 && its["decisionCount"] == 3 && its["decisions"]["pageInfo"]["hasNextPage"] == true).then_some(data)
    })
    .await;
    let (by_model, by_rule) = (&data["taskDecisions"]["nodes"][0], &data["taskDecisions"]["nodes"][1]);
    let expected = json!({
        "eventName": "routed", "decision": { "to": "sales" }, "byModel": true, "llmProvider": "local", "llmModel": "small-1",
        "llmPromptHash": "abc123", "llmTokensIn": 812, "llmTokensOut": 33, "llmLatencyMs": 450, "taskId": task
    });
    assert_eq!(by_model, &expected);
    assert_eq!((&by_rule["decision"], &by_rule["byModel"], &by_rule["llmModel"]), (&json!(["x"]), &json!(false), &Value::Null));
    assert_eq!(by_rule, &data["taskDecisions"]["nodes"][2], "said twice, it was decided twice");
    let its = &data["task"]["decisions"];
    assert_eq!((&its["nodes"], &its["pageInfo"]), (&json!([by_model, by_rule]), &json!({ "hasNextPage": true })));
    let absent = format!("{{ taskDecisions(taskId: \"{}\") {{ nodes {{ eventName }} }} }}", clock::new_uuid());
    assert_eq!(owner.client.ask(&absent, json!({})).await.code(), "NOT_FOUND");
    let client = acme.member(BuiltInRole::Client).await;
    assert_eq!(client.client.ask(&query, json!({})).await.code(), "NOT_FOUND", "not theirs to see");
    ends_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_task_keeps_its_pipeline_and_any_task_its_stage() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (owner, board, elsewhere) = (&acme.owner, acme.board().await, acme.board().await);
    let [first, second, _] = board.stages[..] else { panic!() };
    let task = task(owner, "Call", &format!("pipelineId: \"{}\", stageId: \"{second}\"", board.id)).await;
    let to = |board: &Board, stage: Uuid| format!("pipelineId: \"{}\", stageId: \"{stage}\"", board.id);
    let of_board = async |mutation: &str, stage: Option<Uuid>| {
        let stage = stage.map(|stage| format!(", stageId: \"{stage}\"")).unwrap_or_default();
        owner.client.mutate(mutation, &format!("pipelineId: \"{}\"{stage}", board.id), "id").await.code()
    };
    assert_eq!(of_board("removeStage", Some(second)).await, "STAGE_IN_USE");
    let placed = with_task(owner, "placeTask", task, &to(&board, first), "stage { key }").await;
    assert_eq!(placed, json!({ "stage": { "key": "s0" } }));
    assert_eq!(of_board("removeStage", Some(second)).await, "");
    assert_eq!(code(owner, "placeTask", task, &to(&board, second)).await, "STAGE_NOT_FOUND");
    assert_eq!(code(owner, "placeTask", task, &to(&board, elsewhere.stages[0])).await, "STAGE_NOT_FOUND");

    assert_eq!(of_board("deactivatePipeline", None).await, "");
    assert_eq!(of_board("deletePipeline", None).await, "PIPELINE_IN_USE");
    status(owner, "startTask", task, "").await;
    status(owner, "completeTask", task, "").await;
    assert_eq!(of_board("removeStage", Some(first)).await, "STAGE_IN_USE", "one that is done stands there still");
    status(owner, "reopenTask", task, "reason: \"x\"").await;
    assert_eq!(of_board("deletePipeline", None).await, "PIPELINE_IN_USE");
    status(owner, "completeTask", task, "").await;
    assert_eq!(of_board("deletePipeline", None).await, "");
    assert_eq!(code(owner, "reopenTask", task, "reason: \"x\"").await, "PIPELINE_NOT_FOUND");
    // Placed elsewhere while closed, it holds the other pipeline once it is open again.
    let delete = format!("pipelineId: \"{}\"", elsewhere.id);
    with_task(owner, "placeTask", task, &to(&elsewhere, elsewhere.stages[1]), "id").await;
    assert_eq!(status(owner, "reopenTask", task, "reason: \"x\"").await, "IN_PROGRESS");
    assert_eq!(owner.client.mutate("deletePipeline", &delete, "id").await.code(), "PIPELINE_IN_USE");
    assert_eq!(titles(owner, &format!("filter: {{ {delete} }}")).await, ["Call"]);
    with_task(owner, "deleteTask", task, "", "id").await;
    owner.client.run("deletePipeline", &delete, "id").await;
    ends_well(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_change_the_tasks_that_they_made_or_have_to_do() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let (owner, ann, bob) = (&acme.owner, acme.member(BuiltInRole::Member).await, acme.member(BuiltInRole::Member).await);
    let rename = "input: { title: \"Renamed\" }";
    let (hers, his) = (task(&ann, "hers", "").await, task(&bob, "his", "").await);
    assert_eq!(
        (code(&ann, "updateTask", hers, rename).await, code(&ann, "updateTask", his, rename).await),
        ("".into(), "FORBIDDEN".into())
    );
    for (mutation, more) in [
        ("startTask", "".to_owned()),
        ("cancelTask", "reason: \"x\"".to_owned()),
        ("assignTask", format!("userId: \"{}\"", ann.id)),
        ("deleteTask", "".to_owned()),
    ] {
        assert_eq!(code(&ann, mutation, his, &more).await, "FORBIDDEN", "{mutation}");
    }
    with_task(owner, "assignTask", his, &format!("userId: \"{}\"", ann.id), "id").await;
    assert_eq!(status(&ann, "startTask", his, "").await, "IN_PROGRESS");
    assert_eq!(status(&bob, "completeTask", his, "").await, "DONE", "who made it may too");
    // At creation, one's own to do is anybody's to say, another's only whose who may assign.
    task(&ann, "mine", &format!("assigneeId: \"{}\"", ann.id)).await;
    let others = format!("input: {{ title: \"yours\", assigneeId: \"{}\" }}", bob.id);
    let reply = ann.client.mutate("createTask", &others, "id").await;
    assert_eq!(reply.code(), "FORBIDDEN", "{}", reply.text);
    let stranger = format!("input: {{ title: \"x\", assigneeId: \"{}\" }}", clock::new_uuid());
    let reply = owner.client.mutate("createTask", &stranger, "id").await;
    assert_eq!(reply.user_errors(), [("MEMBER_NOT_FOUND".to_owned(), vec!["input".to_owned(), "assigneeId".to_owned()])], "{}", reply.text);

    // A client sees what is theirs alone.
    let client = acme.member(BuiltInRole::Client).await;
    assert_eq!(titles(&client, "").await, [""; 0]);
    assert_eq!(client.client.ask(&format!("{{ task(id: \"{hers}\") {{ id }} }}"), json!({})).await.code(), "NOT_FOUND");
    with_task(owner, "assignTask", hers, &format!("userId: \"{}\"", client.id), "id").await;
    assert_eq!(titles(&client, "").await, ["Renamed"]);
    assert_eq!(code(&client, "updateTask", hers, rename).await, "FORBIDDEN");
    ends_well(&world).await;
}
