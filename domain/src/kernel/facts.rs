//! What a decision may know of other aggregates of its tenant. A command names them, the store loads them, and
//! their sequences guard the append: if one has moved, the command is decided again.

use super::Decider;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// An aggregate that a command wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FactRef {
    /// Its [`Decider::TYPE`].
    pub aggregate_type: &'static str,
    /// Its id.
    pub id: Uuid,
}

impl FactRef {
    /// The aggregate `D` of this id.
    pub fn of<D: Decider>(id: impl Into<Uuid>) -> Self {
        Self { aggregate_type: D::TYPE, id: id.into() }
    }
}

/// The aggregates that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Facts(HashMap<Uuid, Arc<dyn Any + Send + Sync>>);

impl Facts {
    /// Adds the state of an aggregate.
    pub fn insert(&mut self, id: Uuid, state: Arc<dyn Any + Send + Sync>) {
        self.0.insert(id, state);
    }

    /// The state of an aggregate, if it was asked for and is of this type. One that does not exist is its
    /// `Default`.
    pub fn get<D: Decider>(&self, id: impl Into<Uuid>) -> Option<&D> {
        self.0.get(&id.into())?.downcast_ref()
    }
}
