//! One attribute while it is read: its key and value by the rules of its type, its children by
//! the rule that keys are unique.

use crate::{
    attribute::{Attribute, Attributes, Value},
    error::{At, XesError, excerpt},
    limits, time,
    token::Kind,
};

/// What an attribute counts for besides its texts, roughly what it takes in memory.
const ATTRIBUTE_BYTES: usize = 64;

/// An attribute whose end tag is to come.
pub(crate) struct Open {
    pub(crate) at: At,
    key: String,
    pub(crate) kind: Kind,
    /// `None` for lists and containers, whose value is their children.
    scalar: Option<Value>,
    pub(crate) children: Vec<Attribute>,
    /// Children of a list's `<values>`, if it has one.
    pub(crate) values: Option<Vec<Attribute>>,
    pub(crate) in_values: bool,
}

impl Open {
    /// Begins an attribute, and says how many bytes it counts for.
    pub(crate) fn new(at: At, kind: Kind, key: Option<String>, value: Option<String>) -> Result<(Self, usize), XesError> {
        let element = kind.name();
        let key = key.filter(|key| !key.is_empty()).ok_or(XesError::MissingKey { at, element })?;
        let written = value.as_ref().map_or(0, String::len);
        let remedy = "put long texts elsewhere, and only a reference to them into the log";
        within(key.len(), limits::TEXT_BYTES, at, "the length in bytes of a key", remedy)?;
        within(written, limits::TEXT_BYTES, at, "the length in bytes of a value", remedy)?;
        let bytes = key.len() + written + ATTRIBUTE_BYTES;
        let scalar = scalar(at, kind, &key, value)?;
        let open = Self { at, key, kind, scalar, children: Vec::new(), values: None, in_values: false };
        Ok((open, bytes))
    }

    /// The innermost element, for messages.
    pub(crate) fn tag(&self) -> &'static str {
        match self.kind {
            _ if self.in_values => "<values>",
            Kind::String => "<string>",
            Kind::Date => "<date>",
            Kind::Int => "<int>",
            Kind::Float => "<float>",
            Kind::Boolean => "<boolean>",
            Kind::Id => "<id>",
            Kind::List => "<list>",
            Kind::Container => "<container>",
        }
    }

    pub(crate) fn close(self) -> Result<Attribute, XesError> {
        let (value, nested) = match (self.scalar, self.kind, self.values) {
            (Some(value), ..) => (value, self.children),
            (None, Kind::List, None) => (Value::List(self.children), Vec::new()),
            (None, Kind::List, Some(items)) => {
                let mut nested = Vec::with_capacity(self.children.len());
                for child in self.children {
                    let at = At { line: child.line, byte: self.at.byte };
                    add(&mut nested, child, true, at)?;
                }
                (Value::List(items), nested)
            }
            (None, ..) => (Value::Container(Attributes(self.children)), Vec::new()),
        };
        Ok(Attribute { key: self.key, value, nested: Attributes(nested), line: self.at.line })
    }
}

/// Adds an attribute. The same one twice is kept once, where keys are unique.
pub(crate) fn add(siblings: &mut Vec<Attribute>, attribute: Attribute, unique: bool, at: At) -> Result<(), XesError> {
    if unique && let Some(twin) = siblings.iter().find(|sibling| sibling.key == attribute.key) {
        if *twin == attribute {
            return Ok(());
        }
        return Err(XesError::DuplicateKey { at, key: excerpt(&attribute.key) });
    }
    let remedy = "divide them among nested attributes, or remove what is not needed";
    within(siblings.len() + 1, limits::ATTRIBUTES, at, "the number of attributes in one element", remedy)?;
    siblings.push(attribute);
    Ok(())
}

fn scalar(at: At, kind: Kind, key: &str, value: Option<String>) -> Result<Option<Value>, XesError> {
    let element = kind.name();
    if matches!(kind, Kind::List | Kind::Container) {
        return match value {
            Some(value) if !value.is_empty() => Err(wrong(at, kind, key, &value, "absent: what it holds are elements")),
            _ => Ok(None),
        };
    }
    let value = value.ok_or_else(|| XesError::MissingValue { at, element, key: excerpt(key) })?;
    // XML Schema takes white space around all of these away.
    let trimmed = value.trim();
    let (read, rule) = match kind {
        Kind::Date => (time::parse(trimmed).map(Value::Date), time::RULE),
        Kind::Int => (trimmed.parse().ok().map(Value::Int), "an integer of at most 64 bits"),
        Kind::Float => (float(trimmed).map(Value::Float), "a decimal number such as -1.5 or 2.3E7, INF or NaN"),
        Kind::Boolean => (boolean(trimmed).map(Value::Boolean), "true or false"),
        Kind::Id => (Some(Value::Id(value.clone())), ""),
        Kind::String | Kind::List | Kind::Container => (Some(Value::String(value.clone())), ""),
    };
    read.map(Some).ok_or_else(|| wrong(at, kind, key, &value, rule))
}

fn wrong(at: At, kind: Kind, key: &str, value: &str, rule: &'static str) -> XesError {
    XesError::WrongValue { at, element: kind.name(), key: excerpt(key), value: excerpt(value), rule }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// As written, if it is a number; `Infinity` is how OpenXES writes what XML Schema calls `INF`.
fn float(text: &str) -> Option<String> {
    let word = matches!(text, "INF" | "-INF" | "NaN" | "Infinity" | "-Infinity");
    let number = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    (word || (number && text.parse::<f64>().is_ok())).then(|| text.to_owned())
}

/// Refuses what exceeds a limit.
pub(crate) fn within(found: usize, limit: usize, at: At, what: &'static str, remedy: &'static str) -> Result<(), XesError> {
    if found <= limit { Ok(()) } else { Err(XesError::Limit { at, what, limit, remedy }) }
}
