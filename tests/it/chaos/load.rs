//! People who go on working whatever happens, and remember what they were told. Invariant: what they were told is done is
//! in the log once; what they could send again under its key is there once; of the rest each is there once at the most.

use super::Dice;
use crate::graphql::{Acme, Client, Person};
use crate::harness::{Team, now};
use crate::processes::House;
use chrono::TimeDelta;
use domain::{ItemId, StageId};
use serde_json::json;
use sqlx::types::Uuid;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const KEY: &str = "Idempotency-Key";
/// At once.
const CLIENTS: usize = 8;
/// Of each client in a round.
pub(super) const DEEDS: usize = 10;
/// Of such a round.
pub(super) const ROUND: usize = CLIENTS * DEEDS;
const WORKSPACES: usize = 3;
const ITEMS: usize = 4;
/// What a good client waits before it comes again (`Retry-After` says a second; these are in a hurry).
const PAUSE: Duration = Duration::from_millis(100);
/// Within which whatever is sent has an answer, or its connection has ended.
const ANSWERED: Duration = Duration::from_secs(40);
/// Within which what can be sent again is done.
const DONE_IN: Duration = Duration::from_secs(120);

/// What may be said while something is broken.
pub(super) const BROKEN: &[&str] = &["UNAVAILABLE", "TIMEOUT", "OVERLOADED", "CONFLICT"];
/// What may be said while nothing is: who loses to others time and again.
pub(super) const WHOLE: &[&str] = &["CONFLICT"];
/// There was no answer.
const CUT_OFF: &str = "cut off";
/// Nobody listened.
const NOBODY: &str = "nobody there";

/// What somebody was told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Done,
    /// Nothing, or that it is not known, and it had no key to be sent again under.
    Nothing,
}

/// Something that is done once.
#[derive(Clone, Debug)]
struct Deed {
    workspace: usize,
    mutation: &'static str,
    arguments: String,
    /// Unlike any other's.
    name: String,
    keyed: bool,
}

/// Where they work.
struct Ground {
    owner: Person,
    team: Team,
    pipeline: Uuid,
    stages: Vec<StageId>,
    items: Vec<ItemId>,
}

/// The people.
pub(super) struct Load {
    grounds: Vec<Ground>,
    clients: Mutex<Vec<Client>>,
    urls: Mutex<Vec<String>>,
    told: Mutex<Vec<(Deed, Told)>>,
    answered: AtomicUsize,
    met: Mutex<BTreeMap<String, usize>>,
}

impl Load {
    /// Some workspaces with people in them.
    pub(super) async fn new(house: &House) -> Arc<Self> {
        let mut grounds = vec![];
        for acme in house.acmes(WORKSPACES).await {
            grounds.push(Ground::new(house, acme).await);
        }
        let urls = Mutex::new(house.urls().await);
        let load =
            Self { grounds, clients: Mutex::default(), urls, told: Mutex::default(), answered: AtomicUsize::new(0), met: Mutex::default() };
        load.sign_in(house, TimeDelta::zero());
        Arc::new(load)
    }

    /// They get themselves tokens, by a clock that is ahead by this.
    pub(super) fn sign_in(&self, house: &House, ahead: TimeDelta) {
        let signed_in = |ground: &Ground| ground.owner.with_token_of(&house.app, now() + ahead).client;
        *self.clients.lock().unwrap() = self.grounds.iter().map(signed_in).collect();
    }

    /// They turn to where the API is now.
    pub(super) async fn go_to(&self, house: &House) {
        let urls = house.urls().await;
        *self.urls.lock().unwrap() = urls;
    }

    /// A workspace's owner, who talks to one of the API processes.
    pub(super) fn owner(&self, workspace: usize) -> Client {
        self.clients.lock().unwrap()[workspace].at(&self.urls.lock().unwrap()[0])
    }

    /// A workspace and a pipeline in it.
    pub(super) fn place(&self, workspace: usize) -> (Uuid, Uuid) {
        (self.grounds[workspace].team.tenant.0, self.grounds[workspace].pipeline)
    }

