//! Data about a person. It is open only in memory; the store seals it on the way in and opens it on the way
//! out, and serialising it anywhere else is refused.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use std::cell::Cell;
use std::sync::Arc;
use uuid::Uuid;

/// A value under the key of one data subject: a user's id, or the workspace's for free text about nobody in
/// particular. Erasing the key leaves [`Personal::Erased`], never nothing.
#[derive(Clone, Deserialize)]
pub enum Personal<T> {
    /// Readable: only in memory, and on the way through the store's door.
    #[serde(rename = "$personal")]
    Open {
        /// Whose key seals it.
        subject: Uuid,
        /// What is said.
        value: T,
        /// The sealed text it was opened from, to which it goes back without being sealed anew.
        #[serde(skip)]
        sealed: Option<Arc<str>>,
    },
    /// Sealed under the subject's key.
    #[serde(rename = "$sealed")]
    Sealed {
        /// Whose key opens it.
        subject: Uuid,
        /// Nonce, ciphertext and tag in base64.
        text: Arc<str>,
    },
    /// The subject's key is destroyed.
    #[serde(rename = "$erased")]
    Erased {
        /// Whose key it was.
        subject: Uuid,
    },
}

/// What is said, of whom: not how it was sealed on its way.
impl<T: PartialEq> PartialEq for Personal<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Open { subject, value, .. }, Self::Open { subject: of, value: said, .. }) => subject == of && value == said,
            (Self::Sealed { subject, text }, Self::Sealed { subject: of, text: other }) => subject == of && text == other,
            (Self::Erased { subject }, Self::Erased { subject: of }) => subject == of,
            _ => false,
        }
    }
}

impl<T: Eq> Eq for Personal<T> {}

impl<T> Personal<T> {
    /// Data about `subject`.
    pub fn new(subject: impl Into<Uuid>, value: T) -> Self {
        Self::Open { subject: subject.into(), value, sealed: None }
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
            Self::Open { subject, value, .. } => Stored::Open { subject: *subject, value },
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
    /// True for an open value that has never been sealed: only this takes a key to seal.
    fn is_fresh(&self) -> bool;
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

    fn is_fresh(&self) -> bool {
        matches!(self, Self::Open { sealed: None, .. })
    }

    fn seal(&mut self, seal: &mut dyn FnMut(Uuid, &[u8]) -> String) -> Result<(), serde_json::Error> {
        if let Self::Open { subject, value, sealed } = self {
            let text = match sealed.take() {
                Some(text) => text,
                None => seal(*subject, &serde_json::to_vec(value)?).into(),
            };
            *self = Self::Sealed { subject: *subject, text };
        }
        Ok(())
    }

    fn unseal(&mut self, open: &mut dyn FnMut(Uuid, &str) -> Option<Vec<u8>>) -> Result<(), serde_json::Error> {
        if let Self::Sealed { subject, text } = self {
            *self = match open(*subject, text) {
                Some(bytes) => Self::Open { subject: *subject, value: serde_json::from_slice(&bytes)?, sealed: Some(Arc::clone(text)) },
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

    #[test]
    fn what_was_opened_goes_back_to_the_text_it_came_from() {
        let mut name = Personal::new(Uuid::nil(), "Ada".to_owned());
        assert!(name.is_fresh());
        name.seal(&mut |_, _| "first".to_owned()).unwrap();
        let sealed = name.clone();
        name.unseal(&mut |_, _| Some(br#""Ada""#.to_vec())).unwrap();
        assert!(!name.is_fresh());
        assert_eq!(name, Personal::new(Uuid::nil(), "Ada".to_owned()));
        name.seal(&mut |_, _| unreachable!("it has been sealed before")).unwrap();
        assert_eq!(name, sealed);
    }
}
