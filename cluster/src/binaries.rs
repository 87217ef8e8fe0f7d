//! Finds the PostgreSQL binaries on the machine: those of a server, 15 or newer or exactly the version whose data
//! exist; or the client's, of a version that the server takes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ClusterError;

/// The oldest version whose SQL Annals speaks.
const OLDEST: u32 = 15;

/// Where packages put versions side by side: every `parent/prefix*/bin`.
const PLACES: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@"),
];

/// The programs by which a directory is known: the first says its version, the second has to be there.
type Kind = [&'static str; 2];
const SERVER: Kind = ["postgres", "initdb"];
const CLIENT: Kind = ["pg_dump", "pg_restore"];

/// A directory that has these programs, and their major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) dir: PathBuf,
    pub(crate) major: u32,
}

/// Finds the binaries: those of `ANNALS_PG_BIN`, else the first on `PATH`, else the newest of the
/// usual places. `required` is the version of data that exist.
pub(crate) fn find(required: Option<u32>) -> Result<Binaries, ClusterError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    choose(
        std::env::var_os("ANNALS_PG_BIN"),
        std::env::split_paths(&path).collect(),
        PLACES.iter().flat_map(|(parent, prefix)| side_by_side(Path::new(parent), prefix, SERVER)).collect(),
        required,
    )
}

/// Finds the client's programs: those of `ANNALS_PG_BIN`, else of all that are there the oldest that are not older than
/// `at_least`, which a server of that version understands best.
pub(crate) fn find_client(at_least: u32) -> Result<Binaries, ClusterError> {
    let named = std::env::var_os("ANNALS_PG_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let dirs: Vec<PathBuf> = match &named {
        Some(dir) => vec![dir.clone()],
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let places = PLACES.iter().flat_map(|(parent, prefix)| side_by_side(Path::new(parent), prefix, CLIENT));
            std::env::split_paths(&path).chain(places).collect()
        }
    };
    let found: Vec<Binaries> = dirs.iter().filter_map(|dir| inspect(dir, CLIENT)).collect();
    let looked_in = named.map_or_else(|| "PATH and the usual directories".to_owned(), |dir| format!("ANNALS_PG_BIN={}", dir.display()));
    oldest(&found, at_least).ok_or_else(|| {
        let [dump, restore] = CLIENT;
        let problem = format!("{dump} and {restore} of PostgreSQL {at_least} or newer were not found in {looked_in}{}", instead(&found));
        let install = match cfg!(target_os = "macos") {
            true => format!("brew install postgresql@{at_least}"),
            false => format!("apt-get install postgresql-client-{at_least}"),
        };
        ClusterError::NoTools { problem, install }
    })
}

fn oldest(found: &[Binaries], at_least: u32) -> Option<Binaries> {
    found.iter().filter(|found| found.major >= at_least).min_by_key(|found| found.major).cloned()
}

fn choose(
    named: Option<OsString>,
    on_path: Vec<PathBuf>,
    elsewhere: Vec<PathBuf>,
    required: Option<u32>,
) -> Result<Binaries, ClusterError> {
    let fits = |found: &Binaries| match required {
        Some(major) => found.major == major,
        None => found.major >= OLDEST,
    };
    if let Some(dir) = named.filter(|dir| !dir.is_empty()) {
        let dir = PathBuf::from(dir);
        return match inspect(&dir, SERVER) {
            Some(found) if fits(&found) => Ok(found),
            other => Err(missing(required, &format!("ANNALS_PG_BIN={}", dir.display()), other.as_slice())),
        };
    }
    let mut found: Vec<Binaries> = on_path.iter().filter_map(|dir| inspect(dir, SERVER)).collect();
    if let Some(first) = found.iter().find(|found| fits(found)) {
        return Ok(first.clone());
    }
    found.extend(elsewhere.iter().filter_map(|dir| inspect(dir, SERVER)));
    match found.iter().filter(|found| fits(found)).max_by_key(|found| found.major) {
        Some(newest) => Ok(newest.clone()),
        None => Err(missing(required, "PATH and the usual directories", &found)),
    }
}

/// What a directory holds, if it has both programs and they run. Links are followed, since the
/// server finds its own files beside its real place, and what a wrapper stands for is elsewhere.
fn inspect(dir: &Path, [program, beside]: Kind) -> Option<Binaries> {
    let program = dir.join(program).canonicalize().ok()?;
    let dir = program.parent()?.to_owned();
    if !dir.join(beside).is_file() {
        return None;
    }
    let output = Command::new(&program).arg("--version").output().ok()?;
    let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries { dir, major })
}

