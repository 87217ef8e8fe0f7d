//! What can be wrong with a log. Every text says what was wrong, where, and what to do.

use std::{fmt, io, path::PathBuf};

/// A place in the (uncompressed) XML.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Line, counted from 1.
    pub line: u64,
    /// Byte offset, counted from 0.
    pub byte: u64,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} (byte {})", self.line, self.byte)
    }
}

/// Why a log cannot be read, or not further.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the fields are named for what they hold
pub enum XesError {
    /// The file is missing, unreadable or a directory.
    #[error("cannot open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },

    /// Reading the file failed underway.
    #[error("{at}: reading failed: {source}; try again")]
    Io { at: At, source: io::Error },

    /// The gzip stream ends early or its checksum is wrong.
    #[error("{at}: the gzip data is broken from about here ({source}); fetch the file again, and check it with `gzip -t`")]
    BrokenGzip { at: At, source: io::Error },

    /// The XML ends before `</log>`.
    #[error("{at}: the file ends inside {inside}, so it was cut short; fetch it again")]
    Truncated { at: At, inside: &'static str },

    /// It is no XES at all.
    #[error("{at}: this is no XES event log: {found}; give an XML file whose root element is <log>, plain or gzip")]
    NotXes { at: At, found: String },

    /// The XML is not well-formed.
    #[error("{at}: the XML is broken: {reason}; mend the file or export it again")]
    Malformed { at: At, reason: String },

    /// Bytes that are not UTF-8.
    #[error("{at}: here are bytes that are not UTF-8; convert the file, for instance with `iconv -t UTF-8`")]
    InvalidUtf8 { at: At },

    /// The file declares another encoding than UTF-8.
    #[error("{at}: the encoding is {found}, and only UTF-8 is read; convert the file with `iconv -t UTF-8`")]
    Encoding { at: At, found: String },

    /// A DOCTYPE, with which entities could be declared.
    #[error("{at}: a DOCTYPE is refused, because entities could be declared in it; remove it")]
    Doctype { at: At },

    /// A character that XML does not allow, mostly U+0000 or another control character.
    #[error("{at}: the character U+{code:04X} is not allowed in XML; remove it")]
    IllegalCharacter { at: At, code: u32 },

    /// An event that belongs to no trace.
    #[error("{at}: an <event> stands outside any <trace>; put it into the trace it belongs to")]
    EventOutsideTrace { at: At },

    /// An element where XES has none of that name.
    #[error("{at}: <{name}> cannot stand inside {inside}; remove it, or write it as a XES attribute")]
    UnexpectedElement { at: At, name: String, inside: &'static str },

    /// Text, where XES has only elements.
    #[error("{at}: there is text inside {inside}, where XES has only elements; write it as the value of an attribute")]
    UnexpectedText { at: At, inside: &'static str },

    /// An attribute of a trace after one of its events.
    #[error("{at}: the attribute \"{key}\" of the trace stands after an event of it; move the trace's attributes before its first <event>")]
    LateAttribute { at: At, key: String },

    /// An attribute without key, or with an empty one.
    #[error("{at}: <{element}> has no key; give it one: <{element} key=\"…\" …>")]
    MissingKey { at: At, element: &'static str },

    /// An attribute without value.
    #[error("{at}: <{element} key=\"{key}\"> has no value; give it one, or remove it")]
    MissingValue { at: At, element: &'static str, key: String },

    /// An XML attribute other than `key` and `value`, which would be lost.
    #[error("{at}: <{element}> has the XML attribute \"{name}\", which XES does not know; write it as a nested XES attribute")]
    UnknownXmlAttribute { at: At, element: String, name: String },

    /// Two different attributes of one element under one key.
    #[error("{at}: the key \"{key}\" stands twice in one element with different content; rename or remove one")]
    DuplicateKey { at: At, key: String },

    /// A value that its type does not allow.
    #[error("{at}: <{element} key=\"{key}\"> has the value \"{value}\"; it must be {rule}")]
    WrongValue { at: At, element: &'static str, key: String, value: String, rule: &'static str },

    /// [`Attributes::date`](crate::Attributes::date) was asked for what is not a `<date>`.
    #[error("line {line}: the attribute \"{key}\" is a <{found}>; it must be a <date>")]
    NotADate { line: u64, key: String, found: &'static str },

    /// More than [`limits`](crate::limits) allow.
    #[error("{at}: {what} exceeds the limit of {limit}; {remedy}")]
    Limit { at: At, what: &'static str, limit: usize, remedy: &'static str },
}

impl XesError {
    /// The line the error is about, counted from 1, where there is one.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::Open { .. } => None,
            Self::NotADate { line, .. } => Some(*line),
            Self::Io { at, .. }
            | Self::BrokenGzip { at, .. }
            | Self::Truncated { at, .. }
            | Self::NotXes { at, .. }
            | Self::Malformed { at, .. }
            | Self::InvalidUtf8 { at }
            | Self::Encoding { at, .. }
            | Self::Doctype { at }
            | Self::IllegalCharacter { at, .. }
            | Self::EventOutsideTrace { at }
            | Self::UnexpectedElement { at, .. }
            | Self::UnexpectedText { at, .. }
            | Self::LateAttribute { at, .. }
            | Self::MissingKey { at, .. }
            | Self::MissingValue { at, .. }
            | Self::UnknownXmlAttribute { at, .. }
            | Self::DuplicateKey { at, .. }
            | Self::WrongValue { at, .. }
            | Self::Limit { at, .. } => Some(at.line),
        }
    }
}

/// The beginning of a text from the file, short enough for a message.
pub(crate) fn excerpt(text: &str) -> String {
    let mut short: String = text.trim().chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < text.trim().len() {
        short.push('…');
    }
    short
}
