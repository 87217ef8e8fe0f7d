//! The list of all aggregates: the one place a new one is named.

use crate::{AccessChange, Decider, EventPayload};
use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use serde_json::Value;
use std::any::Any;
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// Calls a macro with the list of all aggregates.
#[macro_export]
macro_rules! for_each_aggregate {
    ($callback:ident!($($arguments:tt)*)) => {
        $callback! { $($arguments)*
            $crate::identity::User,
            $crate::identity::Session,
            $crate::identity::WorkspaceEntry,
            $crate::workspace::Workspace,
            $crate::workspace::Membership,
            $crate::workspace::Role,
            $crate::pipeline::Pipeline,
            $crate::pipeline::PipelineItem,
            $crate::operations::ProjectionControl,
            $crate::pipeline::TaskTemplate,
            $crate::pipeline::Task,
        }
    };
}

/// An aggregate's type without its type parameter.
pub trait Kind: Send + Sync {
    /// Its [`Decider::TYPE`].
    fn aggregate_type(&self) -> &'static str;
    /// The names of its events.
    fn event_types(&self) -> &'static [&'static str];
    /// Decodes a stored event whose personal data is open, older versions included.
    ///
    /// # Errors
    /// What `serde_json` says of a payload that is none of its events.
    fn decode(&self, event: SerializedEvent) -> Result<Arc<dyn Any + Send + Sync>, serde_json::Error>;
    /// What a decoded event of the aggregate `id` does to access.
    fn access(&self, event: &(dyn Any + Send + Sync), id: Uuid) -> Option<AccessChange>;
    /// The payload of a decoded event as JSON, at the store's door only.
    ///
    /// # Errors
    /// Personal data anywhere else.
    fn encode(&self, event: &(dyn Any + Send + Sync)) -> Result<Value, serde_json::Error>;
}

struct KindOf<D> {
    upcasters: Vec<Box<dyn EventUpcaster>>,
    decider: PhantomData<fn() -> D>,
}

impl<D: Decider> Kind for KindOf<D> {
    fn aggregate_type(&self) -> &'static str {
        D::TYPE
    }

    fn event_types(&self) -> &'static [&'static str] {
        D::Event::NAMES
    }

    fn decode(&self, event: SerializedEvent) -> Result<Arc<dyn Any + Send + Sync>, serde_json::Error> {
        let event = self.upcasters.iter().fold(event, |event, upcaster| {
            if upcaster.can_upcast(&event.event_type, &event.event_version) { upcaster.upcast(event) } else { event }
        });
        Ok(Arc::new(serde_json::from_value::<D::Event>(event.payload)?))
    }

    fn access(&self, event: &(dyn Any + Send + Sync), id: Uuid) -> Option<AccessChange> {
        event.downcast_ref().and_then(|event| D::access(event, id))
    }

    fn encode(&self, event: &(dyn Any + Send + Sync)) -> Result<Value, serde_json::Error> {
        event.downcast_ref::<D::Event>().map_or(Ok(Value::Null), serde_json::to_value)
    }
}

macro_rules! kinds {
    ($($decider:ty,)*) => {
        vec![$(Box::new(KindOf::<$decider> { upcasters: <$decider>::upcasters(), decider: PhantomData }) as Box<dyn Kind>),*]
    };
}

static KINDS: LazyLock<Vec<Box<dyn Kind>>> = LazyLock::new(|| for_each_aggregate!(kinds!()));

/// All aggregates.
#[must_use]
pub fn kinds() -> &'static [Box<dyn Kind>] {
    &KINDS
}

/// The aggregate of this type.
#[must_use]
pub fn kind(aggregate_type: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().find(|kind| kind.aggregate_type() == aggregate_type).map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn types_and_event_names_are_unique_over_the_whole_system() {
        let mut types = BTreeSet::new();
        let mut names = BTreeSet::new();
        for kind in kinds() {
            assert!(types.insert(kind.aggregate_type()), "{} is taken", kind.aggregate_type());
            for name in kind.event_types() {
                assert!(names.insert(*name), "{name} is the name of two events");
            }
        }
    }
}
