//! The list of all read models: the one place a new one is named.

use crate::table::{Model, ModelOf};
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
