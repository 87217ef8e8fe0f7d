//! What the database itself guarantees, asked of the database: nobody changes the log, nobody sees another tenant.

use crate::harness::{Log, Team, code};
use sqlx::{Connection, Executor, PgPool, Postgres, Transaction};

/// insufficient_privilege (PostgreSQL, appendix A): of roles, of the trigger and of row-level security alike.
const REFUSED: &str = "42501";

const CHANGES: [&str; 4] = [
    "update event_store.events set payload = '{}'",
    "delete from event_store.events",
    "truncate event_store.events",
    "insert into event_store.events (tenant_id, position, sequence, recorded_at, access, aggregate_type, aggregate_id, event_type, event_version, payload, metadata)
     select tenant_id, position + 1000, sequence + 1000, recorded_at, access, aggregate_type, aggregate_id, event_type, event_version, payload, metadata
     from event_store.events",
];

async fn refused(pool: &PgPool, sql: &str) -> Option<String> {
    pool.execute(sql).await.err().and_then(|error| code(&error))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_role_of_the_program_changes_an_event_or_writes_one_beside_the_function() {
    let log = Log::new().await;
    Team::new(&log).await;
    for (role, pool) in [("api", &log.pools.api), ("loader", &log.pools.loader), ("worker", &log.pools.worker)] {
        for sql in CHANGES {
            assert_eq!(refused(pool, sql).await.as_deref(), Some(REFUSED), "{role}: {sql}");
        }
        for table in ["heads", "claims", "idempotency"] {
            for sql in [
                format!("delete from event_store.{table}"),
                format!("truncate event_store.{table}"),
                format!("insert into event_store.{table} default values"),
            ] {
                assert_eq!(refused(pool, &sql).await.as_deref(), Some(REFUSED), "{role}: {sql}");
            }
        }
        for other in ["annals_owner", "annals_append", "annals_vault"] {
            assert_eq!(refused(pool, &format!("set role {other}")).await.as_deref(), Some(REFUSED), "{role} becomes {other}");
        }
    }
    assert_eq!(refused(&log.pools.loader, "select event_store.append(null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null)").await.as_deref(), Some(REFUSED));
    for (pool, sql) in [
        (&log.pools.api, "select * from vault.secrets"),
        (&log.pools.api, "select * from vault.subject_keys"),
        (&log.pools.worker, "select vault.secret(null, null)"),
        (&log.pools.loader, "select vault.put_secret(null, null, null)"),
        (&log.pools.api, "create table event_store.mine ()"),
        (&log.pools.api, "create table public.mine ()"),
    ] {
        assert_eq!(refused(pool, sql).await.as_deref(), Some(REFUSED), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn not_even_owner_or_superuser_changes_an_event_without_first_taking_the_triggers_away() {
    let log = Log::new().await;
    Team::new(&log).await;
    let mut owner = log.database.admin().await;
    for role in ["annals_owner", "annals_append"] {
        owner.execute(format!("set role {role}").as_str()).await.unwrap();
        for sql in &CHANGES[..3] {
            let error = owner.execute(*sql).await.err();
            assert_eq!(error.as_ref().and_then(code).as_deref(), Some(REFUSED), "{role}: {sql}: {error:?}");
        }
    }
    owner.execute("reset role").await.unwrap();
    for sql in &CHANGES[..3] {
        let error = owner.execute(*sql).await.unwrap_err();
        assert!(error.to_string().contains("the log is append-only"), "superuser: {sql}: {error}");
    }
    owner.close().await.unwrap();
}

/// How many events of how many tenants a transaction of the api sees.
async fn sees(tx: &mut Transaction<'_, Postgres>) -> (i64, i64) {
    sqlx::query_as("select count(*), count(distinct tenant_id) from event_store.events").fetch_one(&mut **tx).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_sees_the_tenant_of_its_transaction_and_without_one_nothing() {
    let log = Log::new().await;
    let (ours, _theirs) = (Team::new(&log).await, Team::new(&log).await);
    // One connection, so that what a transaction leaves behind would be seen.
    let mut connection = log.pools.api.acquire().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    assert_eq!(sees(&mut tx).await, (0, 0));
    sqlx::query("select set_config('annals.tenant', $1, true)").bind(ours.tenant.to_string()).execute(&mut *tx).await.unwrap();
    assert_eq!(sees(&mut tx).await, (2, 1));
    let heads: i64 = sqlx::query_scalar("select count(*) from event_store.heads").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(heads, 1);
    tx.commit().await.unwrap();
    // Of a `set local` an empty setting is left.
    let mut tx = connection.begin().await.unwrap();
    assert_eq!(sees(&mut tx).await, (0, 0));
}

async fn listed(log: &Log, sql: &str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(&log.admin).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_table_has_forced_row_level_security_and_a_key_led_by_the_tenant() {
    let log = Log::new().await;
    let tables = "pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('event_store', 'vault', 'read_models')
                  join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
                  where c.relkind in ('r', 'p')";
    let all = listed(&log, &format!("select c.oid::regclass::text from {tables}")).await;
    for table in [
        "event_store.events",
        "event_store.heads",
        "event_store.claims",
        "event_store.idempotency",
        "vault.secrets",
        "vault.subject_keys",
        "read_models.checkpoints",
    ] {
        assert!(all.iter().any(|name| name == table), "{table} is not among {all:?}");
    }
    let open =
        listed(&log, &format!("select c.oid::regclass::text from {tables} and not (c.relrowsecurity and c.relforcerowsecurity)")).await;
    assert!(open.is_empty(), "without forced row-level security: {open:?}");
    let nullable = listed(&log, &format!("select c.oid::regclass::text from {tables} and not a.attnotnull")).await;
    assert!(nullable.is_empty(), "tenant_id may be null: {nullable:?}");
    let keyless = listed(
        &log,
        &format!("select c.oid::regclass::text from {tables} and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indkey[0] = a.attnum)"),
    )
    .await;
    assert!(keyless.is_empty(), "primary key not led by tenant_id: {keyless:?}");
    let others = listed(
        &log,
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('event_store', 'vault', 'read_models')
         where c.relkind in ('r', 'p') and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')",
    )
    .await;
    assert!(
        others.iter().all(|table| [
            "read_models.leases",
            "read_models.rebuilds",
            "read_models.versions",
            "read_models.workers",
            "vault.master_key"
        ]
        .contains(&table.as_str())),
        "belongs to no tenant: {others:?}"
    );
    // What people may see of themselves, wherever they are, hangs on who they are.
    let leaky = listed(
        &log,
        "select tablename::text || ' ' || policyname || ': ' || qual from pg_policies
         where schemaname in ('event_store', 'vault', 'read_models') and roles && '{annals_api,public}'
           and qual is distinct from '(tenant_id = event_store.current_tenant())'
           and not (policyname = 'own' and qual like '%event_store.current_tenant()%' and qual like '%event_store.current_actor()%')",
    )
    .await;
    assert!(leaky.is_empty(), "lets the api see more than its tenant: {leaky:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_nobodys_to_call_but_theirs_and_look_only_where_they_are_told() {
    let log = Log::new().await;
    let functions = "pg_proc p join pg_namespace n on n.oid = p.pronamespace and n.nspname in ('event_store', 'vault', 'read_models')";
    // What is no trigger; those cannot be called.
    let public = listed(
        &log,
        &format!(
            "select p.oid::regprocedure::text from {functions}
             where p.prorettype <> 'trigger'::regtype and (p.proacl is null or exists (select from aclexplode(p.proacl) where grantee = 0))"
        ),
    )
    .await;
    assert!(public.is_empty(), "anybody may call: {public:?}");
    let wandering = listed(
        &log,
        &format!(
            "select p.oid::regprocedure::text from {functions}
             where p.prosecdef and not exists (select from unnest(p.proconfig) setting where setting like 'search_path=pg_catalog%')"
        ),
    )
    .await;
    assert!(wandering.is_empty(), "definer functions without a pinned search_path: {wandering:?}");
    // The worker owns no table; these make a read model's table anew, and touch nothing else.
    let of_the_owner = "('prepare_next', 'index_next', 'swap_next', 'drop_next')";
    let definers = listed(
        &log,
        &format!(
            "select distinct pg_get_userbyid(p.proowner)::text from {functions}
             where p.prosecdef and not (n.nspname = 'read_models' and p.proname in {of_the_owner}) order by 1"
        ),
    )
    .await;
    assert!(definers.iter().all(|owner| ["annals_append", "annals_vault"].contains(&owner.as_str())), "definer functions of {definers:?}");
    let worker = log.pools.worker.clone();
    for machinery in ["checkpoints", "parked", "versions", "rebuilds", "rebuilt", "troubles", "leases", "pg_class", "no_such_table"] {
        for function in ["prepare_next", "index_next", "swap_next", "drop_next"] {
            let error = sqlx::query(&format!("select read_models.{function}($1)")).bind(machinery).execute(&worker).await.unwrap_err();
            assert_eq!(code(&error).as_deref(), Some("42P01"), "{function}({machinery}): {error}");
        }
    }
    let members = listed(
        &log,
        "select m.member::regrole::text from pg_auth_members m where m.roleid = 'annals_owner'::regrole and m.member in (select oid from pg_roles where rolname like 'annals\\_%')",
    )
    .await;
    assert!(members.is_empty(), "members of the owner: {members:?}");
    let mighty = listed(
        &log,
        "select rolname::text from pg_roles where rolname like 'annals\\_%' and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb)",
    )
    .await;
    assert!(mighty.is_empty(), "more than they need: {mighty:?}");
    let signing_in = listed(&log, "select rolname::text from pg_roles where rolname like 'annals\\_%' and rolcanlogin order by 1").await;
    assert_eq!(signing_in, ["annals_api", "annals_loader", "annals_worker"]);
}
