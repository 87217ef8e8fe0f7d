//! Advisory file locks. Whoever takes or tests `users.lock` holds `start.lock`, so that between a
//! test and what follows from it nobody comes or goes.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::ClusterError;

const RETRY: Duration = Duration::from_millis(20);

/// Opens a lock file, creating it if need be, without locking it.
pub(crate) fn open(path: &Path) -> Result<File, ClusterError> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(ClusterError::io("open the lock file", path))
}

/// Waits for the only lock on the file.
pub(crate) async fn exclusive(path: &Path, wait: Duration) -> Result<File, ClusterError> {
    acquire(path, wait, File::try_lock).await
}

/// Waits for one of the many locks on the file.
pub(crate) async fn shared(path: &Path, wait: Duration) -> Result<File, ClusterError> {
    acquire(path, wait, File::try_lock_shared).await
}

/// Gives up our lock and says whether nobody else has one; the file is then locked for us alone.
pub(crate) fn is_last_user(users: &File) -> bool {
    // Unlocked first, because what a second lock on one handle does is left to the system.
    users.unlock().is_ok() && users.try_lock().is_ok()
}

async fn acquire(path: &Path, wait: Duration, attempt: fn(&File) -> Result<(), TryLockError>) -> Result<File, ClusterError> {
    let deadline = Instant::now() + wait;
    loop {
        let file = open(path)?;
        match attempt(&file) {
            // One that was removed while we waited locks nothing any more.
            Ok(()) if is_still_there(&file, path) => return Ok(file),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(ClusterError::io("lock", path)(source)),
        }
        if Instant::now() >= deadline {
            return Err(ClusterError::Locked { path: path.to_owned(), waited: wait });
        }
        sleep(RETRY).await;
    }
}

fn is_still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.metadata()) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}
