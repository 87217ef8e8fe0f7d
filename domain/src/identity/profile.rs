//! What changes in a user's profile.

use super::Account;
use crate::{Change, Personal};
use serde::{Deserialize, Serialize};

/// What an update of the profile changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileChanges {
    /// The first name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<Change<Option<Personal<String>>>>,
    /// The last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<Change<Option<Personal<String>>>>,
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Change<Option<Personal<String>>>>,
    /// The phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Change<Option<Personal<String>>>>,
    /// The address of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<Change<Option<Personal<String>>>>,
    /// The time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Change<String>>,
}

impl ProfileChanges {
    /// True when nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn apply_to(self, account: &mut Account) {
        fn set<T>(field: &mut T, change: Option<Change<T>>) {
            if let Some(change) = change {
                *field = change.to;
            }
        }
        set(&mut account.first_name, self.first_name);
        set(&mut account.last_name, self.last_name);
        set(&mut account.name, self.name);
        set(&mut account.phone, self.phone);
        set(&mut account.image_url, self.image_url);
        set(&mut account.timezone, self.timezone);
    }
}
