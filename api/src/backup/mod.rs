//! Backups of the whole database, and what is made of them again. A backup is a directory: `dump`, written by `pg_dump`
//! from one snapshot, and `manifest.json`, which says what that snapshot held and seals it all under the master key.
//! Invariant: a directory that has a manifest is a whole backup, and a database that a restore has let go of holds, row
//! by row, what the snapshot held.

mod contents;
mod manifest;
mod restore;
mod take;

pub(crate) use restore::{RestoreArgs, restore};
pub(crate) use take::{BackupArgs, take};

use std::time::Duration;

/// Where PostgreSQL's part of a backup lies in its directory.
const DUMP: &str = "dump";

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let bytes = bytes as f64;
    match bytes {
        small if small < 1e6 => format!("{:.1} kB", small / 1e3),
        large if large < 1e9 => format!("{:.1} MB", large / 1e6),
        huge => format!("{:.2} GB", huge / 1e9),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
