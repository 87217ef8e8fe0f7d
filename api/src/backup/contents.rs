//! What a database holds, as a backup notes it and a restore compares it: of each table the number of its rows and a sum
//! over all of them, and that every log is dense. Invariant: both look with the same eyes, those of the owner, who sees
//! every row or is refused.

use anyhow::{bail, ensure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The schemas of the program; whatever else is in the database is nobody's business here.
pub(super) const SCHEMAS: [&str; 5] = ["annals", "event_store", "read_models", "read_models_next", "vault"];
/// What a rebuild under way has filled: never in a backup.
pub(super) const NEXT: &str = "read_models_next";

/// What a database held at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Contents {
    /// How many logs there are.
    pub(super) logs: i64,
    /// How many events they hold.
    pub(super) events: i64,
    /// The moment.
    pub(super) as_of: DateTime<Utc>,
    /// Whether the rows of read models are among the tables.
    pub(super) read_models: bool,
    /// What each table holds.
    pub(super) tables: BTreeMap<String, Sum>,
}

/// What a table holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum {
    rows: i64,
    /// The sum of the first eight bytes of the SHA-256 of every row's text: the same in any order.
    sum: String,
}

/// What becomes of a table's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They are in the backup, and compared when it is restored.
    Kept,
    /// They are in it; what they say is of the processes that were at work, and is put right by a restore.
    Reset,
    /// They are not in it.
    Left,
}

impl Fate {
    /// Of a table by its qualified name.
    pub(super) fn of(table: &str, read_models: bool) -> Self {
        match table.strip_prefix("read_models.") {
            None => Self::Kept,
            Some("leases") => Self::Reset,
            // Processes, and rebuilds that were under way.
            Some("workers" | "rebuilds" | "rebuilt") => Self::Left,
            Some(_) if read_models => Self::Kept,
            Some(_) => Self::Left,
        }
    }
}

/// Becomes the owner, and writes values as any other session would that looks.
pub(super) async fn become_owner(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "set role annals_owner; set search_path = pg_catalog; set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres';
             set bytea_output = 'hex'; set extra_float_digits = 1; set lock_timeout = '60s'",
        )
        .await?;
    Ok(())
}

/// The tables of the program by their qualified names, but for those that a rebuild fills.
pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = any ($1) and n.nspname <> $2 and c.relkind in ('r', 'p') order by 1",
    )
    .bind(SCHEMAS)
    .bind(NEXT)
    .fetch_all(connection)
    .await
}

/// Refuses to look where a policy might hide a row from the owner: what cannot be seen would be missing without a word.
pub(super) async fn sees_all(connection: &mut PgConnection, tables: &[String]) -> anyhow::Result<()> {
    let hidden: Vec<String> = sqlx::query_scalar(
        "select t from unnest($1::text[]) as t join pg_class c on c.oid = t::regclass
         where c.relrowsecurity and (
           exists (select from pg_policy p where p.polrelid = c.oid and not p.polpermissive)
           or not exists (
             select from pg_policy p where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('r', '*')
               and pg_get_expr(p.polqual, p.polrelid) = 'true'
               and exists (select from unnest(p.polroles) as r where r = 0 or pg_has_role(current_user, r, 'usage'))))
         order by 1",
    )
    .bind(tables)
    .fetch_all(connection)
    .await?;
    ensure!(
        hidden.is_empty(),
        "the owner does not see all rows of {}: run `annals migrate` with this program, then try again",
        hidden.join(", ")
    );
    Ok(())
}

/// What the tables hold that a backup keeps, as this connection's transaction sees them.
pub(super) async fn sums(connection: &mut PgConnection, tables: &[String], read_models: bool) -> anyhow::Result<BTreeMap<String, Sum>> {
    let mut sums = BTreeMap::new();
    for table in tables.iter().filter(|table| Fate::of(table, read_models) == Fate::Kept) {
        // The name is the catalog's, and quoted by it.
        let sql = format!(
            "select count(*) as rows, coalesce(sum(('x' || encode(substr(sha256(convert_to(t::text, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint::numeric), 0)::text as sum
             from {table} t"
        );
        let row = sqlx::query(&sql).fetch_one(&mut *connection).await?;
        sums.insert(table.clone(), Sum { rows: row.try_get("rows")?, sum: row.try_get("sum")? });
    }
    Ok(sums)
}

/// How many logs and events there are, in logs that are whole.
pub(super) async fn logs(connection: &mut PgConnection) -> anyhow::Result<(i64, i64)> {
    let broken: Option<(Uuid, i64, i64, i64)> = sqlx::query_as(
        "select tenant_id, coalesce(h.position, 0), coalesce(e.events, 0), coalesce(e.last, 0)
         from event_store.heads h
         full join (select tenant_id, count(*) as events, max(position) as last from event_store.events group by tenant_id) e using (tenant_id)
         where coalesce(h.position, 0) <> coalesce(e.events, 0) or coalesce(h.position, 0) <> coalesce(e.last, 0)
         order by tenant_id limit 1",
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some((tenant, head, events, last)) = broken {
        bail!(
            "the log of {tenant} is not whole: its head is at {head}, and it has {events} events, the last at {last}; this is damage to the database itself, so keep it as it is, and the backups before"
        );
    }
    Ok(sqlx::query_as("select count(*), coalesce(sum(position), 0)::bigint from event_store.heads").fetch_one(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_always_kept_and_what_derives_from_it_if_that_is_wished() {
        for table in ["event_store.events", "vault.subject_keys", "annals._sqlx_migrations"] {
            assert_eq!([Fate::of(table, false), Fate::of(table, true)], [Fate::Kept; 2]);
        }
        assert_eq!([false, true].map(|with| Fate::of("read_models.pipeline_items", with)), [Fate::Left, Fate::Kept]);
        assert_eq!([false, true].map(|with| Fate::of("read_models.workers", with)), [Fate::Left; 2]);
        assert_eq!([false, true].map(|with| Fate::of("read_models.leases", with)), [Fate::Reset; 2]);
    }
}
