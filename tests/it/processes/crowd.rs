//! What holds for the log holds for two processes that write it at once: no command is lost, halved or done twice, a key
//! has one outcome, a name one holder, a limit holds, and nothing is done to what goes meanwhile.

use super::*;
use crate::graphql::Reply;
use futures::future::{join, join_all};
use std::collections::BTreeSet;

const KEY: &str = "Idempotency-Key";
/// Races of a kind.
const RACES: usize = 60;
/// So many at a time: of many at once each process would write its own in one batch, and one win all.
const AT_ONCE: usize = 10;
/// By when both sides have won, or it is no race.
const MOST: usize = 10 * RACES;
/// Those who meet on one aggregate, or want one place.
const CROWD: usize = 50;
const KEYS: usize = 30;

/// A workspace whose owner is at both processes.
struct Ground {
    team: Team,
    owners: [Client; 2],
}

impl Ground {
    async fn new(house: &House, mark: &str) -> Self {
        let acme = house.acme(mark, 0).await;
        let by = acme.owner.client.in_workspace(acme.id);
        let urls = house.urls().await;
        Self { team: house.team(&acme), owners: [by.at(&urls[0]), by.at(&urls[1])] }
    }

    /// How many events of a type it has.
    async fn count(&self, house: &House, event_type: &str) -> usize {
        let sql = "select count(*) from event_store.events where tenant_id = $1 and event_type = $2";
        let count: i64 = sqlx::query_scalar(sql).bind(self.team.tenant.0).bind(event_type).fetch_one(&house.admin).await.unwrap();
        usize::try_from(count).unwrap()
    }
}

/// How often each was answered.
fn tally(codes: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    codes.into_iter().fold(BTreeMap::new(), |mut tally, code| {
        *tally.entry(code).or_default() += 1;
        tally
    })
}

fn tallied<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(code, count)| (code.to_owned(), count)).collect()
}

fn create(board: impl std::fmt::Display, title: &str) -> String {
    format!("input: {{ pipelineId: \"{board}\", title: \"{title}\" }}")
}

/// Races until there were enough and each side has won: how many there were. A race tells who won.
async fn raced<F: Future<Output = &'static str>>(what: &str, race: impl Fn(usize) -> F) -> usize {
    let mut wins = BTreeMap::<&str, usize>::new();
    for begun in (0..MOST).step_by(AT_ONCE) {
        for winner in join_all((begun..begun + AT_ONCE).map(&race)).await {
            *wins.entry(winner).or_default() += 1;
        }
        if wins.len() == 2 && begun + AT_ONCE >= RACES {
            println!("{what}: {wins:?}");
            return begun + AT_ONCE;
        }
    }
    panic!("{what} is not much of a race: {wins:?}");
}

/// Sends two at once, now the one first, now the other.
async fn together(n: usize, one: (&Client, &str, &str), other: (&Client, &str, &str)) -> (String, String) {
    let send = async |(client, mutation, arguments): (&Client, &str, &str), later| {
        client.dawdle(later).await;
        outcome(client, mutation, arguments).await
    };
    join(send(one, n % 6), send(other, 2)).await
}

/// Fifty commands on one item, every other one of which may be two events.
async fn one_aggregate(house: &House) {
    let ground = Ground::new(house, "aggregate").await;
    let board = ground.team.board(2).await;
    let item = ground.team.item(&board).await;
    let sent = (0..CROWD).map(|n| {
        let (client, stage) = (&ground.owners[n / 2 % 2], board.stages[n / 2 % 2]);
        let (mutation, input) = match n % 2 {
            0 => ("recordItemActivity", format!("name: \"activity {n}\"")),
            _ => ("moveItem", format!("toStageId: \"{stage}\"")),
        };
        async move {
            loop {
                // Who loses to the other process time and again is told so, and comes again.
                let code = outcome(client, mutation, &format!("itemId: \"{item}\", input: {{ {input} }}")).await;
                if code != "CONFLICT" {
                    return code;
                }
            }
        }
    });
    assert_eq!(tally(join_all(sent).await), tallied([(DONE, CROWD)]));
    let sql = "select payload ->> 'name' from event_store.events where tenant_id = $1 and event_type = 'PipelineItemActivityRecorded'";
    let mut names: Vec<String> = sqlx::query_scalar(sql).bind(ground.team.tenant.0).fetch_all(&house.admin).await.unwrap();
    let mut expected: Vec<String> = (0..CROWD).step_by(2).map(|n| format!("activity {n}")).collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected, "each is there once");
    let moved = ground.count(house, "PipelineItemMoved").await;
    let turned = ground.count(house, "PipelineItemCompleted").await + ground.count(house, "PipelineItemReopened").await;
    assert!(moved == turned && moved > 0, "each move between these stages is two events: {moved}, {turned}");
}

