//! Processes are killed at random moments, on a quick disk and on a slow one.

use super::faults::{Fault, Faults};
use super::load::{BROKEN, DEEDS, Load, ROUND};
use super::site::{Environments, Site, kill};
use super::{Dice, rounds};
use crate::harness::eventually;
use crate::processes::{TOLD_LOCKING, TOLD_SWIFT};
use std::time::{Duration, Instant};

/// What is killed. Each comes in turn, in an order that chance gives.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Api,
    Worker,
    Postgres,
    /// One of the server's processes, which makes it end all of them and recover.
    Session,
    /// Not killed: stopped in order, and started again.
    Restart,
    /// As when the machine goes down.
    Everything,
}

const VICTIMS: [Victim; 6] = [Victim::Api, Victim::Worker, Victim::Postgres, Victim::Session, Victim::Restart, Victim::Everything];

impl Victim {
    async fn strike(self, site: &mut Site, dice: &mut Dice) {
        let one = dice.below(2);
        let Site { house, server } = site;
        match self {
            Self::Api => {
                house.apis[one].child.kill().await.unwrap();
                house.apis[one] = house.start("api");
            }
            Self::Worker => {
                house.workers[one].child.kill().await.unwrap();
                house.workers[one] = house.start("worker");
            }
            Self::Postgres => {
                server.kill();
                server.up().await;
            }
            Self::Session => {
                let sql =
                    "select pid from pg_stat_activity where datname = current_database() and application_name like 'annals%' order by pid";
                let sessions: Vec<i32> = sqlx::query_scalar(sql).fetch_all(&house.admin).await.unwrap();
                kill(&sessions[dice.below(sessions.len())].to_string());
            }
            Self::Restart => server.restart().await,
            Self::Everything => {
                server.kill();
                for part in house.apis.iter_mut().chain(&mut house.workers) {
                    part.child.kill().await.unwrap();
                }
                server.up().await;
                for n in 0..2 {
                    house.apis[n] = house.start("api");
                    house.workers[n] = house.start("worker");
                }
            }
        }
    }
}

/// Rounds of work, in each of which something is killed.
async fn killed(site: &mut Site, rounds: usize) {
    let mut dice = Dice::new();
    let load = Load::new(&site.house).await;
    let mut bag = vec![];
    for round in 1..=rounds {
        if bag.is_empty() {
            bag = VICTIMS.to_vec();
        }
        let victim = bag.swap_remove(dice.below(bag.len()));
        let began = Instant::now();
        load.sign_in(&site.house, chrono::TimeDelta::zero());
        let mut people = load.begin(&round.to_string(), DEEDS, &mut dice, BROKEN);
        let after = dice.below(ROUND * 3 / 4);
        eventually("work to be under way", || async { (load.answered() >= after).then_some(()) }).await;
        // The moment is the fault: anywhere in what is under way, and not where an answer has just come.
        tokio::time::sleep(Duration::from_micros(dice.below(20_000) as u64)).await;
        let (struck, at) = (Instant::now(), load.answered());
        victim.strike(site, &mut dice).await;
        load.go_to(&site.house).await;
        let back = struck.elapsed();
        while let Some(person) = people.join_next().await {
            person.unwrap();
        }
        site.house.caught_up().await;
        let (took, met) = (began.elapsed(), load.met());
        eprintln!("round {round} of {rounds}: {victim:?} after {at} of {ROUND}, back in {back:.1?}, all in {took:.1?}; met {met:?}");
    }
    load.holds(&site.house, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_killed_nothing_is_lost_or_doubled_and_everything_goes_on() {
    let mut site = Site::new(cluster::throwaway_dir().unwrap(), TOLD_SWIFT, Environments::default()).await;
    killed(&mut site, rounds()).await;
    site.stands().await;
}

/// Of a disk that is slow: each sync (issue: "2 ms per fsync").
const SLOW: Duration = Duration::from_millis(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_where_the_disk_is_slow() {
    let dir = cluster::throwaway_dir().unwrap();
    let Some(faults) = Faults::of(dir.path(), "disk") else { return };
    let mut site = Site::new(dir, TOLD_LOCKING, Environments { server: faults.environment(), ..Environments::default() }).await;
    faults.each_sync_takes(SLOW);
    let (before, began) = (faults.hits(Fault::Sync), Instant::now());
    sqlx::raw_sql("create table slow (n int)").execute(&site.house.admin).await.unwrap();
    assert!(began.elapsed() >= SLOW && faults.hits(Fault::Sync) > before, "the disk is slow");
    killed(&mut site, rounds().div_ceil(3)).await;
    eprintln!("{} syncs were slow", faults.hits(Fault::Sync));
    site.stands().await;
}
