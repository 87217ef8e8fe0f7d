//! Transactions that nobody waits for any more: who asks next on their connection must not find themselves within one.

use super::world::*;
use domain::TenantId;
use event_store::{PoolSizes, Pools};
use projections::query::Scope;
use sqlx::Row;

#[tokio::test]
async fn a_scope_that_is_given_up_while_it_begins_leaves_nothing_open() {
    let world = World::new().await;
    let sizes = PoolSizes { api: 1, loader: 1, worker: 1 };
    let pool = Pools::new(&world.database.options(), &master(), sizes).api;
    let tenant = TenantId(new_id());
    let mut given_up = 0;
    for turns in 0..500 {
        let scope = tokio::select! {
            biased;
            scope = Scope::begin(&pool, tenant, None) => Some(scope.unwrap()),
            () = async { for _ in 0..turns { tokio::task::yield_now().await } } => None,
        };
        given_up += usize::from(scope.is_none());
        drop(scope);
        // A statement by itself, in one message, begins when its transaction does.
        let look = sqlx::raw_sql("select now() = statement_timestamp(), nullif(current_setting('annals.tenant', true), '')");
        let row = look.fetch_one(&pool).await.unwrap();
        let (alone, seen): (bool, Option<String>) = (row.get(0), row.get(1));
        assert!(alone && seen.is_none(), "given up after {turns} turns, it is still open, in the tenant {seen:?}");
    }
    assert!(given_up > 1, "it was never given up on its way");
}
