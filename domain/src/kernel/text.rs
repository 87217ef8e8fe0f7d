//! Checked text for commands. Events carry plain strings: what was once accepted stays readable for ever.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Why a text was refused: the rule, for people.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Invalid(pub String);

fn bounded(text: &str, min: usize, max: usize) -> Result<(), Invalid> {
    let length = text.chars().count();
    if text.contains('\0') {
        return Err(Invalid("must not hold a NUL character".into()));
    }
    if length < min || length > max {
        return Err(Invalid(format!("must be {min} to {max} characters long; it has {length}")));
    }
    Ok(())
}

fn one_line(text: &str, min: usize, max: usize) -> Result<(), Invalid> {
    bounded(text, min, max)?;
    if text.chars().any(char::is_control) {
        return Err(Invalid("must be one line without control characters".into()));
    }
    Ok(())
}

fn pattern(text: &str, max: usize, allowed: impl Fn(char) -> bool, rule: &str) -> Result<(), Invalid> {
    bounded(text, 1, max)?;
    if text.chars().all(allowed) { Ok(()) } else { Err(Invalid(rule.into())) }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: |$text:ident| $tidy:expr => $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from($text: String) -> Result<Self, Invalid> {
                let $text: String = $tidy;
                $check?;
                Ok(Self($text))
            }
        }
        impl TryFrom<&str> for $name {
            type Error = Invalid;
            fn try_from(text: &str) -> Result<Self, Invalid> { Self::try_from(text.to_owned()) }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl From<$name> for String { fn from(text: $name) -> String { text.0 } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}

texts! {
    /// The name of something: one line of 1 to 100 characters.
    Name: |text| text.trim().to_owned() => one_line(&text, 1, 100);
    /// The title of something: one line of 1 to 200 characters.
    Title: |text| text.trim().to_owned() => one_line(&text, 1, 200);
    /// A name in addresses: `^[a-z0-9]+(-[a-z0-9]+)*$`, at most 100.
    Slug: |text| text => slug(&text);
    /// A name for programs: `^[a-z0-9_]+$`, at most 50.
    Key: |text| text => pattern(&text, 50, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_', "may hold only a-z, 0-9 and _");
    /// An e-mail address: trimmed, lower-cased, at most 255 characters.
    Email: |text| text.trim().to_lowercase() => email(&text);
    /// A colour, `#RRGGBB`.
    Color: |text| text => color(&text);
    /// A tag: one line of 1 to 50 characters.
    Tag: |text| text.trim().to_owned() => one_line(&text, 1, 50);
    /// The name of a role: one line of 1 to 50 characters.
    RoleName: |text| text.trim().to_owned() => one_line(&text, 1, 50);
    /// Free text of at most 10,000 characters.
    LongText: |text| text => bounded(&text, 0, 10_000);
    /// Free text of at most 1,000 characters.
    ShortText: |text| text => bounded(&text, 0, 1_000);
    /// An http or https address of at most 2,048 characters.
    Url: |text| text.trim().to_owned() => url(&text);
    /// The name of a time zone in the IANA database.
    TimeZone: |text| text => time_zone(&text);
    /// A reference to something outside: one line of 1 to 200 characters.
    SourceRef: |text| text => one_line(&text, 1, 200);
    /// The place of an item among its neighbours: an order key of printable ASCII, at most 200.
    Rank: |text| text => pattern(&text, 200, |c| c.is_ascii_graphic(), "may hold only printable ASCII characters");
    /// A name of something done or observed: one line of 1 to 200 characters.
    ActivityName: |text| text => one_line(&text, 1, 200);
}

fn slug(text: &str) -> Result<(), Invalid> {
    const RULE: &str = "may hold only a-z, 0-9 and single hyphens between them";
    pattern(text, 100, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', RULE)?;
    if text.split('-').any(str::is_empty) { Err(Invalid(RULE.into())) } else { Ok(()) }
}

fn email(text: &str) -> Result<(), Invalid> {
    one_line(text, 3, 255)?;
    match text.rsplit_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && domain.contains('.')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
                && !text.contains(char::is_whitespace) =>
        {
            Ok(())
        }
        _ => Err(Invalid("must be an e-mail address such as name@company.example".into())),
    }
}

fn color(text: &str) -> Result<(), Invalid> {
    match text.strip_prefix('#') {
        Some(digits) if digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit()) => Ok(()),
        _ => Err(Invalid("must be a colour such as #3366CC".into())),
    }
}

fn url(text: &str) -> Result<(), Invalid> {
    one_line(text, 1, 2048)?;
    match text.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() && !rest.starts_with('/') && !text.contains(' ') => Ok(()),
        _ => Err(Invalid("must be an address that starts with https:// or http://".into())),
    }
}

fn time_zone(text: &str) -> Result<(), Invalid> {
    text.parse::<chrono_tz::Tz>().map(drop).map_err(|_| Invalid("must be an IANA time zone such as Europe/Amsterdam".into()))
}

/// Free JSON of users, kept as one canonical text of at most `KIB` KiB. As in every event, it holds no floats
/// and no integer beyond 2^53.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<const KIB: usize>(String);

impl<const KIB: usize> Json<KIB> {
    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const KIB: usize> TryFrom<serde_json::Value> for Json<KIB> {
    type Error = Invalid;
    fn try_from(value: serde_json::Value) -> Result<Self, Invalid> {
        let text = super::canonical_json(&value).map_err(|error| Invalid(error.to_string()))?;
        if text.len() > KIB * 1024 {
            return Err(Invalid(format!("must be at most {KIB} KiB of JSON; it has {} bytes", text.len())));
        }
        Ok(Self(text))
    }
}

impl<const KIB: usize> From<Json<KIB>> for String {
    fn from(json: Json<KIB>) -> String {
        json.0
    }
}

impl<'de, const KIB: usize> Deserialize<'de> for Json<KIB> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(serde_json::Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<const KIB: usize> Serialize for Json<KIB> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<serde_json::Value>(&self.0).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_words_with_single_hyphens() {
        for good in ["a", "acme", "acme-2", "p-0f3a"] {
            assert!(Slug::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "ä", &"a".repeat(101)] {
            assert!(Slug::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_trimmed_and_lower_cased() {
        assert_eq!(Email::try_from("  Ada@Example.ORG ").unwrap().as_str(), "ada@example.org");
        for bad in ["ada", "@example.org", "ada@", "ada@org", "a b@example.org", "ada@.org"] {
            assert!(Email::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters_and_the_rule_is_named() {
        assert!(Name::try_from("ü".repeat(100)).is_ok());
        assert_eq!(Name::try_from("  ").unwrap_err().to_string(), "must be 1 to 100 characters long; it has 0");
    }

    #[test]
    fn json_is_kept_in_one_form_and_bounded() {
        let json: Json<1> = serde_json::from_str(r#"{"b": 1, "a": [null]}"#).unwrap();
        assert_eq!(json.as_str(), r#"{"a":[null],"b":1}"#);
        assert!(serde_json::from_str::<Json<1>>(&format!("\"{}\"", "x".repeat(2000))).is_err());
        assert!(serde_json::from_str::<Json<1>>("1.5").is_err());
    }
}
