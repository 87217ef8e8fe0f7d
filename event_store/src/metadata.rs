//! The metadata of an event: cqrs-es' flat map of strings, written as the canonical text that it is stored as.

use std::fmt::{Display, Write};

/// A map under construction. Its keys come in order.
#[derive(Debug, Default)]
pub(crate) struct Metadata(String);

impl Metadata {
    /// An empty one, with room for what most events have.
    pub(crate) fn new() -> Self {
        Self(String::with_capacity(768))
    }

    /// Adds a member; the key is a constant in ASCII that follows all those before.
    pub(crate) fn put(&mut self, key: &'static str, value: impl Display) {
        self.0.push_str(if self.0.is_empty() { "{\"" } else { ",\"" });
        self.0.push_str(key);
        self.0.push_str("\":\"");
        let start = self.0.len();
        // Writing to a string never fails.
        let _ = write!(self.0, "{value}");
        if self.0.as_bytes()[start..].iter().any(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
            let escaped = serde_json::Value::from(&self.0[start..]).to_string();
            self.0.truncate(start - 1);
            self.0.push_str(&escaped);
        } else {
            self.0.push('"');
        }
    }

    /// The text.
    pub(crate) fn end(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_canonical_whatever_the_values_hold() {
        let mut metadata = Metadata::new();
        metadata.put("a", 7);
        metadata.put("b", "say \"no\"\n\\ \u{1f} ü");
        metadata.put("c", true);
        let text = metadata.end();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, serde_json::json!({"a": "7", "b": "say \"no\"\n\\ \u{1f} ü", "c": "true"}));
        assert_eq!(domain::canonical_json(&value).unwrap(), text);
        assert_eq!(Metadata::new().end(), "{}");
    }
}
