//! A member loses what they need through one process while they send commands through the other: nothing of theirs
//! stands behind the loss. The proof is in the audit; here are the races, and that they are races.

use super::*;
use crate::graphql::{Person, person};
use domain::roles::BuiltInRole;
use futures::future::join_all;
use std::collections::HashMap;

const WORKSPACES: usize = 50;
/// Each member of each workspace is raced once: a thousand times.
const MEMBERS: usize = 20;
/// Races under way in a workspace: each moves what the others were allowed by.
const AT_ONCE: usize = 2;

/// On a machine that is too slow for so many: it may or may not be done.
const UNKNOWN: &str = "TIMEOUT";

/// A workspace in which members are raced.
struct Ground {
    /// Its owner is at one process.
    acme: Acme,
    /// Where the other is.
    there: String,
    board: Uuid,
    item: Uuid,
}

impl Ground {
    /// What came of the commands that the member sent while they lost their role, or all they had, which has this lead.
    async fn race(&self, n: usize, person: &Person, lead: isize) -> Race {
        let member = self.acme.joined(person, &[BuiltInRole::Operator, BuiltInRole::Viewer]).await.client.at(&self.there);
        let user = person.id;
        let (lose, refusal) = match n % 3 {
            0 => (("removeMember", format!("userId: \"{user}\"")), "NOT_FOUND"),
            _ => (("revokeRole", format!("userId: \"{user}\", role: \"operator\"")), "FORBIDDEN"),
        };
        // Now before, now among, now after what the member sends.
        let (ahead, behind) = (lead.max(0).unsigned_abs(), lead.min(0).unsigned_abs());
        let lose = async {
            let owner = &self.acme.owner.client;
            owner.dawdle(n % 4 + behind).await;
            let owner = owner.with("Idempotency-Key", format!("{n}"));
            loop {
                let code = outcome(&owner, lose.0, &lose.1).await;
                if code != UNKNOWN {
                    break assert_eq!(code, DONE);
                }
            }
        };
        let input = format!("input: {{ pipelineId: \"{}\", title: \"Item\" }}", self.board);
        let create = || outcome(&member, "createItem", &input);
        let make = async {
            member.dawdle(ahead).await;
            create().await
        };
        let act = async {
            member.dawdle(ahead + 1).await;
            outcome(&member, "recordItemActivity", &format!("itemId: \"{}\", input: {{ name: \"seen\" }}", self.item)).await
        };
        let ((), created, seen) = tokio::join!(lose, make, act);
        let codes = [created, seen];
        for code in &codes {
            assert!([DONE, UNKNOWN, "FORBIDDEN", refusal].contains(&code.as_str()), "{code}");
        }
        if n.is_multiple_of(10) {
            assert_eq!(create().await, refusal, "it is lost by now");
        }
        Race { workspace: self.acme.id.0, user: user.0, codes }
    }
}

/// Who was raced where, and what came of both commands.
struct Race {
    workspace: Uuid,
    user: Uuid,
    codes: [String; 2],
}

impl Race {
    fn count(&self, code: &str) -> usize {
        self.codes.iter().filter(|other| *other == code).count()
    }
}

async fn raced(setting: Setting) {
    let house = House::new(setting, 2, 2).await;
    let urls = house.urls().await;
    let (acmes, people) = tokio::join!(house.acmes(WORKSPACES), join_all((0..MEMBERS).map(|_| person(&house.app, &urls[0], "member"))));
    let people = Arc::new(people);
    let races = acmes.into_iter().enumerate().map(|(n, acme)| {
        let (team, people, there) = (house.team(&acme), Arc::clone(&people), urls[(n + 1) % 2].clone());
        tokio::spawn(async move {
            let board = team.board(2).await;
            let item = team.item(&board).await;
            let ground = Ground { acme, there, board: board.id.0, item: item.0 };
            let (mut races, mut lead) = (vec![], 0);
            for some in people.chunks(AT_ONCE) {
                let mut running = vec![];
                for person in some {
                    running.push(ground.race(races.len() + running.len(), person, lead));
                }
                for race in join_all(running).await {
                    // However fast the machine and each command on it: who won begins later the next time.
                    lead += match race.count(DONE) {
                        2 => 1,
                        0 => -1,
                        _ => 0,
                    };
                    races.push(race);
                }
            }
            races
        })
    });
    let races: Vec<Race> = join_all(races).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(races.len(), 1_000);
    let mut codes = BTreeMap::<&str, usize>::new();
    for code in races.iter().flat_map(|race| &race.codes) {
        *codes.entry(code).or_default() += 1;
    }
    let crossed = races.iter().filter(|race| race.count(DONE) == 1).count();
    println!("{setting:?}: {crossed} races with both outcomes; of the commands so many came to each code: {codes:?}");
    let refused: usize = codes.iter().filter(|(code, _)| ![DONE, UNKNOWN].contains(code)).map(|(_, count)| count).sum();
    assert!(
        crossed > 0 && codes.get(DONE).is_some_and(|done| *done > 100) && refused > 100,
        "not much of a race: {crossed} crossed, {codes:?}"
    );

    let sql = "select tenant_id, (metadata ->> 'actor_id')::uuid, count(*) from event_store.events
               where aggregate_type = 'pipeline_item' and metadata ->> 'actor_id' = any ($1) group by 1, 2";
    let users: Vec<String> = people.iter().map(|person| person.id.to_string()).collect();
    let stand: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(sql).bind(users).fetch_all(&house.admin).await.unwrap();
    let stand: HashMap<_, _> =
        stand.into_iter().map(|(workspace, user, count)| ((workspace, user), usize::try_from(count).unwrap())).collect();
    for race in &races {
        let (done, found) = (race.count(DONE), stand.get(&(race.workspace, race.user)).copied().unwrap_or(0));
        let answered = done..=done + race.count(UNKNOWN);
        assert!(answered.contains(&found), "what was answered as done is there, once, and nothing else: {found}, {:?}", race.codes);
    }
    let sql = "select count(*) from event_store.events loss join event_store.events act using (tenant_id)
               where loss.event_type in ('RoleRevoked', 'MemberRemoved') and act.position > loss.position
                 and act.metadata ->> 'actor_id' = loss.payload ->> 'user_id'";
    let behind: i64 = sqlx::query_scalar(sql).fetch_one(&house.admin).await.unwrap();
    assert_eq!(behind, 0, "events stand behind the loss of what they needed");
    house.kept_to_their_path().await;
    house.stands().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_done_behind_the_loss_of_a_role_raced_a_thousand_times_across_processes() {
    raced(TOLD_SWIFT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_done_behind_the_loss_of_a_role_across_processes_that_append_under_locks() {
    raced(TOLD_LOCKING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_done_behind_the_loss_of_a_role_across_processes_that_tell_each_other_nothing() {
    raced(UNTOLD_SWIFT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_done_behind_the_loss_of_a_role_across_processes_that_tell_each_other_nothing_and_append_under_locks() {
    raced(UNTOLD_LOCKING).await;
}
