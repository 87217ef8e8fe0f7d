//! Workers share the tenants by leases, and one whose lease has passed to another cannot write.

use crate::eventually;
use crate::world::{World, master, request};
use domain::{Principal, TenantId};
use event_store::{PoolSizes, Pools, Vault, Wake};
use projections::{Freshness, LeaseConfig, Projector, ProjectorConfig, SHARDS};
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Connection, Executor};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// One that is quick to notice.
const QUICK: LeaseConfig = LeaseConfig { lives: Duration::from_secs(3), beat: Duration::from_millis(50) };
/// One that says once that it lives, and then only when it has lost something.
const STALLED: LeaseConfig = LeaseConfig { lives: Duration::from_secs(1), beat: Duration::from_secs(3600) };

/// A process that projects.
struct Worker {
    pools: Pools,
    projector: Projector,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    async fn start(world: &World, leases: LeaseConfig) -> Self {
        let pools = Pools::new(&world.database.options(), &master(), PoolSizes { api: 1, loader: 1, worker: 3 });
        let vault = Vault::new(pools.api.clone(), &master());
        let freshness = Freshness::new(pools.worker.clone());
        // It hears of nothing, and looks often instead.
        let config = ProjectorConfig { poll: Duration::from_millis(50), ..ProjectorConfig::default() };
        let projector = Projector::new(&pools, &vault, &Wake::default(), &freshness, config).await.unwrap().with_leases(leases);
        let stop = CancellationToken::new();
        let task = tokio::spawn(projector.clone().run(stop.clone()));
        Self { pools, projector, stop, task }
    }

