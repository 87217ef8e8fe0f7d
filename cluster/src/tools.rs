//! The client programs of PostgreSQL, run to their end. Invariant: none of them outlives the call that runs it, unless
//! that call is dropped; what it needs to sign in is in its environment, where other users do not see it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::ClusterError;
use crate::binaries::{self, Binaries};

/// So much of what a program says is kept, from its end, in bytes.
const KEPT: usize = 4096;

/// `pg_dump`, `pg_restore` and those beside them, of one version.
#[derive(Clone, Debug)]
pub struct Tools(Binaries);

impl Tools {
    /// Finds those of a version that is not older than `at_least`: in `ANNALS_PG_BIN`, else the oldest of all on the
    /// machine.
    ///
    /// # Errors
    /// [`ClusterError::NoTools`].
    pub fn find(at_least: u32) -> Result<Self, ClusterError> {
        binaries::find_client(at_least).map(Self)
    }

    /// Their major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.0.major
    }

    /// Runs one of them with these variables and no others that speak to PostgreSQL; what it wrote to standard output.
    /// When `stop` comes, it is told to end, and waited for.
    ///
    /// # Errors
    /// It cannot be run, ends badly (with the end of what it said), or was stopped.
    pub async fn run(
        &self,
        program: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (&'static str, OsString)>,
        stop: impl Future<Output = ()>,
    ) -> Result<String, ClusterError> {
        let path = self.0.dir.join(program);
        let failed = |source| ClusterError::io("run", &path)(source);
        let mut command = Command::new(&path);
        command.env_clear().env("LC_ALL", "C").args(arguments);
        // Certificates may lie at home.
        command.envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))).envs(environment);
        // A Ctrl-C that is for us is not for it: we tell it ourselves, and so know why it ends.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let mut stopped = false;
        let ended = async {
            tokio::pin!(stop);
            loop {
                tokio::select! {
                    status = child.wait() => break status,
                    () = &mut stop, if !stopped => {
                        stopped = true;
                        if let Some(pid) = pid && let Err(error) = kill(pid, Signal::SIGTERM) {
                            tracing::warn!(%pid, %error, "could not stop {program}");
                        }
                    }
                }
            }
        };
        // All at once: one that nobody listens to stands still.
        let (status, out, err) = tokio::join!(ended, all(out), all(err));
        let (status, out, err) = (status.map_err(failed)?, out.map_err(failed)?, err.map_err(failed)?);
        if stopped && !status.success() {
            return Err(ClusterError::ToolStopped { program });
        }
        if !status.success() {
            let end = err.trim();
            let from = (end.len().saturating_sub(KEPT)..=end.len()).find(|from| end.is_char_boundary(*from)).unwrap_or(0);
            return Err(ClusterError::ToolFailed { program, status, said: end[from..].to_owned() });
        }
        if !err.is_empty() {
            tracing::warn!("{program}: {}", err.trim());
        }
        Ok(out)
    }

    /// Where they are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }
}

async fn all(pipe: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
