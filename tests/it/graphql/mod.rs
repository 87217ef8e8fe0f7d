//! GraphQL as its clients meet it: over HTTP, with tokens, by people in workspaces.

mod bad_input;
mod catalogue;
mod imported;
mod loss;
mod matrix;
mod metrics;
mod mutations;
mod nodes;
mod operations;
mod operators;
mod plans;
mod poison;
mod rbac;
mod rebuild;
mod roles;
mod schema;
mod storm;
mod strangers;
mod tasks;
mod tokens;
mod visits;

use crate::harness::{World, by_system, named};
use api::accounts::{self, NewTeam, NewUser, Origin};
use api::app::App;
use api::clock;
use api::system::{DEMO, SIGN_IN};
use api::tokens::RefreshToken;
use chrono::{DateTime, Utc};
use domain::identity::{LoginMethod, Session, SessionCommand};
use domain::pipeline::{LlmCall, Task, TaskCommand};
use domain::roles::BuiltInRole;
use domain::workspace::{MemberSource, Plan};
use domain::{Email, Name, PLATFORM, SessionId, Slug, TenantId, UserId, WorkspaceId};
use event_store::Target;
use serde_json::{Value, json};
use uuid::Uuid;

/// The status of an answer with data and errors (GraphQL over HTTP).
const PARTIAL: u16 = 294;

/// Somebody with an access token, in a workspace or in none.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
    workspace: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    pub(crate) fn new(url: &str, token: Option<String>) -> Self {
        Self { http: reqwest::Client::new(), url: format!("{url}/graphql"), token, workspace: None, headers: vec![] }
    }

    /// The same in another workspace.
    pub(crate) fn in_workspace(&self, name: impl ToString) -> Self {
        Self { workspace: Some(name.to_string()), ..self.clone() }
    }

    /// The same at another process.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self { url: format!("{url}/graphql"), ..self.clone() }
    }

    /// The same with one more header.
    pub(crate) fn with(&self, name: &'static str, value: impl ToString) -> Self {
        let mut client = self.clone();
        client.headers.push((name, value.to_string()));
        client
    }

    /// Lets so many short answers of the process go by.
    pub(crate) async fn dawdle(&self, times: usize) {
        for _ in 0..times {
            assert!(self.http.get(self.url.replace("/graphql", "/livez")).send().await.unwrap().status().is_success());
        }
    }

    fn request(&self) -> reqwest::RequestBuilder {
        let mut request = self.http.post(&self.url).header("Accept", "application/graphql-response+json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(workspace) = &self.workspace {
            request = request.header("Annals-Workspace", workspace);
        }
        self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }

    /// Asks, whatever comes of it.
    async fn ask(&self, query: &str, variables: Value) -> Reply {
        self.try_ask(query, variables).await.unwrap()
    }

    /// As [`Client::ask`], of a process that may not be there, or not to the end.
    pub(crate) async fn try_ask(&self, query: &str, variables: Value) -> reqwest::Result<Reply> {
        Reply::of(self.request().json(&json!({ "query": query, "variables": variables }))).await
    }

    /// Asks and gets data without any error.
    pub(crate) async fn get(&self, query: &str, variables: Value) -> Value {
        let reply = self.ask(query, variables).await;
        assert!(reply.body.get("errors").is_none(), "{query}: {}", reply.text);
        reply.body["data"].clone()
    }

    /// As [`Client::get`], for many at once.
    async fn get_owned(self, query: String) -> Value {
        self.get(&query, json!({})).await
    }

    /// Runs one mutation, `arguments` as GraphQL; answers its payload, which has an entity.
    pub(crate) async fn run(&self, mutation: &str, arguments: &str, entity: &str) -> Value {
        let reply = self.mutate(mutation, arguments, entity).await;
        let payload = reply.payload();
        assert!(payload["userErrors"] == json!([]) && payload["entity"].is_object(), "{mutation}({arguments}): {}", reply.text);
        payload
    }

    /// Runs one mutation, whatever comes of it.
    pub(crate) async fn mutate(&self, mutation: &str, arguments: &str, entity: &str) -> Reply {
        self.try_mutate(mutation, arguments, entity).await.unwrap()
    }

    /// As [`Client::mutate`], at a process that may not be there, or not to the end.
    pub(crate) async fn try_mutate(&self, mutation: &str, arguments: &str, entity: &str) -> reqwest::Result<Reply> {
        let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
        let query = format!(
            "mutation {{ it: {mutation}{arguments} {{ entity {{ {entity} }} userErrors {{ code message field }} consistencyToken }} }}"
        );
        self.try_ask(&query, json!({})).await
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    pub(crate) text: String,
    body: Value,
}

