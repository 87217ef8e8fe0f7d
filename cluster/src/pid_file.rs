//! What `postmaster.pid` says, and whether to believe it: only as far as the process that it names is
//! PostgreSQL on these data.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::kill;
use nix::unistd::Pid;

/// The lines of `postmaster.pid` that matter here.
pub(crate) struct PidFile {
    pub(crate) pid: i32,
    pub(crate) socket_dir: Option<PathBuf>,
}

impl PidFile {
    pub(crate) fn read(data: &Path) -> Option<Self> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        // The first lines are: process, data directory, start time, port, socket directory.
        let socket_dir = lines.nth(3).filter(|line| !line.is_empty()).map(PathBuf::from);
        Some(Self { pid, socket_dir })
    }
}

/// Whether a process is a living PostgreSQL on these data: numbers are used again, after a restart
/// of a container almost surely.
pub(crate) fn runs_postgres(pid: i32, data: &Path) -> bool {
    if kill(Pid::from_raw(pid), None).is_err() {
        return false;
    }
    let proc = PathBuf::from(format!("/proc/{pid}"));
    if let Ok(stat) = fs::read_to_string(proc.join("stat")) {
        // `pid (name) state …`; the name may hold anything.
        let Some((head, rest)) = stat.rsplit_once(')') else {
            return true;
        };
        let named = head.split_once('(').is_some_and(|(_, name)| name == "postgres");
        // The server works in its data directory.
        let elsewhere = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd != data);
        return named && !elsewhere && !rest.trim_start().starts_with('Z');
    }
    let ps = std::process::Command::new("ps").args(["-o", "stat=,comm=", "-p", &pid.to_string()]).output();
    ps.is_ok_and(|output| {
        let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        !line.starts_with('Z') && line.ends_with("postgres")
    })
}
