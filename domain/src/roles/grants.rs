//! A set of grants: at most one scope for each permission, `any` beating `own`.
//! Small enough to copy (two bits a permission), and equal sets are equal bits.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::permission::{BY_NAME, Permission, PermissionGrant, Scope};

const WORDS: usize = Permission::COUNT.div_ceil(64);
type Bits = [u64; WORDS];

/// What somebody may do: permissions, each with its scope. Serialised as the list of the grants'
/// texts, sorted: `["pipeline_items.move@own", "pipeline_items.read"]`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct GrantSet {
    // No permission is in both: then equality is that of the bits.
    own: Bits,
    any: Bits,
}

impl GrantSet {
    /// Nothing is allowed.
    pub const EMPTY: GrantSet = GrantSet { own: [0; WORDS], any: [0; WORDS] };

    const fn place(permission: Permission) -> (usize, u64) {
        (permission.0 as usize / 64, 1 << (permission.0 % 64))
    }

    /// Adds a grant. Never takes anything away: `own` leaves an `any` as it is.
    pub const fn grant(&mut self, grant: PermissionGrant) {
        let (word, bit) = Self::place(grant.permission);
        match grant.scope {
            Scope::Any => {
                self.any[word] |= bit;
                self.own[word] &= !bit;
            }
            Scope::Own => self.own[word] |= bit & !self.any[word],
        }
    }

    /// Takes the permission away, in either scope.
    pub const fn deny(&mut self, permission: Permission) {
        let (word, bit) = Self::place(permission);
        self.any[word] &= !bit;
        self.own[word] &= !bit;
    }

    /// The scope in which the permission is held; `None` when it is not held.
    pub const fn scope(&self, permission: Permission) -> Option<Scope> {
        let (word, bit) = Self::place(permission);
        if self.any[word] & bit != 0 {
            Some(Scope::Any)
        } else if self.own[word] & bit != 0 {
            Some(Scope::Own)
        } else {
            None
        }
    }

    /// Whether the permission is held on every record.
    pub const fn allows_any(&self, permission: Permission) -> bool {
        matches!(self.scope(permission), Some(Scope::Any))
    }

    /// Whether the permission is held on a record that is, or is not, the actor's own.
    pub const fn allows(&self, permission: Permission, is_own: bool) -> bool {
        match self.scope(permission) {
            Some(Scope::Any) => true,
            Some(Scope::Own) => is_own,
            None => false,
        }
    }

    /// Whether the whole of a grant is held: `any` contains `own`.
    pub fn contains(&self, grant: PermissionGrant) -> bool {
        self.scope(grant.permission) >= Some(grant.scope)
    }

    /// What either holds, in the wider scope.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::each(|word| {
            let any = self.any[word] | other.any[word];
            ((self.own[word] | other.own[word]) & !any, any)
        })
    }

    /// What both hold, in the narrower scope: somebody acting for somebody else.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self::each(|word| {
            let any = self.any[word] & other.any[word];
            let held = (self.own[word] | self.any[word]) & (other.own[word] | other.any[word]);
            (held & !any, any)
        })
    }

    /// Whether everything held here is held there in at least the same scope, so that the holder of
    /// `other` may hand this on.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.union(other) == *other
    }

    /// Only the `*.read` permissions of the set, in their scopes.
    #[must_use]
    pub fn read_only(&self) -> Self {
        self.retain(Permission::is_read)
    }

    /// Only the permissions that `keep` accepts, in their scopes.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(Permission) -> bool) -> Self {
        self.iter().filter(|grant| keep(grant.permission)).collect()
    }

    /// The grants, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = PermissionGrant> {
        BY_NAME.iter().filter_map(|&permission| {
            let scope = self.scope(permission)?;
            Some(PermissionGrant { permission, scope })
        })
    }

    /// How many permissions are held.
    pub fn len(&self) -> usize {
        self.own.iter().chain(&self.any).map(|word| word.count_ones() as usize).sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    fn each(combine: impl Fn(usize) -> (u64, u64)) -> Self {
        let mut set = Self::EMPTY;
        for word in 0..WORDS {
            (set.own[word], set.any[word]) = combine(word);
        }
        set
    }
}

impl Extend<PermissionGrant> for GrantSet {
    fn extend<T: IntoIterator<Item = PermissionGrant>>(&mut self, grants: T) {
        for grant in grants {
            self.grant(grant);
        }
    }
}

impl FromIterator<PermissionGrant> for GrantSet {
    fn from_iter<T: IntoIterator<Item = PermissionGrant>>(grants: T) -> Self {
        let mut set = Self::EMPTY;
        set.extend(grants);
        set
    }
}

impl fmt::Debug for GrantSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for GrantSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for GrantSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<PermissionGrant>::deserialize(deserializer)?.into_iter().collect())
    }
}