impl Reply {
    async fn of(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self { status, text, body })
    }

    /// Whether the one mutation was done, also if its read model does not show it yet.
    pub(crate) fn done(&self) -> bool {
        self.payload()["userErrors"] == json!([])
    }

    /// What came, as it came.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.status, self.text)
    }

    /// The payload of the one mutation.
    pub(crate) fn payload(&self) -> Value {
        self.body["data"]["it"].clone()
    }

    /// The code of the first top-level error, else of the first `userErrors` found; empty where there is neither.
    pub(crate) fn code(&self) -> String {
        let top = self.body["errors"][0]["extensions"]["code"].as_str();
        let users = || self.body["data"].as_object()?.values().find_map(|field| field["userErrors"][0]["code"].as_str());
        top.or_else(users).unwrap_or_default().to_owned()
    }

    /// The `userErrors` as (code, path).
    fn user_errors(&self) -> Vec<(String, Vec<String>)> {
        let errors = self.payload()["userErrors"].as_array().cloned().unwrap_or_default();
        let path = |error: &Value| error["field"].as_array().into_iter().flatten().map(|part| part.as_str().unwrap().to_owned()).collect();
        errors.iter().map(|error| (error["code"].as_str().unwrap().to_owned(), path(error))).collect()
    }
}

/// A user and their way in.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) id: UserId,
    session: SessionId,
    pub(crate) client: Client,
}

impl Person {
    /// The same with an access token that is good from then on.
    pub(crate) fn with_token_of(&self, app: &App, then: DateTime<Utc>) -> Self {
        let token = app.tokens.issue(self.id, Some(self.session), None, then);
        Self { client: Client { token: Some(token), ..self.client.clone() }, ..self.clone() }
    }
}

/// Somebody new. Their name and address hold `mark`.
pub(crate) async fn person(app: &App, url: &str, mark: &str) -> Person {
    let id: UserId = clock::new_id();
    let email = Email::try_from(format!("{mark}-{}@people.example", &id.0.simple().to_string()[20..])).unwrap();
    let new = NewUser { id, email, first_name: None, last_name: None, name: Some(Name::try_from(format!("{mark} Person")).unwrap()) };
    accounts::provision_user(app, &DEMO, &Origin::new(), new).await.unwrap();
    let session = session(app, id).await;
    Person { id, session, client: Client::new(url, Some(app.tokens.issue(id, Some(session), None, clock::now()))) }
}

/// A new session of a user.
async fn session(app: &App, user: UserId) -> SessionId {
    let session: SessionId = clock::new_id();
    let refresh_hash = RefreshToken::random(session).hash();
    let start = SessionCommand::StartSession { user_id: user, method: LoginMethod::Password, refresh_hash, client_label: None };
    let request = Origin::new().system(&SIGN_IN, PLATFORM, Some(user));
    app.commands.execute::<Session>(&request, Target::New(session.0), start).await.unwrap();
    session
}

/// A workspace of plan ENTERPRISE, and its owner in it.
pub(crate) struct Acme {
    app: App,
    url: String,
    mark: String,
    people: String,
    slug: String,
    pub(crate) id: WorkspaceId,
    pub(crate) owner: Person,
}

impl Acme {
    pub(crate) async fn new(world: &World, mark: &str) -> Self {
        Self::at(&world.app, &world.http(), mark, mark).await
    }

    /// One whose people are marked otherwise than it is itself.
    async fn with_people(world: &World, mark: &str, people: &str) -> Self {
        Self::at(&world.app, &world.http(), mark, people).await
    }

