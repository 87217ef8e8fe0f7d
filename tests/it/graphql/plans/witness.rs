//! Two witnesses of what the server reads row by row. auto_explain tells each statement, within functions too, with the
//! plan that was carried out, to the connection that sent it, where sqlx makes a log line of it. And the server counts
//! sequential scans, table by table, whoever does them and whatever is logged.

use crate::harness::{Database, eventually};
use sqlx::{Connection, Executor};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Statements that read a table from end to end: the statement, the tables, and one of its plans.
    pub(super) scans: BTreeMap<String, (BTreeSet<String>, String)>,
    /// All statements, without what differs from call to call.
    pub(super) statements: BTreeSet<String>,
}

/// Hears what the server says to the connections of this thread.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    indexes: Arc<Indexes>,
    seen: Arc<std::sync::Mutex<Seen>>,
}

impl Witness {
    /// One who knows the indexes of this database.
    pub(super) async fn of(database: &Database) -> Self {
        Self { indexes: Arc::new(indexes(database).await), seen: Arc::default() }
    }

    /// Hears until the guard is dropped.
    pub(super) fn listen(&self) -> tracing::subscriber::DefaultGuard {
        tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone()))
    }

    /// What was seen since it was asked last.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Witness {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sqlx::postgres::notice" {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        // duration: 0.031 ms  plan:\nQuery Text: select …\nIndex Scan using …
        let Some((_, told)) = said.0.split_once("plan:\nQuery Text: ") else { return };
        // The plan begins with the first line that tells a cost.
        let Some((before, _)) = told.split_once("  (cost=") else { return };
        let (statement, plan) = told.split_at(before.rfind('\n').unwrap_or(0));
        let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut seen = self.seen.lock().unwrap();
        let tables = scanned(plan, &self.indexes);
        if !tables.is_empty() {
            let scan = seen.scans.entry(statement.clone()).or_insert_with(|| (BTreeSet::new(), plan.to_owned()));
            scan.0.extend(tables);
        }
        seen.statements.insert(statement);
    }
}

/// Of each index its table, and what leads it.
type Indexes = HashMap<String, (String, String)>;

async fn indexes(database: &Database) -> Indexes {
    let mut admin = database.admin().await;
    let sql = "select i.relname::text, t.relname::text, pg_get_indexdef(x.indexrelid, 1, true) from pg_index x
               join pg_class i on i.oid = x.indexrelid join pg_class t on t.oid = x.indrelid
               where t.relnamespace in ('event_store'::regnamespace, 'vault'::regnamespace, 'read_models'::regnamespace)";
    let found: Vec<(String, String, String)> = sqlx::query_as(sql).fetch_all(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    found.into_iter().map(|(index, table, leading)| (index, (table, leading))).collect()
}

/// The tables that a plan has read from end to end: row by row, or along an index without a condition on what leads it.
fn scanned(plan: &str, indexes: &Indexes) -> BTreeSet<String> {
    let lines: Vec<&str> = plan.lines().collect();
    let node = |line: &str| line.contains("  (cost=");
    let word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    let scanned = |(n, line): (usize, &&str)| {
        let (what, whose) = line.split_once(" on ").filter(|_| node(line) && !line.contains("(never executed)"))?;
        if what.ends_with("Seq Scan") {
            return Some(word(whose));
        }
        let index = if what.ends_with("Bitmap Index Scan") { word(whose) } else { word(what.split_once(" using ")?.1) };
        let (table, leading) = indexes.get(&index)?;
        let conditions =
            lines[n + 1..].iter().take_while(|line| !node(line)).find_map(|line| line.trim_start().strip_prefix("Index Cond:"));
        let bounded = conditions.is_some_and(|conditions| conditions.contains(&format!("({leading}")));
        (!bounded).then(|| table.clone())
    };
    lines.iter().enumerate().filter_map(scanned).collect()
}

#[test]
fn what_reads_a_whole_table_is_told_from_what_reads_a_part_of_it_and_from_what_was_never_done() {
    let plan = "Nested Loop  (cost=0.42..9.5 rows=1 width=8) (actual rows=1 loops=1)
  ->  Index Scan using a_pkey on a t  (cost=0.42..8.44 rows=1 width=8) (actual rows=1 loops=1)
        Index Cond: (id = $1)
        Filter: (NOT deleted)
  ->  Parallel Seq Scan on b  (cost=0.00..1.0 rows=1 width=8) (actual rows=1 loops=1)
        Filter: (id = $1)
  ->  Seq Scan on c  (cost=0.00..1.0 rows=1 width=8) (never executed)
  ->  Index Only Scan Backward using d_name on d  (cost=0.42..8.44 rows=1 width=8) (actual rows=1 loops=1)
        Filter: (id = $1)
  ->  Bitmap Heap Scan on e  (cost=0.42..8.44 rows=1 width=8) (actual rows=1 loops=1)
        Recheck Cond: (id = $1)
        ->  Bitmap Index Scan on e_pkey  (cost=0.42..8.44 rows=1 width=0) (actual rows=1 loops=1)
              Index Cond: (id = $1)
  ->  Bitmap Heap Scan on f  (cost=0.42..8.44 rows=1 width=8) (actual rows=1 loops=1)
        ->  Bitmap Index Scan on f_pkey  (cost=0.42..8.44 rows=1 width=0) (actual rows=1 loops=1)
              Index Cond: (id = $1)";
    let index = |index: &str, leading: &str| (index.to_owned(), (index[..1].to_owned(), leading.to_owned()));
    let indexes = [index("a_pkey", "id"), index("d_name", "id"), index("e_pkey", "id"), index("f_pkey", "tenant_id")].into();
    assert_eq!(scanned(plan, &indexes), ["b", "d", "f"].map(str::to_owned).into());
}

#[derive(Default)]
struct Said(String);

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// Has every connection to the database tell its plans from now on, and plan in this way.
pub(super) async fn tell_plans(database: &Database, plan_cache_mode: &str) {
    let name = database.options().get_database().unwrap().to_owned();
    let mut admin = database.admin().await;
    for (setting, value) in [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_level", "notice"),
        ("auto_explain.log_nested_statements", "on"),
        // To tell what was carried out from what was planned only.
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_timing", "off"),
        ("plan_cache_mode", plan_cache_mode),
    ] {
        admin.execute(format!("alter database {name} set {setting} = '{value}'").as_str()).await.unwrap();
    }
    admin.close().await.unwrap();
}

/// How often each of these tables was read from end to end. Ends all other connections first: each tells then what it did.
pub(super) async fn counted(database: &Database, tables: &[String]) -> BTreeMap<String, i64> {
    let mut admin = database.admin().await;
    let others = "from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()";
    sqlx::query(&format!("select pg_terminate_backend(pid) {others}")).execute(&mut admin).await.unwrap();
    let admin = Mutex::new(admin);
    eventually("the other connections to end", || async {
        let count = format!("select count(*) {others}");
        let left: i64 = sqlx::query_scalar(&count).fetch_one(&mut *admin.lock().await).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    let mut admin = admin.into_inner();
    let counts = "select relname::text, seq_scan from pg_stat_user_tables where relname = any ($1)";
    let counts: Vec<(String, i64)> = sqlx::query_as(counts).bind(tables).fetch_all(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    counts.into_iter().collect()
}
