//! What signing in speaks of: where a password's hash is kept, the hash of a token, how and why not.

use crate::{Invalid, Moment};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a password's hash is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRef {
    /// Its row in the vault, durable before the command that names it.
    pub secret_ref: Uuid,
    /// How it was hashed: `argon2id`.
    pub algorithm: String,
    /// Since when it is the password; the time of the decision unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<Moment>,
}

/// Why a password was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PasswordReason {
    /// With the registration.
    Registration,
    /// By the user, who knew the one before.
    Change,
}

/// Why a sign-in failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum LoginFailure {
    /// The password was wrong.
    BadPassword,
    /// The second factor was wrong.
    MfaFailed,
    /// The account was locked.
    Locked,
}

/// How a user proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum LoginMethod {
    /// By password.
    Password,
    /// By another provider's word.
    Oauth,
    /// By password and a second factor.
    Mfa,
}

/// SHA-256 of a 256-bit random token, in lower-case hex. Nothing can be guessed from it, so events may hold it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash(String);

impl TokenHash {
    /// The 64 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TokenHash {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be a SHA-256 in 64 lower-case hex digits".into()))
        }
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> String {
        hash.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_hash_is_64_lower_case_hex_digits() {
        assert!(TokenHash::try_from("0f".repeat(32)).is_ok());
        for bad in ["", "0F", &"0F".repeat(32), &"0f".repeat(33), &"0g".repeat(32)] {
            assert!(TokenHash::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
