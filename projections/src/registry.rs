//! Which read models there are.

use crate::fold::{Model, ModelOf};
use crate::table::Table;
use crate::{Common, ReadModel};
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The read models that a projector runs.
#[derive(Clone)]
pub struct Models(Arc<Vec<Box<dyn Model>>>);

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Models {
    /// All of the house: the one place a new one is named.
    #[must_use]
    pub fn house() -> Self {
        Self(Arc::new(vec![
            ModelOf::<crate::identity::User>::boxed(),
            ModelOf::<crate::identity::Session>::boxed(),
            ModelOf::<crate::identity::WorkspaceEntry>::boxed(),
            ModelOf::<crate::workspace::Workspace>::boxed(),
            ModelOf::<crate::workspace::Member>::boxed(),
            ModelOf::<crate::workspace::Role>::boxed(),
            ModelOf::<crate::workspace::CustomPermission>::boxed(),
            ModelOf::<crate::pipeline::Pipeline>::boxed(),
            ModelOf::<crate::pipeline::Stage>::boxed(),
            ModelOf::<crate::pipeline::Operator>::boxed(),
            ModelOf::<crate::pipeline::Item>::boxed(),
            ModelOf::<crate::pipeline::ItemTag>::boxed(),
            ModelOf::<crate::pipeline::ItemHistory>::boxed(),
            ModelOf::<crate::pipeline::ItemCount>::boxed(),
            ModelOf::<crate::pipeline::StageDay>::boxed(),
            ModelOf::<crate::pipeline::TaskTemplate>::boxed(),
            ModelOf::<crate::pipeline::Task>::boxed(),
            ModelOf::<crate::pipeline::TaskDecision>::boxed(),
        ]))
    }

    /// One alone, for whoever wants to see what becomes of it.
    #[must_use]
    pub fn only<R: ReadModel>() -> Self {
        Self(Arc::new(vec![ModelOf::<R>::boxed()]))
    }

    /// These and others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        // Models have no state: a set is made of its parts again.
        Self(Arc::new(self.iter().chain(others.iter()).map(Model::again).collect()))
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.iter().map(Model::table).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Model> {
        self.0.iter().map(AsRef::as_ref)
    }

    pub(crate) fn named(&self, name: &str) -> Option<&dyn Model> {
        self.iter().find(|model| model.table() == name)
    }
}

/// The names of all read models of the house.
#[must_use]
pub fn names() -> Vec<&'static str> {
    Models::house().names()
}

/// Where rows and tables differ: a field without a column would be dropped in silence, a column without a field
/// nulled. Empty when all is well.
///
/// # Errors
/// The database, or a table that is missing.
pub async fn mismatches(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let mut found = Vec::new();
    for model in Models::house().iter() {
        let table = Table::describe(pool, model.table()).await?;
        let columns: BTreeSet<&str> = table.columns().iter().map(String::as_str).collect();
        let fields: BTreeSet<&str> = model.fields().iter().copied().chain(Common::COLUMNS).chain(["tenant_id"]).collect();
        found.extend(fields.difference(&columns).map(|field| format!("{}: the field {field} has no column", model.table())));
        found.extend(columns.difference(&fields).map(|column| format!("{}: the column {column} has no field", model.table())));
    }
    Ok(found)
}
