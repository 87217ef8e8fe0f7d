//! What the database's own catalog says of our tables.

use crate::database::Database;
use crate::world::master;
use event_store::{PoolSizes, Pools};
use sqlx::Connection;

#[tokio::test]
async fn every_row_has_the_columns_of_its_table_and_no_others() {
    let database = Database::new().await;
    let pools = Pools::new(&database.options(), &master(), PoolSizes::default());
    assert_eq!(projections::mismatches(&pools.worker).await.unwrap(), Vec::<String>::new());
    pools.close().await;
}

#[tokio::test]
async fn every_table_of_a_tenant_has_forced_row_level_security_and_keys_that_the_tenant_leads() {
    let database = Database::new().await;
    let mut admin = database.admin().await;
    let tables: Vec<(String, bool)> = sqlx::query_as(
        "select c.oid::regclass::text, c.relrowsecurity and c.relforcerowsecurity from pg_class c
         where c.relnamespace in ('event_store'::regnamespace, 'vault'::regnamespace, 'read_models'::regnamespace) and c.relkind in ('r', 'p')
           and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
         order by 1",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let open: Vec<&String> = tables.iter().filter(|(_, forced)| !forced).map(|(table, _)| table).collect();
    assert!(open.is_empty(), "without forced row-level security: {open:?}");
    for name in projections::names() {
        assert!(tables.iter().any(|(table, _)| *table == format!("read_models.{name}")), "{name} has no tenant_id");
    }

    // Unique indexes that no constraint stands for count too.
    let keys: Vec<(String, String, String, bool)> = sqlx::query_as(
        "select i.indrelid::regclass::text, i.indexrelid::regclass::text,
           (select a.attname::text from pg_attribute a where a.attrelid = i.indrelid and a.attnum = i.indkey[0]), i.indisprimary
         from pg_index i join pg_class c on c.oid = i.indrelid
         where c.relnamespace in ('event_store'::regnamespace, 'vault'::regnamespace, 'read_models'::regnamespace) and i.indisunique
         order by 1, 2",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    for (table, _) in &tables {
        assert!(keys.iter().any(|(of, _, _, primary)| of == table && *primary), "{table} has no primary key");
        for (_, index, first, _) in keys.iter().filter(|(of, ..)| of == table) {
            // The one exception: a stream is found with or without its tenant, and ends with it.
            let stream = index == "event_store.events_aggregate_id_sequence_tenant_id_key";
            assert!(first == "tenant_id" || stream, "{index} is not led by tenant_id but by {first}");
        }
    }
    admin.close().await.unwrap();
}

#[tokio::test]
async fn the_api_cannot_write_read_models_and_the_platform_is_the_programs_constant() {
    let database = Database::new().await;
    let mut admin = database.admin().await;
    let writable: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c where c.relnamespace = 'read_models'::regnamespace and c.relkind = 'r'
         and has_table_privilege('annals_api', c.oid, 'insert, update, delete, truncate')",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert!(writable.is_empty(), "{writable:?}");
    let platform: uuid::Uuid = sqlx::query_scalar("select event_store.platform()").fetch_one(&mut admin).await.unwrap();
    assert_eq!(platform, domain::PLATFORM.0);
    admin.close().await.unwrap();
}