    /// A round begins: each does so many things, one after the other. What they may be told is one of `codes`.
    pub(super) fn begin(self: &Arc<Self>, name: &str, deeds: usize, dice: &mut Dice, codes: &'static [&'static str]) -> JoinSet<()> {
        self.answered.store(0, Ordering::SeqCst);
        self.met.lock().unwrap().clear();
        let mut people = JoinSet::new();
        for client in 0..CLIENTS {
            let todo: Vec<Deed> =
                (0..deeds).map(|n| self.deed(&format!("deed {name} {client} {n}"), (client + n) % 2 == 0, dice)).collect();
            let asides: Vec<Option<(&'static str, String)>> = (0..deeds).map(|_| self.aside(client % WORKSPACES, dice)).collect();
            let load = Arc::clone(self);
            people.spawn(async move {
                for (nth, (deed, aside)) in todo.into_iter().zip(asides).enumerate() {
                    let told = load.done(&deed, client + nth, codes).await;
                    load.told.lock().unwrap().push((deed, told));
                    load.answered.fetch_add(1, Ordering::SeqCst);
                    if let Some((mutation, arguments)) = aside {
                        load.tried(client % WORKSPACES, client + nth, mutation, &arguments, None, codes).await;
                    }
                }
            });
        }
        people
    }

    /// How many things of the round have come to an end.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// What else they were told in the round, and how often.
    pub(super) fn met(&self) -> BTreeMap<String, usize> {
        self.met.lock().unwrap().clone()
    }

    fn deed(&self, name: &str, keyed: bool, dice: &mut Dice) -> Deed {
        let workspace = dice.below(WORKSPACES);
        let ground = &self.grounds[workspace];
        let item = ground.items[dice.below(ITEMS)];
        let (mutation, arguments) = match dice.below(3) {
            0 => ("createItem", format!("input: {{ pipelineId: \"{}\", title: \"{name}\" }}", ground.pipeline)),
            1 => ("updateItem", format!("itemId: \"{item}\", input: {{ title: \"{name}\" }}")),
            _ => ("recordItemActivity", format!("itemId: \"{item}\", input: {{ name: \"{name}\" }}")),
        };
        Deed { workspace, mutation, arguments, name: name.to_owned(), keyed }
    }

    /// What they do besides, now and then, which need not be done: an item moves, or they look at the board.
    fn aside(&self, workspace: usize, dice: &mut Dice) -> Option<(&'static str, String)> {
        let ground = &self.grounds[workspace];
        let (item, stage) = (ground.items[dice.below(ITEMS)], ground.stages[dice.below(ground.stages.len())]);
        match dice.below(4) {
            0 => Some(("moveItem", format!("itemId: \"{item}\", input: {{ toStageId: \"{stage}\" }}"))),
            1 => Some((LOOK, String::new())),
            _ => None,
        }
    }

    /// Does it, again and again where that is allowed.
    async fn done(&self, deed: &Deed, mut through: usize, codes: &[&str]) -> Told {
        let began = Instant::now();
        loop {
            let key = deed.keyed.then_some(deed.name.as_str());
            let Some(code) = self.tried(deed.workspace, through, deed.mutation, &deed.arguments, key, codes).await else {
                return Told::Done;
            };
            // These say that nothing was done.
            if !deed.keyed && ![NOBODY, "CONFLICT"].contains(&code.as_str()) {
                return Told::Nothing;
            }
            assert!(began.elapsed() < DONE_IN, "{deed:?} was never done: {code}; met {:?}", self.met());
            tokio::time::sleep(PAUSE).await;
            through += 1;
        }
    }

    /// Sends something once; none when it was done, else what was said instead.
    async fn tried(
        &self,
        workspace: usize,
        through: usize,
        mutation: &str,
        arguments: &str,
        key: Option<&str>,
        codes: &[&str],
    ) -> Option<String> {
        let client = {
            let urls = self.urls.lock().unwrap();
            self.clients.lock().unwrap()[workspace].at(&urls[through % urls.len()])
        };
        let client = key.iter().fold(client, |client, key| client.with(KEY, key));
        let answer = async {
            match mutation {
                LOOK => client.try_ask("{ pipelineItems(first: 20) { nodes { id title stage { id } } } }", json!({})).await,
                _ => client.try_mutate(mutation, arguments, "id title").await,
            }
        };
        let answer = tokio::time::timeout(ANSWERED, answer).await;
        let code = match answer.unwrap_or_else(|_| panic!("{mutation}({arguments}) had no answer within {ANSWERED:?}")) {
            Ok(reply) if reply.done() || mutation == LOOK && reply.code().is_empty() => {
                // At or after the write; and nobody renames what is new.
                let title = &reply.payload()["entity"]["title"];
                assert!(mutation != "createItem" || title.is_null() || arguments.contains(&format!("title: {title}")), "{}", reply.text());
                return None;
            }
            Ok(reply) => {
                assert!(codes.contains(&reply.code().as_str()), "{mutation}({arguments}): {}", reply.text());
                reply.code()
            }
            Err(error) if error.is_connect() => NOBODY.to_owned(),
            Err(_) => CUT_OFF.to_owned(),
        };
        *self.met.lock().unwrap().entry(code.clone()).or_default() += 1;
        Some(code)
    }

    /// The log has what was done, and only that. `unknown` is how often that may be there of which nothing is known.
    pub(super) async fn holds(&self, house: &House, unknown: usize) {
        let told = self.told.lock().unwrap().clone();
        // A key is good for whoever sends the same again, at either process.
        let again: Vec<&Deed> = told.iter().rev().map(|(deed, _)| deed).filter(|deed| deed.keyed).take(ITEMS * CLIENTS).collect();
        for (through, deed) in again.into_iter().enumerate() {
            assert_eq!(self.done(deed, through, WHOLE).await, Told::Done);
        }
        let sql = "select name, count(*) from event_store.events,
                     coalesce(payload ->> 'title', payload ->> 'name', payload #>> '{changes,title,to}') as name
                   where name like 'deed %' group by 1";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&house.admin).await.unwrap();
        let mut there: HashMap<String, i64> = rows.into_iter().collect();
        let mut nothing = (0, 0);
        for (deed, told) in &told {
            let times = usize::try_from(there.remove(&deed.name).unwrap_or(0)).unwrap();
            match told {
                Told::Done => assert_eq!(times, 1, "was answered as done: {deed:?}"),
                Told::Nothing => {
                    assert!(!deed.keyed && times <= unknown, "{times} times: {deed:?}");
                    nothing = (nothing.0 + 1, nothing.1 + times);
                }
            }
        }
        assert!(there.is_empty(), "in the log, and nobody did it: {there:?}");
        eprintln!(
            "{} deeds are in the log as they were told; of {} nothing was known, and {} were there",
            told.len(),
            nothing.0,
            nothing.1
        );
    }
}

/// No mutation, but a query.
const LOOK: &str = "look";

impl Ground {
    async fn new(house: &House, acme: Acme) -> Self {
        let team = house.team(&acme);
        let board = team.board(3).await;
        let mut items = vec![];
        for _ in 0..ITEMS {
            items.push(team.item(&board).await);
        }
        Self { owner: acme.owner, team, pipeline: board.id.0, stages: board.stages, items }
    }
}
