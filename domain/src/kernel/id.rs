//! Typed identifiers. Each is a UUID: version 7, or version 5 of non-personal parts.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// An identifier that knows what it identifies.
pub trait TypedId: Copy + Eq + From<Uuid> + Into<Uuid> + Send + Sync + 'static {
    /// What is identified, for people: `pipeline item`.
    const WHAT: &'static str;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl TypedId for $name { const WHAT: &'static str = $what; }
        impl From<Uuid> for $name { fn from(id: Uuid) -> Self { Self(id) } }
        impl From<$name> for Uuid { fn from(id: $name) -> Self { id.0 } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}({})", stringify!($name), self.0) }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> { Uuid::parse_str(text).map(Self) }
        }
    )*};
}

ids! {
    /// A log: a workspace's, or the platform's.
    TenantId = "tenant";
    /// A workspace; its log's [`TenantId`] is the same UUID.
    WorkspaceId = "workspace";
    /// A person who signs in.
    UserId = "user";
    /// One sign-in of a user.
    SessionId = "session";
    /// A workspace's entry in the platform's directory.
    WorkspaceEntryId = "workspace entry";
    /// A user's membership in a workspace.
    MembershipId = "membership";
    /// A role that a workspace made.
    RoleId = "role";
    /// A pipeline.
    PipelineId = "pipeline";
    /// A stage of a pipeline.
    StageId = "stage";
    /// An item on a pipeline's board.
    ItemId = "pipeline item";
    /// What operators have decided about the read models of a log; one for each log.
    ProjectionControlId = "projection control";
    /// What a kind of task is made after.
    TaskTemplateId = "task template";
    /// A task.
    TaskId = "task";
}

/// The log of what belongs to no workspace: users, sessions, the directory of workspaces.
pub const PLATFORM: TenantId = TenantId(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0001));

impl From<WorkspaceId> for TenantId {
    fn from(id: WorkspaceId) -> Self {
        Self(id.0)
    }
}

impl From<TenantId> for WorkspaceId {
    fn from(id: TenantId) -> Self {
        Self(id.0)
    }
}

impl TenantId {
    /// The one aggregate of this log that holds what operators have decided about its read models.
    #[must_use]
    pub fn projection_control(self) -> ProjectionControlId {
        ProjectionControlId(Uuid::new_v5(&self.0, b"projection-control"))
    }
}

impl WorkspaceId {
    /// The one PERSONAL workspace of a user.
    #[must_use]
    pub fn personal(user: UserId) -> Self {
        Self(Uuid::new_v5(&user.0, b"personal"))
    }

    /// This workspace's entry in the platform's directory.
    #[must_use]
    pub fn entry(self) -> WorkspaceEntryId {
        WorkspaceEntryId(Uuid::new_v5(&self.0, b"directory"))
    }

    /// A user's membership in this workspace.
    #[must_use]
    pub fn membership(self, user: UserId) -> MembershipId {
        MembershipId(Uuid::new_v5(&self.0, user.0.hyphenated().to_string().as_bytes()))
    }
}
