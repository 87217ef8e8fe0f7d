//! A read model without its type, and its fold: what the projector works with. Folding is pure.

use crate::model::{Common, ReadModel};
use crate::table::Table;
use domain::Recorded;
use serde_json::Value;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
