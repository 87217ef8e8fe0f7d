//! No question and no command reads a large table from end to end: every query of the schema with each of its filters and
//! orders, every mutation, signing in, the projector, metrics and what operators do, over tables of a million rows, with
//! plans made for the values at hand and with plans made for any.

mod fill;
mod questions;
mod witness;

use super::catalogue::{ADMINISTERS, Ids};
use super::operations::{administrator, control};
use super::schema::Schema;
use super::*;
use crate::harness::Database;
use api::serve::Options;
use questions::questions;
use sqlx::{Connection, Executor};
use witness::{Witness, counted, tell_plans};

/// Statements that may read a table from end to end: part of their text, the tables, and why.
const MAY: [(&str, &[&str], &str); 5] = [
    (
        "select coalesce(sum(position), 0)::bigint from event_store.heads",
        &["heads"],
        "whether any log has grown, of all: once a second by a worker",
    ),
    (
        "from event_store.heads h left join read_models.checkpoints c on c.tenant_id = h.tenant_id",
        &["heads", "checkpoints"],
        "which logs are behind, of all: once a second by a worker that holds all shards, and when operators or metrics ask",
    ),
    (
        "from read_models.parked p join event_store.heads h",
        &["heads"],
        "what stands still, with where its log ends: when operators or metrics ask",
    ),
    (
        "from read_models.troubles t join event_store.heads h",
        &["heads", "checkpoints"],
        "logs that cannot be read, with where they end: when operators or metrics ask",
    ),
    ("where e.event_type = 'ProjectionEventSkipped'", &["events"], "along an index that holds the skips of operators and nothing else"),
];

/// Parts of statements that this trial is about, each of which must have been heard.
const HEARD: [&str; 12] = [
    "insert into event_store.events",
    "from event_store.idempotency",
    "insert into event_store.claims",
    "from event_store.claims",
    "from event_store.events where tenant_id = $1 and position > $2 and position <= $3 and access",
    "cross join lateral ( select * from event_store.events e where e.tenant_id = s.tenant_id",
    "insert into read_models.pipeline_items",
    "read_models.checkpoints",
    "delete from read_models.parked",
    "vault.subject_keys",
    "read_models.identity_sessions",
    "read_models.leases",
];

/// Those who ask, and their things.
struct Cast {
    acme: Acme,
    ids: Ids,
    /// Sees only what is their own.
    modest: Client,
    root: Client,
}

impl Cast {
    async fn new(world: &World) -> Self {
        let acme = Acme::new(world, "acme").await;
        let owner = &acme.owner.client;
        let ids = acme.things_of(&acme.owner).await;
        // So that every column has a value in some row.
        let board = Board { id: ids.pipeline, stages: ids.stages.clone() };
        let assigned = item_by(&acme.owner, &board, "Something to do").await;
        let update = format!("itemId: \"{assigned}\", input: {{ dueDate: \"2026-06-01\", priority: URGENT }}");
        owner.run("updateItem", &update, "id").await;
        owner.run("addItemTag", &format!("itemId: \"{assigned}\", tag: \"some\""), "id").await;
        owner.run("assignItem", &format!("itemId: \"{assigned}\", userId: \"{}\"", acme.owner.id), "id").await;
        owner.run("assignOperator", &format!("pipelineId: \"{}\", userId: \"{}\"", ids.pipeline, acme.owner.id), "id").await;
        owner.ask("mutation { registerCustomPermission(name: \"custom.something\") { userErrors { code } } }", json!({})).await;
        owner.with("Idempotency-Key", "once").run("createItem", &create(&board, "Once"), "id").await;

        let modest = acme.member(BuiltInRole::Viewer).await;
        let permissions = "\"pipeline_items.read@own\", \"tasks.read@own\", \"pipelines.read\"";
        let input = format!("input: {{ name: \"Modest\", permissions: [{permissions}] }}");
        let role = uuid(&owner.run("createRole", &input, "id").await["entity"]["id"]);
        owner.run("assignRole", &format!("userId: \"{}\", role: \"{role}\"", modest.id), "id").await;
        owner.run("revokeRole", &format!("userId: \"{}\", role: \"viewer\"", modest.id), "id").await;
        item_by(&acme.owner, &board, "Somebody's").await;
        let root = administrator(world).await.client;
        Self { modest: modest.client, acme, ids, root }
    }

