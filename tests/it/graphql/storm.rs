//! Many people do many things at once: afterwards everything still agrees with the log, and nothing personal stands
//! where it should not.

use super::*;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// It stands in every name, address, description, note and other text about people.
const SECRET: &str = "quagmire";
const EACH: usize = 45;

/// What a storm knows of a workspace: anybody may make items that others change.
struct Ground {
    acme: Acme,
    boards: Vec<Board>,
    people: Vec<Person>,
    items: Mutex<Vec<Uuid>>,
}

impl Ground {
    async fn new(world: &World, mark: &str) -> Self {
        let acme = Acme::with_people(world, mark, SECRET).await;
        let boards = vec![acme.board().await, acme.board().await];
        let mut people = vec![acme.owner.clone()];
        for role in [BuiltInRole::Operator, BuiltInRole::Operator, BuiltInRole::Member] {
            people.push(acme.member(role).await);
        }
        let items = Mutex::new(vec![acme.item(&boards[0]).await, acme.item(&boards[1]).await]);
        Self { acme, boards, people, items }
    }

    fn some_item(&self, random: &mut StdRng) -> Uuid {
        let items = self.items.lock().unwrap();
        items[random.gen_range(0..items.len())]
    }

    /// Some mutation with its arguments.
    fn anything(&self, random: &mut StdRng) -> (&'static str, String) {
        let (item, beside) = (self.some_item(random), self.some_item(random));
        let board = &self.boards[random.gen_range(0..2)];
        let (pipeline, stage) = (board.id, board.stages[random.gen_range(0..3)]);
        let user = self.people[random.gen_range(0..4)].id;
        let (n, at) = (random.gen_range(0..5), format!("itemId: \"{item}\""));
        let priority = ["LOW", "HIGH", "URGENT"][random.gen_range(0..3)];
        match random.gen_range(0..26) {
            0..=5 => (
                "createItem",
                format!(
                    "input: {{ pipelineId: \"{pipeline}\", title: \"Item\", description: \"{SECRET} {n}\", data: {{ a: \"{SECRET}\" }}, attributes: {{ by: \"{SECRET}\" }}, priority: {priority}, tags: [\"t{n}\"] }}"
                ),
            ),
            6 => ("updateItem", format!("{at}, input: {{ description: \"{SECRET} again {n}\", priority: {priority} }}")),
            7 => ("updateItem", format!("{at}, input: {{ description: null, dueDate: \"2026-0{}-01\" }}", n + 1)),
            8..=10 => ("moveItem", format!("{at}, input: {{ toStageId: \"{stage}\", note: \"{SECRET}\" }}")),
            11 => ("moveItem", format!("{at}, input: {{ toStageId: \"{stage}\", before: \"{beside}\" }}")),
            12 => ("moveItem", format!("{at}, input: {{ toStageId: \"{stage}\", after: \"{beside}\" }}")),
            13 => ("assignItem", format!("{at}, userId: \"{user}\"")),
            14 => ("unassignItem", at),
            15 => ("addItemTag", format!("{at}, tag: \"t{n}\"")),
            16 => ("removeItemTag", format!("{at}, tag: \"t{n}\"")),
            17 => ("recordItemActivity", format!("{at}, input: {{ name: \"Called\", data: {{ who: \"{SECRET}\" }} }}")),
            18 => ("deleteItem", at),
            19 => ("restoreItem", at),
            20 => ("transferItem", format!("{at}, pipelineId: \"{pipeline}\", stageId: \"{stage}\"")),
            21 => ("updatePipeline", format!("pipelineId: \"{pipeline}\", input: {{ name: \"Board {n}\", description: \"{SECRET}\" }}")),
            22 => ("updateStage", format!("pipelineId: \"{pipeline}\", input: {{ stageId: \"{stage}\", name: \"Stage {n}\" }}")),
            23 => (["assignOperator", "unassignOperator"][n % 2], format!("pipelineId: \"{pipeline}\", userId: \"{user}\"")),
            24 => (["assignRole", "revokeRole"][n % 2], format!("userId: \"{user}\", role: \"author\"")),
            _ => ("updateProfile", format!("input: {{ firstName: \"{SECRET} {n}\", phone: \"+31 20 555 012{n}\" }}")),
        }
    }