/// Two pipelines of one key, each of six events: one is there, whole, and of the other nothing.
async fn one_name(house: &House) {
    let ground = Ground::new(house, "name").await;
    let stages: String = (0..5).map(|n| format!("{{ key: \"s{n}\", name: \"Stage {n}\", isTerminal: {} }}, ", n == 4)).collect();
    let races = raced("pipelines of one key, won by", async |n| {
        let input = format!("input: {{ key: \"prize_{n}\", name: \"Prize\", type: SALES, stages: [{stages}] }}");
        let [here, there] = ground.owners.each_ref().map(|client| (client, "createPipeline", input.as_str()));
        let codes = together(n, here, there).await;
        match (codes.0.as_str(), codes.1.as_str()) {
            (DONE, "KEY_TAKEN") => "one",
            ("KEY_TAKEN", DONE) => "other",
            _ => panic!("race {n}: {codes:?}"),
        }
    })
    .await;
    let sql = "select count(*) from event_store.events where tenant_id = $1 and event_type in ('PipelineCreated', 'StageAdded')
               group by metadata ->> 'command_id'";
    let sizes: Vec<i64> = sqlx::query_scalar(sql).bind(ground.team.tenant.0).fetch_all(&house.admin).await.unwrap();
    assert_eq!(sizes, vec![6; races], "each command is there whole");
}

/// Two workspaces want the same slug, time and again.
async fn one_slug(house: &House) {
    let (a, b) = (Ground::new(house, "slug-a").await, Ground::new(house, "slug-b").await);
    for n in 0..5 {
        let slug = format!("slug: \"prize-{n}\"");
        let codes = join(outcome(&a.owners[n % 2], "changeSlug", &slug), outcome(&b.owners[(n + 1) % 2], "changeSlug", &slug)).await;
        assert_eq!(tally(<[String; 2]>::from(codes)), tallied([(DONE, 1), ("SLUG_TAKEN", 1)]), "in race {n}");
    }
}

/// A stage that takes three, wanted by many; and again, when one of them has gone.
async fn one_limit(house: &House) {
    let ground = Ground::new(house, "limit").await;
    let [here, there] = &ground.owners;
    for _ in 0..2 {
        let board = ground.team.board(2).await;
        ground.team.limit(&board, 3).await;
        let item = ground.team.item(&board).await;
        let input = create(board.id, "Item");
        let sent = (0..CROWD / 2).map(|n| outcome(&ground.owners[n % 2], "createItem", &input));
        assert_eq!(tally(join_all(sent).await), tallied([(DONE, 2), ("WIP_LIMIT_REACHED", CROWD / 2 - 2)]));
        assert_eq!(outcome(there, "deleteItem", &format!("itemId: \"{item}\"")).await, DONE);
        let again = join(outcome(here, "createItem", &input), outcome(there, "createItem", &input)).await;
        assert_eq!(tally(<[String; 2]>::from(again)), tallied([(DONE, 1), ("WIP_LIMIT_REACHED", 1)]));
    }
}

