//! The operating system's account that the server runs under: ours, or an unprivileged one when we
//! are root, because PostgreSQL refuses to run as root.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Stdio;

use nix::unistd::{Uid, User};
use tokio::process::Command;

use crate::ClusterError;

/// Who runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Ourselves,
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Whom a new cluster is to belong to.
    pub(crate) fn choose() -> Result<Self, ClusterError> {
        if !Uid::effective().is_root() {
            return Ok(Self::Ourselves);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .filter(|user| !user.uid.is_root())
            .map(|user| Self::Other { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
            .ok_or(ClusterError::NoAccount)
    }

    /// Whom an existing cluster belongs to.
    pub(crate) fn owner_of(path: &Path) -> Result<Self, ClusterError> {
        let meta = fs::metadata(path).map_err(ClusterError::io("look at", path))?;
        let (ours, owner) = (Uid::effective(), meta.uid());
        match (ours.is_root(), owner) {
            (true, 0) => Err(ClusterError::ForeignOwner { path: path.to_owned(), owner }),
            (true, uid) => Ok(Self::Other { uid, gid: meta.gid() }),
            (false, uid) if uid == ours.as_raw() => Ok(Self::Ourselves),
            (false, owner) => Err(ClusterError::ForeignOwner { path: path.to_owned(), owner }),
        }
    }

    /// A command run as this account, in no directory it could lack the right to, and with an
    /// environment in which nothing speaks to PostgreSQL (PGPORT, LC_ALL and the like).
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Hands a file or directory that we made to the account.
    pub(crate) fn give(self, path: &Path) -> Result<(), ClusterError> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid)).map_err(ClusterError::io("change the owner of", path)),
        }
    }

    /// Whether the account reaches and may write the directory. Tried rather than computed from
    /// modes: parents, access lists and mounts all have their say.
    pub(crate) async fn can_use(self, dir: &Path) -> bool {
        self.command("/bin/sh")
            .args(["-c", "cd \"$0\" && test -w ."])
            .arg(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await
            .is_ok_and(|status| status.success())
    }

    /// Whether a directory belongs to the account and to nobody else.
    pub(crate) fn has_private(self, dir: &Path) -> bool {
        let uid = match self {
            Self::Ourselves => Uid::effective().as_raw(),
            Self::Other { uid, .. } => uid,
        };
        fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid && meta.mode() & 0o077 == 0)
    }
}
