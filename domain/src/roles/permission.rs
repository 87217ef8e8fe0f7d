//! One permission, its scope, and the two together. A value of these types is always in the
//! catalogue; text is checked where it comes in.

use std::{cmp::Ordering, fmt, str::FromStr, sync::LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::catalogue::{CATALOGUE_VERSION, ENTRIES, Entry};

/// A name that stands for no permission, scope or role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a `resource.action` of the catalogue. Holds the name, cut at 100 characters.
    #[error("unknown permission `{0}`: it is not in version {CATALOGUE_VERSION} of the permission catalogue")]
    UnknownPermission(String),
    /// A suffix other than `@own`. Holds the whole text, cut at 100 characters.
    #[error("unknown scope in `{0}`: write `resource.action`, or `resource.action@own` for own records only")]
    UnknownScope(String),
    /// Not the key of a built-in role. Holds the key, cut at 100 characters.
    #[error("unknown built-in role `{0}`: the keys are owner, admin, pm, operator, editor, author, member, viewer and client")]
    UnknownRole(String),
    /// Neither the key of a built-in role nor an id. Holds the text, cut at 100 characters.
    #[error(
        "unknown role `{0}`: write the key of a built-in role (owner, admin, pm, operator, editor, author, member, viewer, client) or the id of one of the workspace's own"
    )]
    NotARole(String),
    /// No name of a custom permission. Holds the name, cut at 100 characters.
    #[error("`{0}` is no custom permission: write `custom.` and 1 to 20 of a-z, 0-9 and _, beginning with a letter")]
    NotCustom(String),
    /// One of the platform's, which no workspace can give. Holds the name.
    #[error("`{0}` is the platform's: no workspace can give or deny it")]
    OfThePlatform(String),
}

/// Bounds what an error repeats of its input: no valid name is longer.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A permission of the catalogue, `resource.action`. Ordered by name, so that what is sorted stays
/// sorted when the catalogue's table is rearranged; serialised as the name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permission(pub(super) u16);

/// The catalogue in order of names: for look-ups, and for iteration in a lasting order.
pub(super) static BY_NAME: LazyLock<Vec<Permission>> = LazyLock::new(|| {
    let mut permissions: Vec<Permission> = Permission::all().collect();
    permissions.sort();
    permissions
});

impl Permission {
    /// How many permissions there are, the platform's `system.*` included.
    pub const COUNT: usize = ENTRIES.len();

    /// Every permission, in the order of the catalogue's table.
    pub fn all() -> impl Iterator<Item = Permission> {
        (0_u16..).take(Self::COUNT).map(Permission)
    }

    /// Finds a permission by its name, `pipeline_items.move`.
    ///
    /// # Errors
    /// [`NameError::UnknownPermission`] when the catalogue has no such name.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        BY_NAME
            .binary_search_by(|permission| permission.name().cmp(name))
            .map(|at| BY_NAME[at])
            .map_err(|_| NameError::UnknownPermission(excerpt(name)))
    }

    const fn entry(self) -> &'static Entry {
        &ENTRIES[self.0 as usize]
    }

    /// The whole name: `pipeline_items.move`.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// What it is about: `pipeline_items`.
    pub const fn resource(self) -> &'static str {
        self.entry().resource
    }

    /// What it allows to do: `move`.
    pub const fn action(self) -> &'static str {
        self.entry().action
    }

    /// Whether it is one of the platform's `system.*`, which no workspace can give.
    pub fn is_system(self) -> bool {
        self.resource() == "system"
    }

    /// Whether it only reads: `*.read`.
    pub fn is_read(self) -> bool {
        self.action() == "read"
    }

    /// The grant of this permission on every record.
    pub const fn any(self) -> PermissionGrant {
        PermissionGrant { permission: self, scope: Scope::Any }
    }

    /// The grant of this permission on own records only.
    pub const fn own(self) -> PermissionGrant {
        PermissionGrant { permission: self, scope: Scope::Own }
    }
}

impl Ord for Permission {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for Permission {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Permission {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::parse(name)
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// How far a grant reaches. `Any` is the greater. Serialised as `own` and `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Records the actor created, is assigned to or takes part in, or that were shared with them.
    Own,
    /// Every record visible in the workspace.
    Any,
}

impl Scope {
    /// `own` or `any`, as it is serialised.
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Own => "own",
            Scope::Any => "any",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A permission with its scope. Its text is `pipeline_items.move`, or `pipeline_items.move@own`
/// for own records only; serialised as that text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionGrant {
    /// What is allowed.
    pub permission: Permission,
    /// On which records.
    pub scope: Scope,
}

impl fmt::Display for PermissionGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.permission.name())?;
        match self.scope {
            Scope::Any => Ok(()),
            Scope::Own => f.write_str("@own"),
        }
    }
}

impl fmt::Debug for PermissionGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PermissionGrant {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('@') {
            None => Permission::parse(text).map(Permission::any),
            Some((name, "own")) => Permission::parse(name).map(Permission::own),
            // One spelling for each grant, so that equal sets have equal text: no `@any`.
            Some(_) => Err(NameError::UnknownScope(excerpt(text))),
        }
    }
}

impl Serialize for PermissionGrant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PermissionGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
