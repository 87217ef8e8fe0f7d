//! Clocks jump: those of the processes, that of the server, forwards by a day and backwards by more. Time in the log never
//! runs backwards, nobody waits for a time that has gone, and who signs in again goes on.

use super::Dice;
use super::faults::{Fault, Faults};
use super::load::{DEEDS, Load, WHOLE};
use super::site::{Environments, Site};
use crate::graphql::Client;
use crate::harness::eventually;
use crate::processes::{House, TOLD_SWIFT};
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::Executor;

const DAY: TimeDelta = TimeDelta::days(1);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// The clocks of a site.
struct Clocks {
    server: Faults,
    processes: Faults,
}

impl Clocks {
    fn ahead(&self, server: TimeDelta, processes: TimeDelta) {
        self.server.set(Fault::Clock, server.num_seconds());
        self.processes.set(Fault::Clock, processes.num_seconds());
    }
}

async fn site() -> Option<(Site, Clocks)> {
    let dir = cluster::throwaway_dir().unwrap();
    let clocks = Clocks { server: Faults::of(dir.path(), "server")?, processes: Faults::of(dir.path(), "processes")? };
    let environments = Environments { server: clocks.server.environment(), processes: clocks.processes.environment() };
    Some((Site::new(dir, TOLD_SWIFT, environments).await, clocks))
}

const ADA: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery 9A!";

/// Somebody says who they are, as people do.
async fn say(house: &House, what: &str, more: Value) -> (String, Value) {
    let url = house.apis[0].url().await;
    let mut body = json!({ "email": ADA, "password": PASSWORD });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = reqwest::Client::new().post(format!("{url}/api/v1/auth/{what}")).json(&body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status} {text}");
    (url, serde_json::from_str(&text).unwrap())
}

/// With the token that they get.
async fn sign_in(house: &House) -> Client {
    let (url, body) = say(house, "login", json!({})).await;
    Client::new(&url, Some(body["accessToken"].as_str().unwrap().to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_clock_that_jumps_costs_a_sign_in_at_the_most() {
    let Some((site, clocks)) = site().await else { return };
    let house = &site.house;
    let mut dice = Dice::new();
    let load = Load::new(house).await;
    say(house, "register", json!({ "passwordConfirm": PASSWORD })).await;
    let mut ada = sign_in(house).await;
    let mut before = TimeDelta::zero();
    for (name, server, processes) in [
        ("processes-ahead", TimeDelta::zero(), DAY),
        ("both-ahead", DAY, DAY),
        ("processes-behind", DAY, -HOUR),
        ("both-behind", -HOUR, -HOUR),
        ("both-right", TimeDelta::zero(), TimeDelta::zero()),
    ] {
        let hits = (clocks.server.hits(Fault::Clock), clocks.processes.hits(Fault::Clock));
        clocks.ahead(server, processes);
        let code = ada.try_ask("{ me { email } }", json!({})).await.unwrap().code();
        // A token is good for a quarter of an hour.
        assert_eq!(code, if processes - before > HOUR / 2 { "UNAUTHENTICATED" } else { "" }, "{name}");
        ada = sign_in(house).await;
        assert_eq!(ada.get("{ me { email } }", json!({})).await["me"]["email"], ADA, "{name}");
        load.sign_in(house, processes);
        let mut people = load.begin(name, DEEDS, &mut dice, WHOLE);
        while let Some(person) = people.join_next().await {
            person.unwrap();
        }
        house.caught_up().await;
        let since = (clocks.server.hits(Fault::Clock) - hits.0, clocks.processes.hits(Fault::Clock) - hits.1);
        assert!((since.0 > 0) == (server != TimeDelta::zero()) && (since.1 > 0) == (processes != TimeDelta::zero()), "{name}: {since:?}");
        eprintln!("{name}: the server was told a wrong time {} times, the processes {} times", since.0, since.1);
        before = processes;
    }
    load.holds(house, 0).await;
    site.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waits_by_a_clock_that_is_then_set_back_does_not_wait_for_that_time_to_come_again() {
    let Some((mut site, clocks)) = site().await else { return };
    let house = &mut site.house;
    clocks.ahead(DAY, TimeDelta::zero());
    let load = Load::new(house).await;
    house.is_shared(2).await;

    // What stands still is to be tried again soon, a day from now.
    house.admin.execute("alter table read_models.pipeline_items add constraint no_ducks check (title <> 'Duck')").await.unwrap();
    let (tenant, pipeline) = load.place(0);
    let input = format!("input: {{ pipelineId: \"{pipeline}\", title: \"Duck\" }}");
    assert_eq!(load.owner(0).mutate("createItem", &input, "id").await.code(), "READ_MODEL_BEHIND");
    let parked = "select count(*) from read_models.parked where tenant_id = $1";
    eventually("it to stand still", || async {
        (sqlx::query_scalar::<_, i64>(parked).bind(tenant).fetch_one(&house.admin).await.unwrap() == 1).then_some(())
    })
    .await;
    house.admin.execute("alter table read_models.pipeline_items drop constraint no_ducks").await.unwrap();

    // And who dies now has been said to live until tomorrow.
    house.workers[0].child.kill().await.unwrap();
    clocks.ahead(-HOUR, TimeDelta::zero());
    house.is_shared(1).await;
    eventually("it to be tried", || async {
        (sqlx::query_scalar::<_, i64>("select count(*) from read_models.parked").fetch_one(&house.admin).await.unwrap() == 0).then_some(())
    })
    .await;
    house.workers[0] = house.start("worker");
    house.is_shared(2).await;
    site.stands().await;
}
