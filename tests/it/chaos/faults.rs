//! A machine at its worst: `faults.c` between a program and its system, told what to do through a page of memory.

use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = include_str!("faults.c");

/// What can be wrong, and where on the page it stands; behind these stands as often how often it happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// By how many seconds the clock is ahead.
    Clock,
    /// Other than 0: no file grows.
    DiskFull,
    /// How many microseconds longer each sync takes.
    Sync,
}

const FAULTS: u64 = 3;

impl Fault {
    fn place(self) -> u64 {
        self as u64 * 8
    }
}

/// The faults of the programs that are started in its [environment](Faults::environment).
pub(super) struct Faults {
    library: PathBuf,
    path: PathBuf,
    page: File,
}

impl Faults {
    /// With the page in this directory, which those programs can enter. None where this kind of fault cannot be made.
    pub(super) fn of(dir: &Path, name: &str) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            eprintln!("SKIPPED: faults of the machine are made for Linux alone");
            return None;
        }
        let (source, library, path) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")), dir.join(name));
        std::fs::write(&source, SOURCE).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).args([&library, &source]).arg("-ldl");
        match compiler.status() {
            Ok(status) => assert!(status.success(), "faults.c does not compile"),
            Err(error) => {
                eprintln!("SKIPPED: faults of the machine need the C compiler `cc`: {error}");
                return None;
            }
        }
        let page = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        page.set_len(2 * FAULTS * 8).unwrap();
        // The server runs under another account, and counts there too.
        page.set_permissions(Permissions::from_mode(0o666)).unwrap();
        Some(Self { library, path, page })
    }

    /// What a program has to find in its environment.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        [("LD_PRELOAD", &self.library), ("FAULTS_PAGE", &self.path)]
            .map(|(name, path)| (name.to_owned(), path.to_str().unwrap().to_owned()))
            .into()
    }

    /// From now on it is so; 0 is as it should be.
    pub(super) fn set(&self, fault: Fault, value: i64) {
        self.page.write_all_at(&value.to_ne_bytes(), fault.place()).unwrap();
    }

    /// As [`Fault::Sync`].
    pub(super) fn each_sync_takes(&self, longer: Duration) {
        self.set(Fault::Sync, longer.as_micros().try_into().unwrap());
    }

    /// How often it has happened.
    pub(super) fn hits(&self, fault: Fault) -> i64 {
        let mut bytes = [0; 8];
        self.page.read_exact_at(&mut bytes, FAULTS * 8 + fault.place()).unwrap();
        i64::from_ne_bytes(bytes)
    }
}
