//! A log of another system, imported: GraphQL answers what its people would ask.

use super::*;
use crate::program::Program;

const LOG: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1.0" xmlns="http://www.xes-standard.org/">
  <trace><string key="concept:name" value="case 1"/><string key="channel" value="Desk"/>
    <event><string key="concept:name" value="Receive"/><string key="org:resource" value="Ann"/><date key="time:timestamp" value="2026-01-05T09:00:00.000+00:00"/></event>
    <event><string key="concept:name" value="Check"/><string key="org:resource" value="Bob"/><date key="time:timestamp" value="2026-01-05T10:00:00.000+00:00"/><string key="form" value="B 7"/></event>
    <event><string key="concept:name" value="Check"/><string key="org:resource" value="Ann"/><date key="time:timestamp" value="2026-01-05T11:00:00.000+00:00"/></event>
    <event><string key="concept:name" value="Decide"/><string key="org:resource" value="Ann"/><date key="time:timestamp" value="2026-01-05T12:30:00.000+00:00"/></event>
  </trace>
  <trace><string key="concept:name" value="case 2"/>
    <event><string key="concept:name" value="Receive"/><string key="org:resource" value="Bob"/><date key="time:timestamp" value="2026-01-06T09:00:00.000+00:00"/></event>
    <event><string key="concept:name" value="Check"/><string key="org:resource" value="Bob"/><date key="time:timestamp" value="2026-01-06T09:30:00.000+00:00"/></event>
  </trace>
  <trace><string key="concept:name" value="case 3"/>
    <event><string key="concept:name" value="Receive"/><string key="org:resource" value="Ann"/><date key="time:timestamp" value="2026-01-07T09:00:00.000+00:00"/></event>
  </trace>
</log>
"#;

#[tokio::test]
async fn graphql_answers_questions_about_an_imported_log() {
    let program = Program::new().await;
    program.succeed(&["demo"]).await;
    let file = program.path("small.xes");
    std::fs::write(&file, LOG).unwrap();
    program
        .succeed(&["import", "xes", file.to_str().unwrap(), "--workspace", "small", "--pipeline", "small", "--owner", "owner@demo.example"])
        .await;
    let token = program.succeed(&["token", "--email", "owner@demo.example"]).await;
    let running = crate::harness::serve(&program.database.options(), api::serve::Options::default()).await;
    let client = Client::new(&format!("http://{}", running.address.unwrap()), Some(token.trim().to_owned())).in_workspace("small");

    let shown = crate::harness::eventually("all items to be shown", || async {
        let data = client.get("{ pipelines { nodes { id key name isActive openItems } } pipelineItems(orderBy: CREATED_AT_ASC) { totalCount nodes { id title data enteredStageAt stage { name } } } }", json!({})).await;
        // Each field reads for itself: all of them must have come so far.
        let items = data["pipelineItems"]["totalCount"] == 3 && data["pipelineItems"]["nodes"][0]["stage"]["name"] == "Decide";
        (items && data["pipelines"]["nodes"][0]["openItems"] == 3).then_some(data)
    })
    .await;
    let pipeline = &shown["pipelines"]["nodes"][0];
    assert_eq!((&pipeline["key"], &pipeline["isActive"], &pipeline["openItems"]), (&json!("small"), &json!(true), &json!(3)));
    let items = &shown["pipelineItems"]["nodes"];
    assert_eq!((&items[0]["title"], &items[0]["data"]["channel"]), (&json!("case 1"), &json!("Desk")), "{items}");
    assert_eq!(
        chrono::DateTime::parse_from_rfc3339(items[0]["enteredStageAt"].as_str().unwrap()).unwrap().to_rfc3339(),
        "2026-01-05T12:30:00+00:00"
    );

    // The board.
    let data = client
        .get(
            "query ($id: ID!) { pipelineBoard(id: $id) { stages { name order itemCount isTerminal items { title } } } }",
            json!({ "id": pipeline["id"] }),
        )
        .await;
    let stages: Vec<_> = data["pipelineBoard"]["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| {
            (stage["name"].as_str().unwrap(), stage["itemCount"].as_i64().unwrap(), stage["items"][0]["title"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(stages, [("Receive", 1, "case 3"), ("Check", 1, "case 2"), ("Decide", 1, "case 1")]);

    // An item's history.
    let data = client
        .get(
            "query ($id: ID!) { itemHistory(itemId: $id) { nodes { kind at activity attributes secondsInStage actor { name email } } } }",
            json!({ "id": items[0]["id"] }),
        )
        .await;
    let history = data["itemHistory"]["nodes"].as_array().unwrap();
    let kinds: Vec<_> = history.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["CREATED", "MOVED", "ACTIVITY", "MOVED"]);
    let who: Vec<_> = history.iter().map(|entry| entry["actor"]["name"].as_str().unwrap_or("?").to_owned()).collect();
    assert_eq!(who, ["Ann", "Bob", "Ann", "Ann"], "{data}");
    assert_eq!(
        (&history[1]["attributes"]["form"], &history[1]["secondsInStage"], &history[3]["secondsInStage"]),
        (&json!("B 7"), &json!(3600), &json!(9000)),
        "{data}"
    );
    assert_eq!(history[2]["activity"], "Check");

    // Time in stage.
    let data = client.get("query ($id: ID!) { timeInStage(pipelineId: $id) { stageId visits completedStays itemsNow totalSeconds averageSeconds medianSeconds } }", json!({ "id": pipeline["id"] })).await;
    let rows: Vec<Value> = data["timeInStage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["visits"], row["completedStays"], row["itemsNow"], row["totalSeconds"], row["averageSeconds"]]))
        .collect();
    assert_eq!(rows, [json!([3, 2, 1, 5400, 2700.0]), json!([2, 1, 1, 9000, 9000.0]), json!([1, 0, 1, 0, null])], "{data}");

    // By assignee: the one who has begun a case has it.
    let data = client.get("query ($id: ID!) { itemsByAssignee(pipelineId: $id) { items userId member { name } } members(orderBy: NAME) { nodes { name email roleKeys } } }", json!({ "id": pipeline["id"] })).await;
    let total: i64 = data["itemsByAssignee"].as_array().unwrap().iter().map(|row| row["items"].as_i64().unwrap()).sum();
    assert_eq!(total, 3, "{data}");
    let members = data["members"]["nodes"].as_array().unwrap();
    assert_eq!(members.len(), 3, "{data}");
    assert_eq!(
        members
            .iter()
            .filter(|member| member["email"].as_str().unwrap().ends_with("@import.invalid") && member["roleKeys"] == json!(["operator"]))
            .count(),
        2,
        "{data}"
    );
    running.stop().await;
}
