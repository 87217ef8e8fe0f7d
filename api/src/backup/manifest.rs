//! What a backup says of itself. Invariant: it is sealed under the master key, and holds a digest of every file; so a
//! backup in which anything was changed, or that somebody without the key has made, is never restored. That matters
//! beyond damage: a dump is SQL that is run as the owner.

use super::DUMP;
use super::contents::Contents;
use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use domain::canonical_json;
use event_store::MasterKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "manifest.json";
const FORMAT: u32 = 1;
/// The purpose of the key that seals manifests.
const SEAL: &str = "backups";
/// A manifest is a few kilobytes: a line for each table and file.
const LARGEST: u64 = 16 << 20;

/// What a backup is of, and what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The version of the program that took it.
    pub(super) program: String,
    /// The major versions of the server and of `pg_dump`.
    pub(super) postgres: u32,
    pub(super) pg_dump: u32,
    /// The last migration of the database.
    pub(super) migration: i64,
    /// The fingerprint of the key under which everything is sealed.
    pub(super) master_key: String,
    #[serde(flatten)]
    pub(super) contents: Contents,
    /// The files of the dump, by name.
    files: BTreeMap<String, Digested>,
}

/// A file as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Digested {
    bytes: u64,
    sha256: String,
}

/// The file: the manifest and the seal over its canonical text.
#[derive(Serialize, Deserialize)]
struct Sealed {
    manifest: Value,
    seal: String,
}

/// What is said of a backup beside its contents and files.
pub(super) struct Origin {
    pub(super) postgres: u32,
    pub(super) pg_dump: u32,
    pub(super) migration: i64,
}

impl Manifest {
    /// Writes the manifest of the dump in this directory, and sees to it that the disk has all of it.
    pub(super) fn write(dir: &Path, origin: &Origin, contents: Contents, master: &MasterKey) -> anyhow::Result<Self> {
        let &Origin { postgres, pg_dump, migration } = origin;
        let (program, master_key) = (env!("CARGO_PKG_VERSION").to_owned(), master.fingerprint());
        let files = digest(&dir.join(DUMP))?;
        let manifest = Self { format: FORMAT, program, postgres, pg_dump, migration, master_key, contents, files };
        let value = serde_json::to_value(&manifest)?;
        let seal = master.seal(SEAL, canonical_json(&value)?.as_bytes());
        let path = dir.join(NAME);
        let written = || -> std::io::Result<()> {
            let mut file = File::create_new(&path)?;
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            let text = serde_json::to_string_pretty(&Sealed { manifest: value, seal })?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            File::open(dir)?.sync_all()
        };
        written().with_context(|| format!("writing {}", path.display()))?;
        Ok(manifest)
    }

    /// Reads the manifest of a backup and proves that all of it is as it was written, under this key.
    pub(super) fn check(dir: &Path, master: &MasterKey, key_file: &Path) -> anyhow::Result<Self> {
        let path = dir.join(NAME);
        let mut text = String::new();
        File::open(&path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)).with_context(|| {
            format!("{}: this is no backup, or one that was never finished; name a directory that `annals backup` has made", path.display())
        })?;
        let changed = || format!("{} is not as it was written: use another copy of the backup", path.display());
        let Sealed { manifest: value, seal } = serde_json::from_str(&text).with_context(changed)?;
        match value["format"].as_u64() {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => bail!("{} has format {format}; this program reads {FORMAT}: use the program that wrote it", path.display()),
            None => bail!(changed()),
        }
        let manifest: Self = serde_json::from_value(value.clone()).with_context(changed)?;
        ensure!(
            manifest.master_key == master.fingerprint(),
            "the backup is of a database whose master key has the fingerprint {}, that of {} has {}: restore it with the key it was taken with, of which there should be a copy in a safe place",
            manifest.master_key,
            key_file.display(),
            master.fingerprint()
        );
        ensure!(seal == master.seal(SEAL, canonical_json(&value)?.as_bytes()), changed());
        let found = digest(&dir.join(DUMP))?;
        for name in manifest.files.keys().chain(found.keys()) {
            let path = || dir.join(DUMP).join(name).display().to_string();
            match (manifest.files.get(name), found.get(name)) {
                (Some(written), Some(found)) if written == found => {}
                (Some(written), Some(found)) if written.bytes != found.bytes => {
                    bail!("{} has {} bytes and should have {}: use another copy of the backup", path(), found.bytes, written.bytes)
                }
                (Some(_), Some(_)) => bail!("{} is not as it was written: use another copy of the backup", path()),
                (Some(_), None) => bail!("{} is missing: use another copy of the backup", path()),
                (None, _) => bail!("{} is not of this backup: take it away, or use another copy", path()),
            }
        }
        Ok(manifest)
    }

    /// What the dump takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    /// What it is of, for people.
    pub(super) fn told(&self) -> String {
        let Contents { logs, events, as_of, read_models, .. } = &self.contents;
        let with = if *read_models { "with" } else { "without" };
        format!("{logs} logs with {events} events, as of {}, {with} the rows of read models", instant(*as_of))
    }
}

