//! Passwords: the policy, and Argon2id (RFC 9106) on a bounded pool. Hashing is the most expensive thing a
//! stranger can ask for, so no more run at once than there are cores, and no more wait than is soon done.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use domain::{Email, Invalid};
use rand::RngCore;
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Memory in KiB, passes and lanes: OWASP's Password Storage Cheat Sheet, and the least the product asks for.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// How many may wait for each core: at some 25 ms a hash, about a second's work.
const WAITING_PER_CORE: usize = 32;
/// How long a password is, in characters (`spec/limits.md`).
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;
/// Nobody's hash, of the present cost: checked for users who do not exist, so that time tells nothing.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$YW5uYWxzLW5vYm9keS0w$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password in clear: never shown, never written, overwritten when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A password as somebody entered it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Checks the policy: 8 to 128 characters, and not the e-mail address.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn check(&self, email: Option<&Email>) -> Result<(), Invalid> {
        let length = self.0.chars().count();
        if !LENGTH.contains(&length) {
            return Err(Invalid(format!("must be {} to {} characters long; it has {length}", LENGTH.start(), LENGTH.end())));
        }
        if email.is_some_and(|email| Zeroizing::new(self.0.trim().to_lowercase()).as_str() == email.as_str()) {
            return Err(Invalid("must not be the e-mail address; choose another password".into()));
        }
        Ok(())
    }

    /// True when both are the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(not shown)")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords are being checked; try again shortly")]
    Overloaded,
    /// The hash in the vault is none, or the work was lost.
    #[error("password: {0}")]
    Failed(String),
}

impl From<PasswordError> for crate::error::ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Overloaded => Self::new(crate::error::Code::Overloaded, error.to_string()),
            PasswordError::Failed(_) => Self::internal(&error),
        }
    }
}

/// Hashes and checks passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// Whoever runs or waits holds a place.
    places: Arc<Semaphore>,
    cores: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores, cores * WAITING_PER_CORE)
    }
}

impl Passwords {
    /// A pool that runs so many at once and lets so many wait.
    #[must_use]
    pub fn new(running: usize, waiting: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(running + waiting)), cores: Arc::new(Semaphore::new(running)) }
    }

    /// The hash of a password, in PHC string format, under a salt of its own.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn hash(&self, password: Password) -> Result<Zeroizing<String>, PasswordError> {
        self.run(move || {
            let mut salt = [0; 16];
            rand::rngs::OsRng.fill_bytes(&mut salt);
            let salt = SaltString::encode_b64(&salt).map_err(|error| failed(&error))?;
            let hash = argon2()?.hash_password(password.0.as_bytes(), &salt).map_err(|error| failed(&error))?;
            Ok(Zeroizing::new(hash.to_string()))
        })
        .await
    }

    /// Is this the password of the hash? Costs what the hash says it costs.
    ///
    /// # Errors
    /// Too many wait, or the hash is not in PHC string format.
    pub async fn verify(&self, password: Password, phc: Zeroizing<String>) -> Result<bool, PasswordError> {
        self.run(move || {
            let hash = PasswordHash::new(&phc).map_err(|error| failed(&error))?;
            match argon2()?.verify_password(password.0.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::Password) => Ok(false),
                Err(error) => Err(failed(&error)),
            }
        })
        .await
    }

    /// Takes as long as checking a password takes, and is never right.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn verify_nobody(&self, password: Password) -> Result<(), PasswordError> {
        self.verify(password, Zeroizing::new(NOBODY.to_owned())).await.map(drop)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| PasswordError::Overloaded)?;
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(|error| failed(&error))?;
        // The permits go with the work: it runs to its end even when nobody waits for it any more.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, core);
            work()
        });
        done.await.map_err(|error| failed(&error))?
    }
}

fn failed(error: &dyn fmt::Display) -> PasswordError {
    PasswordError::Failed(error.to_string())
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|error| failed(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_hash_says_how_it_was_made_and_fits_its_password_alone() {
        let passwords = Passwords::default();
        let one = passwords.hash(password("correct horse")).await.unwrap();
        let two = passwords.hash(password("correct horse")).await.unwrap();
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", *one);
        assert_ne!(*one, *two, "each has a salt of its own");
        assert!(passwords.verify(password("correct horse"), one.clone()).await.unwrap());
        assert!(!passwords.verify(password("correct horsf"), one).await.unwrap());
        assert!(matches!(passwords.verify(password("x"), Zeroizing::new("plain".into())).await, Err(PasswordError::Failed(_))));
    }

    #[tokio::test]
    async fn nobodys_hash_costs_what_a_hash_costs_and_is_never_right() {
        let hash = PasswordHash::new(NOBODY).unwrap();
        let of = |key: &str| hash.params.get_decimal(key).unwrap();
        assert_eq!((of("m"), of("t"), of("p")), COST);
        Passwords::default().verify_nobody(password("whatever")).await.unwrap();
    }

    #[tokio::test]
    async fn who_comes_when_the_queue_is_full_is_told_so_at_once() {
        let passwords = Passwords::new(1, 1);
        let core = Arc::clone(&passwords.cores).acquire_owned().await.unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                tokio::spawn({
                    let passwords = passwords.clone();
                    async move { passwords.hash(password("correct horse")).await }
                })
            })
            .collect();
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.hash(password("correct horse")).await, Err(PasswordError::Overloaded)));
        drop(core);
        for waiting in waiting {
            waiting.await.unwrap().unwrap();
        }
        assert!(passwords.hash(password("correct horse")).await.is_ok(), "the places come back");
    }

    #[test]
    fn a_password_has_8_to_128_characters_and_is_not_the_address() {
        let email = Email::try_from("ada@example.org").unwrap();
        assert!(password("12345678").check(Some(&email)).is_ok());
        assert!(password(&"ü".repeat(128)).check(None).is_ok());
        assert!(password("1234567").check(None).is_err());
        assert!(password(&"x".repeat(129)).check(None).is_err());
        assert!(password(" Ada@Example.org ").check(Some(&email)).is_err());
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", password("correct horse")).contains("horse"));
    }
}
