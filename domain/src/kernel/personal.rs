//! Data about a person. It is open only in memory; the store seals it on the way in and opens it on the way
//! out, and serialising it anywhere else is refused.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use std::cell::Cell;
use uuid::Uuid;

/// A value under the key of one data subject: a user's id, or the workspace's for free text about nobody in
/// particular. Erasing the key leaves [`Personal::Erased`], never nothing.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub enum Personal<T> {
    /// Readable: only in memory, and on the way through the store's door.
    #[serde(rename = "$personal")]
    Open {
        /// Whose key seals it.
        subject: Uuid,
        /// What is said.
        value: T,
    },
    /// Sealed under the subject's key.
    #[serde(rename = "$sealed")]
    Sealed {
        /// Whose key opens it.
        subject: Uuid,
        /// Nonce, ciphertext and tag in base64.
        text: String,
    },
    /// The subject's key is destroyed.
    #[serde(rename = "$erased")]
    Erased {
        /// Whose key it was.
        subject: Uuid,
    },
}

impl<T> Personal<T> {
    /// Data about `subject`.
    pub fn new(subject: impl Into<Uuid>, value: T) -> Self {
        Self::Open { subject: subject.into(), value }
    }

    /// The value, if it is open.
    pub fn open(&self) -> Option<&T> {
        match self {
            Self::Open { value, .. } => Some(value),
            Self::Sealed { .. } | Self::Erased { .. } => None,
        }
    }

    /// Whose key it is under.
    pub fn subject(&self) -> Uuid {
        match self {
            Self::Open { subject, .. } | Self::Sealed { subject, .. } | Self::Erased { subject } => *subject,
        }
    }

    /// True once the subject's key is destroyed.
    pub fn is_erased(&self) -> bool {
        matches!(self, Self::Erased { .. })
    }
}

impl<T> std::fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Personal(of {}, {})", self.subject(), if self.is_erased() { "erased" } else { "not shown" })
    }
}

thread_local! {
    static AT_THE_DOOR: Cell<bool> = const { Cell::new(false) };
}

/// Runs a serialisation at the store's door: inside, open values are written as they are, for the store to
/// seal. Only the store calls this.
pub fn for_the_store<R>(serialise: impl FnOnce() -> R) -> R {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            AT_THE_DOOR.set(self.0);
        }
    }
    let _leave = Leave(AT_THE_DOOR.replace(true));
    serialise()
}

impl<T: Serialize> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        enum Stored<'a, T> {
            #[serde(rename = "$personal")]
            Open { subject: Uuid, value: &'a T },
            #[serde(rename = "$sealed")]
            Sealed { subject: Uuid, text: &'a str },
            #[serde(rename = "$erased")]
            Erased { subject: Uuid },
        }
        let stored: Stored<'_, T> = match self {
            Self::Open { .. } if !AT_THE_DOOR.get() => {
                return Err(S::Error::custom("personal data is serialised only by the store, which seals it"));
            }
            Self::Open { subject, value } => Stored::Open { subject: *subject, value },
            Self::Sealed { subject, text } => Stored::Sealed { subject: *subject, text },
            Self::Erased { subject } => Stored::Erased { subject: *subject },
        };
        stored.serialize(serializer)
    }
}

/// A [`Personal`] of any type, for the cache, which keeps sealed what the log keeps sealed.
pub trait Sealable {
    /// Whose key it is under.
    fn subject(&self) -> Uuid;
    /// Seals an open value with `seal`, which takes JSON bytes.
    ///
    /// # Errors
    /// What `serde_json` says of a value that is not JSON.
    fn seal(&mut self, seal: &mut dyn FnMut(Uuid, &[u8]) -> String) -> Result<(), serde_json::Error>;
    /// Opens a sealed value with `open`, which answers nothing when the key is destroyed.
    ///
    /// # Errors
    /// What `serde_json` says when the opened bytes are not a `T`.
    fn unseal(&mut self, open: &mut dyn FnMut(Uuid, &str) -> Option<Vec<u8>>) -> Result<(), serde_json::Error>;
}

impl<T: Serialize + DeserializeOwned> Sealable for Personal<T> {
    fn subject(&self) -> Uuid {
        Personal::subject(self)
    }

    fn seal(&mut self, seal: &mut dyn FnMut(Uuid, &[u8]) -> String) -> Result<(), serde_json::Error> {
        if let Self::Open { subject, value } = self {
            let text = seal(*subject, &serde_json::to_vec(value)?);
            *self = Self::Sealed { subject: *subject, text };
        }
        Ok(())
    }

    fn unseal(&mut self, open: &mut dyn FnMut(Uuid, &str) -> Option<Vec<u8>>) -> Result<(), serde_json::Error> {
        if let Self::Sealed { subject, text } = self {
            *self = match open(*subject, text) {
                Some(bytes) => Self::Open { subject: *subject, value: serde_json::from_slice(&bytes)? },
                None => Self::Erased { subject: *subject },
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_serialised_only_at_the_stores_door() {
        let name = Personal::new(Uuid::nil(), "Ada".to_owned());
        assert!(serde_json::to_string(&name).is_err());
        let text = for_the_store(|| serde_json::to_string(&name)).unwrap();
        assert_eq!(serde_json::from_str::<Personal<String>>(&text).unwrap(), name);
        assert!(serde_json::to_string(&name).is_err(), "the door closes again");
    }

    #[test]
    fn debug_output_does_not_show_it() {
        assert!(!format!("{:?}", Personal::new(Uuid::nil(), "Ada")).contains("Ada"));
    }

    #[test]
    fn sealing_and_opening_gives_it_back_and_a_lost_key_leaves_erased() {
        let mut name = Personal::new(Uuid::nil(), "Ada".to_owned());
        name.seal(&mut |_, bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap();
        assert!(serde_json::to_string(&name).unwrap().contains("$sealed"));
        let mut erased = name.clone();
        name.unseal(&mut |_, text| Some(text.as_bytes().to_vec())).unwrap();
        assert_eq!(name.open().map(String::as_str), Some("Ada"));
        erased.unseal(&mut |_, _| None).unwrap();
        assert!(erased.is_erased());
    }
}