    async fn act(&self, person: &Person, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..EACH {
            let (mutation, arguments) = self.anything(&mut random);
            let reply = person.client.mutate(mutation, &arguments, "id").await;
            let code = reply.code();
            let fine = [200, PARTIAL].contains(&reply.status)
                && !["INTERNAL", "UNAVAILABLE", "VALIDATION_FAILED", "GRAPHQL_VALIDATION_FAILED", "TIMEOUT", "OVERLOADED"]
                    .contains(&code.as_str());
            assert!(fine, "seed {seed}: {mutation}({arguments}): {} {}", reply.status, reply.text);
            if mutation == "createItem" && reply.payload()["entity"]["id"].is_string() {
                self.items.lock().unwrap().push(uuid(&reply.payload()["entity"]["id"]));
            }
        }
    }
}

/// The program's own log, as far as it is its own.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every value of every table of these rooms as text.
async fn everything_in(database: &mut sqlx::PgConnection, schemas: &[&str]) -> Vec<(String, String)> {
    let tables: Vec<String> = sqlx::query_scalar("select format('%I.%I', table_schema, table_name) from information_schema.tables where table_schema = any ($1) and table_type = 'BASE TABLE'")
        .bind(schemas)
        .fetch_all(&mut *database)
        .await
        .unwrap();
    let mut found = vec![];
    for table in tables {
        let rows: Vec<String> = sqlx::query_scalar(&format!("select t::text from {table} t")).fetch_all(&mut *database).await.unwrap();
        found.extend(rows.into_iter().map(|row| (table.clone(), row)));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_storm_read_models_are_their_replay_and_nothing_personal_lies_open() {
    let captured = Captured::default();
    let writer = captured.clone();
    let lines = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_env_filter("info,api=trace,event_store=trace,projections=trace,domain=trace");
    let _ = lines.json().try_init();

    let world = World::new().await;
    let grounds = [Ground::new(&world, "north").await, Ground::new(&world, "south").await];
    let seed = clock::new_uuid().as_u64_pair().1;
    let storm = grounds.iter().flat_map(|ground| ground.people.iter().map(move |person| (ground, person))).enumerate();
    join_all(storm.map(|(n, (ground, person))| ground.act(person, seed.wrapping_add(n as u64)))).await;

    let mut admin = world.database.admin().await;
    let written: i64 = sqlx::query_scalar("select count(*) from event_store.events where aggregate_type = 'pipeline_item'")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!(written > 100, "only {written} item events");
    is_dense(&mut admin).await;
    equals_its_replay(&world.app).await;
    world.audit().await;
    // What is counted as it happens is what there is.
    let miscounted: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "with places as (
           select tenant_id, stage_id as place_id from read_models.pipeline_items where deleted_at is null
           union all select tenant_id, pipeline_id from read_models.pipeline_items where status = 'OPEN'),
         counted as (select tenant_id, place_id, count(*) as items from places group by 1, 2)
         select place_id, coalesce(k.items, 0), coalesce(c.items, 0) from counted c
         full join read_models.pipeline_item_counts k using (tenant_id, place_id) where k.items is distinct from coalesce(c.items, 0)",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert_eq!(miscounted, [], "place, as counted, as it is");

    // The same through GraphQL: what a client sees is all there.
    for ground in &grounds {
        let made = ground.items.lock().unwrap().len();
        let seen = ground.acme.owner.client.get("{ live: pipelineItems { totalCount } all: pipelineItems(filter: { includeDeleted: true }) { totalCount nodes { description } } }", json!({})).await;
        assert_eq!(seen["all"]["totalCount"], made);
        assert!(seen.to_string().contains(SECRET), "descriptions are shown to members");
    }

    let hex = hex::encode(SECRET);
    for (table, row) in everything_in(&mut admin, &["event_store", "vault"]).await {
        let low = row.to_lowercase();
        assert!(
            !low.contains(SECRET) && !low.contains(&hex) && !low.contains("people.example") && !low.contains("555 012"),
            "{table}: {row}"
        );
    }
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    for told in [SECRET, "people.example", "555 012", "Bearer", "eyJ"] {
        assert!(!log.contains(told), "the log tells {told}: {}", log.lines().find(|line| line.contains(told)).unwrap());
    }
}