    pub(crate) async fn at(app: &App, url: &str, mark: &str, people: &str) -> Self {
        let mut owner = person(app, url, people).await;
        let (id, slug): (WorkspaceId, _) = (clock::new_id(), format!("{mark}-inc"));
        let team = NewTeam {
            id,
            name: Name::try_from(format!("{mark} Incorporated")).unwrap(),
            slug: Slug::try_from(slug.clone()).unwrap(),
            plan: Some(Plan::Enterprise),
        };
        accounts::create_team_workspace(app, &Origin::new(), owner.id, team).await.unwrap();
        owner.client = owner.client.in_workspace(&slug);
        Self { app: app.clone(), url: url.to_owned(), mark: mark.to_owned(), people: people.to_owned(), slug, id, owner }
    }

    /// A new member, in the workspace.
    async fn member(&self, role: BuiltInRole) -> Person {
        self.joined(&person(&self.app, &self.url, &self.people).await, &[role]).await
    }

    /// Somebody who is there already, as a member in the workspace.
    pub(crate) async fn joined(&self, person: &Person, roles: &[BuiltInRole]) -> Person {
        let (origin, owner) = (Origin::new(), Some(self.owner.id));
        accounts::add_member(&self.app, &DEMO, &origin, owner, self.id, person.id, roles.to_vec(), MemberSource::Provisioned)
            .await
            .unwrap();
        Person { client: person.client.in_workspace(&self.slug), ..person.clone() }
    }

    /// An active pipeline: three stages, the last of them terminal.
    pub(crate) async fn board(&self) -> Board {
        self.board_by(&self.owner).await
    }

    /// The same, made by somebody who may.
    async fn board_by(&self, person: &Person) -> Board {
        let key = format!("p_{}", clock::new_uuid().simple());
        let stage = |n: u32| format!("{{ key: \"s{n}\", name: \"{} stage {n}\", isTerminal: {} }}", self.mark, n == 2);
        let stages = (0..3).map(stage).collect::<Vec<_>>().join(", ");
        let input = format!("input: {{ key: \"{key}\", name: \"{} board\", type: SALES, stages: [{stages}] }}", self.mark);
        let made = person.client.run("createPipeline", &input, "id stages { id }").await;
        let id = uuid(&made["entity"]["id"]);
        person.client.run("activatePipeline", &format!("pipelineId: \"{id}\""), "id").await;
        let stages = made["entity"]["stages"].as_array().unwrap().iter().map(|stage| uuid(&stage["id"])).collect();
        Board { id, stages }
    }

    /// Something of each kind, made by somebody who may.
    async fn things_of(&self, person: &Person) -> catalogue::Ids {
        let (board, elsewhere) = (self.board_by(person).await, self.board_by(person).await);
        let item = item_by(person, &board, &format!("{} item", self.mark)).await;
        // Where the other one goes to.
        let beside = item_by(person, &board, &format!("{} item", self.mark)).await;
        person.client.run("moveItem", &format!("itemId: \"{beside}\", input: {{ toStageId: \"{}\" }}", board.stages[1]), "id").await;
        let ids = catalogue::Ids {
            pipeline: board.id,
            item,
            beside,
            stages: board.stages,
            elsewhere: (elsewhere.id, elsewhere.stages[0]),
            user: self.member(BuiltInRole::Operator).await.id.0,
            session: session(&self.app, person.id).await.0,
            workspace: self.id.0,
            slug: self.slug.clone(),
            others: Default::default(),
        };
        let ids = self.with_others(person, ids).await;
        self.decide(ids.others["task"]).await;
        ids
    }

    /// The program decides something about a task; nobody else may.
    async fn decide(&self, task: Uuid) {
        let word = |text: &str| named::<Name>(format!("{} {text}", self.mark));
        let call = LlmCall {
            provider: word("provider"),
            model: word("model"),
            prompt_hash: word("hash"),
            tokens_in: 1,
            tokens_out: 2,
            latency_ms: 3,
        };
        let decision = json!({ "by": self.mark }).try_into().unwrap();
        let record = TaskCommand::RecordTaskDecision { event_name: named("routed"), decision, llm_call: Some(call) };
        self.app.commands.execute::<Task>(&by_system(TenantId::from(self.id)), Target::Existing(task), record).await.unwrap();
    }

