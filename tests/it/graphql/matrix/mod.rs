//! The authorization matrix: every role × command × record, and every role × query, is tried through the public API
//! and must come to what `fixtures/authorization.txt` says. A command that the file does not know fails here.

mod company;
mod guards;
mod rows;
mod sample;

use super::catalogue::{ADMINISTERS, ENDS, GONE, Ids, Reads};
use super::schema::{Root, Schema};
use super::*;
use company::{Company, Holder, become_};
use domain::roles::PlatformRole;
use domain::{Decider, Principal, for_each_aggregate};
use event_store::ExecuteError;
use rows::{Cell, Door, Row};
use std::collections::BTreeMap;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/authorization.txt");

#[test]
fn the_committed_matrix_is_what_the_code_says() {
    let current = rows::listing().unwrap_or_else(|error| panic!("{error}"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(FILE, current).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    let of = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (committed, current) = (of(&committed), of(&current));
    let unknown: Vec<_> = current.iter().filter(|line| !committed.contains(line)).collect();
    let gone: Vec<_> = committed.iter().filter(|line| !current.contains(line)).collect();
    assert!(
        committed == current,
        "fixtures/authorization.txt is not what the code says: run `make matrix`, and look at the change as at one of who may do what.\n\
         Not in the file: {unknown:#?}\nNo longer so: {gone:#?}"
    );
}

/// What came of one attempt.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It was done.
    Done,
    /// A rule of the business stood against it, once the caller was allowed.
    Refused,
    /// The caller may not.
    Forbidden,
    /// Anything else, which proves nothing.
    Other(String),
}

fn outcome(root: &Root, reply: &Reply) -> Outcome {
    let (payload, code) = (&reply.body["data"][&root.name], reply.code());
    match code.as_str() {
        "" if payload["entity"].is_object() || GONE.contains(&root.name.as_str()) && payload["userErrors"] == json!([]) => Outcome::Done,
        "FORBIDDEN" => Outcome::Forbidden,
        "" | "VALIDATION_ERROR" | "UNAUTHENTICATED" | "INTERNAL" => Outcome::Other(reply.text.clone()),
        _ if payload["userErrors"].is_array() => Outcome::Refused,
        _ => Outcome::Other(reply.text.clone()),
    }
}

/// Does a refusal name what is missing?
fn names(reply: &Reply, needs: &str) -> bool {
    reply.body["errors"][0]["message"].as_str().is_some_and(|message| message.contains(needs))
}

struct Trial<'a> {
    world: &'a World,
    schema: Schema,
    found: Vec<String>,
}

