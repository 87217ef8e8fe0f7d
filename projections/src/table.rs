//! The tables of read models: rows of many tenants are loaded and written, those of several read models at once, since
//! what a batch costs is its round trips.

use crate::fold::Changes;
use crate::model::Common;
use chrono::{DateTime, Utc};
use domain::TenantId;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Row};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// A read model's table, as the catalog tells it, and its statements.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    name: String,
    /// With its schema.
    place: String,
    columns: Vec<String>,
    key: Vec<String>,
    // Each takes the rows of a JSON object by the name of the read model.
    load: String,
    upsert: String,
    delete: String,
}

impl Table {
    pub(crate) async fn describe(pool: &PgPool, name: &str) -> Result<Self, sqlx::Error> {
        let columns: Vec<String> = sqlx::query_scalar(
            "select a.attname::text from pg_attribute a
             where a.attrelid = ('read_models.' || quote_ident($1))::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
             order by a.attnum",
        )
        .bind(name)
        .fetch_all(pool)
        .await?;
        let key: Vec<String> = sqlx::query_scalar(
            "select a.attname::text from pg_index i
             cross join unnest(i.indkey) with ordinality as k (attnum, n)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where i.indrelid = ('read_models.' || quote_ident($1))::regclass and i.indisprimary
             order by k.n",
        )
        .bind(name)
        .fetch_all(pool)
        .await?;
        Ok(Self::new("read_models", name, columns, key))
    }

    /// The table of the same columns that a rebuild fills.
    pub(crate) fn beside(&self) -> Self {
        Self::new("read_models_next", &self.name, self.columns.clone(), self.key.clone())
    }

