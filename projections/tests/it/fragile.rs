//! A fold that panics: what it stops, what it does not, and what mends it.

use crate::world::World;
use domain::workspace::WorkspaceEvent;
use domain::{Recorded, WorkspaceId};
use event_store::{Vault, Wake};
use projections::{Freshness, Models, NodeId, Projector, ProjectorConfig, ReadModel, replay};
use serde::{Deserialize, Serialize};
use sqlx::Executor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether the fold has its fault.
static FAULTY: AtomicBool = AtomicBool::new(true);

/// A read model whose fold cannot stand workspaces called `bad`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fragile {
    id: NodeId<WorkspaceId>,
    name: String,
}

impl ReadModel for Fragile {
    const TABLE: &'static str = "test_fragile";
    const READS: &'static [&'static str] = &["workspace"];
    type Key = WorkspaceId;

    fn keys(event: &Recorded) -> Vec<WorkspaceId> {
        event.of::<WorkspaceEvent>().map(|_| WorkspaceId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &WorkspaceId, event: &Recorded) -> Option<Self> {
        let Some(WorkspaceEvent::WorkspaceCreated { name, .. }) = event.of() else { return row };
        assert!(name != "bad" || !FAULTY.load(Ordering::SeqCst), "this fold cannot stand it");
        Some(Self { id: NodeId(*key), name: name.clone() })
    }
}

#[tokio::test]
async fn a_fold_that_panics_stops_one_read_model_of_one_tenant_until_it_is_mended() {
    let world = World::new().await;
    let table =
        "create table read_models.test_fragile (tenant_id uuid, id uuid, name text not null, sequence bigint, created_at timestamptz,
       created_by uuid, updated_at timestamptz, updated_by uuid, primary key (tenant_id, id))";
    let mut admin = world.database.admin().await;
    admin.execute(table).await.unwrap();
    admin.execute("select event_store.read_model('read_models.test_fragile')").await.unwrap();
    let owner = world.user("owner").await;
    let good = world.team("good", owner).await;
    let bad = world.team("bad", owner).await;

    let wake = Wake::default();
    let freshness = Freshness::new(world.pools.worker.clone());
    let vault = Vault::new(world.pools.api.clone(), &crate::world::master());
    // Parked ones are due at once.
    let config = ProjectorConfig { retry: Duration::ZERO, ..ProjectorConfig::default() };
    let models = Models::house().and(Models::only::<Fragile>());
    let projector = Projector::of(models.clone(), &world.pools, &vault, &wake, &freshness, config).await.unwrap();
    projector.catch_up().await.unwrap();

    let parked = "select tenant_id, read_model, error from read_models.parked";
    let found: Vec<(sqlx::types::Uuid, String, String)> = sqlx::query_as(parked).fetch_all(&world.pools.worker).await.unwrap();
    let [(tenant, read_model, error)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((*tenant, read_model.as_str()), (bad.id.0, "test_fragile"));
    assert!(error.contains("panicked") && error.contains("this fold cannot stand it") && error.contains("WorkspaceCreated"), "{error}");
    let names = "select name from read_models.test_fragile order by 1";
    let rows: Vec<String> = sqlx::query_scalar(names).fetch_all(&world.pools.worker).await.unwrap();
    assert_eq!(rows, ["good"], "the other tenant went on");
    let members = "select count(*) from read_models.workspace_members where tenant_id = $1";
    let count: i64 = sqlx::query_scalar(members).bind(bad.id.0).fetch_one(&world.pools.worker).await.unwrap();
    assert_eq!(count, 1, "the other read models of the tenant went on");

    // Freshness is that of the read model asked.
    let head = 2;
    let wait = |read_models: &'static [&'static str]| freshness.wait(bad.id.into(), head, read_models, Duration::from_millis(50));
    assert!(wait(&["workspace_members"]).await.is_ok());
    assert!(wait(&["test_fragile"]).await.is_err());

    FAULTY.store(false, Ordering::SeqCst);
    projector.catch_up().await.unwrap();
    assert!(wait(&["test_fragile"]).await.is_ok());
    let rows: Vec<String> = sqlx::query_scalar(names).fetch_all(&world.pools.worker).await.unwrap();
    assert_eq!(rows, ["bad", "good"], "the retry has caught up");
    for team in [good, bad] {
        for name in models.names() {
            let (replayed, stands) = replay(&projector, team.id.into(), name).await.unwrap();
            assert_eq!(replayed, stands, "{name}");
        }
    }
}
