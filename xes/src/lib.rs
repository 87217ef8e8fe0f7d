//! A streaming reader of event logs in IEEE XES (IEEE 1849), plain or gzip.
//! What is read is complete or an error: nothing of a trace or an event is dropped in silence.
//!
//! [`open`] recognises gzip (of one or many members) by its first bytes, reads up to `<log>`, and
//! gives an iterator of [`Record`]s in file order:
//!
//! ```no_run
//! # fn main() -> Result<(), xes::XesError> {
//! let mut reader = xes::open(std::path::Path::new("log.xes.gz"))?;
//! while let Some(record) = reader.next() {
//!     match record? {
//!         xes::Record::TraceStart { trace, attributes, .. } => { /* the case begins */ }
//!         xes::Record::Event { trace, event, attributes, .. } => { /* one step of it */ }
//!         xes::Record::TraceEnd { trace, events } => { /* the case ends */ }
//!     }
//!     let _done = reader.bytes_read() as f64 / reader.size().unwrap_or(1) as f64;
//! }
//! # Ok(()) }
//! ```
//!
//! # What is read, and what is refused
//!
//! - At most one element is held in memory, within the limits of [`limits`].
//! - A trace's attributes stand before its events, as the schema has it; one that comes after an
//!   event is [`XesError::LateAttribute`], because its trace has been handed out already.
//! - The key of an attribute is unique within its element, lists excepted. The same attribute
//!   written twice with the same value and children is kept once; two that differ are
//!   [`XesError::DuplicateKey`].
//! - Extensions, classifiers, globals and the attributes of the log itself are passed over. Globals
//!   promise what elements carry; they are not filled in where an element breaks the promise.
//! - The XML is UTF-8, without DTD and so without entities of its own. The namespace is that of
//!   `<log>`, whichever it is; elements of another inside traces are refused.
//! - A date without a zone is UTC, and digits beyond the microsecond are cut.

mod attribute;
mod element;
mod error;
mod reader;
mod source;
mod time;
mod token;

use std::path::Path;

pub use attribute::{Attribute, Attributes, Value};
pub use error::{At, XesError};
pub use reader::{Reader, Record};

/// How much one element may hold. What is beyond is [`XesError::Limit`].
pub mod limits {
    /// Longest key or value, in bytes after decoding.
    pub const TEXT_BYTES: usize = 64 * 1024;
    /// Deepest nesting of attributes; those directly on a trace or an event are at depth 1.
    pub const DEPTH: usize = 32;
    /// Most attributes directly within one element.
    pub const ATTRIBUTES: usize = 1_000;
    /// Most bytes of one event, or of one trace without its events, with all that is nested
    /// (64 bytes are added for each attribute).
    pub const RECORD_BYTES: usize = 16 * 1024 * 1024;
    /// Longest tag, comment or stretch of text, in bytes as written.
    pub const MARKUP_BYTES: usize = 1024 * 1024;
    /// Deepest nesting within what is passed over (attributes of the log, globals).
    pub const SKIPPED_DEPTH: usize = 1_000;
}

/// Opens the log at `path`, plain or gzip, and reads up to its `<log>`.
///
/// # Errors
///
/// [`XesError::Open`] if the file cannot be opened, and whatever is wrong before `<log>`, so that a
/// file that is no event log is refused here and not at the first record.
pub fn open(path: &Path) -> Result<Reader, XesError> {
    let failed = |source| XesError::Open { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_dir() {
        return Err(failed(std::io::Error::other("it is a directory; name one file")));
    }
    Reader::new(file, about.is_file().then_some(about.len()))
}
