//! The receipt phase of building permits in a Dutch municipality (CoSeLoG), where the file is there.

use std::{collections::HashSet, fs, io::Read, path::Path};

use flate2::read::MultiGzDecoder;
use xes::Record;

use crate::{read, refused};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/receipt.xes.gz");

fn present() -> Option<&'static Path> {
    let path = Path::new(FILE);
    if !path.exists() {
        eprintln!("SKIPPED: {FILE} is not there, so nothing was checked against a real log");
        return None;
    }
    Some(path)
}

#[test]
fn the_receipt_log_is_read_whole() {
    let Some(path) = present() else { return };
    let (mut traces, mut events, mut repeated) = (HashSet::new(), 0_u64, 0);
    let (mut activities, mut resources) = (HashSet::new(), HashSet::new());
    let mut previous = None;
    let mut last = None;
    let mut reader = xes::open(path).unwrap();
    for record in reader.by_ref() {
        match record.unwrap() {
            Record::TraceStart { attributes, .. } => {
                traces.insert(attributes.text("concept:name").unwrap().to_owned());
                (previous, last) = (None, None);
            }
            Record::Event { attributes, .. } => {
                events += 1;
                let activity = attributes.text("concept:name").unwrap().to_owned();
                repeated += u32::from(previous.as_ref() == Some(&activity));
                activities.insert(activity.clone());
                previous = Some(activity);
                resources.insert(attributes.text("org:resource").unwrap().to_owned());
                let time = Some(attributes.date("time:timestamp").unwrap().unwrap());
                assert!(time > last, "times rise within each trace of this log");
                last = time;
            }
            Record::TraceEnd { .. } => {}
        }
    }
    assert_eq!((traces.len(), events, activities.len(), resources.len(), repeated), (1_434, 8_577, 27, 48, 6));
    assert_eq!(Some(reader.bytes_read()), reader.size());
}

#[test]
fn the_receipt_log_cut_anywhere_is_refused() {
    let Some(path) = present() else { return };
    let packed = fs::read(path).unwrap();
    let mut plain = Vec::new();
    MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut plain).unwrap();
    assert_eq!(read(plain.clone()).unwrap(), read(packed.clone()).unwrap());

    let end = plain.windows(6).rposition(|w| w == b"</log>").unwrap() + 5;
    // Steps of a prime, so that the cuts fall anywhere in tags; and the very end.
    for cut in (0..end).step_by(499_979).chain(end - 4..=end) {
        refused(&plain[..cut]);
    }
    for cut in (0..packed.len()).step_by(49_999).chain(packed.len() - 4..packed.len()) {
        refused(&packed[..cut]);
    }
}