/// The same command under one key, sent to both processes at once, and again after.
async fn one_key(house: &House) {
    let ground = Ground::new(house, "key").await;
    let board = ground.team.board(2).await;
    let sent_twice = |n: usize| {
        let [here, there] = ground.owners.each_ref().map(|client| client.with(KEY, format!("key {n}")));
        let input = create(board.id, &format!("Item {n}"));
        let other = create(board.id, "Another");
        async move {
            let sent = [&here, &there, &here, &there].map(|client| client.mutate("createItem", &input, "id"));
            let mut replies = join_all(sent).await;
            replies.push(there.mutate("createItem", &input, "id").await);
            let done = |reply: &Reply| [DONE, "READ_MODEL_BEHIND"].contains(&reply.code().as_str());
            assert!(replies.iter().all(done), "key {n}: {replies:?}");
            // Of one whose read model is behind, nothing is shown.
            let ids = replies.iter().filter_map(|reply| reply.payload()["entity"]["id"].as_str().map(str::to_owned));
            let ids: BTreeSet<String> = ids.collect();
            assert!(ids.len() <= 1, "key {n} has more than one outcome: {ids:?}");
            assert_eq!(here.mutate("createItem", &other, "id").await.code(), "IDEMPOTENCY_KEY_REUSED");
        }
    };
    for some in (0..KEYS).step_by(AT_ONCE) {
        join_all((some..some + AT_ONCE).map(sent_twice)).await;
    }
    assert_eq!(ground.count(house, "PipelineItemCreated").await, KEYS);
}

/// A pipeline is deleted while items come into it.
async fn deletions(house: &House) {
    let ground = Ground::new(house, "deletions").await;
    raced("pipelines deleted and used", async |n| {
        let board = ground.team.board(2).await;
        let (at, input) = (format!("pipelineId: \"{}\"", board.id), create(board.id, "Item"));
        let (here, there) = (&ground.owners[n % 2], &ground.owners[(n + 1) % 2]);
        let codes = together(n, (here, "deletePipeline", &at), (there, "createItem", &input)).await;
        match (codes.0.as_str(), codes.1.as_str()) {
            (DONE, "PIPELINE_NOT_FOUND") => "deleted",
            ("PIPELINE_IN_USE", DONE) => "used",
            _ => panic!("race {n}: {codes:?}"),
        }
    })
    .await;
}

/// A stage is removed while an item moves there.
async fn removals(house: &House) {
    let ground = Ground::new(house, "removals").await;
    raced("stages removed and entered", async |n| {
        let board = ground.team.board(3).await;
        let (item, stage) = (ground.team.item(&board).await, board.stages[1]);
        let at = format!("pipelineId: \"{}\", stageId: \"{stage}\"", board.id);
        let to = format!("itemId: \"{item}\", input: {{ toStageId: \"{stage}\" }}");
        let (here, there) = (&ground.owners[n % 2], &ground.owners[(n + 1) % 2]);
        let codes = together(n, (here, "removeStage", &at), (there, "moveItem", &to)).await;
        match (codes.0.as_str(), codes.1.as_str()) {
            (DONE, "STAGE_NOT_FOUND") => "removed",
            ("STAGE_IN_USE", DONE) => "entered",
            _ => panic!("race {n}: {codes:?}"),
        }
    })
    .await;
}

async fn crowded(setting: Setting) {
    let house = House::new(setting, 2, 2).await;
    // So many at once that they meet, and not so many that the machine cannot answer in time.
    let bursts = async {
        one_aggregate(&house).await;
        one_limit(&house).await;
        one_key(&house).await;
    };
    tokio::join!(bursts, one_name(&house), one_slug(&house), deletions(&house), removals(&house));
    house.kept_to_their_path().await;
    house.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_two_processes_do_at_once_is_done_once_and_as_the_rules_have_it() {
    crowded(TOLD_SWIFT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_two_processes_do_at_once_under_locks_is_done_once_and_as_the_rules_have_it() {
    crowded(TOLD_LOCKING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_two_processes_do_at_once_and_tell_nobody_is_done_once_and_as_the_rules_have_it() {
    crowded(UNTOLD_SWIFT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_two_processes_do_at_once_under_locks_and_tell_nobody_is_done_once_and_as_the_rules_have_it() {
    crowded(UNTOLD_LOCKING).await;
}
