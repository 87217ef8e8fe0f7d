//! A phone number as people write it: not checked against any country's plan.

use crate::Invalid;
use serde::{Deserialize, Serialize};

/// A phone number: 3 to 32 characters, digits with an optional leading `+` and spaces, `-`, `.`, `(`, `)`, `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Phone(String);

impl TryFrom<String> for Phone {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        let text = text.trim();
        let rest = text.strip_prefix('+').unwrap_or(text);
        let digits = rest.chars().filter(char::is_ascii_digit).count();
        if (3..=32).contains(&text.len()) && digits >= 3 && rest.chars().all(|c| c.is_ascii_digit() || " -.()/".contains(c)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid("must be a phone number of at most 32 characters such as +31 20 123 4567".into()))
        }
    }
}

impl From<Phone> for String {
    fn from(phone: Phone) -> String {
        phone.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_has_digits_and_what_people_put_between_them() {
        for good in ["112", "+31 20 123 4567", " (020) 123-45.67 ", "030/123"] {
            assert!(Phone::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "12", "+", "call me", "1+23", "---", &"1".repeat(33), "1\n23"] {
            assert!(Phone::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
