//! The swift path: a batch tried as a whole. It is taken where it can be, it never takes anything for true that
//! another process has changed, and what it cannot say is said under locks.

use crate::harness::{Log, Team, audit, code_of, create_item, keyed, locking_only, move_to, new_id, record};
use domain::ItemId;
use domain::pipeline::PipelineItem;
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand};
use futures::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_written_without_asking_of_each_command() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    let before = log.commands.append_counts();
    for n in 0..20 {
        log.send::<PipelineItem>(keyed(team.by(team.owner), format!("key {n}")), item, record(format!("step {n}"))).await.unwrap();
    }
    let after = log.commands.append_counts();
    let (swift, locking) = (after.swift - before.swift, after.locking - before.locking);
    assert_eq!((swift, locking), if locking_only() { (0, 20) } else { (20, 0) });
    assert_eq!((after.missed, after.lost), (before.missed, 0));
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_write_one_log_in_turn_do_not_stand_in_each_others_way() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let (here, there) = (team.item(&board).await, team.through(&other).item(&board).await);
    for n in 0..30 {
        log.send::<PipelineItem>(team.by(team.owner), here, record(format!("here {n}"))).await.unwrap();
        other.send::<PipelineItem>(team.by(team.owner), there, record(format!("there {n}"))).await.unwrap();
    }
    assert_eq!(other.commands.append_counts().missed, 0);
    let events = audit(&log).await;
    assert_eq!(events.iter().filter(|event| event.event_type == "PipelineItemActivityRecorded").count(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_another_process_has_moved_is_a_miss_and_nothing_worse() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    for n in 0..10 {
        log.send::<PipelineItem>(team.by(team.owner), item, record(format!("here {n}"))).await.unwrap();
        other.send::<PipelineItem>(team.by(team.owner), item, record(format!("there {n}"))).await.unwrap();
    }
    let missed = log.commands.append_counts().missed + other.commands.append_counts().missed;
    assert_eq!(missed > 10, !locking_only(), "each knew the item as it was before the other wrote: {missed}");
    let events = audit(&log).await;
    assert_eq!(events.iter().filter(|event| event.event_type == "PipelineItemActivityRecorded").count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_of_a_batch_is_refused_is_told_to_that_one_alone() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    team.limit(&board, 3).await;
    let sent = (0..20).map(|_| {
        let (team, board) = (team.clone(), board.clone());
        tokio::spawn(async move {
            code_of(&team.process.create::<PipelineItem>(team.by(team.owner), new_id::<ItemId>(), create_item(&board)).await)
        })
    });
    let codes: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(codes.iter().filter(|code| **code == "OK").count(), 3, "{codes:?}");
    assert!(codes.iter().all(|code| ["OK", "WIP_LIMIT_REACHED"].contains(code)), "{codes:?}");
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_a_role_in_another_process_is_found_behind_the_head() {
    let log = Log::new().await;
    let other = log.another_process();
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let member = team.member(&[BuiltInRole::Operator, BuiltInRole::Viewer]).await;
    let item = team.item(&board).await;
    for _ in 0..3 {
        assert_eq!(code_of(&log.send::<PipelineItem>(team.by(member), item, record("seen")).await), "OK");
        let revoke = MembershipCommand::RevokeRole { role: BuiltInRole::Operator.into() };
        other.send::<Membership>(team.by(team.owner), team.membership(member), revoke).await.unwrap();
        assert_eq!(code_of(&log.send::<PipelineItem>(team.by(member), item, move_to(board.stages[1])).await), "FORBIDDEN");
        let assign = MembershipCommand::AssignRole { role: BuiltInRole::Operator.into() };
        other.send::<Membership>(team.by(team.owner), team.membership(member), assign).await.unwrap();
    }
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_behind_the_log_never_makes_its_time_run_backwards() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    let ahead = "update event_store.heads set recorded_at = clock_timestamp() + interval '1 hour' where tenant_id = $1";
    sqlx::query(ahead).bind(team.tenant.0).execute(&log.admin).await.unwrap();
    for n in 0..3 {
        log.send::<PipelineItem>(team.by(team.owner), item, record(format!("late {n}"))).await.unwrap();
    }
    let backwards: i64 = sqlx::query_scalar(
        "select count(*) from event_store.events later
         join event_store.events earlier on earlier.tenant_id = later.tenant_id and earlier.position = later.position - 1
         where later.recorded_at < earlier.recorded_at",
    )
    .fetch_one(&log.admin)
    .await
    .unwrap();
    let last = "select recorded_at > clock_timestamp() + interval '59 minutes' from event_store.events where tenant_id = $1 order by position desc limit 1";
    let last: bool = sqlx::query_scalar(last).bind(team.tenant.0).fetch_one(&log.admin).await.unwrap();
    assert!(backwards == 0 && last, "the log's own time goes on from where it was");
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_connection_nothing_is_believed_that_the_log_no_longer_says() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    let committed = log.send::<PipelineItem>(team.by(team.owner), item, record("lost")).await.unwrap();
    // A server that was promoted without the last commit: the superuser takes it back, and the connections break.
    let mut admin = event_store::begin(&log.admin).await.unwrap();
    for sql in [
        "alter table event_store.events disable trigger user",
        "delete from event_store.events where tenant_id = $1 and position = $2",
        "alter table event_store.events enable trigger user",
        "update event_store.heads set position = $2 - 1 where tenant_id = $1",
    ] {
        let query = sqlx::query(sql);
        let query = if sql.contains("$1") { query.bind(team.tenant.0).bind(committed.position()) } else { query };
        query.execute(&mut *admin).await.unwrap();
    }
    admin.commit().await.unwrap();
    let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query like '%event_store.append%'";
    assert!(sqlx::query_scalar::<_, i64>(kill).fetch_one(&log.admin).await.unwrap() > 0);
    for n in 0..3 {
        log.send::<PipelineItem>(team.by(team.owner), item, record(format!("after {n}"))).await.unwrap();
    }
    let events = audit(&log).await;
    assert_eq!(events.iter().filter(|event| event.event_type == "PipelineItemActivityRecorded").count(), 3);
}
