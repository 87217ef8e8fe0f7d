//! Tables as they are after years: every table of tenants is filled by SQL with copies of the rows that are there already,
//! under other ids and in other tenants, the largest to a million rows. What is copied means nothing to the program but
//! size: the logs of workspaces end, and are projected, far behind it.

use domain::PLATFORM;
use futures::StreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor, FromRow};
use uuid::Uuid;

/// Where all logs end, by their heads and checkpoints; what is copied lies before.
pub(super) const END: i64 = 100_000_000;

/// Tables that grow with what people do. The others have a tenth of their rows.
const LARGE: [&str; 6] = [
    "event_store.events",
    "event_store.claims",
    "read_models.pipeline_items",
    "read_models.pipeline_item_history",
    "read_models.pipeline_item_tags",
    "read_models.pipeline_tasks",
];
/// Tables with a row for each tenant.
pub(super) const OF_TENANTS: [&str; 2] = ["event_store.heads", "read_models.checkpoints"];
/// Tables of which the domain lets no workspace have many rows: the one that is asked keeps what it has.
const BOUNDED: [&str; 3] = ["read_models.workspace_workspaces", "read_models.workspace_roles", "read_models.workspace_permissions"];
/// Tables that stay small in whatever house, and why.
const SMALL: [(&str, &str); 4] = [
    ("read_models.parked", "what stands still, until an operator sees to it"),
    ("read_models.troubles", "logs that cannot be read, until an operator sees to it"),
    ("read_models.rebuilt", "how far a rebuild has come, while there is one"),
    ("vault.secrets", "nothing keeps any yet; reached by its key alone"),
];
/// Workspaces that share the rows, the one that is asked among them.
const SHARING: i32 = 50;
const TENANTS: i32 = 20_000;
/// Tables that are filled at a time.
const AT_ONCE: usize = 2;

/// The rows that the largest tables get: a million, unless ANNALS_TEST_ROWS says otherwise. Of far fewer the server rightly
/// reads all.
pub(super) fn rows() -> i64 {
    let given = std::env::var("ANNALS_TEST_ROWS").ok();
    let rows = given.map_or(1_000_000, |rows| rows.parse().expect("ANNALS_TEST_ROWS is a number of rows"));
    assert!(rows >= 200_000, "ANNALS_TEST_ROWS: at least 200,000 rows, or whole tables are rightly read");
    rows
}

/// Fills all tables of tenants; answers those that are large now, by name and without schema.
pub(super) async fn fill(database: &PgConnectOptions, tenant: Uuid) -> Vec<String> {
    let mut admin = database.connect().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%s.%s', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('event_store', 'vault', 'read_models') and c.relkind = 'r'
           and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')
         order by array_position($1::text[], format('%s.%s', n.nspname, c.relname)), 1",
    )
    // The largest first, so that the last ones do not wait for one of them.
    .bind(LARGE.as_slice())
    .fetch_all(&mut admin)
    .await
    .unwrap();
    for named in LARGE.iter().chain(&OF_TENANTS).chain(&BOUNDED).chain(SMALL.iter().map(|(table, _)| table)) {
        assert!(tables.iter().any(|table| table == named), "there is no table {named} of tenants");
    }
    let filled: Vec<String> = tables.into_iter().filter(|table| SMALL.iter().all(|(small, _)| small != table)).collect();
    let each = futures::stream::iter(&filled).map(|table| {
        let database = database.clone();
        tokio::spawn(fill_one(database, table.clone(), tenant))
    });
    each.buffer_unordered(AT_ONCE).for_each(async |done| done.unwrap()).await;
    admin.close().await.unwrap();
    filled.into_iter().filter_map(|table| Some(table.split_once('.')?.1.to_owned())).collect()
}

