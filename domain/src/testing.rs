//! Given past events, when a command comes, then these events follow or it is refused: the grammar of every
//! aggregate's tests.

use crate::roles::{BuiltInRole, GrantSet};
use crate::{Caller, Decider, Denied, Envelope, Facts, Principal, Rejection, Root, SystemCaller, TenantId, UserId};
use chrono::{DateTime, TimeZone, Utc};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// The workspace of the tests.
pub const TENANT: TenantId = TenantId(Uuid::from_u128(0x7e57));
/// The user who sends the commands of the tests.
pub const ALICE: UserId = UserId(Uuid::from_u128(0xa11ce));
/// Another user.
pub const BOB: UserId = UserId(Uuid::from_u128(0xb0b));
/// The aggregate of the tests.
pub const ID: Uuid = Uuid::from_u128(0x1d);

/// The time of the tests: noon on the first of June 2026.
#[must_use]
pub fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).single().unwrap_or_default()
}

/// Somebody with these grants.
#[must_use]
pub fn somebody(principal: Principal, grants: GrantSet) -> Caller {
    Caller {
        principal,
        tenant: TENANT,
        grants,
        custom: BTreeSet::new(),
        grants_position: 1,
        on_behalf_of: None,
        session: None,
        occurred_at: None,
        now: noon(),
        command_id: Uuid::from_u128(0xc0),
    }
}

/// Alice in a role.
#[must_use]
pub fn alice(role: BuiltInRole) -> Caller {
    somebody(Principal::User(ALICE), *role.grants())
}

/// Alice, signed in and a member of nothing.
#[must_use]
pub fn alice_herself() -> Caller {
    somebody(Principal::User(ALICE), GrantSet::EMPTY)
}

/// The program, allowed to send any of these commands, on behalf of Alice.
#[must_use]
pub fn system(caller: &'static SystemCaller) -> Caller {
    Caller { on_behalf_of: Some(ALICE), ..somebody(Principal::System(caller), GrantSet::EMPTY) }
}

/// What has happened to an aggregate, and what else is known.
#[derive(Debug)]
pub struct Given<D: Decider> {
    state: D,
    facts: Facts,
    id: Uuid,
}

/// Starts from past events.
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let mut state = D::default();
    events.into_iter().for_each(|event| state.apply(event));
    Given { state, facts: Facts::default(), id: ID }
}

impl<D: Decider> Given<D> {
    /// Another aggregate that the command may ask for, folded from its events.
    #[must_use]
    pub fn and<F: Decider>(mut self, id: impl Into<Uuid>, events: impl IntoIterator<Item = F::Event>) -> Self {
        let mut state = F::default();
        events.into_iter().for_each(|event| state.apply(event));
        self.facts.insert(id.into(), Arc::new(state));
        self
    }

    /// It happened to the aggregate of this id, where the id matters.
    #[must_use]
    pub fn to(self, id: impl Into<Uuid>) -> Self {
        Self { id: id.into(), ..self }
    }

    /// The command comes.
    #[must_use]
    pub fn when(self, caller: Caller, command: D::Command) -> Then<D> {
        use cqrs_es::Aggregate as _;
        let mut root = Root(self.state);
        let sink = cqrs_es::event_sink::EventSink::default();
        let envelope = Envelope::new(command, caller, self.id, self.facts);
        // `handle` awaits nothing that can wait: one poll is enough.
        let outcome = futures_now(root.handle(envelope, &(), &sink)).map(|()| futures_now(sink.collect()));
        Then { state: root.0, outcome }
    }
}

fn futures_now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a decision must not wait"),
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Then<D: Decider> {
    /// The state afterwards.
    pub state: D,
    /// The events, or why there are none.
    pub outcome: Result<Vec<D::Event>, Rejection<D::Error>>,
}

impl<D: Decider> Then<D> {
    /// Exactly these events follow.
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) -> D {
        assert_eq!(self.outcome, Ok(events.into_iter().collect()));
        self.state
    }

    /// The events that follow, for tests that look at them one by one.
    pub fn events(self) -> Vec<D::Event> {
        match self.outcome {
            Ok(events) => events,
            Err(rejection) => panic!("refused: {rejection}"),
        }
    }

    /// Nothing changes.
    pub fn then_nothing(self) {
        assert_eq!(self.outcome, Ok(vec![]));
    }

    /// A business rule stands against it.
    pub fn then_refused(self, error: D::Error) {
        assert_eq!(self.outcome, Err(Rejection::Refused(error)));
    }

    /// The caller may not.
    pub fn then_denied(self, needs: &str) {
        assert_eq!(self.outcome, Err(Rejection::Denied(Denied { needs: needs.to_owned() })));
    }
}
