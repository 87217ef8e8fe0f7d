//! Somebody at work: looks at boards, lists and items, makes items and changes them, as the mix says.

use crate::people::Company;
use crate::tally::{Operation, Sample};
use anyhow::{Context, Result, ensure};
use api::app::App;
use api::clock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::header::{ACCEPT, AUTHORIZATION};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Of a hundred requests, so many are this: 60 queries, 40 mutations.
const MIX: [(Operation, u32); 9] = [
    (Operation::Board, 15),
    (Operation::List, 20),
    (Operation::Item, 15),
    (Operation::Me, 10),
    (Operation::CreateItem, 8),
    (Operation::MoveItem, 16),
    (Operation::UpdateItem, 8),
    (Operation::AssignItem, 4),
    (Operation::AddItemTag, 4),
];
/// Items somebody remembers and goes back to.
const REMEMBERED: usize = 20;
/// A token is made anew before it expires.
const RENEWAL: Duration = Duration::from_secs(10 * 60);

const PRIORITIES: [&str; 4] = ["LOW", "MEDIUM", "HIGH", "URGENT"];

const BOARD: &str = "query($id: ID!) { pipelineBoard(id: $id) { id name stages { id key name itemCount } } }";
const LIST: &str = "query($pipeline: ID!, $priority: Priority) { pipelineItems(first: 50, filter: { pipelineId: $pipeline, priority: $priority }, \
    orderBy: UPDATED_AT_DESC) { nodes { id title status priority stageId tags updatedAt assignee { name } } pageInfo { hasNextPage endCursor } } }";
/// Answered from the items alone.
const LIST_ALONE: &str = "query($pipeline: ID!, $priority: Priority) { pipelineItems(first: 50, filter: { pipelineId: $pipeline, priority: $priority }, \
    orderBy: UPDATED_AT_DESC) { nodes { id title status priority stageId tags updatedAt } pageInfo { hasNextPage endCursor } } }";
const ITEM: &str = "query($id: ID!) { pipelineItem(id: $id) { id title description status stage { name } assignee { name } tags data } \
    itemHistory(itemId: $id, first: 20) { nodes { kind at note actor { name } } } }";
const ME: &str = "{ me { id name email } myWorkspaces { id name slug } }";
const PAYLOAD: &str = "{ entity { id title status stageId assignedTo tags updatedAt } userErrors { code message } consistencyToken } }";

/// Everything clients share.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) app: App,
    pub(crate) http: reqwest::Client,
    /// One for each API process.
    pub(crate) urls: Vec<String>,
    pub(crate) companies: Vec<Company>,
    pub(crate) mutations_only: bool,
}

/// One user at one screen.
#[derive(Debug)]
pub(crate) struct Client {
    url: String,
    company: usize,
    person: usize,
    token: String,
    renewed: Instant,
    items: Vec<String>,
    random: StdRng,
    number: u64,
}

impl Client {
    /// Client `n`: in workspace after workspace, at process after process.
    fn new(scene: &Scene, n: usize, random: StdRng) -> Self {
        let company = n % scene.companies.len();
        let people = &scene.companies[company].people;
        let person = n / scene.companies.len() % people.len();
        let url = format!("{}/graphql", scene.urls[n % scene.urls.len()]);
        let mut client = Self { url, company, person, token: String::new(), renewed: Instant::now(), items: vec![], random, number: 0 };
        client.renew(scene);
        client
    }

    /// Client `n` with a course of its own, always the same.
    pub(crate) fn numbered(scene: &Scene, n: usize) -> Self {
        Self::new(scene, n, StdRng::seed_from_u64(n as u64))
    }

    fn renew(&mut self, scene: &Scene) {
        let person = &scene.companies[self.company].people[self.person];
        let token = scene.app.tokens.issue(person.user, Some(person.session), None, clock::now());
        (self.token, self.renewed) = (format!("Bearer {token}"), Instant::now());
    }