impl Trial<'_> {
    async fn send(&self, client: &Client, root: &Root, ids: &Ids, path: Option<&str>) -> Reply {
        client.ask(&self.schema.glance(root, path, &|_| ids.clone()), json!({})).await
    }

    /// Nothing is written by those who may not.
    async fn forbidden(&mut self, row: &Row, root: &Root, who: &str, client: &Client, records: &[&Ids], code: &str) {
        for ids in records {
            let before = heads(self.world).await;
            let reply = self.send(client, root, ids, row.path.as_deref()).await;
            let named = code != "FORBIDDEN" || row.ways.iter().any(|way| names(&reply, way.name()));
            if reply.code() != code || !named {
                self.found.push(format!("{} by {who} should be {code} and answers {:?}: {}", row.command, reply.code(), reply.text));
            }
            if heads(self.world).await != before {
                self.found.push(format!("{} by {who} is {code} and has written something", row.command));
            }
        }
    }

    /// Whoever may is not told that they may not.
    async fn allowed(&mut self, row: &Row, root: &Root, who: &str, client: &Client, ids: &Ids) -> bool {
        let reply = self.send(client, root, ids, row.path.as_deref()).await;
        match outcome(root, &reply) {
            Outcome::Done => true,
            Outcome::Refused => false,
            wrong => {
                self.found.push(format!("{} by {who} should be allowed: {wrong:?}", row.command));
                false
            }
        }
    }

    /// A record on which the command means something.
    async fn record(&self, company: &Company, root: &Root, ids: &Ids) {
        for first in self.schema.before(root) {
            let reply = self.send(&company.acme.owner.client, &first, ids, None).await;
            assert!(
                matches!(outcome(&first, &reply), Outcome::Done | Outcome::Refused),
                "{} before {}: {}",
                first.name,
                root.name,
                reply.text
            );
        }
    }

    /// One command, by everybody, on a record of somebody else's and on their own.
    async fn command(&mut self, company: &Company, row: &Row, root: &Root) {
        let others = company.acme.things_of(&company.acme.owner).await;
        self.record(company, root, &others).await;
        let anonymous = Client { token: None, ..company.acme.owner.client.clone() };
        self.forbidden(row, root, "nobody", &anonymous, &[&others], "UNAUTHENTICATED").await;
        let (stranger, theirs) = &company.stranger;
        self.forbidden(row, root, "somebody who is no member", &stranger.client, &[&others, theirs], "NOT_FOUND").await;
        let (may, may_not): (Vec<_>, Vec<_>) = company.holders.iter().partition(|holder| row.cell(&holder.grants) > Cell::Never);
        for holder in may_not {
            self.forbidden(row, root, holder.role, &holder.person.client, &[&others, &holder.own], holder.refusal()).await;
        }
        let before = heads(self.world).await;
        let mut done = 0;
        for holder in may {
            let Holder { role, grants, person, own, .. } = holder;
            match row.cell(grants) {
                Cell::Own if row.owned => {
                    self.forbidden(row, root, role, &person.client, &[&others], "FORBIDDEN").await;
                    let mine = self.made_by(company, person, role).await;
                    self.record(company, root, &mine).await;
                    if !self.allowed(row, root, role, &person.client, &mine).await {
                        self.found.push(format!("{} by {role} on a record of their own, which is new, is not done", row.command));
                    }
                    done += 1;
                }
                Cell::Itself => {
                    let mine = Ids { session: session(&self.world.app, person.id).await.0, ..own.clone() };
                    done += usize::from(self.allowed(row, root, role, holder.at_home(), &mine).await);
                    if self.schema.id_paths(root).iter().any(|path| path == "sessionId") {
                        self.forbidden(row, root, role, holder.at_home(), &[&others], "NOT_FOUND").await;
                    }
                }
                _ => {
                    done += usize::from(self.allowed(row, root, role, holder.at_home(), &others).await);
                    done += usize::from(self.allowed(row, root, role, holder.at_home(), own).await);
                }
            }
        }
        // Nothing stands still here that could be tried or skipped. Where something does, tests/it/graphql/poison.rs has it done.
        if ADMINISTERS.iter().any(|(mutation, ..)| *mutation == row.command) {
            return;
        }
        if done == 0 {
            self.found
                .push(format!("{} is never done: its samples in tests/it/graphql/catalogue.rs are refused for other reasons", row.command));
        } else if !self.written(&before).await.contains(&row.command.to_owned()) {
            self.found.push(format!(
                "{} is in no log after {}. In tests/it/graphql/catalogue.rs, say in `filler` what would change something, in UNDOES or BEFORE what must be done before it, or in DOORS which mutation sends it",
                row.command, root.name
            ));
        }
    }

    /// A new record of somebody who may only touch their own, and perhaps not make any.
    async fn made_by(&self, company: &Company, person: &Person, role: &str) -> Ids {
        let user = format!("userId: \"{}\", role: \"admin\"", person.id);
        company.acme.owner.client.run("assignRole", &user, "id").await;
        let made = company.acme.things_of(person).await;
        become_(&company.acme, person, role).await;
        made
    }

    /// The commands whose events stand behind these heads.
    async fn written(&self, before: &BTreeMap<Uuid, i64>) -> Vec<String> {
        let mut found = vec![];
        for tenant in heads(self.world).await.into_keys() {
            let sql = "select distinct metadata->>'command' from event_store.events where tenant_id = $1 and position > $2";
            let since = before.get(&tenant).copied().unwrap_or(0);
            let commands: Vec<String> =
                sqlx::query_scalar(sql).bind(tenant).bind(since).fetch_all(&self.world.app.pools.loader).await.unwrap();
            found.extend(commands);
        }
        found
    }
}

#[tokio::test]
async fn every_role_can_send_exactly_the_commands_that_the_matrix_says() {
    let world = World::new().await;
    let rows = rows::rows().unwrap_or_else(|error| panic!("{error}"));
    let mut trial = Trial { world: &world, schema: Schema::read(), found: vec![] };
    let company = Company::new(&world).await;
    let roots: BTreeMap<String, Root> = trial.schema.mutations().into_iter().map(|root| (root.name.clone(), root)).collect();
    for row in &rows {
        match &row.door {
            Door::Mutation(name) if ENDS.contains(&name.as_str()) => {
                let own = Company::new(&world).await;
                trial.command(&own, row, &roots[name]).await;
            }
            Door::Mutation(name) => trial.command(&company, row, &roots[name]).await,
            Door::Rest(door) => assert!(rest(&world, door).await, "{} is let in by {door}", row.command),
            Door::Program(..) => {}
        }
    }
    assert!(trial.found.is_empty(), "{} findings:\n{}", trial.found.len(), trial.found.join("\n"));
    world.audit().await;
}

/// Tries a door of REST with what it takes and, where it takes a token, with one that is none.
async fn rest(world: &World, door: &str) -> bool {
    let email = format!("{}@people.example", clock::new_uuid().simple());
    // Registering is what this does.
    world.register(&email).await;
    let path = door.split_once(' ').unwrap().1;
    match path {
        "/api/v1/auth/register" => true,
        "/api/v1/auth/refresh" => {
            let body = json!({ "email": email, "password": "correct horse battery 9A!" });
            let signed: Value = world.post("/api/v1/auth/login", &body).await.json().await.unwrap();
            let before = heads(world).await;
            let forged = world.post(path, &json!({ "refreshToken": "something" })).await.status();
            let unchanged = heads(world).await == before;
            let good = world.post(path, &json!({ "refreshToken": signed["refreshToken"] })).await.status();
            unchanged && forged == 401 && good == 200
        }
        _ => panic!("nobody knows how to try {door}: say it in `rest` of tests/it/graphql/matrix/mod.rs"),
    }
}

