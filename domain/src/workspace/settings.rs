//! A workspace's own defaults. Known keys are typed; what clients keep for themselves goes into `custom`.

use crate::roles::BuiltInRole;
use crate::{Change, Invalid};
use serde::{Deserialize, Serialize};

/// The settings of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The role that new members get when nobody names one; never `owner`.
    pub default_role_key: BuiltInRole,
    /// Name of a time zone in the IANA database.
    pub timezone: String,
    /// ISO 4217 code, once one is chosen.
    pub currency: Option<String>,
    /// From which confidence an AI's answer counts without review, in thousandths.
    pub ai_min_confidence: u16,
    /// Canonical JSON of at most 64 KiB, the clients' own.
    pub custom: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { default_role_key: BuiltInRole::Member, timezone: "UTC".to_owned(), currency: None, ai_min_confidence: 700, custom: None }
    }
}

/// What an update of the settings changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsChanges {
    /// The default role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_role_key: Option<Change<BuiltInRole>>,
    /// The time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Change<String>>,
    /// The currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Change<Option<String>>>,
    /// The confidence, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_min_confidence: Option<Change<u16>>,
    /// The clients' own, as canonical JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Change<Option<String>>>,
}

impl SettingsChanges {
    /// True when nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Carries the changes out.
    pub fn apply_to(self, settings: &mut Settings) {
        fn set<T>(field: &mut T, change: Option<Change<T>>) {
            if let Some(change) = change {
                *field = change.to;
            }
        }
        set(&mut settings.default_role_key, self.default_role_key);
        set(&mut settings.timezone, self.timezone);
        set(&mut settings.currency, self.currency);
        set(&mut settings.ai_min_confidence, self.ai_min_confidence);
        set(&mut settings.custom, self.custom);
    }
}

/// An ISO 4217 code by its form: three capital letters. Whether it is in use is not checked, since the list moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(String);

impl TryFrom<String> for Currency {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(Self(text))
        } else {
            Err(Invalid("must be an ISO 4217 code such as EUR".into()))
        }
    }
}

impl From<Currency> for String {
    fn from(code: Currency) -> String {
        code.0
    }
}

/// A confidence in thousandths: 0 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u16")]
pub struct Confidence(u16);

impl TryFrom<i64> for Confidence {
    type Error = Invalid;
    fn try_from(thousandths: i64) -> Result<Self, Invalid> {
        match u16::try_from(thousandths) {
            Ok(value @ 0..=1000) => Ok(Self(value)),
            _ => Err(Invalid(format!("must be 0 to 1000 thousandths; it is {thousandths}"))),
        }
    }
}

impl From<Confidence> for u16 {
    fn from(confidence: Confidence) -> u16 {
        confidence.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confidence_is_0_to_1000_thousandths() {
        assert!(serde_json::from_str::<Confidence>("0").is_ok());
        assert_eq!(serde_json::from_str::<Confidence>("1000").map(u16::from).unwrap(), 1000);
        for bad in ["-1", "1001", "70000", "0.5"] {
            assert!(serde_json::from_str::<Confidence>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert!(Currency::try_from("EUR".to_owned()).is_ok());
        for bad in ["", "eur", "EURO", "€", "E1R"] {
            assert!(Currency::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
