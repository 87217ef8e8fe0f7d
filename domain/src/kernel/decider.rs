//! What an aggregate is: a pure decision and a fold that cannot fail.

use super::{AccessChange, Act, ClaimChange, Denied, Envelope, Guarded, Sealable};
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::EventUpcaster;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use thiserror::Error;
use uuid::Uuid;

/// What cqrs-es asks of an event, and all the names an event type can have.
pub trait EventPayload: cqrs_es::DomainEvent + 'static {
    /// The names of all variants: each an `event_type`, unique over the whole system.
    const NAMES: &'static [&'static str];
}

/// Makes an event enum a [`cqrs_es::DomainEvent`] of version 1; `event!(E, { Name => "2" })` names the variants
/// whose shape has changed, each of which needs an upcaster.
#[macro_export]
macro_rules! event {
    ($event:ty $(, { $($name:literal => $version:literal),* $(,)? })?) => {
        impl $crate::EventPayload for $event {
            const NAMES: &'static [&'static str] = <$event as strum::VariantNames>::VARIANTS;
        }
        impl cqrs_es::DomainEvent for $event {
            fn event_type(&self) -> String {
                <&'static str>::from(self).to_owned()
            }
            fn event_version(&self) -> String {
                match <&'static str>::from(self) {
                    $($($name => $version,)*)?
                    _ => "1",
                }.to_owned()
            }
        }
    };
}

/// A business refusal: its variant's name is the code, its text the message.
pub trait Refusal: std::error::Error + Clone + PartialEq + Send + Sync + 'static {
    /// The code: `STAGE_NOT_FOUND`.
    fn code(&self) -> &'static str;
    /// The input field at fault, if it is one: `stageId`.
    fn field(&self) -> Option<&'static str> {
        None
    }
}

/// Makes an error enum a [`Refusal`]: its variants' names in SCREAMING_SNAKE_CASE are the codes, unless
/// strum renames one, and those listed name the input field at fault.
#[macro_export]
macro_rules! refusal {
    ($error:ty $(, { $($variant:pat => $field:literal),* $(,)? })?) => {
        impl $crate::Refusal for $error {
            fn code(&self) -> &'static str {
                <&'static str>::from(self)
            }
            #[allow(unreachable_patterns, reason = "an enum may name a field for each of its variants")]
            fn field(&self) -> Option<&'static str> {
                match self {
                    $($($variant => Some($field),)*)?
                    _ => None,
                }
            }
        }
    };
}

/// An aggregate. `decide` chooses, `apply` folds and cannot fail, and both are pure.
pub trait Decider: Default + Clone + PartialEq + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its type in the log, for ever: `pipeline_item`.
    const TYPE: &'static str;
    /// What can be asked of it.
    type Command: Guarded<Self> + Clone + Serialize + DeserializeOwned + Debug + Send + Sync + 'static;
    /// What can happen to it.
    type Event: EventPayload;
    /// Why it refuses.
    type Error: Refusal;

    /// What happens when a permitted command meets this state: events, none when nothing changes, or a refusal.
    ///
    /// # Errors
    /// The business rule that stands against it.
    fn decide(&self, command: Self::Command, act: &Act) -> Result<Vec<Self::Event>, Self::Error>;

    /// Takes in what has happened.
    fn apply(&mut self, event: Self::Event);

    /// Visits every [`super::Personal`] in the state, so that the cache can keep it sealed.
    fn personal(&mut self, _visit: &mut dyn FnMut(&mut dyn Sealable)) {}

    /// What an event of the aggregate `id` does to claims.
    fn claims(_event: &Self::Event, _id: Uuid) -> Vec<ClaimChange> {
        Vec::new()
    }

    /// The refusal for a claim of this kind that could not be made. Every kind that `claims` names has one.
    fn claim_refused(_kind: &str) -> Option<Self::Error> {
        None
    }

    /// What an event of the aggregate `id` does to who may do what in its tenant.
    fn access(_event: &Self::Event, _id: Uuid) -> Option<AccessChange> {
        None
    }

    /// Brings older versions of events to the present one.
    fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
        Vec::new()
    }
}

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Rejection<E: std::error::Error> {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A business rule stands against it.
    #[error(transparent)]
    Refused(E),
}

/// Makes a [`Decider`] a [`cqrs_es::Aggregate`]: the one place where commands, decisions and folds meet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Root<D: Decider>(pub D);

impl<D: Decider> cqrs_es::Aggregate for Root<D> {
    const TYPE: &'static str = D::TYPE;
    type Command = Envelope<D::Command>;
    type Event = D::Event;
    type Error = Rejection<D::Error>;
    type Services = ();

    async fn handle(&mut self, envelope: Self::Command, (): &(), sink: &EventSink<Self>) -> Result<(), Self::Error> {
        let events = {
            let (command, act) = envelope.open(&self.0)?;
            self.0.decide(command, &act).map_err(Rejection::Refused)?
        };
        for event in events {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: D::Event) {
        self.0.apply(event);
    }
}