    /// The same at another process.
    async fn at(&self, world: &World) -> Self {
        let url = world.http();
        let owner = Person { client: self.acme.owner.client.at(&url), ..self.acme.owner.clone() };
        let Acme { mark, people, slug, id, .. } = &self.acme;
        let (mark, people, slug) = (mark.clone(), people.clone(), slug.clone());
        let acme = Acme { app: world.app.clone(), url: url.clone(), mark, people, slug, id: *id, owner };
        let mut ids = self.ids.clone();
        // There is one for everybody, and it may have been deleted.
        ids.others.insert("role".to_owned(), acme.role_by(&acme.owner).await);
        Self { acme, ids, modest: self.modest.at(&url), root: self.root.at(&url) }
    }

    /// Asks; nothing must be wrong but what is said to be.
    async fn asks(client: &Client, document: &str, but: &[&str]) -> Value {
        let reply = client.ask(document, json!({})).await;
        assert!(reply.code().is_empty() || but.contains(&reply.code().as_str()), "{document}: {:.500}", reply.text);
        reply.body["data"].clone()
    }

    /// Every query.
    async fn ask_everything(&self, schema: &Schema) {
        let of_platform = |name: &str| name == "projectionStatus";
        for root in schema.queries() {
            let client = if of_platform(&root.name) { &self.root } else { &self.acme.owner.client };
            // Copies of memberships are in workspaces that grant nothing.
            for visit in schema.visits(&root) {
                Self::asks(client, &schema.ask(&root, &visit, None, &|_| self.ids.clone()), &["QUERY_TOO_COMPLEX", "FORBIDDEN"]).await;
            }
            for question in questions(schema, &root, &self.ids) {
                // What is made up is looked up all the same.
                let found = Self::asks(client, &question.first(), &["NOT_FOUND"]).await;
                let cursor = |which: &str| found["it"]["pageInfo"][which].as_str().map(str::to_owned);
                let cursors = cursor("startCursor").zip(cursor("endCursor"));
                for document in question.others(cursors.as_ref().map(|(start, end)| (start.as_str(), end.as_str()))) {
                    Self::asks(client, &document, &[]).await;
                }
                if !of_platform(&root.name) {
                    Self::asks(&self.modest, &question.first(), &["FORBIDDEN", "NOT_FOUND"]).await;
                }
            }
        }
    }

    /// Every mutation, on new things of one's own, by name and by id of the workspace.
    async fn do_everything(&self, schema: &Schema) {
        let mut ids = self.acme.things_of(&self.acme.owner).await;
        let mut done = 0;
        let of_platform = |name: &str| ADMINISTERS.iter().any(|(mutation, ..)| *mutation == name);
        for (n, root) in schema.mutations().into_iter().filter(|root| !of_platform(&root.name)).enumerate() {
            // What was deleted or ended is no more; things for some are enough.
            if n % 8 == 0 {
                ids = self.acme.things_of(&self.acme.owner).await;
            }
            if ENDING.contains(&root.name.as_str()) {
                continue;
            }
            let client = &self.acme.owner.client;
            let client = if n % 2 == 0 { client.in_workspace(self.acme.id) } else { client.clone() };
            for mutation in schema.before(&root).iter().chain([&root]) {
                let reply = client
                    .with("Idempotency-Key", clock::new_uuid())
                    .ask(&schema.document(mutation, None, &|_| ids.clone()), json!({}))
                    .await;
                done += usize::from(reply.code().is_empty());
            }
        }
        assert!(done > 50, "only {done} mutations did something");
    }