#[tokio::test]
async fn what_only_the_program_sends_is_refused_to_owners_and_without_the_permission_to_administrators() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let root = super::operations::administrator(&world).await;
    let rows = rows::rows().unwrap_or_else(|error| panic!("{error}"));
    let mut tried = 0;
    let before = heads(&world).await;
    macro_rules! each {
        ($($decider:ty,)*) => {$(
            for command in sample::samples::<<$decider as Decider>::Command>(false).unwrap().into_iter().flatten() {
                let name = domain::Guarded::<$decider>::name(&command);
                let of_it: Vec<&Row> = rows.iter().filter(|row| row.command == name).collect();
                if of_it.iter().any(|row| !matches!(row.door, Door::Program(..))) {
                    continue;
                }
                for (user, tenant) in [(acme.owner.id, acme.id.into()), (acme.owner.id, PLATFORM), (root.id, acme.id.into()), (root.id, PLATFORM)] {
                    let request = Origin::new().request(Principal::User(user), tenant);
                    let outcome = world.app.commands.execute::<$decider>(&request, Target::New(clock::new_uuid()), command.clone()).await;
                    let may = (user, tenant) == (root.id, PLATFORM) && of_it.iter().any(|row| row.cell(PlatformRole::SystemAdmin.grants()) > Cell::Never);
                    assert_eq!(matches!(outcome, Err(ExecuteError::Denied(_))), !may, "{name}: {outcome:?}");
                    tried += 1;
                }
            }
        )*};
    }
    for_each_aggregate!(each!());
    assert!(tried > 10, "only {tried} attempts");
    assert_eq!(heads(&world).await, before);
}

#[tokio::test]
async fn every_role_reads_exactly_what_the_matrix_says() {
    let world = World::new().await;
    let (schema, company) = (Schema::read(), Company::new(&world).await);
    let roots: BTreeMap<String, Root> = schema.queries().into_iter().map(|root| (root.name.clone(), root)).collect();
    let others = company.acme.things_of(&company.acme.owner).await;
    let anonymous = Client { token: None, ..company.acme.owner.client.clone() };
    let before = heads(&world).await;
    let mut found = vec![];
    for query in rows::queries().unwrap_or_else(|error| panic!("{error}")) {
        let root = &roots[&query.name];
        let ask = async |client: &Client, ids: &Ids| client.ask(&schema.glance(root, None, &|_| ids.clone()), json!({})).await;
        for (client, code) in [(&anonymous, "UNAUTHENTICATED"), (&company.stranger.0.client, "NOT_FOUND")] {
            let reply = ask(client, &others).await;
            if reply.code() != code || !reply.body["data"][&query.name].is_null() {
                found.push(format!("{} should be {code}: {}", query.name, reply.text));
            }
        }
        for holder in &company.holders {
            let Holder { role, grants, person, own, .. } = holder;
            let cell = match query.reads {
                // It names an item.
                Reads::Named => {
                    rows::Query { name: String::new(), reads: Reads::Permission(domain::roles::PIPELINE_ITEMS_READ) }.cell(grants)
                }
                _ => query.cell(grants),
            };
            // One's own are read even by those who read no other; of lists, only they are shown.
            for (ids, is_own) in [(&others, false), (own, true)] {
                let client = if cell == Cell::Never { &person.client } else { holder.at_home() };
                let reply = ask(client, ids).await;
                let (code, answer) = (reply.code(), &reply.body["data"][&query.name]);
                let right = match cell {
                    Cell::Never if query.reads == Reads::Named || holder.home.is_some() => code == "NOT_FOUND" && answer.is_null(),
                    Cell::Never => code == "FORBIDDEN" && answer.is_null() && query.permission().is_some_and(|needs| names(&reply, needs)),
                    Cell::Own if !is_own && schema.needs_id(root) => {
                        ["NOT_FOUND", "FORBIDDEN"].contains(&code.as_str()) && answer.is_null()
                    }
                    Cell::Own => {
                        let shown = |id: &Uuid| reply.text.contains(&id.to_string());
                        code.is_empty() && !answer.is_null() && !others.others.values().chain([&others.item]).any(shown)
                    }
                    _ => code.is_empty() && !answer.is_null(),
                };
                if !right {
                    let whose = if is_own { "their own" } else { "somebody else's" };
                    found.push(format!("{} by {role} of {whose} should be {cell:?}: {}", query.name, reply.text));
                }
            }
        }
    }
    assert_eq!(heads(&world).await, before);
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}