/// A point in time as people, and `--until` of others, write it.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Every file of a directory, read.
fn digest(dir: &Path) -> anyhow::Result<BTreeMap<String, Digested>> {
    let reading = |path: PathBuf| move || format!("reading {}", path.display());
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).with_context(reading(dir.to_owned()))? {
        let path = entry.with_context(reading(dir.to_owned()))?.path();
        let mut sha256 = Sha256::new();
        let bytes = File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut sha256)).with_context(reading(path.clone()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, Digested { bytes, sha256: hex::encode(sha256.finalize()) });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn backup() -> (tempfile::TempDir, MasterKey) {
        let (dir, master) = (tempfile::tempdir().unwrap(), MasterKey::new([7; 32]));
        fs::create_dir(dir.path().join(DUMP)).unwrap();
        fs::write(dir.path().join("dump/toc.dat"), "toc").unwrap();
        fs::write(dir.path().join("dump/1.dat.gz"), "rows").unwrap();
        let contents = Contents { logs: 1, events: 2, as_of: DateTime::UNIX_EPOCH, read_models: false, tables: BTreeMap::new() };
        let origin = Origin { postgres: 15, pg_dump: 17, migration: 46 };
        Manifest::write(dir.path(), &origin, contents, &master).unwrap();
        (dir, master)
    }

    fn refused(change: impl Fn(&Path)) -> String {
        let (dir, master) = backup();
        change(dir.path());
        format!("{:#}", Manifest::check(dir.path(), &master, Path::new("master.key")).unwrap_err())
    }

    #[test]
    fn a_backup_that_nobody_touched_is_whole() {
        let (dir, master) = backup();
        let manifest = Manifest::check(dir.path(), &master, Path::new("master.key")).unwrap();
        assert_eq!((manifest.bytes(), manifest.contents.events, manifest.migration), (7, 2, 46));
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dir.path().join(NAME)).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn another_key_is_told_from_a_changed_manifest() {
        let (dir, _) = backup();
        let error = Manifest::check(dir.path(), &MasterKey::new([8; 32]), Path::new("other.key")).unwrap_err().to_string();
        assert!(error.contains("other.key") && error.contains("the key it was taken with"), "{error}");
        let forged = |dir: &Path| {
            let path = dir.join(NAME);
            fs::write(&path, fs::read_to_string(&path).unwrap().replace("\"events\": 2", "\"events\": 3")).unwrap();
        };
        assert!(refused(forged).contains("manifest.json is not as it was written"));
    }

    #[test]
    fn whatever_was_done_to_its_files_is_found_and_named() {
        for (change, said) in [
            (
                &(|dir: &Path| fs::write(dir.join("dump/1.dat.gz"), "row").unwrap()) as &dyn Fn(&Path),
                "1.dat.gz has 3 bytes and should have 4",
            ),
            (&|dir| fs::write(dir.join("dump/1.dat.gz"), "cows").unwrap(), "1.dat.gz is not as it was written"),
            (&|dir| fs::remove_file(dir.join("dump/toc.dat")).unwrap(), "toc.dat is missing"),
            (&|dir| fs::write(dir.join("dump/more"), "").unwrap(), "more is not of this backup"),
            (&|dir| fs::remove_file(dir.join(NAME)).unwrap(), "never finished"),
            (&|dir| fs::write(dir.join(NAME), "{}").unwrap(), "manifest.json is not as it was written"),
            (&|dir| fs::write(dir.join(NAME), r#"{"manifest":{"format":9},"seal":""}"#).unwrap(), "has format 9; this program reads 1"),
        ] {
            let error = refused(change);
            assert!(error.contains(said), "{said} is not in: {error}");
        }
    }
}
