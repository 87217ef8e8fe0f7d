//! No field of the schema says anything about, or does anything to, what belongs to another workspace. The trials are
//! made from the published schema, so that a new field is tried as soon as there is one.

use super::schema::{Ids, Root, Schema};
use super::*;
use std::collections::BTreeSet;

/// What B keeps to itself: it stands in every text of B.
const SECRET: &str = "zanzibar";

/// Something of each kind in a workspace.
async fn things(acme: &Acme) -> Ids {
    acme.things_of(&acme.owner).await
}

fn is_not_found(code: &str) -> bool {
    code == "NOT_FOUND" || code.ends_with("_NOT_FOUND")
}

/// As the other, but every id is one that nobody has.
fn of_nobody(ids: &Ids) -> Ids {
    let new = |_: &Uuid| clock::new_uuid();
    Ids {
        pipeline: new(&ids.pipeline),
        stages: ids.stages.iter().map(new).collect(),
        elsewhere: (new(&ids.elsewhere.0), new(&ids.elsewhere.1)),
        item: new(&ids.item),
        beside: new(&ids.beside),
        user: new(&ids.user),
        session: new(&ids.session),
        workspace: new(&ids.workspace),
        others: ids.others.iter().map(|(kind, id)| (kind.clone(), new(id))).collect(),
    }
}

/// What was said, without the ids in it and the times.
fn shape(reply: &Reply) -> String {
    let parts = reply.text.split('"').map(|part| if part.len() >= 36 && Uuid::try_parse(&part[..36]).is_ok() { "ID" } else { part });
    let words: Vec<String> = parts
        .collect::<Vec<_>>()
        .join("\"")
        .split(' ')
        .map(|word| if Uuid::try_parse(word).is_ok() { "ID".to_owned() } else { word.to_owned() })
        .collect();
    words.join(" ")
}

fn trials(schema: &Schema) -> Vec<(Root, Vec<String>)> {
    let trials = schema.roots().into_iter().map(|root| (root.clone(), schema.id_paths(&root))).filter(|(_, paths)| !paths.is_empty());
    trials.collect()
}

/// Each id of each field in turn is B's while the others are one's own, and then all of them are.
async fn refused(world: &World, a: &Acme, of_b: &Ids, operation: &str) {
    let schema = Schema::read();
    let trials: Vec<_> = trials(&schema).into_iter().filter(|(root, _)| root.operation == operation).collect();
    assert!(trials.len() > 7, "only {} fields take an id", trials.len());
    let mut found_out = vec![];
    for (root, paths) in trials {
        let mine = things(a).await;
        let before = heads(world).await;
        for path in &paths {
            for all in [false, true] {
                let ids = |at: &str| if all || at == path { of_b.clone() } else { mine.clone() };
                let document = schema.document(&root, Some(path), &ids);
                let reply = a.owner.client.ask(&document, json!({})).await;
                if !is_not_found(&reply.code()) {
                    found_out.push(format!(
                        "{} with {path} of another workspace answers {:?}: {}\n  {document}",
                        root.name,
                        reply.code(),
                        reply.text
                    ));
                }
                let nobody = of_nobody(of_b);
                let ids = |at: &str| if all || at == path { nobody.clone() } else { mine.clone() };
                let of_nobody = a.owner.client.ask(&schema.document(&root, Some(path), &ids), json!({})).await;
                if (reply.status, shape(&reply)) != (of_nobody.status, shape(&of_nobody)) {
                    found_out.push(format!(
                        "{} tells {path} of another workspace from one that nobody has: {} and {}",
                        root.name, reply.text, of_nobody.text
                    ));
                }
                if reply.text.to_lowercase().contains(SECRET) {
                    found_out.push(format!("{} with {path} of another workspace tells: {}", root.name, reply.text));
                }
            }
        }
        if heads(world).await != before {
            found_out.push(format!("{} has written something", root.name));
        }
        // That the trial means something: with ids of one's own all is found, and nothing else is wrong.
        let document = schema.document(&root, paths.last().map(String::as_str), &|_| mine.clone());
        let reply = a.owner.client.ask(&document, json!({})).await;
        let code = reply.code();
        if reply.text.to_lowercase().contains(SECRET) {
            found_out.push(format!("{} with ids of one's own tells of another workspace: {}", root.name, reply.text));
        }
        if is_not_found(&code)
            || ["VALIDATION_ERROR", "FORBIDDEN", "GRAPHQL_VALIDATION_FAILED", "QUERY_TOO_COMPLEX", "INTERNAL"].contains(&code.as_str())
        {
            found_out.push(format!("{} with ids of one's own answers {code}: {}\n  {document}", root.name, reply.text));
        }
    }
    assert!(found_out.is_empty(), "{} findings:\n{}", found_out.len(), found_out.join("\n"));
}

