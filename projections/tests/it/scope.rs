//! Transactions that nobody waits for any more: who asks next on their connection must not find themselves within one.
//! And who reads at one desk: on one connection, each in their own tenant.

use super::world::*;
use chrono::{DateTime, Utc};
use domain::TenantId;
use event_store::{PoolSizes, Pools};
use projections::query::{Desk, Scope};
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
            scope = async { Desk::new(pool.clone(), None).scope(tenant).await } => Some(scope.unwrap()),
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

/// What this connection sees: the tenant it is set to, the backend, and when its transaction began.
async fn look(scope: &mut Scope) -> (String, i32, DateTime<Utc>) {
    let sql = "select current_setting('annals.tenant'), pg_backend_pid(), now()";
    sqlx::query_as(sql).fetch_one(scope.connection()).await.unwrap()
}

#[tokio::test]
async fn who_reads_at_one_desk_shares_a_transaction_and_sees_the_tenant_asked_for() {
    let world = World::new().await;
    let sizes = PoolSizes { api: 1, loader: 1, worker: 1 };
    let pool = Pools::new(&world.database.options(), &master(), sizes).api;
    let (one, other) = (TenantId(new_id()), TenantId(new_id()));
    let desk = Desk::new(pool.clone(), None);
    let mut began = vec![];
    for tenant in [one, one, other, one] {
        let mut scope = desk.scope(tenant).await.unwrap();
        let (seen, _, at) = look(&mut scope).await;
        assert_eq!((seen, scope.tenant()), (tenant.to_string(), tenant));
        began.push(at);
        scope.end();
    }
    began.dedup();
    assert_eq!(began.len(), 1, "one transaction for all");

    // The pool has one connection: it comes back with the last scope, or before.
    desk.close();
    let mut elsewhere = Desk::new(pool.clone(), None).scope(other).await.unwrap();
    assert_eq!(look(&mut elsewhere).await.0, other.to_string());
    elsewhere.end();
    assert!(look(&mut desk.scope(one).await.unwrap()).await.2 > began[0], "begun anew");
}

#[tokio::test]
async fn a_query_that_fails_does_not_spoil_the_next_at_the_same_desk() {
    let world = World::new().await;
    let desk = Desk::new(world.pools.api.clone(), None);
    let tenant = TenantId(new_id());
    let mut scope = desk.scope(tenant).await.unwrap();
    let failed = sqlx::query("select 1 / 0").execute(scope.connection()).await;
    assert!(failed.is_err());
    drop(scope);
    let mut scope = desk.scope(tenant).await.unwrap();
    assert_eq!(look(&mut scope).await.0, tenant.to_string());
}
