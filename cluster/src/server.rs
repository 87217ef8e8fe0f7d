//! One server process: found by its pid file, launched, asked whether it answers, and stopped.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::account::Account;
use crate::binaries::Binaries;
use crate::data::{Data, remove_file, remove_tree};
use crate::pid_file::{PidFile, runs_postgres};
use crate::{ClusterError, SUPERUSER};

/// Names the socket's file only; nothing listens on TCP.
pub(crate) const PORT: u16 = 5432;

const POLL: Duration = Duration::from_millis(20);
/// For a server that says nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// For one that says that it is starting, recovering or stopping.
const RECOVERY: Duration = Duration::from_secs(10 * 60);
const FAST_STOP: Duration = Duration::from_secs(60);
const IMMEDIATE_STOP: Duration = Duration::from_secs(15);
/// A log longer than this, in bytes, is set aside at the next launch.
const LONG_LOG: u64 = 16 << 20;
const SOCKET_PREFIX: &str = "annals-";

/// A server process on a cluster's data.
#[derive(Debug)]
pub(crate) struct Server {
    data: PathBuf,
    socket_dir: PathBuf,
    /// Known when it is ours, so that it can be reaped.
    child: Option<Child>,
}

/// What came of an attempt to connect.
enum Answer {
    Ready,
    /// It starts, recovers or stops.
    Busy,
    Silent(String),
}

impl Server {
    pub(crate) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The server that runs on the data, whether or not it answers.
    pub(crate) fn running(data: &Data) -> Option<Self> {
        let file = PidFile::read(&data.path)?;
        runs_postgres(file.pid, &data.path).then(|| Self {
            data: data.path.clone(),
            socket_dir: file.socket_dir.unwrap_or_default(),
            child: None,
        })
    }

    /// The server that runs on the data and answers; none if none runs, or the one that did has
    /// finished stopping meanwhile.
    pub(crate) async fn adopt(data: &Data) -> Result<Option<Self>, ClusterError> {
        let begun = Instant::now();
        loop {
            let Some(server) = Self::running(data) else {
                return Ok(None);
            };
            let (patience, reason) = match ask(&server.socket_dir).await {
                Answer::Ready => return Ok(Some(server)),
                Answer::Busy => (RECOVERY, "it is starting or stopping".to_owned()),
                Answer::Silent(reason) => (SILENCE, reason),
            };
            if begun.elapsed() > patience {
                let pid = server.pid().map_or(0, Pid::as_raw);
                return Err(ClusterError::Unanswering { pid, path: data.path.clone(), reason });
            }
            sleep(POLL).await;
        }
    }

    /// Launches a server where none runs, and returns when it answers.
    pub(crate) async fn launch(
        data: &Data,
        binaries: &Binaries,
        log: &Path,
        settings: &[OsString],
        environment: &[(String, String)],
    ) -> Result<Self, ClusterError> {
        let socket_dir = socket_dir(data)?;
        // It names a dead server or a process that is something else; the server, which sees only
        // the number, would refuse to start beside the latter.
        remove_file(&data.path.join("postmaster.pid"))?;
        set_aside_if_long(log)?;

        let begun = Instant::now();
        loop {
            let written = fs::metadata(log).map_or(0, |meta| meta.len());
            let mut command = command(data, binaries, log, settings, &socket_dir)?;
            command.envs(environment.iter().map(|(name, value)| (name, value)));
            let child = command.spawn().map_err(ClusterError::io("run postgres from", &binaries.dir))?;
            let mut server = Self { data: data.path.clone(), socket_dir: socket_dir.clone(), child: Some(child) };
            let what = match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                Err(what) => what,
            };
            let tail = tail(log, written);
            // What a killed server's last processes hold is free as soon as they notice its end.
            let held = tail.contains("pre-existing shared memory block");
            if !held || begun.elapsed() > SILENCE {
                server.stop().await?;
                return Err(ClusterError::NotReady { what, log: log.to_owned(), tail });
            }
            sleep(POLL).await;
        }
    }

    async fn wait_until_ready(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                return Err(format!("ended at once ({status})"));
            }
            let patience = match ask(&self.socket_dir).await {
                Answer::Ready => return Ok(()),
                Answer::Busy => RECOVERY,
                Answer::Silent(reason) if begun.elapsed() > SILENCE => {
                    return Err(format!("did not answer within {SILENCE:?} ({reason})"));
                }
                Answer::Silent(_) => SILENCE,
            };
            if begun.elapsed() > patience {
                return Err(format!("was not ready within {patience:?}"));
            }
            sleep(POLL).await;
        }
    }

    /// Asks for a fast shutdown, then for an immediate one, and waits until the process is gone.
    pub(crate) async fn stop(&mut self) -> Result<(), ClusterError> {
        for (signal, patience) in [(Signal::SIGINT, FAST_STOP), (Signal::SIGQUIT, IMMEDIATE_STOP)] {
            self.signal(signal);
            if timeout(patience, self.gone()).await.is_ok() {
                return remove_socket_dir(&self.socket_dir);
            }
            tracing::warn!(?patience, "PostgreSQL does not stop");
        }
        let pid = self.pid().map_or(0, Pid::as_raw);
        Err(ClusterError::StillRunning { pid, waited: FAST_STOP + IMMEDIATE_STOP })
    }

    /// Asks for a fast shutdown and does not wait.
    pub(crate) fn tell_to_stop(&self) {
        self.signal(Signal::SIGINT);
        if let Err(error) = remove_socket_dir(&self.socket_dir) {
            tracing::warn!(%error, "the socket's directory stays");
        }
    }

    /// Removes what a server that runs no more has left outside of its data.
    pub(crate) fn bury(data: &Data) -> Result<(), ClusterError> {
        let socket_dir = PidFile::read(&data.path).and_then(|file| file.socket_dir);
        match socket_dir.filter(|dir| data.account.has_private(dir)) {
            Some(dir) => remove_socket_dir(&dir),
            None => Ok(()),
        }
    }

    async fn gone(&mut self) {
        // The pid file goes shortly before the process.
        let pid = self.pid().map(Pid::as_raw);
        if let Some(child) = &mut self.child {
            // Fails only if it was reaped already.
            let _status = child.wait().await;
        }
        while self.pid().is_some() || pid.is_some_and(|pid| runs_postgres(pid, &self.data)) {
            sleep(POLL).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid()
            && let Err(error) = kill(pid, signal)
        {
            tracing::warn!(%pid, %error, "could not send {signal} to PostgreSQL");
        }
    }

    /// Read anew each time: another program that shares the data may have replaced the process. A
    /// server of ours that has not yet written the file is known by its handle.
    fn pid(&self) -> Option<Pid> {
        let ours = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        let pid = PidFile::read(&self.data).map(|file| file.pid).or(ours)?;
        (ours == Some(pid) || runs_postgres(pid, &self.data)).then(|| Pid::from_raw(pid))
    }
}