    fn new(schema: &str, name: &str, columns: Vec<String>, key: Vec<String>) -> Self {
        let place = format!("{schema}.{name}");
        let list =
            |prefix: &str, columns: &[String]| columns.iter().map(|column| format!("{prefix}{column}")).collect::<Vec<_>>().join(", ");
        let same = key.iter().map(|column| format!("t.{column} = k.{column}")).collect::<Vec<_>>().join(" and ");
        let set = columns
            .iter()
            .filter(|column| !key.contains(column))
            .map(|column| format!("{column} = excluded.{column}"))
            .collect::<Vec<_>>()
            .join(", ");
        let set = if set.is_empty() { "nothing".to_owned() } else { format!("update set {set}") };
        // Key by key along the index, however many rows the server takes there to be: it cannot know how many are given.
        let found = format!("(select t.*, t.ctid as its_ctid from {place} t where {same} offset 0) t");
        let given = format!("jsonb_populate_recordset(null::{place}, $1 -> '{name}')");
        Self {
            load: format!(
                "select '{name}', (select row_to_json(r) from (select {}) r) from {given} k cross join lateral {found}",
                list("t.", &columns)
            ),
            upsert: format!(
                "insert into {place} ({0}) select {0} from {given} on conflict ({1}) do {set}",
                list("", &columns),
                list("", &key)
            ),
            delete: format!("delete from {place} where ctid = any (array(select t.its_ctid from {given} k cross join lateral {found}))"),
            place,
            name: name.to_owned(),
            columns,
            key,
        }
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The key columns as a JSON object.
    pub(crate) fn key(&self, tenant: Uuid, key: &str) -> Result<Value, String> {
        let columns: Vec<Value> = serde_json::from_str(key).map_err(|error| error.to_string())?;
        if columns.len() + 1 != self.key.len() {
            return Err(format!(
                "the key of {} has {} columns after tenant_id, the read model gives {}",
                self.name,
                self.key.len() - 1,
                columns.len()
            ));
        }
        let mut object = Map::from_iter([("tenant_id".to_owned(), tenant.to_string().into())]);
        object.extend(self.key.iter().skip(1).cloned().zip(columns));
        Ok(object.into())
    }

    pub(crate) fn row<R: serde::Serialize>(&self, tenant: Uuid, row: &R, common: &Common) -> Result<Value, String> {
        let (row, common) = (serde_json::to_value(row), serde_json::to_value(common));
        match (row, common) {
            (Ok(Value::Object(mut row)), Ok(Value::Object(common))) => {
                row.extend(common);
                // What is not said is null there, too; and most of some rows is.
                row.retain(|_, value| !value.is_null());
                row.insert("tenant_id".to_owned(), tenant.to_string().into());
                Ok(row.into())
            }
            (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
            _ => Err(format!("a row of {} must be a struct", self.name)),
        }
    }

    /// Removes all rows of a tenant, to make them anew.
    pub(crate) async fn clear(&self, connection: &mut PgConnection, tenant: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query(&format!("delete from {} where tenant_id = $1", self.place)).bind(tenant).execute(connection).await?;
        Ok(())
    }

    /// All rows of a tenant by key, without the tenant: to compare with a replay.
    pub(crate) async fn all(&self, connection: &mut PgConnection, tenant: Uuid) -> Result<BTreeMap<String, Value>, sqlx::Error> {
        let sql = format!("select row_to_json(r) from (select {} from {} where tenant_id = $1) r", self.columns.join(", "), self.place);
        let rows: Vec<Value> = sqlx::query_scalar(&sql).bind(tenant).fetch_all(connection).await?;
        Ok(rows.into_iter().map(|row| (self.key_of(&row), row)).collect())
    }

    /// The key of a row after tenant_id, as text.
    fn key_of(&self, row: &Value) -> String {
        Value::Array(self.key.iter().skip(1).map(|column| row.get(column).cloned().unwrap_or_default()).collect()).to_string()
    }
}

/// Rows of one read model by tenant and key.
pub(crate) type Rows = HashMap<Uuid, BTreeMap<String, Value>>;

/// Loads rows of several tenants and several read models by key, with one statement.
pub(crate) async fn load(connection: &mut PgConnection, wanted: &[(&Table, Vec<(Uuid, &str)>)]) -> Result<Vec<Rows>, sqlx::Error> {
    let mut loaded: Vec<Rows> = wanted.iter().map(|_| Rows::new()).collect();
    let (mut keys, mut loads) = (Map::new(), Vec::new());
    for (table, wanted) in wanted.iter().filter(|(_, wanted)| !wanted.is_empty()) {
        let wanted = wanted.iter().map(|(tenant, key)| table.key(*tenant, key)).collect::<Result<Vec<_>, _>>().map_err(decode)?;
        keys.insert(table.name.clone(), wanted.into());
        loads.push(table.load.as_str());
    }
    if loads.is_empty() {
        return Ok(loaded);
    }
    for row in sqlx::query(&loads.join(" union all ")).bind(Value::Object(keys)).fetch_all(connection).await? {
        let (name, row): (&str, Value) = (row.try_get(0)?, row.try_get(1)?);
        let Some(n) = wanted.iter().position(|(table, _)| table.name == name) else { continue };
        let tenant = row.get("tenant_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let tenant: Uuid = tenant.ok_or_else(|| decode("a row without tenant_id"))?;
        loaded[n].entry(tenant).or_default().insert(wanted[n].0.key_of(&row), row);
    }
    Ok(loaded)
}

/// Writes what changed in several read models, and how far their tenants have come by that: first what goes, then with one
/// statement what stays. Answers the database's time, if a tenant has come further.
pub(crate) async fn write(
    connection: &mut PgConnection,
    changes: Vec<(&Table, Changes)>,
    reached: &[(TenantId, i64)],
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let (mut rows, mut upserts) = (Map::new(), Vec::new());
    for (table, changes) in changes {
        if !changes.deletes.is_empty() {
            let deletes = Map::from_iter([(table.name.clone(), changes.deletes.into())]);
            sqlx::query(&table.delete).bind(Value::Object(deletes)).execute(&mut *connection).await?;
        }
        if !changes.upserts.is_empty() {
            rows.insert(table.name.clone(), changes.upserts.into());
            upserts.push(format!("of_{} as ({})", table.name, table.upsert));
        }
    }
    if upserts.is_empty() && reached.is_empty() {
        return Ok(None);
    }
    // No table is written twice, so what order the server takes them in does not matter.
    let with = if upserts.is_empty() { String::new() } else { format!("with {} ", upserts.join(", ")) };
    let sql = format!(
        "{with}update read_models.checkpoints c set position = r.position
         from unnest($2::uuid[], $3::bigint[]) as r (tenant_id, position) where c.tenant_id = r.tenant_id and $1::jsonb is not null
         returning clock_timestamp()"
    );
    // $1 is named in the end, too, so that it has a type where nothing is written.
    let (tenants, positions): (Vec<Uuid>, Vec<i64>) = reached.iter().map(|(tenant, position)| (tenant.0, *position)).unzip();
    let times = sqlx::query_scalar(&sql).bind(Value::Object(rows)).bind(tenants).bind(positions).fetch_all(connection).await?;
    Ok(times.last().copied())
}

fn decode(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