    /// Once it holds so many leases.
    async fn holds(&self, world: &World, count: usize) {
        let sql = "select count(*) from read_models.leases where holder = $1";
        eventually(&format!("{count} leases of one worker"), || async {
            let held: i64 = sqlx::query_scalar(sql).bind(self.pools.process).fetch_one(&world.pools.worker).await.unwrap();
            (usize::try_from(held).unwrap() == count).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.pools.close().await;
    }
}

/// Another worker than any that runs, which holds every lease.
async fn taken_by_another(admin: &mut PgConnection) -> Uuid {
    let other = Uuid::from_u128(0xdead);
    let mut transaction = admin.begin().await.unwrap();
    sqlx::query(
        "insert into read_models.workers (id, process_id, version, expires_at) values ($1, 0, '0', clock_timestamp() + interval '1 hour')",
    )
    .bind(other)
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query("update read_models.leases set holder = $1, token = token + 1").bind(other).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    other
}

async fn checkpoint(world: &World, tenant: TenantId) -> i64 {
    let sql = "select coalesce((select position from read_models.checkpoints where tenant_id = $1), 0)";
    sqlx::query_scalar(sql).bind(tenant.0).fetch_one(&world.pools.worker).await.unwrap()
}

async fn head(world: &World, tenant: TenantId) -> i64 {
    sqlx::query_scalar("select position from event_store.heads where tenant_id = $1")
        .bind(tenant.0)
        .fetch_one(&world.pools.worker)
        .await
        .unwrap()
}

/// Once everything of a tenant is projected.
async fn caught_up(world: &World, tenant: TenantId) {
    eventually("the tenant to be projected", || async { (checkpoint(world, tenant).await == head(world, tenant).await).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_tenants_fairly_and_one_that_leaves_hands_its_part_on() {
    let world = World::new().await;
    let owner = world.user("owner").await;
    let mut teams = vec![domain::PLATFORM];
    let first = Worker::start(&world, QUICK).await;
    first.holds(&world, SHARDS).await;
    let second = Worker::start(&world, QUICK).await;
    // Else it is chance which of the later two takes the larger part.
    second.holds(&world, 32).await;
    let third = Worker::start(&world, QUICK).await;
    for worker in [&first, &second] {
        worker.holds(&world, 22).await;
    }
    third.holds(&world, 20).await;
    for n in 0..6 {
        teams.push(world.team(&format!("team-{n}"), owner).await.id.into());
    }
    for tenant in &teams {
        caught_up(&world, *tenant).await;
    }
    second.stop().await;
    first.holds(&world, 32).await;
    third.holds(&world, 32).await;
    first.stop().await;
    third.holds(&world, 64).await;
    teams.push(world.team("late", owner).await.id.into());
    caught_up(&world, *teams.last().unwrap()).await;
    third.stop().await;
    let left: i64 = sqlx::query_scalar("select count(*) from read_models.leases where holder is not null")
        .fetch_one(&world.pools.worker)
        .await
        .unwrap();
    let workers: i64 = sqlx::query_scalar("select count(*) from read_models.workers").fetch_one(&world.pools.worker).await.unwrap();
    assert_eq!((left, workers), (0, 0), "whoever ends in order leaves nothing behind");
    world.check_replay(&teams).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_believes_it_holds_a_lease_that_has_passed_to_another_is_refused() {
    let world = World::new().await;
    let mut admin = world.database.admin().await;
    let owner = world.user("owner").await;
    let team = world.team("acme", owner).await;
    let worker = Worker::start(&world, STALLED).await;
    worker.holds(&world, SHARDS).await;
    caught_up(&world, team.id.into()).await;
    let before = checkpoint(&world, team.id.into()).await;

    // It is not told, and finds out when it wants to write.
    let other = taken_by_another(&mut admin).await;
    world.run::<domain::workspace::Workspace>(request(Principal::User(owner), team.id), team.id, rename("late")).await;
    worker.projector.catch_up().await.unwrap();
    worker.projector.catch_up().await.unwrap();
    assert_eq!(checkpoint(&world, team.id.into()).await, before, "nothing was written");
    assert!(head(&world, team.id.into()).await > before);
    let name: String = sqlx::query_scalar("select name from read_models.workspace_workspaces where id = $1")
        .bind(team.id.0)
        .fetch_one(&world.pools.worker)
        .await
        .unwrap();
    assert_eq!(name, "acme");

    // The leases are whoever's the table says: the first look afterwards goes on where it was.
    sqlx::query("delete from read_models.workers where id = $1").bind(other).execute(&mut admin).await.unwrap();
    worker.stop().await;
    let next = Worker::start(&world, QUICK).await;
    next.holds(&world, SHARDS).await;
    caught_up(&world, team.id.into()).await;
    world.check_replay(&[team.id.into(), domain::PLATFORM]).await;
    let token: i64 = sqlx::query_scalar("select min(token) from read_models.leases").fetch_one(&mut admin).await.unwrap();
    assert_eq!(token, 3, "it grew with each holder");
    next.stop().await;
}

fn rename(name: &str) -> domain::workspace::WorkspaceCommand {
    serde_json::from_value(serde_json::json!({ "RenameWorkspace": { "name": name } })).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_in_the_middle_of_a_transaction_is_replaced_and_loses_it() {
    let world = World::new().await;
    let owner = world.user("owner").await;
    let team = world.team("acme", owner).await;
    let stalled = Worker::start(&world, STALLED).await;
    stalled.holds(&world, SHARDS).await;
    caught_up(&world, team.id.into()).await;
    // What a projector holds in the middle of a batch.
    let mut batch = event_store::begin(&stalled.pools.worker).await.unwrap();
    batch.execute("select from read_models.leases for share").await.unwrap();
    batch.execute("select from read_models.checkpoints for update").await.unwrap();

    let began = Instant::now();
    let next = Worker::start(&world, LeaseConfig::default()).await;
    next.holds(&world, SHARDS).await;
    world.run::<domain::workspace::Workspace>(request(Principal::User(owner), team.id), team.id, rename("late")).await;
    caught_up(&world, team.id.into()).await;
    assert!(began.elapsed() < Duration::from_secs(5), "replaced after {:?}", began.elapsed());

    let late = batch.execute("update read_models.checkpoints set position = 0").await;
    assert!(late.is_err(), "its session is gone");
    drop(batch);
    world.check_replay(&[team.id.into()]).await;
    next.stop().await;
    stalled.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stands_down_as_long_as_the_read_models_are_those_of_a_newer_program() {
    let world = World::new().await;
    let mut admin = world.database.admin().await;
    let owner = world.user("owner").await;
    let team = world.team("acme", owner).await;
    let worker = Worker::start(&world, QUICK).await;
    let standing = worker.projector.standing();
    worker.holds(&world, SHARDS).await;
    caught_up(&world, team.id.into()).await;
    assert_eq!(standing.down(), None);
    for (newer, older, said) in [
        (
            "update read_models.versions set version = version + 1 where read_model = 'workspace_members'",
            "update read_models.versions set version = version - 1 where read_model = 'workspace_members'",
            "workspace_members is at version",
        ),
        (
            "insert into read_models.versions values ('zebra_stripes', 1)",
            "delete from read_models.versions where read_model = 'zebra_stripes'",
            "zebra_stripes is unknown",
        ),
    ] {
        let before = checkpoint(&world, team.id.into()).await;
        admin.execute(newer).await.unwrap();
        // From the commit on it holds nothing, long before it knows.
        let held: i64 =
            sqlx::query_scalar("select count(*) from read_models.leases where holder is not null").fetch_one(&mut admin).await.unwrap();
        assert_eq!(held, 0, "{said}");
        world.run::<domain::workspace::Workspace>(request(Principal::User(owner), team.id), team.id, rename(said)).await;
        let reason = eventually("the worker to stand down", || async { standing.down() }).await;
        assert!(reason.contains(said) && reason.contains("stands down"), "{reason}");
        worker.projector.catch_up().await.unwrap();
        worker.holds(&world, 0).await;
        assert_eq!(checkpoint(&world, team.id.into()).await, before, "{said}");

        admin.execute(older).await.unwrap();
        caught_up(&world, team.id.into()).await;
        assert_eq!(standing.down(), None);
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_wait_the_table_is_asked_by_one_at_a_time() {
    let world = World::new().await;
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let pool = PgPoolOptions::new()
        .before_acquire(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(true) })
        })
        .connect_with(world.database.options())
        .await
        .unwrap();
    let freshness = Freshness::new(pool);
    let began = Instant::now();
    let waits = (0..500_u128).map(|n| {
        let freshness = freshness.clone();
        tokio::spawn(async move { freshness.wait(TenantId(Uuid::from_u128(n % 7)), 1, &["pipeline_items"], Duration::from_secs(1)).await })
    });
    for wait in futures::future::join_all(waits).await {
        assert!(wait.unwrap().is_err());
    }
    let (looks, most) = (looks.load(Ordering::SeqCst), began.elapsed().as_millis() / 5 + 10);
    assert!(looks > 5 && looks as u128 <= most, "{looks} looks in {:?}", began.elapsed());

    // Told of it, all are answered without another look.
    let tenant = TenantId(Uuid::from_u128(1));
    freshness.hear([(tenant, 9)]);
    assert!(freshness.wait(tenant, 9, &["pipeline_items"], Duration::ZERO).await.is_ok());
}
