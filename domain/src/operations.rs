//! What operators decide about the read models of a log, as far as a replay must know of it: the events that a read
//! model passes over. One aggregate for each log. An event that was once passed over stays so for ever.

use crate::{Act, Caller, Decider, Guarded, Key, Needs, Personal, ShortText};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What can happen. Stored for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
pub enum ProjectionControlEvent {
    /// A read model passes over an event, now and in every replay.
    ProjectionEventSkipped {
        /// The read model, by the name of its table.
        read_model: String,
        /// The position of the event in this log.
        position: i64,
        /// Why.
        reason: Personal<String>,
    },
}
crate::event!(ProjectionControlEvent);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
pub enum ProjectionControlCommand {
    /// Lets a read model pass over an event. That the read model stands still before this very event, `api` has
    /// checked: where read models have come to is nothing the log knows.
    SkipProjectionEvent {
        /// The read model, by the name of its table.
        read_model: Key,
        /// The position of the event in this log: 1, 2, 3 …
        position: i64,
        /// Why: at most 1,000 characters.
        reason: ShortText,
    },
}

/// Why it is refused. The variants' names are the codes that clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ProjectionControlError {
    /// Each log has one, under an id that follows from the log's.
    #[error("a log has one projection control; this is not its id")]
    #[strum(serialize = "NOT_FOUND")]
    OtherId,
    /// Positions begin at 1.
    #[error("there is no such position in this log; positions are 1, 2, 3 …")]
    #[strum(serialize = "POSITION_NOT_FOUND")]
    NoPosition,
    /// Nobody could say later why.
    #[error("say why: a skip stays in the log for ever")]
    ReasonRequired,
}
crate::refusal!(ProjectionControlError, {
    Self::NoPosition => "position",
    Self::ReasonRequired => "reason",
});

/// What operators have decided about the read models of a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectionControl {
    /// Read model and position.
    skipped: BTreeSet<(String, i64)>,
}

impl Guarded<ProjectionControl> for ProjectionControlCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    // Not a permission: grants are those of the log, and `system.projections` is held on the platform only. `api` checks
    // it and sends the command in the program's name, on behalf of the administrator.
    fn needs(&self, _: &ProjectionControl, _: &Caller) -> Needs {
        Needs::System
    }
}

impl Decider for ProjectionControl {
    const TYPE: &'static str = "projection_control";
    type Command = ProjectionControlCommand;
    type Event = ProjectionControlEvent;
    type Error = ProjectionControlError;

    fn decide(&self, command: ProjectionControlCommand, act: &Act) -> Result<Vec<ProjectionControlEvent>, ProjectionControlError> {
        let ProjectionControlCommand::SkipProjectionEvent { read_model, position, reason } = command;
        if act.caller().tenant.projection_control() != act.id() {
            return Err(ProjectionControlError::OtherId);
        }
        if position < 1 {
            return Err(ProjectionControlError::NoPosition);
        }
        if reason.as_str().trim().is_empty() {
            return Err(ProjectionControlError::ReasonRequired);
        }
        let read_model = String::from(read_model);
        if self.skipped.contains(&(read_model.clone(), position)) {
            return Ok(vec![]);
        }
        Ok(vec![ProjectionControlEvent::ProjectionEventSkipped { read_model, position, reason: act.free_text(reason) }])
    }

    fn apply(&mut self, event: ProjectionControlEvent) {
        let ProjectionControlEvent::ProjectionEventSkipped { read_model, position, .. } = event;
        self.skipped.insert((read_model, position));
    }
}

#[cfg(test)]
mod tests {
    use super::ProjectionControlCommand::SkipProjectionEvent;
    use super::ProjectionControlEvent::ProjectionEventSkipped;
    use super::*;
    use crate::roles::{BuiltInRole, PlatformRole};
    use crate::testing::{ALICE, Given, TENANT, alice, somebody, system};
    use crate::{Principal, SystemCaller};

    static OPERATORS: SystemCaller = SystemCaller { name: "tests", commands: &["SkipProjectionEvent"] };

    fn given(events: impl IntoIterator<Item = ProjectionControlEvent>) -> Given<ProjectionControl> {
        crate::testing::given(events).to(TENANT.projection_control())
    }

    fn skip(position: i64, reason: &str) -> ProjectionControlCommand {
        SkipProjectionEvent { read_model: "pipeline_items".try_into().unwrap(), position, reason: reason.try_into().unwrap() }
    }

    fn skipped(position: i64) -> ProjectionControlEvent {
        let reason = Personal::new(TENANT.0, "spoilt by hand".to_owned());
        ProjectionEventSkipped { read_model: "pipeline_items".into(), position, reason }
    }

    #[test]
    fn a_skip_is_recorded_once_with_its_reason() {
        given([]).when(system(&OPERATORS), skip(7, "spoilt by hand")).then([skipped(7)]);
        given([skipped(7)]).when(system(&OPERATORS), skip(7, "again")).then_nothing();
        given([skipped(7)]).when(system(&OPERATORS), skip(8, "spoilt by hand")).then([skipped(8)]);
    }

    #[test]
    fn a_skip_without_a_reason_or_a_position_is_refused() {
        for reason in ["", " \n\t"] {
            given([]).when(system(&OPERATORS), skip(7, reason)).then_refused(ProjectionControlError::ReasonRequired);
        }
        for position in [0, -1] {
            given([]).when(system(&OPERATORS), skip(position, "why")).then_refused(ProjectionControlError::NoPosition);
        }
    }

    #[test]
    fn a_log_has_one_projection_control() {
        let elsewhere: Given<ProjectionControl> = crate::testing::given([]);
        elsewhere.when(system(&OPERATORS), skip(7, "why")).then_refused(ProjectionControlError::OtherId);
    }

    #[test]
    fn nobody_skips_but_the_program_not_even_an_administrator_of_the_platform() {
        for caller in [alice(BuiltInRole::Admin), somebody(Principal::User(ALICE), *PlatformRole::SystemAdmin.grants())] {
            given([]).when(caller, skip(7, "why")).then_denied("sys");
        }
    }
}
