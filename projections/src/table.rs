//! A read model without its type: what the projector works with.

use crate::model::{Common, ReadModel};
use domain::Recorded;
use serde_json::{Map, Value};
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Row};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use uuid::Uuid;

/// Rows of one tenant that changed, as JSON objects of columns.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) upserts: Vec<Value>,
    pub(crate) deletes: Vec<Value>,
}

impl Changes {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.upserts.append(&mut other.upserts);
        self.deletes.append(&mut other.deletes);
    }

    fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.deletes.is_empty()
    }
}

/// A fold that failed.
#[derive(Debug)]
pub(crate) struct FoldError {
    /// The event at fault, if it is one.
    pub(crate) position: Option<i64>,
    /// What is wrong.
    pub(crate) error: String,
}

/// A read model without its type parameter. Folding is pure; the tables are the projector's.
pub(crate) trait Model: Send + Sync {
    /// The same read model once more.
    fn again(&self) -> Box<dyn Model>;
    fn table(&self) -> &'static str;
    fn version(&self) -> i32;
    fn reads(&self, aggregate_type: &str) -> bool;
    /// Whether the rows as they are have to be loaded before a fold.
    fn loads(&self) -> bool;
    /// The fields of a row.
    fn fields(&self) -> &'static [&'static str];
    /// The keys that the events of a tenant touch, each as the JSON array of its columns.
    fn keys(&self, events: &[&Recorded]) -> Result<BTreeSet<String>, FoldError>;
    /// Folds the events of a tenant over rows, which are given by key as JSON objects.
    fn fold(&self, rows: BTreeMap<String, Value>, columns: &Table, events: &[&Recorded]) -> Result<Changes, FoldError>;
}

pub(crate) struct ModelOf<R>(PhantomData<fn() -> R>);

impl<R: ReadModel> ModelOf<R> {
    pub(crate) fn boxed() -> Box<dyn Model> {
        Box::new(Self(PhantomData))
    }
}

/// The text of a key: a JSON array of its columns.
fn key_text<K: serde::Serialize>(key: &K) -> Result<String, String> {
    let text = serde_json::to_string(key).map_err(|error| error.to_string())?;
    Ok(if text.starts_with('[') { text } else { format!("[{text}]") })
}

/// Runs a piece of a fold; a panic in it is its error.
fn guarded<T>(event: &Recorded, work: impl FnOnce() -> Result<T, String>) -> Result<T, FoldError> {
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("the fold panicked: {}", text.unwrap_or("without a message")))
    });
    let position = Some(event.position);
    outcome.map_err(|error| FoldError { position, error: format!("{} {}: {error}", event.event_type, event.position) })
}

struct Slot<R> {
    row: Option<R>,
    common: Option<Common>,
    existed: bool,
    changed: bool,
}

impl<R: ReadModel> Model for ModelOf<R> {
    fn again(&self) -> Box<dyn Model> {
        Self::boxed()
    }

    fn table(&self) -> &'static str {
        R::TABLE
    }

    fn version(&self) -> i32 {
        R::VERSION
    }

    fn reads(&self, aggregate_type: &str) -> bool {
        R::READS.contains(&aggregate_type)
    }

    fn loads(&self) -> bool {
        !R::OF_ONE_EVENT
    }

    fn fields(&self) -> &'static [&'static str] {
        serde_aux::serde_introspection::serde_introspect::<R>()
    }

    fn keys(&self, events: &[&Recorded]) -> Result<BTreeSet<String>, FoldError> {
        let mut keys = BTreeSet::new();
        for event in events {
            guarded(event, || {
                for key in R::keys(event) {
                    keys.insert(key_text(&key)?);
                }
                Ok(())
            })?;
        }
        Ok(keys)
    }

    fn fold(&self, rows: BTreeMap<String, Value>, table: &Table, events: &[&Recorded]) -> Result<Changes, FoldError> {
        let mut slots: BTreeMap<String, Slot<R>> = BTreeMap::new();
        for event in events {
            guarded(event, || {
                for key in R::keys(event) {
                    let slot = match slots.entry(key_text(&key)?) {
                        Entry::Occupied(slot) => slot.into_mut(),
                        Entry::Vacant(place) => {
                            let slot = Slot::read(rows.get(place.key()))?;
                            place.insert(slot)
                        }
                    };
                    slot.fold(&key, event);
                }
                Ok(())
            })?;
        }
        let Some(last) = events.last() else { return Ok(Changes::default()) };
        let made = guarded(last, || {
            let mut changes = Changes::default();
            for (key, slot) in slots.into_iter().filter(|(_, slot)| slot.changed) {
                match (&slot.row, &slot.common) {
                    (Some(row), Some(common)) => changes.upserts.push(table.row(last.tenant_id.0, row, common)?),
                    _ if slot.existed => changes.deletes.push(table.key(last.tenant_id.0, &key)?),
                    _ => {}
                }
            }
            Ok(changes)
        });
        // Of the events that made the rows, this was only the last.
        made.map_err(|error| FoldError { position: None, ..error })
    }
}

