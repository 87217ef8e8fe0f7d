//! Scalars of the API that have a meaning of their own.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// A place in a tenant's log. A string, since GraphQL's Int ends at 2^31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub i64);

/// A place in a workspace's log, as a decimal string: "1" is the first event. Positions are dense.
#[Scalar(name = "Position", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259#section-6")]
impl ScalarType for Position {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text
                .parse()
                .map(Self)
                .map_err(|_| InputValueError::custom(format!("{text:.40?} is no position: positions are decimal strings such as \"17\""))),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// Free JSON that a user gave, as the canonical text the log keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(pub String);

/// Any JSON value (RFC 8259). Numbers are integers up to 2^53: carry fractions as strings.
#[Scalar(name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for JsonText {
    fn parse(value: Value) -> InputValueResult<Self> {
        let json = value.into_json()?;
        domain::canonical_json(&json).map(Self).map_err(InputValueError::custom)
    }

    fn to_value(&self) -> Value {
        // What the log keeps is JSON; if it were not, its text is the honest answer.
        serde_json::from_str(&self.0).ok().and_then(|json| Value::from_json(json).ok()).unwrap_or_else(|| Value::String(self.0.clone()))
    }
}

/// A day, without a time and without a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Date(pub NaiveDate);

/// A day as ISO 8601 writes it: "2026-06-01".
#[Scalar(name = "Date", specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339#section-5.6")]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text
                .parse()
                .map(Self)
                .map_err(|_| InputValueError::custom(format!("{text:.40?} is no day: days are written such as \"2026-06-01\""))),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}