async fn ask(socket_dir: &Path) -> Answer {
    if socket_dir.as_os_str().is_empty() {
        return Answer::Silent("it has no socket yet".to_owned());
    }
    let options = PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(PORT)
        .username(SUPERUSER)
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging();
    match timeout(Duration::from_secs(5), options.connect()).await {
        Ok(Ok(connection)) => {
            // It answered; how the farewell goes does not matter.
            let _closed = connection.close().await;
            Answer::Ready
        }
        Ok(Err(sqlx::Error::Database(error))) => match error.code().as_deref() {
            Some("57P03") => Answer::Busy,  // cannot_connect_now
            Some("53300") => Answer::Ready, // too_many_connections: it is well, and busy
            _ => Answer::Silent(error.to_string()),
        },
        Ok(Err(error)) => Answer::Silent(error.to_string()),
        Err(_) => Answer::Silent("no answer within 5 s".to_owned()),
    }
}

fn command(data: &Data, binaries: &Binaries, log: &Path, settings: &[OsString], socket_dir: &Path) -> Result<Command, ClusterError> {
    let opened = OpenOptions::new().create(true).append(true).open(log);
    let out = opened.map_err(ClusterError::io("open the log", log))?;
    let err = out.try_clone().map_err(ClusterError::io("open the log", log))?;
    let mut command = detached(data.account, &binaries.dir.join("postgres"));
    command.arg("-D").arg(&data.path).arg("-k").arg(socket_dir).args(settings).stdout(out).stderr(err);
    Ok(command)
}

/// A command that the terminal's Ctrl-C does not reach: in a session of its own where the system
/// has `setsid`, else in a process group of its own.
fn detached(account: Account, program: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let setsid = std::env::split_paths(&path).map(|dir| dir.join("setsid")).find(|file| file.is_file());
    match setsid {
        // Not in a group of its own besides: `setsid` would fork, and its number would be lost.
        Some(setsid) => {
            let mut command = account.command(setsid);
            command.arg(program);
            command
        }
        None => {
            let mut command = account.command(program);
            command.process_group(0);
            command
        }
    }
}

/// A short private directory for the socket. That of a killed server is used again, so that those
/// who share the cluster find the new server where the old one was.
fn socket_dir(data: &Data) -> Result<PathBuf, ClusterError> {
    let old = PidFile::read(&data.path).and_then(|file| file.socket_dir);
    if let Some(old) = old.filter(|old| is_socket_dir(old) && data.account.has_private(old)) {
        for entry in fs::read_dir(&old).into_iter().flatten().flatten() {
            remove_file(&entry.path())?;
        }
        return Ok(old);
    }
    // Not TMPDIR, which is long on a Mac and may be closed to the server's account.
    let parent = Some(PathBuf::from("/tmp")).filter(|tmp| tmp.is_dir()).unwrap_or_else(std::env::temp_dir);
    let made = tempfile::Builder::new().prefix(SOCKET_PREFIX).permissions(PermissionsExt::from_mode(0o700)).tempdir_in(&parent);
    let dir = made.map_err(ClusterError::io("create a directory for the socket in", &parent))?;
    data.account.give(dir.path())?;
    if dir.path().as_os_str().as_bytes().len() + "/.s.PGSQL.5432.lock".len() >= 100 {
        return Err(ClusterError::SocketPathTooLong { path: dir.path().to_owned() });
    }
    Ok(dir.keep())
}

fn is_socket_dir(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name.as_bytes().starts_with(SOCKET_PREFIX.as_bytes()))
}

fn remove_socket_dir(dir: &Path) -> Result<(), ClusterError> {
    if is_socket_dir(dir) { remove_tree(dir) } else { Ok(()) }
}

fn set_aside_if_long(log: &Path) -> Result<(), ClusterError> {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LONG_LOG) {
        fs::rename(log, log.with_extension("log.old")).map_err(ClusterError::io("set aside", log))?;
    }
    Ok(())
}

/// The last lines of what was written to the log since it had `from` bytes.
fn tail(log: &Path, from: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let new = usize::try_from(from).ok().and_then(|from| bytes.get(from..)).unwrap_or(&bytes);
    let text = String::from_utf8_lossy(new);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