impl<R: ReadModel> Slot<R> {
    fn read(row: Option<&Value>) -> Result<Self, String> {
        let decode =
            |row: &Value| -> Result<(R, Common), serde_json::Error> { Ok((R::deserialize(row)?, serde::Deserialize::deserialize(row)?)) };
        match row.map(decode).transpose().map_err(|error| error.to_string())? {
            Some((row, common)) => Ok(Self { row: Some(row), common: Some(common), existed: true, changed: false }),
            None => Ok(Self { row: None, common: None, existed: false, changed: false }),
        }
    }

    fn fold(&mut self, key: &R::Key, event: &Recorded) {
        let before = self.row.clone();
        let after = R::fold(self.row.take(), key, event);
        if after != before {
            self.changed = true;
            self.common = match (&before, self.common.take()) {
                (Some(_), Some(common)) => Some(common.touched(event)),
                _ => Some(Common::of(event)),
            };
        }
        self.row = after;
    }
}

/// A read model's table, as the catalog tells it, and its statements.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    name: String,
    /// With its schema.
    place: String,
    columns: Vec<String>,
    key: Vec<String>,
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
        let given = format!("jsonb_populate_recordset(null::{place}, $1)");
        Self {
            load: format!(
                "select (select row_to_json(r) from (select {}) r) from {given} k cross join lateral {found}",
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
    fn key(&self, tenant: Uuid, key: &str) -> Result<Value, String> {
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

    fn row<R: serde::Serialize>(&self, tenant: Uuid, row: &R, common: &Common) -> Result<Value, String> {
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

    /// Loads rows of several tenants by key with one statement.
    pub(crate) async fn load(
        &self,
        connection: &mut PgConnection,
        keys: &[(Uuid, &str)],
    ) -> Result<BTreeMap<(Uuid, String), Value>, sqlx::Error> {
        let wanted = keys.iter().map(|(tenant, key)| self.key(*tenant, key)).collect::<Result<Vec<_>, _>>().map_err(decode)?;
        let rows = sqlx::query(&self.load).bind(Value::Array(wanted)).fetch_all(connection).await?;
        rows.iter()
            .map(|row| {
                let row: Value = row.try_get(0)?;
                let tenant = row
                    .get("tenant_id")
                    .and_then(Value::as_str)
                    .and_then(|id| id.parse().ok())
                    .ok_or_else(|| decode("a row without tenant_id"))?;
                let key: Vec<Value> = self.key.iter().skip(1).map(|column| row.get(column).cloned().unwrap_or_default()).collect();
                Ok(((tenant, Value::Array(key).to_string()), row))
            })
            .collect()
    }

    /// Writes what changed: one statement for what stays, one for what goes.
    pub(crate) async fn write(&self, connection: &mut PgConnection, changes: Changes) -> Result<(), sqlx::Error> {
        if changes.is_empty() {
            return Ok(());
        }
        if !changes.deletes.is_empty() {
            sqlx::query(&self.delete).bind(Value::Array(changes.deletes)).execute(&mut *connection).await?;
        }
        if !changes.upserts.is_empty() {
            sqlx::query(&self.upsert).bind(Value::Array(changes.upserts)).execute(&mut *connection).await?;
        }
        Ok(())
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
        Ok(rows
            .into_iter()
            .map(|row| {
                (
                    Value::Array(self.key.iter().skip(1).map(|column| row.get(column).cloned().unwrap_or_default()).collect()).to_string(),
                    row,
                )
            })
            .collect())
    }
}

fn decode(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
