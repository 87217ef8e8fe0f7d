//! A read model that has changed: the older program keeps it up until the new rows take its place, and then stands down.

use crate::world::{World, master};
use domain::workspace::WorkspaceEvent;
use domain::{Recorded, WorkspaceId};
use event_store::{Vault, Wake};
use projections::{Freshness, Models, NodeId, ProjectError, Projector, ProjectorConfig, ReadModel, replay};
use serde::{Deserialize, Serialize};
use sqlx::Executor;

/// A read model as one version of the program has it.
macro_rules! version {
    ($name:ident, $version:literal, $shown:expr) => {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        struct $name {
            id: NodeId<WorkspaceId>,
            name: String,
        }

        impl ReadModel for $name {
            const TABLE: &'static str = "test_names";
            const VERSION: i32 = $version;
            const READS: &'static [&'static str] = &["workspace"];
            type Key = WorkspaceId;

            fn keys(event: &Recorded) -> Vec<WorkspaceId> {
                event.of::<WorkspaceEvent>().map(|_| WorkspaceId(event.aggregate_id)).into_iter().collect()
            }

            fn fold(row: Option<Self>, key: &WorkspaceId, event: &Recorded) -> Option<Self> {
                let Some(WorkspaceEvent::WorkspaceCreated { name, .. }) = event.of() else { return row };
                let shown: fn(&str) -> String = $shown;
                Some(Self { id: NodeId(*key), name: shown(name) })
            }
        }
    };
}
version!(Old, 1, str::to_owned);
version!(New, 2, str::to_uppercase);

async fn projector(world: &World, models: Models) -> Result<Projector, ProjectError> {
    let vault = Vault::new(world.pools.api.clone(), &master());
    let config = ProjectorConfig { batch_events: 2, ..ProjectorConfig::default() };
    Projector::of(models, &world.pools, &vault, &Wake::default(), &Freshness::new(world.pools.worker.clone()), config).await
}

async fn names(world: &World) -> Vec<String> {
    sqlx::query_scalar("select name from read_models.test_names order by 1").fetch_all(&world.pools.worker).await.unwrap()
}

#[tokio::test]
async fn an_older_program_projects_until_the_new_rows_take_their_place_and_nothing_afterwards() {
    let world = World::new().await;
    let mut admin = world.database.admin().await;
    admin
        .execute(
            "set role annals_owner;
             create table read_models.test_names (tenant_id uuid, id uuid, name text not null, sequence bigint, created_at timestamptz,
               created_by uuid, updated_at timestamptz, updated_by uuid, primary key (tenant_id, id));
             select event_store.read_model('read_models.test_names');
             reset role",
        )
        .await
        .unwrap();
    let with_old = || Models::house().and(Models::only::<Old>());
    let with_new = || Models::house().and(Models::only::<New>());
    let owner = world.user("owner").await;
    let one = world.team("one", owner).await;
    let old = projector(&world, with_old()).await.unwrap();
    old.catch_up().await.unwrap();
    assert_eq!(names(&world).await, ["one"]);

    // A newer program has started, and has not come to it yet.
    let new = projector(&world, with_new()).await.unwrap();
    let two = world.team("two", owner).await;
    old.catch_up().await.unwrap();
    assert_eq!(names(&world).await, ["one", "two"]);

    new.catch_up().await.unwrap();
    assert_eq!(names(&world).await, ["ONE", "TWO"]);
    let three = world.team("three", owner).await;
    let error = old.catch_up().await.unwrap_err();
    assert!(matches!(error, ProjectError::Newer { read_model: "test_names", found: 2, known: 1 }), "{error}");
    assert_eq!(names(&world).await, ["ONE", "TWO"], "it has written nothing");
    assert!(matches!(projector(&world, with_old()).await, Err(ProjectError::Newer { .. })), "and does not start again");
    // One that does not know the read model at all would leave its rows behind.
    assert!(matches!(projector(&world, Models::house()).await, Err(ProjectError::Unknown { .. })));

    new.catch_up().await.unwrap();
    assert_eq!(names(&world).await, ["ONE", "THREE", "TWO"]);
    for team in [one, two, three] {
        for name in with_new().names() {
            let (replayed, stands) = replay(&new, team.id.into(), name).await.unwrap();
            assert_eq!(replayed, stands, "{name}");
        }
    }
}
