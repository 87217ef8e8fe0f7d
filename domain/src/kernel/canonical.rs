//! Canonical JSON (RFC 8785), narrowed to what Annals stores: no floats, no integer beyond 2^53, no NUL.

use serde_json::Value;
use thiserror::Error;

/// Integers up to this magnitude survive every JSON reader (RFC 8785, section 3.2.2.3; RFC 7493, section 2.2).
const MAX_SAFE_INTEGER: i64 = 1 << 53;

/// Why a value cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CanonicalError {
    /// Floats have no one text form in every language.
    #[error("{at}: {number} is not an integer; carry fractions as thousandths or as a decimal string")]
    Float {
        /// JSON pointer (RFC 6901) of the number.
        at: String,
        /// The number as it was written.
        number: String,
    },
    /// Integers beyond 2^53 lose digits in many readers.
    #[error("{at}: {number} is beyond 2^53; carry it as a string")]
    TooLarge {
        /// JSON pointer (RFC 6901) of the number.
        at: String,
        /// The number as it was written.
        number: String,
    },
    /// PostgreSQL's text cannot hold NUL.
    #[error("{at}: the text holds a NUL character; remove it")]
    Nul {
        /// JSON pointer (RFC 6901) of the text.
        at: String,
    },
    /// The value could not be written as JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
}

/// Checks that a value may be stored.
///
/// # Errors
/// The first float, unsafe integer or NUL, with its place.
pub fn check_canonical(value: &Value) -> Result<(), CanonicalError> {
    // The place is only put together once something is wrong: this runs for every event.
    fault(value).map_or(Ok(()), |kind| {
        let mut at = String::new();
        locate(value, &mut at);
        Err(match kind {
            Fault::Float(number) => CanonicalError::Float { at, number },
            Fault::TooLarge(number) => CanonicalError::TooLarge { at, number },
            Fault::Nul => CanonicalError::Nul { at },
        })
    })
}

enum Fault {
    Float(String),
    TooLarge(String),
    Nul,
}

fn fault(value: &Value) -> Option<Fault> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) if (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&n) => None,
            (Some(_), _) | (_, Some(_)) => Some(Fault::TooLarge(number.to_string())),
            _ => Some(Fault::Float(number.to_string())),
        },
        Value::String(text) => text.contains('\0').then_some(Fault::Nul),
        Value::Array(items) => items.iter().find_map(fault),
        Value::Object(map) => map.iter().find_map(|(key, item)| if key.contains('\0') { Some(Fault::Nul) } else { fault(item) }),
    }
}

fn locate(value: &Value, at: &mut String) {
    match value {
        Value::Array(items) => {
            if let Some((index, item)) = items.iter().enumerate().find(|(_, item)| fault(item).is_some()) {
                at.push_str(&format!("/{index}"));
                locate(item, at);
            }
        }
        Value::Object(map) => {
            if let Some((key, item)) = map.iter().find(|(key, item)| key.contains('\0') || fault(item).is_some()) {
                at.push('/');
                at.push_str(&key.replace('~', "~0").replace('/', "~1").replace('\0', "\u{fffd}"));
                locate(item, at);
            }
        }
        _ => {}
    }
}

/// The one text of a value: sorted keys, no spaces.
///
/// # Errors
/// As [`check_canonical`].
pub fn canonical_json(value: &Value) -> Result<String, CanonicalError> {
    check_canonical(value)?;
    // Integers and strings are written by serde_json as RFC 8785 asks, at a third of the price; it is the keys that it
    // leaves in the order of their bytes, which for ASCII is the order asked for.
    if plain(value) { serde_json::to_string(value) } else { serde_json_canonicalizer::to_string(value) }
        .map_err(|error| CanonicalError::NotJson(error.to_string()))
}

/// Whether the keys of every object are ASCII and in order.
fn plain(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(plain),
        Value::Object(map) => map.keys().all(|key| key.is_ascii()) && map.keys().is_sorted() && map.values().all(plain),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_spaces_left_out() {
        assert_eq!(canonical_json(&json!({"b": [1, true], "a": "ü"})).unwrap(), r#"{"a":"ü","b":[1,true]}"#);
    }

    #[test]
    fn both_ways_of_writing_agree_wherever_both_may_be_gone() {
        let controls: String = (1..=0x9f_u8).map(char::from).collect();
        let value =
            json!({"a": [null, true, -9_007_199_254_740_992_i64, 0], "b": {"c": {}, "d": []}, "e": controls, "f": "/\u{2028}\u{ffff}😀"});
        assert!(plain(&value));
        assert_eq!(canonical_json(&value).unwrap(), serde_json_canonicalizer::to_string(&value).unwrap());
        // UTF-16 puts the surrogates of the first before the second, UTF-8 the other way round.
        assert_eq!(canonical_json(&json!({"\u{ffff}": 1, "😀": 2})).unwrap(), "{\"😀\":2,\"\u{ffff}\":1}");
    }

    #[test]
    fn floats_large_integers_and_nul_are_refused_with_their_place() {
        assert_eq!(
            canonical_json(&json!({"a": [0, 1.5]})).unwrap_err().to_string(),
            "/a/1: 1.5 is not an integer; carry fractions as thousandths or as a decimal string"
        );
        assert!(matches!(canonical_json(&json!(9_007_199_254_740_993_i64)), Err(CanonicalError::TooLarge { .. })));
        assert!(matches!(canonical_json(&json!(u64::MAX)), Err(CanonicalError::TooLarge { .. })));
        assert!(canonical_json(&json!(-9_007_199_254_740_992_i64)).is_ok());
        assert_eq!(canonical_json(&json!({"x/y": "a\0b"})).unwrap_err(), CanonicalError::Nul { at: "/x~1y".into() });
        assert!(matches!(canonical_json(&json!({"a\0": 1})), Err(CanonicalError::Nul { .. })));
    }
}
