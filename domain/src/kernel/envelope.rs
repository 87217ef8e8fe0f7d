//! A command reaches `decide` only through its envelope, and the envelope opens only for a caller who may.

use super::{Authority, Caller, FactRef, Facts, Personal, Principal, TypedId, UserId};
use crate::kernel::Decider;
use crate::roles::{Permission, Scope};
use chrono::{DateTime, SubsecRound, Utc};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use thiserror::Error;
use uuid::Uuid;

/// Times in events are UTC, cut to microseconds: what PostgreSQL keeps.
pub type Moment = DateTime<Utc>;

/// What a command needs of its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A permission; with scope *own* it is enough if the caller is among `owners`. No owners (`None`) means
    /// that nobody's thing is touched yet: the command creates it, or there is none to touch.
    Permission {
        /// The permission.
        permission: Permission,
        /// Whose the thing is.
        owners: Option<Vec<UserId>>,
    },
    /// To be this user.
    Itself(Option<UserId>),
    /// Nothing.
    Public,
    /// To be the part of the program that may send this command.
    System,
    /// A valid token, which `decide` checks.
    Token,
    /// Either of two: tried in this order.
    Either(Box<Needs>, Box<Needs>),
}

impl Needs {
    /// A permission, for something that is nobody's yet.
    #[must_use]
    pub fn new(permission: Permission) -> Self {
        Self::Permission { permission, owners: None }
    }

    /// A permission, for something that is these users'.
    pub fn owned_by(permission: Permission, owners: impl IntoIterator<Item = UserId>) -> Self {
        Self::Permission { permission, owners: Some(owners.into_iter().collect()) }
    }

    /// Or else this.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::Either(Box::new(self), Box::new(other))
    }
}

/// The caller may not send this command. Not a business error: it is answered at the top level.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("this needs {needs}")]
pub struct Denied {
    /// What was missing: a permission's name, `self`, `sys`.
    pub needs: String,
}

/// What each command needs, and what it wants to know.
pub trait Guarded<D> {
    /// The command's name, as events and permissions of the program call it.
    fn name(&self) -> &'static str;
    /// The permission of the command, and whose the thing is.
    fn needs(&self, state: &D, caller: &Caller) -> Needs;
    /// The other aggregates of the tenant that the decision depends on.
    fn facts(&self, _state: &D, _caller: &Caller) -> Vec<FactRef> {
        Vec::new()
    }
}

/// Checks what a command needs against what its caller may do.
///
/// # Errors
/// [`Denied`], naming what is missing.
pub fn authorise<D, C: Guarded<D>>(command: &C, state: &D, caller: &Caller) -> Result<Authority, Denied> {
    check(&command.needs(state, caller), command.name(), caller)
}

fn check(needs: &Needs, command: &'static str, caller: &Caller) -> Result<Authority, Denied> {
    let denied = |needs: &str| Err(Denied { needs: needs.to_owned() });
    match needs {
        Needs::Permission { permission, owners } => {
            let mine = || match (owners, caller.principal) {
                (None, _) => true,
                (Some(owners), Principal::User(user)) => owners.contains(&user),
                (Some(_), _) => false,
            };
            match caller.grants.scope(*permission) {
                Some(Scope::Any) => Ok(Authority::Permission(*permission, Scope::Any)),
                Some(Scope::Own) if mine() => Ok(Authority::Permission(*permission, Scope::Own)),
                Some(Scope::Own) | None => denied(permission.name()),
            }
        }
        Needs::Itself(user) => match caller.principal {
            Principal::User(caller) if user.is_none_or(|user| user == caller) => Ok(Authority::Itself),
            _ => denied("self"),
        },
        Needs::Public => Ok(Authority::Public),
        Needs::Token => Ok(Authority::Token),
        Needs::System => match caller.principal {
            Principal::System(system) if system.commands.contains(&command) => Ok(Authority::System),
            _ => denied("sys"),
        },
        Needs::Either(first, second) => check(first, command, caller).or_else(|denied| check(second, command, caller).map_err(|_| denied)),
    }
}

/// A sealed command: who sends it, when, to which aggregate, and what it wants to know.
#[derive(Debug)]
pub struct Envelope<C> {
    command: C,
    caller: Caller,
    aggregate_id: Uuid,
    facts: Facts,
}

impl<C> Envelope<C> {
    /// Puts a command in its envelope.
    pub fn new(command: C, caller: Caller, aggregate_id: Uuid, facts: Facts) -> Self {
        Self { command, caller, aggregate_id, facts }
    }

    /// Opens the envelope for a caller who may.
    ///
    /// # Errors
    /// [`Denied`] for everybody else.
    pub fn open<D>(self, state: &D) -> Result<(C, Act), Denied>
    where
        C: Guarded<D>,
    {
        let authority = authorise(&self.command, state, &self.caller)?;
        Ok((self.command, Act { caller: self.caller, aggregate_id: self.aggregate_id, authority, facts: self.facts, made: Cell::new(0) }))
    }
}

/// An opened envelope: everything a decision may know beside its own state and command. There is no other way
/// to make one.
#[derive(Debug)]
pub struct Act {
    caller: Caller,
    aggregate_id: Uuid,
    authority: Authority,
    facts: Facts,
    made: Cell<u32>,
}

impl Act {
    /// Who acts, and what they may do.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// By what the command was allowed.
    pub fn authority(&self) -> Authority {
        self.authority
    }

    /// The user who acts, or for whom the program acts.
    pub fn user(&self) -> Option<UserId> {
        self.caller.principal.user().or(self.caller.on_behalf_of)
    }

    /// The id of the aggregate that decides.
    pub fn id<T: TypedId>(&self) -> T {
        T::from(self.aggregate_id)
    }

    /// The time of the decision: when it occurred, if the command came with a time, otherwise the clock.
    pub fn now(&self) -> Moment {
        self.caller.occurred_at.unwrap_or(self.caller.now).trunc_subsecs(6)
    }

    /// A new id: UUIDv7 (RFC 9562, section 5.7) whose random bits derive from the command's id, so that a
    /// command that is decided again under the same id makes the same ids.
    pub fn new_id<T: TypedId>(&self) -> T {
        let n = self.made.get();
        self.made.set(n + 1);
        let hash = Sha256::new_with_prefix(b"annals/id").chain_update(self.caller.command_id).chain_update(n.to_be_bytes()).finalize();
        let mut random = [0; 10];
        random.copy_from_slice(&hash[..10]);
        let millis = u64::try_from(self.now().timestamp_millis()).unwrap_or(0);
        T::from(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Free text that stands for nobody in particular: sealed under the workspace's own key.
    pub fn free_text(&self, text: impl Into<String>) -> Personal<String> {
        Personal::new(self.caller.tenant.0, text.into())
    }

    /// Another aggregate of the tenant, if the command asked for it in [`Guarded::facts`]; one that does not
    /// exist is its `Default`.
    pub fn fact<D: Decider>(&self, id: impl Into<Uuid>) -> Option<&D> {
        self.facts.get(id)
    }
}
