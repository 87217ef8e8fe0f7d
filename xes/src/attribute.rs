//! Attributes of traces and events, and their form in JSON, in which there are no floats.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value as Json, json};

use crate::error::XesError;

/// Integers up to this, either way, are exact in every JSON reader (RFC 8259, section 6).
const JSON_INT: u64 = 1 << 53;

/// The attributes of one element, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub(crate) Vec<Attribute>);

/// One attribute. Two are equal if they say the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its key, for instance `concept:name`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Attributes of the attribute. Those of a container are its value.
    pub nested: Attributes,
    /// The line of its tag, counted from 1.
    pub line: u64,
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value && self.nested == other.nested
    }
}

/// A typed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any text.
    String(String),
    /// An instant, in microseconds.
    Date(DateTime<Utc>),
    /// An integer of 64 bits.
    Int(i64),
    /// A number as it is written, so that no digit changes.
    Float(String),
    /// True or false.
    Boolean(bool),
    /// An identifier as it is written, mostly a UUID.
    Id(String),
    /// Attributes in order, of which several may have the same key.
    List(Vec<Attribute>),
    /// Attributes by key.
    Container(Attributes),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Date(_) => "date",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Boolean(_) => "boolean",
            Self::Id(_) => "id",
            Self::List(_) => "list",
            Self::Container(_) => "container",
        }
    }

    /// The value as one text (dates as RFC 3339 in UTC); `None` for lists and containers.
    #[must_use]
    pub fn plain(&self) -> Option<String> {
        match self {
            Self::String(text) | Self::Float(text) | Self::Id(text) => Some(text.clone()),
            Self::Date(date) => Some(rfc3339(date)),
            Self::Int(int) => Some(int.to_string()),
            Self::Boolean(yes) => Some(yes.to_string()),
            Self::List(_) | Self::Container(_) => None,
        }
    }
}

impl Attributes {
    /// The attribute of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Attribute> {
        self.0.iter().find(|attribute| attribute.key == key)
    }

    /// The text of the `<string>` or `<id>` of this key; `None` if there is none or it is of another
    /// type (see [`Value::plain`] for any type).
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::String(text) | Value::Id(text) => Some(text),
            _ => None,
        }
    }

    /// The instant of the `<date>` of this key; `None` if there is no attribute of this key.
    ///
    /// # Errors
    ///
    /// [`XesError::NotADate`] if it is of another type. A `<date>` that is none is refused when it
    /// is read.
    #[must_use]
    pub fn date(&self, key: &str) -> Option<Result<DateTime<Utc>, XesError>> {
        let attribute = self.get(key)?;
        Some(match &attribute.value {
            Value::Date(date) => Ok(*date),
            other => Err(XesError::NotADate { line: attribute.line, key: key.to_owned(), found: other.type_name() }),
        })
    }

    /// All attributes, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Attribute> {
        self.0.iter()
    }

    /// How many there are, without those nested.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One JSON object, from key to value, that loses nothing but order and XES' types:
    ///
    /// - strings, ids and floats are strings as written; booleans are booleans;
    /// - integers are numbers up to 2^53 either way, beyond that decimal strings;
    /// - dates are RFC 3339 strings in UTC with microseconds;
    /// - a list is an array of objects with one key each;
    /// - a container is `{"attributes": {…}}`;
    /// - any other with nested attributes is `{"value": …, "attributes": {…}}`.
    ///
    /// It holds no float, and is nested less deep than 100.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::Object(self.0.iter().map(|a| (a.key.clone(), a.to_json())).collect())
    }
}

impl Attribute {
    fn to_json(&self) -> Json {
        let value = match &self.value {
            Value::Container(children) => return json!({ "attributes": children.to_json() }),
            Value::List(items) => items.iter().map(|item| Json::Object(Map::from_iter([(item.key.clone(), item.to_json())]))).collect(),
            Value::Date(date) => Json::String(rfc3339(date)),
            Value::Int(int) if int.unsigned_abs() <= JSON_INT => json!(int),
            Value::Int(int) => Json::String(int.to_string()),
            Value::Boolean(yes) => Json::Bool(*yes),
            Value::String(text) | Value::Float(text) | Value::Id(text) => Json::String(text.clone()),
        };
        if self.nested.is_empty() { value } else { json!({ "value": value, "attributes": self.nested.to_json() }) }
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<T: IntoIterator<Item = Attribute>>(attributes: T) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl IntoIterator for Attributes {
    type Item = Attribute;
    type IntoIter = std::vec::IntoIter<Attribute>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a Attribute;
    type IntoIter = std::slice::Iter<'a, Attribute>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn rfc3339(date: &DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Micros, true)
}
