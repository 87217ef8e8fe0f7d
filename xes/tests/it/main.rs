//! The reader through its public face: small documents for each rule, logs written and read back,
//! and a real log.

// Helpers of tests are tests too, which clippy's configuration does not know.
#![allow(clippy::unwrap_used)]

mod broken;
mod receipt;
mod roundtrip;
mod rules;

use std::io::{Cursor, Write};

use flate2::{Compression, write::GzEncoder};
use xes::{Attributes, Reader, Record, XesError};

/// All records of a document, or the first error.
fn read(document: impl Into<Vec<u8>>) -> Result<Vec<Record>, XesError> {
    let document = document.into();
    let size = document.len() as u64;
    Reader::new(Cursor::new(document), Some(size))?.collect()
}

fn refused(document: impl Into<Vec<u8>>) -> XesError {
    match read(document) {
        Err(error) => error,
        Ok(records) => panic!("nothing was wrong: {records:?}"),
    }
}

/// A log of one trace with one event of these attributes, which stand from line 4 on.
fn with_event(attributes: &str) -> String {
    format!("<log>\n<trace>\n<event>\n{attributes}\n</event>\n</trace>\n</log>")
}

/// The attributes of the one event of such a log.
fn event(attributes: &str) -> Attributes {
    match read(with_event(attributes)).unwrap().swap_remove(1) {
        Record::Event { attributes, .. } => attributes,
        other => panic!("no event: {other:?}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
