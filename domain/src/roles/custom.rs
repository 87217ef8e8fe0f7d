//! Permissions that a workspace names itself, and what roles and overrides can hold: those and the catalogue's.
//! A custom permission guards no command of Annals; clients ask for it by `hasPermission`.

use super::permission::excerpt;
use super::{GrantSet, NameError, Permission, PermissionGrant};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The longest action of a permission (`spec/roles.md`).
const MAX_ACTION: usize = 20;

/// The name of a custom permission: `custom.` and 1 to 20 of a-z, 0-9 and _, a letter first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomPermission(String);

impl CustomPermission {
    /// What every custom permission is about, for programs.
    pub const RESOURCE: &'static str = "custom";

    /// The whole name: `custom.approve`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// What it allows to do: `approve`.
    #[must_use]
    pub fn action(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, action)| action)
    }
}

impl FromStr for CustomPermission {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let plain = |action: &str| {
            action.starts_with(|c: char| c.is_ascii_lowercase())
                && action.len() <= MAX_ACTION
                && action.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        match name.split_once('.') {
            Some((Self::RESOURCE, action)) if plain(action) => Ok(Self(name.to_owned())),
            _ => Err(NameError::NotCustom(excerpt(name))),
        }
    }
}

/// The name of a permission, the catalogue's or a custom one: what can be denied.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PermissionName {
    /// One of the catalogue, in either scope.
    Catalogue(Permission),
    /// One of the workspace.
    Custom(CustomPermission),
}

/// What a role or an override can give: a permission of the catalogue in a scope, or a custom one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grantable {
    /// One of the catalogue.
    Catalogue(PermissionGrant),
    /// One of the workspace; it has no scope.
    Custom(CustomPermission),
}

impl Grantable {
    /// What is given, whatever its scope.
    #[must_use]
    pub fn permission(&self) -> PermissionName {
        match self {
            Self::Catalogue(grant) => PermissionName::Catalogue(grant.permission),
            Self::Custom(custom) => PermissionName::Custom(custom.clone()),
        }
    }
}

/// True for what stands before a custom permission's action, so that a slip in one is told as such.
fn is_custom(text: &str) -> bool {
    text.split_once('.').is_some_and(|(resource, _)| resource == CustomPermission::RESOURCE)
}

/// No workspace can give what is the platform's.
fn of_a_workspace(permission: Permission) -> Result<Permission, NameError> {
    if permission.is_system() { Err(NameError::OfThePlatform(permission.name().to_owned())) } else { Ok(permission) }
}

impl FromStr for PermissionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_custom(text) { text.parse().map(Self::Custom) } else { of_a_workspace(text.parse()?).map(Self::Catalogue) }
    }
}

impl FromStr for Grantable {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_custom(text) {
            return text.parse().map(Self::Custom);
        }
        let grant: PermissionGrant = text.parse()?;
        of_a_workspace(grant.permission).map(|_| Self::Catalogue(grant))
    }
}

impl fmt::Display for CustomPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for PermissionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue(permission) => permission.fmt(f),
            Self::Custom(custom) => custom.fmt(f),
        }
    }
}

impl fmt::Display for Grantable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue(grant) => grant.fmt(f),
            Self::Custom(custom) => custom.fmt(f),
        }
    }
}

/// All three are their text, in events, commands and for people.
macro_rules! texts {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

texts!(CustomPermission, PermissionName, Grantable);

/// What a role or a member's overrides give. Serialised as the list of the texts, the catalogue's first, each part
/// in order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionSet {
    /// Of the catalogue.
    pub catalogue: GrantSet,
    /// Of the workspace, be they retired by now.
    pub custom: BTreeSet<CustomPermission>,
}

impl PermissionSet {
    /// Adds one; `own` leaves an `any` as it is.
    pub fn grant(&mut self, grant: Grantable) {
        match grant {
            Grantable::Catalogue(grant) => self.catalogue.grant(grant),
            Grantable::Custom(custom) => drop(self.custom.insert(custom)),
        }
    }

    /// Takes one away, in either scope.
    pub fn deny(&mut self, permission: &PermissionName) {
        match permission {
            PermissionName::Catalogue(permission) => self.catalogue.deny(*permission),
            PermissionName::Custom(custom) => drop(self.custom.remove(custom)),
        }
    }

    /// Whether the whole of it is held: `any` contains `own`.
    #[must_use]
    pub fn contains(&self, grant: &Grantable) -> bool {
        match grant {
            Grantable::Catalogue(grant) => self.catalogue.contains(*grant),
            Grantable::Custom(custom) => self.custom.contains(custom),
        }
    }

    /// What is held of a permission: for the catalogue's, with the scope.
    #[must_use]
    pub fn held(&self, permission: &PermissionName) -> Option<Grantable> {
        match permission {
            PermissionName::Catalogue(permission) => {
                self.catalogue.scope(*permission).map(|scope| Grantable::Catalogue(PermissionGrant { permission: *permission, scope }))
            }
            PermissionName::Custom(custom) => self.custom.contains(custom).then(|| Grantable::Custom(custom.clone())),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Grantable> {
        self.catalogue.iter().map(Grantable::Catalogue).chain(self.custom.iter().cloned().map(Grantable::Custom))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.catalogue.is_empty() && self.custom.is_empty()
    }
}

impl FromIterator<Grantable> for PermissionSet {
    fn from_iter<T: IntoIterator<Item = Grantable>>(grants: T) -> Self {
        let mut set = Self::default();
        grants.into_iter().for_each(|grant| set.grant(grant));
        set
    }
}

impl From<GrantSet> for PermissionSet {
    fn from(catalogue: GrantSet) -> Self {
        Self { catalogue, custom: BTreeSet::new() }
    }
}

impl Serialize for PermissionSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for PermissionSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Grantable>::deserialize(deserializer)?.into_iter().collect())
    }
}