async fn fill_one(database: PgConnectOptions, table: String, tenant: Uuid) {
    let mut admin = database.options([("maintenance_work_mem", "256MB")]).connect().await.unwrap();
    let sql = if OF_TENANTS.contains(&table.as_str()) {
        format!(
            "insert into {table} (tenant_id, position) select md5(n::text)::uuid, {END} from generate_series(1, {TENANTS}) as n;
             update {table} set position = {END}"
        )
    } else {
        copies(&mut admin, &table, tenant).await
    };
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "select case when k.oid is null then format('drop index %s', i.indexrelid::regclass)
                     else format('alter table %s drop constraint %I', i.indrelid::regclass, k.conname) end,
                case when k.oid is null then pg_get_indexdef(i.indexrelid)
                     else format('alter table %s add constraint %I %s', i.indrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) end
         from pg_index i left join pg_constraint k on k.conindid = i.indexrelid
         where i.indrelid = $1::regclass",
    )
    .bind(&table)
    .fetch_all(&mut admin)
    .await
    .unwrap();
    // What need not survive a crash is written once, and indexes are made faster over what is there.
    let mut statements = vec![format!("alter table {table} set unlogged")];
    statements.extend(indexes.iter().map(|(drop, _)| drop.clone()));
    statements.push(sql);
    statements.extend(indexes.into_iter().map(|(_, again)| again));
    // As after the server's own upkeep, which is not to come in between from now on.
    statements.push(format!("alter table {table} set (autovacuum_enabled = false)"));
    statements.push(format!("vacuum (analyze) {table}"));
    for statement in statements {
        admin.execute(statement.as_str()).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    admin.close().await.unwrap();
}

#[derive(FromRow)]
struct Column {
    name: String,
    kind: String,
    /// Whether it is in the primary key, and the last one there.
    key: bool,
    last: bool,
}

impl Column {
    /// Its value in copy `n` of the row `t`, which is in one of the workspaces from the one at this place on.
    fn copied(&self, templates: i64, from: usize) -> String {
        let name = &self.name;
        let another = format!("md5('{name}' || n)::uuid");
        let value = match (name.as_str(), self.kind.as_str()) {
            ("tenant_id", _) => {
                format!(
                    "case when t.tenant_id = '{PLATFORM}' then t.tenant_id else w.ids[{from} + 1 + n / {templates} % ({SHARING} - {from})] end"
                )
            }
            ("aggregate_id", "text") => format!("{another}::text"),
            (_, "uuid") if self.last || name == "id" => another,
            // Some things belong together as they did.
            (_, "uuid") if self.key || ["created_by", "updated_by", "assigned_to", "assignee_id", "user_id"].contains(&name.as_str()) => {
                format!("case when n % 10 = 0 then t.{name} else {another} end")
            }
            (_, "text") if self.last || ["email", "slug", "name", "label", "title", "rank"].contains(&name.as_str()) => {
                format!("left(t.{name}, 30) || n")
            }
            (_, "text") if self.key => format!("case when n % 10 = 0 then t.{name} else left(t.{name}, 30) || n end"),
            (_, "bigint") if self.last => format!("{END} - n"),
            (_, "date") if self.last => format!("t.{name} - n::int"),
            (_, "date") => format!("t.{name} + (n % 1000)::int"),
            (_, "timestamp with time zone") => format!("t.{name} - n * interval '1 second'"),
            _ => return format!("t.{name}"),
        };
        format!("case when t.{name} is null then null else {value} end")
    }
}

/// The statement that copies what the workspace and the platform have in a table, until there is enough of it.
async fn copies(admin: &mut PgConnection, table: &str, tenant: Uuid) -> String {
    let templates: i64 = sqlx::query_scalar(&format!("select count(*) from {table} where tenant_id in ('{tenant}', '{PLATFORM}')"))
        .fetch_one(&mut *admin)
        .await
        .unwrap();
    assert!(templates > 0, "{table} has no row to copy: let the trial make one, or say in `SMALL` why it never has many");
    let columns: Vec<Column> = sqlx::query_as(
        "select a.attname::text as name, format_type(a.atttypid, null) as kind,
                a.attnum = any (i.indkey) as key, a.attnum = i.indkey[i.indnkeyatts - 1] as last
         from pg_attribute a join pg_index i on i.indrelid = a.attrelid and i.indisprimary
         where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
         order by a.attnum",
    )
    .bind(table)
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    let rows = if LARGE.contains(&table) { rows() } else { rows() / 10 };
    let from = usize::from(BOUNDED.contains(&table));
    let names = columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
    let values = columns.iter().map(|column| column.copied(templates, from)).collect::<Vec<_>>().join(", ");
    // Each row of each workspace lies among those of all others, as it does where all are at work at once.
    format!(
        "insert into {table} ({names})
         with t as materialized (select row_number() over () - 1 as k, * from {table} where tenant_id in ('{tenant}', '{PLATFORM}')),
              w as (select array_prepend('{tenant}'::uuid, array_agg(md5(n::text)::uuid)) as ids from generate_series(1, {SHARING} - 1) as n)
         select {values} from generate_series(1, {rows}::bigint) as n join t on t.k = n % {templates} cross join w"
    )
}