async fn two_workspaces(world: &World) -> (Acme, Acme, Ids) {
    let (a, b) = (Acme::new(world, "acme").await, Acme::new(world, SECRET).await);
    let of_b = things(&b).await;
    (a, b, of_b)
}

#[tokio::test]
async fn no_query_finds_what_belongs_to_another_workspace() {
    let world = World::new().await;
    let (a, _b, of_b) = two_workspaces(&world).await;
    refused(&world, &a, &of_b, "query").await;
}

#[tokio::test]
async fn no_mutation_touches_what_belongs_to_another_workspace() {
    let world = World::new().await;
    let (a, _b, of_b) = two_workspaces(&world).await;
    refused(&world, &a, &of_b, "mutation").await;
}

#[tokio::test]
async fn node_finds_nothing_of_another_workspace_whatever_its_kind() {
    let world = World::new().await;
    let (a, b, of_b) = two_workspaces(&world).await;
    let membership = b.id.membership(UserId(of_b.user)).0;
    let known = [
        of_b.pipeline,
        of_b.stages[0],
        of_b.item,
        of_b.user,
        of_b.session,
        of_b.workspace,
        membership,
        b.id.entry().0,
        b.owner.id.0,
        PLATFORM.0,
    ];
    for id in known.into_iter().chain(of_b.others.into_values()) {
        for client in [&a.owner.client, &Client { workspace: None, ..a.owner.client.clone() }] {
            let reply = client
                .ask(
                    "query ($id: ID!) { node(id: $id) { id __typename ... on Member { name } ... on Workspace { slug } } }",
                    json!({ "id": id }),
                )
                .await;
            assert_eq!((reply.code().as_str(), &reply.body["data"]["node"]), ("NOT_FOUND", &Value::Null), "{}", reply.text);
            assert!(!reply.text.contains(SECRET), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn another_workspace_cannot_be_chosen_and_is_as_if_it_were_not_there() {
    let world = World::new().await;
    let (a, b, of_b) = two_workspaces(&world).await;
    let schema = Schema::read();
    let nowhere = a.owner.client.in_workspace("nowhere-at-all").ask("{ me { id } }", json!({})).await;
    let before = heads(&world).await;
    for root in schema.roots() {
        let document = schema.document(&root, None, &|_| of_b.clone());
        for name in [b.slug.clone(), b.id.to_string()] {
            let reply = a.owner.client.in_workspace(&name).ask(&document, json!({})).await;
            assert_eq!(
                (reply.status, reply.code().as_str(), reply.body.get("data")),
                (nowhere.status, "NOT_FOUND", None),
                "{document}: {}",
                reply.text
            );
            let (said, of_none) =
                (reply.body["errors"][0]["message"].as_str().unwrap(), nowhere.body["errors"][0]["message"].as_str().unwrap());
            assert_eq!(said.replace(&name, "nowhere-at-all"), of_none);
        }
    }
    assert_eq!(heads(&world).await, before);
}

#[tokio::test]
async fn whoever_does_not_say_who_they_are_gets_nothing_from_any_field() {
    let world = World::new().await;
    let (_, b, of_b) = two_workspaces(&world).await;
    let schema = Schema::read();
    let before = heads(&world).await;
    let stranger = Client { token: None, ..b.owner.client.clone() };
    for root in schema.roots() {
        let document = schema.document(&root, None, &|_| of_b.clone());
        for client in [stranger.clone(), Client { workspace: None, ..stranger.clone() }] {
            let reply = client.ask(&document, json!({})).await;
            assert_eq!(reply.body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{document}: {}", reply.text);
            assert!(reply.body["data"][&root.name].is_null() && !reply.text.contains(SECRET), "{document}: {}", reply.text);
        }
        let forged = Client { token: Some("eyJhbGciOiJub25lIn0.e30.".to_owned()), ..stranger.clone() };
        let reply = forged.ask(&document, json!({})).await;
        assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHENTICATED"), "{}", reply.text);
    }
    assert_eq!(heads(&world).await, before);
}

/// Types whose names and descriptions are the program's own, and so the same everywhere.
const CONSTANTS: [&str; 3] = ["Role", "Permission", "PermissionGrant"];

/// B says something wherever anything can be said: each mutation that takes text, but for those that take things away.
async fn fill_with_texts(b: &Acme, of_b: &Ids) {
    let schema = Schema::read();
    let takes_away = |name: &str| ["delete", "remove", "revoke", "leave", "change"].iter().any(|verb| name.starts_with(verb));
    let mut tried = 0;
    for root in schema.mutations().into_iter().filter(|root| schema.takes_text(root) && !takes_away(&root.name)) {
        let document = schema.wordy(&root, &|_| of_b.clone());
        let document = document.replace("Something else", SECRET).replace("Something", SECRET).replace("something", SECRET);
        let document = document.replace("\"some", &format!("\"{SECRET}"));
        let reply = b.owner.client.ask(&document, json!({})).await;
        assert!(reply.code().is_empty(), "{document}: {}", reply.text);
        tried += 1;
    }
    assert!(tried > 5, "only {tried} mutations take text");
}

/// All questions of a schema to a workspace whose things these are. Answers the fields that were shown, and the types that
/// showed the secret.
async fn ask_everything(schema: &Schema, client: &Client, ids: &Ids) -> (BTreeSet<(String, String)>, BTreeSet<String>, Vec<String>) {
    let (mut shown, mut telling, mut failed) = (BTreeSet::new(), BTreeSet::new(), vec![]);
    for root in schema.queries() {
        for visit in schema.visits(&root) {
            let document = schema.ask(&root, &visit, None, &|_| ids.clone());
            let reply = client.ask(&document, json!({})).await;
            // Too costly by this way: the type is reached by another, or found missing.
            if !["", "QUERY_TOO_COMPLEX"].contains(&reply.code().as_str()) {
                failed.push(format!("{document}: {}", reply.text));
            }
            if reply.text.to_lowercase().contains(SECRET) {
                telling.insert(visit.kind.clone());
            }
            shown.extend(visit.shown(&root, &reply.body));
        }
    }
    (shown, telling, failed)
}

#[tokio::test]
async fn every_field_of_every_type_is_asked_and_shows_nothing_of_another_workspace() {
    let world = World::new().await;
    let (a, b, of_b) = two_workspaces(&world).await;
    let (schema, of_a) = (Schema::read(), things(&a).await);
    fill_with_texts(&b, &of_b).await;

    let (shown, telling, failed) = ask_everything(&schema, &a.owner.client, &of_a).await;
    assert!(failed.is_empty(), "{} questions about things of one's own fail:\n{}", failed.len(), failed.join("\n"));
    assert!(telling.is_empty(), "{telling:?} show what belongs to another workspace");
    let missed: Vec<String> = schema.reachable().difference(&shown).map(|(kind, field)| format!("{kind}.{field}")).collect();
    assert!(
        missed.is_empty(),
        "no answer of this trial shows {}: let `Acme::things_of` (tests/it/graphql/mod.rs) make what has such a field, or say in `Ids::at` \
         (tests/it/graphql/schema.rs) what leads to it",
        missed.join(", ")
    );

    // That the secret could have been seen: B's own people see it in everything that has a name, a title, a text.
    let (_, telling, _) = ask_everything(&schema, &b.owner.client, &of_b).await;
    let texts = ["name", "title", "description", "note", "custom"];
    let named = schema.reachable().into_iter().filter(|(_, field)| texts.contains(&field.as_str())).map(|(kind, _)| kind);
    let silent: BTreeSet<String> = named.filter(|kind| !telling.contains(kind) && !CONSTANTS.contains(&kind.as_str())).collect();
    assert!(silent.is_empty(), "the trial cannot see a leak of {silent:?}: the secret stands nowhere in them");
}

#[tokio::test]
async fn no_field_below_a_query_answers_for_what_belongs_to_another_workspace() {
    let world = World::new().await;
    let (a, b, of_b) = two_workspaces(&world).await;
    let (schema, of_a) = (Schema::read(), things(&a).await);
    fill_with_texts(&b, &of_b).await;
    let before = heads(&world).await;
    let mut found_out = vec![];
    for root in schema.queries() {
        for visit in schema.visits(&root) {
            let mut documents = vec![];
            if schema.needs_id(&root) {
                documents.push(schema.ask(&root, &visit, None, &|_| of_b.clone()));
            }
            for field in &visit.fields {
                for path in schema.ids_of(field) {
                    let ids = |at: &str| if at == path { of_b.clone() } else { of_a.clone() };
                    documents.push(schema.ask(&root, &visit, Some((field.name.node.as_str(), &path)), &ids));
                }
            }
            for document in documents {
                let reply = a.owner.client.ask(&document, json!({})).await;
                if reply.text.to_lowercase().contains(SECRET) || !(is_not_found(&reply.code()) || reply.code() == "QUERY_TOO_COMPLEX") {
                    found_out.push(format!("{document}: {}", reply.text));
                }
            }
        }
    }
    assert!(found_out.is_empty(), "{} findings:\n{}", found_out.len(), found_out.join("\n"));
    assert_eq!(heads(&world).await, before);
}
