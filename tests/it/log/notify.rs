//! Processes tell each other what they have done, in few words, and notice when they did not hear.

use crate::harness::{Log, Team, create_item, eventually, new_id};
use domain::pipeline::PipelineItem;
use domain::{ItemId, TenantId};
use event_store::notify::{self, Heard};
use std::future::pending;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

type Ear = Arc<Mutex<Vec<Heard>>>;

/// What a process hears from now on.
async fn ear(process: &crate::harness::Process, tasks: &mut JoinSet<()>) -> Ear {
    let ear = Ear::default();
    let (pools, kept) = (process.pools.clone(), Arc::clone(&ear));
    tasks.spawn(notify::listen(pools, move |heard| kept.lock().unwrap().push(heard), std::future::pending()));
    hears(&ear, Heard::Everything).await;
    ear
}

/// Once it has been told this, perhaps among others.
async fn hears(ear: &Ear, what: Heard) {
    eventually(&format!("{what:?}"), || async { ear.lock().unwrap().iter().any(|heard| tells(heard, &what)).then_some(()) }).await;
}

fn tells(heard: &Heard, what: &Heard) -> bool {
    match (heard, what) {
        (Heard::Log(heard), Heard::Log(what)) | (Heard::ReadModels(heard), Heard::ReadModels(what)) => {
            what.iter().all(|what| heard.contains(what))
        }
        _ => heard == what,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_writes_the_others_hear_and_it_does_not_hear_itself() {
    let log = Log::new().await;
    let (one, other) = (&log.process, log.another_process());
    let mut tasks = JoinSet::new();
    let (own, others) = (ear(one, &mut tasks).await, ear(&other, &mut tasks).await);
    tasks.spawn(notify::tell(one.pools.clone(), one.wake.clone(), pending()));
    let mut woken = one.wake.listen();

    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let before = others.lock().unwrap().len();
    let sent = (0..200).map(|_| {
        let (team, board) = (team.clone(), board.clone());
        tokio::spawn(async move {
            team.process.create::<PipelineItem>(team.by(team.owner), new_id::<ItemId>(), create_item(&board)).await.unwrap().position()
        })
    });
    let head = futures::future::join_all(sent).await.into_iter().map(Result::unwrap).max().unwrap();
    hears(&others, Heard::Log(vec![(team.tenant, head)])).await;
    let told = others.lock().unwrap().len() - before;
    assert!(told < 100, "200 commands were told in {told} notifications");
    one.wake.projected([(team.tenant, head), (TenantId(new_id()), 0)]);
    hears(&others, Heard::ReadModels(vec![(team.tenant, head)])).await;
    assert_eq!(*own.lock().unwrap(), [Heard::Everything], "nobody hears himself");
    assert!(woken.try_recv().is_ok(), "its own readers are woken directly");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_a_connection_is_told_to_look_at_everything() {
    let log = Log::new().await;
    let (one, other) = (&log.process, log.another_process());
    let mut tasks = JoinSet::new();
    let others = ear(&other, &mut tasks).await;
    tasks.spawn(notify::tell(one.pools.clone(), one.wake.clone(), pending()));
    let tenant = TenantId(new_id());
    eventually("the notifier to be at work", || async {
        one.wake.note(tenant, 1);
        others.lock().unwrap().contains(&Heard::Log(vec![(tenant, 1)])).then_some(())
    })
    .await;
    // What is told last is told with all that was noted before: then it has nothing left to tell when it is cut.
    let last = TenantId(new_id());
    one.wake.note(last, 1);
    let is_last = |heard: &Heard| matches!(heard, Heard::Log(logs) if logs.contains(&(last, 1)));
    eventually("the last of it to be told", || async { others.lock().unwrap().iter().any(is_last).then_some(()) }).await;

    others.lock().unwrap().clear();
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and application_name = 'annals_notify'";
    let cut: i64 = sqlx::query_scalar(cut).fetch_one(&log.admin).await.unwrap();
    assert_eq!(cut, 2, "the one that tells and the one that listens");
    hears(&others, Heard::Nothing).await;
    hears(&others, Heard::Everything).await;
    // The notifier finds its connection gone when it has something to tell, and tells of everything instead.
    others.lock().unwrap().clear();
    one.wake.note(tenant, 2);
    hears(&others, Heard::Everything).await;
    one.wake.note(tenant, 3);
    hears(&others, Heard::Log(vec![(tenant, 3)])).await;
}