    /// What people and operators do beside GraphQL.
    async fn do_the_rest(&self, world: &World) {
        let email = format!("{}@people.example", clock::new_uuid().simple());
        world.register(&email).await;
        let body = json!({ "email": email, "password": "correct horse battery 9A!" });
        let signed_in: Value = world.post("/api/v1/auth/login", &body).await.json().await.unwrap();
        let refresh = json!({ "refreshToken": signed_in["refreshToken"] });
        let refreshed: Value = world.post("/api/v1/auth/refresh", &refresh).await.json().await.unwrap();
        let logout = world.client.post(format!("{}/api/v1/auth/logout", world.http()));
        let out = logout.bearer_auth(refreshed["accessToken"].as_str().unwrap()).send().await.unwrap();
        assert!(out.status().is_success(), "{}", out.status());

        let mut admin = world.database.admin().await;
        let parked = format!(
            "insert into read_models.parked (tenant_id, read_model, position, error, retry_at)
             select tenant_id, 'pipeline_items', position, 'by hand', clock_timestamp() + interval '1 hour' from read_models.checkpoints where tenant_id = '{}'",
            self.acme.id
        );
        admin.execute(parked.as_str()).await.unwrap();
        admin.close().await.unwrap();
        let arguments = format!("readModel: \"pipeline_items\", workspace: \"{}\", reason: \"why\"", self.acme.slug);
        let reply = control(&self.root, "retryProjection", &arguments).await;
        assert_eq!(reply.body["data"]["it"]["caughtUp"], 1, "{}", reply.text);

        for path in ["metrics", "readyz"] {
            let url = format!("http://{}/{path}", world.running.admin_address.unwrap());
            assert!(world.client.get(url).send().await.unwrap().status().is_success(), "{path}");
        }
    }
}

/// Mutations after which those who ask later could not go on; what they send is what others send, too.
const ENDING: [&str; 3] = ["leaveWorkspace", "deleteWorkspace", "changeSlug"];

fn create(board: &Board, title: &str) -> String {
    format!("input: {{ pipelineId: \"{}\", title: \"{title}\" }}", board.id)
}

/// A process that serves, projects and shows its metrics.
async fn serving(database: Database) -> World {
    World::on(database, Options { admin_listen: Some(([127, 0, 0, 1], 0).into()), ..Options::default() }).await
}

/// The statements heard that read a table from end to end and may not, each with its plan.
fn guilty(seen: &witness::Seen, large: &[String]) -> Vec<String> {
    let may = |statement: &str, table: &str| MAY.iter().any(|(part, tables, _)| statement.contains(part) && tables.contains(&table));
    let scans =
        seen.scans.iter().filter(|(statement, (tables, _))| tables.iter().any(|table| large.contains(table) && !may(statement, table)));
    scans.map(|(statement, (tables, plan))| format!("{tables:?} read from end to end by\n{statement}\n{plan}")).collect()
}

#[tokio::test]
async fn nothing_that_is_asked_or_done_reads_a_table_of_a_million_rows_from_end_to_end() {
    let world = serving(Database::new().await).await;
    let cast = Cast::new(&world).await;
    let tenant = cast.acme.id.0;
    let database = world.stop().await;
    let large = fill::fill(&database.options(), tenant).await;
    // Of these the server's own count must not move at all.
    let never: Vec<String> =
        large.iter().filter(|table| !fill::OF_TENANTS.iter().any(|of| of.ends_with(table.as_str()))).cloned().collect();

    let (witness, schema) = (Witness::of(&database).await, Schema::read());
    let _listening = witness.listen();
    let mut database = database;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let before = counted(&database, &never).await;
        tell_plans(&database, mode).await;
        let world = serving(database).await;
        let cast = cast.at(&world).await;
        cast.ask_everything(&schema).await;
        cast.do_everything(&schema).await;
        cast.do_the_rest(&world).await;
        database = world.stop().await;

        let seen = witness.take();
        for part in HEARD {
            assert!(
                seen.statements.iter().any(|statement| statement.contains(part)),
                "{mode}: nothing was heard of `{part}` in {:#?}",
                seen.statements
            );
        }
        let guilty = guilty(&seen, &large);
        assert!(guilty.is_empty(), "{mode}: {} statements\n\n{}", guilty.len(), guilty.join("\n\n"));
        assert_eq!(counted(&database, &never).await, before, "{mode}: sequential scans that no statement told of");
    }

    // That it could have been seen: a question without its index is told of, and a scan by whomever is counted.
    let before = counted(&database, &never).await;
    let mut admin = database.admin().await;
    admin.execute("drop index read_models.workspace_members_user; select max(name) from read_models.workspace_members").await.unwrap();
    admin.close().await.unwrap();
    let world = serving(database).await;
    Cast::asks(&cast.at(&world).await.acme.owner.client, "{ myWorkspaces { id } }", &[]).await;
    let database = world.stop().await;
    let seen = witness.take();
    let guilty = guilty(&seen, &large);
    assert!(guilty.iter().any(|told| told.contains("workspace_members")), "{guilty:?} of {:#?}", seen.statements);
    assert!(counted(&database, &never).await["workspace_members"] > before["workspace_members"]);
}
