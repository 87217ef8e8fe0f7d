//! Data directories of clusters that live as long as one command, and the removal of those whose
//! program was killed before it could do so itself.

use std::path::{Path, PathBuf};
use std::{env, fs};

use tempfile::TempDir;

use crate::{Cluster, ClusterError, locks};

const PREFIX: &str = "annals-throwaway-";

/// A new data directory in the system's directory for temporary files. Call [`Cluster::discard`]
/// before it is dropped: the cluster's data may lie elsewhere.
///
/// # Errors
/// [`ClusterError::Io`] if it cannot be created.
pub fn throwaway_dir() -> Result<TempDir, ClusterError> {
    use std::os::unix::fs::PermissionsExt;
    let parent = env::temp_dir();
    tempfile::Builder::new()
        .prefix(PREFIX)
        // Entered by the account that root steps down to; the data inside are private.
        .permissions(PermissionsExt::from_mode(0o755))
        .tempdir_in(&parent)
        .map_err(ClusterError::io("create a temporary directory in", &parent))
}

/// Stops and removes the throw-away clusters whose programs are dead. What cannot be removed, being
/// in use or somebody else's, is left.
pub async fn sweep_throwaways() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
            let dir = entry.path();
            let removed = Cluster::discard(&dir).await.map(|()| fs::remove_dir_all(&dir));
            tracing::debug!(dir = %dir.display(), ?removed, "swept");
        }
    }
}

/// A program that has only just made its directory holds no lock yet; it has no lock file either.
fn is_abandoned(dir: &Path) -> bool {
    let [start, users]: [PathBuf; 2] = ["start.lock", "users.lock"].map(|name| dir.join(name));
    let held = |path: &Path| locks::open(path).is_ok_and(|file| file.try_lock().is_err());
    start.is_file() && users.is_file() && !held(&start) && !held(&users)
}