/// Reads `postgres (PostgreSQL) 15.4 (Debian …)`, `17beta1` included.
fn major_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}

fn side_by_side(parent: &Path, prefix: &str, [program, _]: Kind) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join(program).exists())
        .collect()
}

fn missing(required: Option<u32>, looked_in: &str, found: &[Binaries]) -> ClusterError {
    let wanted = match required {
        Some(major) => format!("PostgreSQL {major}, which made the data that exist,"),
        None => format!("PostgreSQL {OLDEST} or newer"),
    };
    let instead = instead(found);
    let install = match (cfg!(target_os = "macos"), required) {
        (true, major) => format!("brew install postgresql@{}", major.unwrap_or(17)),
        (false, Some(major)) => format!("apt-get install postgresql-{major}"),
        // The script, unlike the bare package, starts no cluster of the system.
        (false, None) => "sh scripts/ensure-postgres.sh, or apt-get install postgresql".to_owned(),
    };
    ClusterError::NoBinaries { problem: format!("{wanted} was not found in {looked_in}{instead}"), install }
}

fn instead(found: &[Binaries]) -> String {
    let versions: Vec<String> = found.iter().map(|found| format!("{} in {}", found.major, found.dir.display())).collect();
    if versions.is_empty() { String::new() } else { format!("; only {} is there", versions.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn pretend(parent: &Path, name: &str, version: &str) -> PathBuf {
        let bin = parent.join(name).join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("initdb"), "").unwrap();
        fs::write(bin.join("postgres"), format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(bin.join("postgres"), PermissionsExt::from_mode(0o755)).unwrap();
        bin.canonicalize().unwrap()
    }

    #[test]
    fn versions_are_read_as_the_programs_print_them() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.4 (Debian 15.4-1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 17beta1\n"), Some(17));
        assert_eq!(major_version("sh: not found"), None);
    }

    #[test]
    fn nothing_found_names_the_command_to_install_it() {
        let error = choose(None, vec![], vec![], None).unwrap_err().to_string();
        assert!(error.contains("PostgreSQL 15 or newer was not found"), "{error}");
        assert!(error.contains("apt-get install") || error.contains("brew install"), "{error}");
        assert!(error.contains("ANNALS_PG_BIN") && error.contains("DATABASE_URL"), "{error}");
    }

    #[test]
    fn the_newest_wins_but_the_path_wins_over_it_and_the_override_over_all() {
        let temp = tempfile::tempdir().unwrap();
        let [old, mid, new] = [("14", "14.9"), ("16", "16.2"), ("17", "17.0")].map(|(name, version)| pretend(temp.path(), name, version));
        let all = side_by_side(temp.path(), "", SERVER);
        let dir = |named: Option<&PathBuf>, path: Vec<PathBuf>, required| {
            choose(named.map(|dir| dir.clone().into_os_string()), path, all.clone(), required).map(|found| found.dir)
        };
        assert_eq!(dir(None, vec![], None).unwrap(), new);
        assert_eq!(dir(None, vec![old.clone()], None).unwrap(), new);
        assert_eq!(dir(None, vec![old.clone(), mid.clone()], None).unwrap(), mid);
        assert_eq!(dir(Some(&mid), vec![], None).unwrap(), mid);
        assert_eq!(dir(None, vec![], Some(16)).unwrap(), mid);
        let error = dir(Some(&old), vec![], None).unwrap_err().to_string();
        assert!(error.contains("ANNALS_PG_BIN=") && error.contains("only 14"), "{error}");
        let error = dir(None, vec![], Some(15)).unwrap_err().to_string();
        assert!(error.contains("PostgreSQL 15, which made the data"), "{error}");
    }

    #[test]
    fn of_the_clients_programs_the_oldest_that_the_server_takes_are_used() {
        let of = |major| Binaries { dir: PathBuf::from(format!("/{major}")), major };
        let found = [of(17), of(15), of(16)];
        assert_eq!(
            [14, 15, 16, 17, 18].map(|least| oldest(&found, least).map(|found| found.major)),
            [Some(15), Some(15), Some(16), Some(17), None]
        );
    }
}