    /// With one of each kind that is made of fillers alone, in the schema's order; the mark stands in their texts, and
    /// something new where another of the same would be one too many.
    async fn with_others(&self, person: &Person, mut ids: catalogue::Ids) -> catalogue::Ids {
        ids.others.insert("role".to_owned(), self.role_by(person).await);
        let schema = schema::Schema::read();
        for (kind, root) in schema.makers() {
            let unique = format!("{}_{}", self.mark, &clock::new_uuid().simple().to_string()[..12]);
            let document = schema
                .document(&root, None, &|_| ids.clone())
                .replace("Something", &unique)
                .replace("\"something\"", &format!("\"{unique}\""));
            let made = person.client.ask(&document, json!({})).await;
            let id = made.body["data"][&root.name]["entity"]["id"].as_str().unwrap_or_else(|| panic!("{document}: {}", made.text));
            ids.others.insert(kind, id.parse().unwrap());
        }
        ids
    }

    /// A role of the workspace's own that somebody made: the one they have made, since there cannot be many.
    async fn role_by(&self, person: &Person) -> Uuid {
        let name = format!("{} role {}", self.mark, &person.id.0.simple().to_string()[20..]);
        let roles = person.client.get("{ roles { id name } }", json!({})).await;
        match roles["roles"].as_array().unwrap().iter().find(|role| role["name"] == *name) {
            Some(role) => uuid(&role["id"]),
            None => {
                let input = format!("input: {{ name: \"{name}\", description: \"{name}\", permissions: [\"posts.read\"] }}");
                uuid(&person.client.run("createRole", &input, "id").await["entity"]["id"])
            }
        }
    }

    /// An item in a board's first stage.
    async fn item(&self, board: &Board) -> Uuid {
        item_by(&self.owner, board, &format!("{} item", self.mark)).await
    }
}

/// Somebody's new item in a board's first stage.
async fn item_by(person: &Person, board: &Board, title: &str) -> Uuid {
    let input = format!("input: {{ pipelineId: \"{}\", title: \"{title}\" }}", board.id);
    uuid(&person.client.run("createItem", &input, "id").await["entity"]["id"])
}

#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) id: Uuid,
    stages: Vec<Uuid>,
}

pub(crate) fn uuid(value: &Value) -> Uuid {
    value.as_str().unwrap_or_else(|| panic!("no id: {value}")).parse().unwrap()
}

/// Where every log ends.
async fn heads(world: &World) -> std::collections::BTreeMap<Uuid, i64> {
    let rows: Vec<(Uuid, i64)> =
        sqlx::query_as("select tenant_id, position from event_store.heads").fetch_all(&world.app.pools.loader).await.unwrap();
    rows.into_iter().collect()
}

/// Of every log: positions are 1, 2, 3 …, and the head is the last.
async fn is_dense(database: &mut sqlx::PgConnection) {
    let sql = "select h.tenant_id from event_store.heads h left join event_store.events e on e.tenant_id = h.tenant_id
               group by h.tenant_id, h.position having count(e.position) <> h.position or coalesce(max(e.position), 0) <> h.position or coalesce(min(e.position), 1) <> 1";
    let gaps: Vec<Uuid> = sqlx::query_scalar(sql).fetch_all(database).await.unwrap();
    assert!(gaps.is_empty(), "logs with gaps: {gaps:?}");
}

/// Every read model of every tenant is what a replay from position 0 makes of it.
pub(crate) async fn equals_its_replay(app: &App) {
    let tenants: Vec<Uuid> = sqlx::query_scalar("select tenant_id from event_store.heads").fetch_all(&app.pools.loader).await.unwrap();
    let projector = crate::harness::projector(app).await;
    let behind = "select count(*) from event_store.heads h left join read_models.checkpoints c using (tenant_id) where h.position > coalesce(c.position, 0)";
    crate::harness::eventually("the projector to have caught up", || async {
        projector.catch_up().await.unwrap();
        (sqlx::query_scalar::<_, i64>(behind).fetch_one(&app.pools.worker).await.unwrap() == 0).then_some(())
    })
    .await;
    for tenant in tenants.into_iter().map(TenantId) {
        for name in projections::names() {
            let (folded, stands) = projections::replay(&projector, tenant, name).await.unwrap();
            assert_eq!(folded, stands, "{name} of {tenant}");
        }
    }
}
