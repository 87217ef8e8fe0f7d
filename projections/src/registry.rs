//! The list of all read models: the one place a new one is named.

use crate::Common;
use crate::table::{Model, ModelOf, Table};
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::sync::LazyLock;

static MODELS: LazyLock<Vec<Box<dyn Model>>> = LazyLock::new(|| {
    use crate::{identity, pipeline, workspace};
    vec![
        ModelOf::<identity::User>::boxed(),
        ModelOf::<identity::Session>::boxed(),
        ModelOf::<identity::WorkspaceEntry>::boxed(),
        ModelOf::<workspace::Workspace>::boxed(),
        ModelOf::<workspace::Member>::boxed(),
        ModelOf::<pipeline::Pipeline>::boxed(),
        ModelOf::<pipeline::Stage>::boxed(),
        ModelOf::<pipeline::Operator>::boxed(),
        ModelOf::<pipeline::Item>::boxed(),
        ModelOf::<pipeline::ItemTag>::boxed(),
        ModelOf::<pipeline::ItemHistory>::boxed(),
    ]
});

pub(crate) fn models() -> &'static [Box<dyn Model>] {
    &MODELS
}

pub(crate) fn model(name: &str) -> Option<&'static dyn Model> {
    MODELS.iter().find(|model| model.table() == name).map(AsRef::as_ref)
}

/// The names of all read models.
#[must_use]
pub fn names() -> Vec<&'static str> {
    MODELS.iter().map(|model| model.table()).collect()
}

/// Where rows and tables differ: a field without a column would be dropped in silence, a column without a field
/// nulled. Empty when all is well.
///
/// # Errors
/// The database, or a table that is missing.
pub async fn mismatches(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let mut found = Vec::new();
    for model in models() {
        let table = Table::describe(pool, model.table()).await?;
        let columns: BTreeSet<&str> = table.columns().iter().map(String::as_str).collect();
        let fields: BTreeSet<&str> = model.fields().iter().copied().chain(Common::COLUMNS).chain(["tenant_id"]).collect();
        found.extend(fields.difference(&columns).map(|field| format!("{}: the field {field} has no column", model.table())));
        found.extend(columns.difference(&fields).map(|column| format!("{}: the column {column} has no field", model.table())));
    }
    Ok(found)
}