    /// Remembers some items that are there.
    pub(crate) async fn arrive(&mut self, scene: &Scene) -> Result<()> {
        let body = self.list(scene, Value::Null);
        let answer = self.send(scene, &body).await?;
        let items = answer["data"]["pipelineItems"]["nodes"].as_array().context("the list of items")?;
        let known = items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned));
        self.items = known.skip(self.person).take(REMEMBERED).collect();
        Ok(())
    }

    /// The time until the next request of somebody who sends one every `period` on average: any moment is as likely as
    /// any other.
    pub(crate) fn pause(&mut self, period: Duration) -> Duration {
        let uniform: f64 = self.random.gen_range(f64::EPSILON..1.0);
        period.mul_f64((-uniform.ln()).min(10.0))
    }

    /// Does the next thing. What goes wrong is told on standard error and counted.
    pub(crate) async fn step(&mut self, scene: &Scene, begun: Instant) -> Sample {
        if self.renewed.elapsed() > RENEWAL {
            self.renew(scene);
        }
        let (operation, body) = self.next(scene);
        let sent = Instant::now();
        let outcome = self.send(scene, &body).await.and_then(|answer| self.judge(operation, &answer));
        let took = sent.elapsed();
        if let Err(error) = &outcome {
            eprintln!("{}: {error:#}", operation.name());
        }
        Sample { operation, sent: sent - begun, took, good: outcome.is_ok() }
    }

    fn judge(&mut self, operation: Operation, answer: &Value) -> Result<()> {
        ensure!(answer.get("errors").is_none(), "{answer}");
        if !operation.is_query() {
            ensure!(answer["data"]["it"]["userErrors"].as_array().is_some_and(Vec::is_empty), "{answer}");
            let entity = answer["data"]["it"]["entity"]["id"].as_str().with_context(|| format!("no entity: {answer}"))?;
            if operation == Operation::CreateItem {
                self.items.push(entity.to_owned());
                if self.items.len() > REMEMBERED {
                    self.items.remove(0);
                }
            }
        }
        Ok(())
    }

    fn next(&mut self, scene: &Scene) -> (Operation, Value) {
        let board = &scene.companies[self.company].tenant.board;
        let from = if scene.mutations_only { 60 } else { 0 };
        let mut point = self.random.gen_range(from..100);
        let mut operation = Operation::Me;
        for (candidate, share) in MIX {
            if point < share {
                operation = candidate;
                break;
            }
            point -= share;
        }
        let item = match self.items.len() {
            0 => None,
            known => Some(self.items[self.random.gen_range(0..known)].clone()),
        };
        let Some(item) = item.filter(|_| operation != Operation::CreateItem) else {
            let input = json!({ "pipelineId": board.pipeline, "title": "Extension of the house at 12 Canal Street",
                "description": "The applicant asks for a second storey on the rear annex; drawings are attached.", "tags": ["permit"] });
            return (Operation::CreateItem, mutation("createItem(input: $input)", "$input: CreateItemInput!", json!({ "input": input })));
        };
        self.number += 1;
        let body = match operation {
            Operation::Board => json!({ "query": BOARD, "variables": { "id": board.pipeline } }),
            Operation::List => self.list(scene, json!("HIGH")),
            Operation::Item => json!({ "query": ITEM, "variables": { "id": item } }),
            Operation::Me | Operation::CreateItem => json!({ "query": ME }),
            Operation::MoveItem => {
                let input = json!({ "toStageId": board.stages[self.random.gen_range(0..board.stages.len())] });
                mutation("moveItem(itemId: $id, input: $input)", "$id: ID!, $input: MoveItemInput!", json!({ "id": item, "input": input }))
            }
            Operation::UpdateItem => {
                let priority = PRIORITIES[self.random.gen_range(0..PRIORITIES.len())];
                let input = json!({ "priority": priority, "title": format!("Canal Street, {}", self.number) });
                mutation(
                    "updateItem(itemId: $id, input: $input)",
                    "$id: ID!, $input: UpdateItemInput!",
                    json!({ "id": item, "input": input }),
                )
            }
            Operation::AssignItem => {
                mutation("assignItem(itemId: $id, userId: $user)", "$id: ID!, $user: ID!", json!({ "id": item, "user": board.assignee }))
            }
            Operation::AddItemTag => {
                let tag = format!("tag-{}", self.random.gen_range(0..5));
                mutation("addItemTag(itemId: $id, tag: $tag)", "$id: ID!, $tag: String!", json!({ "id": item, "tag": tag }))
            }
        };
        (operation, body)
    }

    fn list(&self, scene: &Scene, priority: Value) -> Value {
        let pipeline = scene.companies[self.company].tenant.board.pipeline;
        json!({ "query": LIST, "variables": { "pipeline": pipeline, "priority": priority } })
    }

    /// Asks the program.
    pub(crate) async fn send(&self, scene: &Scene, body: &Value) -> Result<Value> {
        let request = scene.http.post(&self.url).header(ACCEPT, "application/graphql-response+json").header(AUTHORIZATION, &self.token);
        let response = request.header("Annals-Workspace", &scene.companies[self.company].slug).json(body).send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// The list of items that a client looks at, without what stands in other tables.
pub(crate) fn list_alone(client: &Client, scene: &Scene) -> Value {
    let pipeline = scene.companies[client.company].tenant.board.pipeline;
    json!({ "query": LIST_ALONE, "variables": { "pipeline": pipeline, "priority": "HIGH" } })
}

fn mutation(call: &str, declared: &str, variables: Value) -> Value {
    json!({ "query": format!("mutation({declared}) {{ it: {call} {PAYLOAD}"), "variables": variables })
}
