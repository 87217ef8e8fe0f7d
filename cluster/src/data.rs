//! The cluster's data: created whole or not at all, and found again wherever they had to be put.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::binaries::{self, Binaries};
use crate::server::Server;
use crate::{ClusterError, SUPERUSER};

/// Where data go that the server's account could not reach in the data directory.
const ELSEWHERE: &str = "/var/lib/annals";

/// The data of an initialised cluster.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    /// The real directory, links followed.
    pub(crate) path: PathBuf,
    pub(crate) account: Account,
}

/// Opens the cluster of a data directory, or creates it.
pub(crate) async fn open_or_create(dir: &Path, durable: bool) -> Result<(Data, Binaries), ClusterError> {
    if let Some(data) = open(dir)? {
        let version = fs::read_to_string(data.path.join("PG_VERSION")).map_err(ClusterError::io("read the version of", &data.path))?;
        let major = version.trim().parse().ok();
        return Ok((data, binaries::find(major)?));
    }
    let binaries = binaries::find(None)?;
    let account = Account::choose()?;
    let place = place(dir);

    let fresh = dir.join("postgres.new");
    make_empty(&fresh, account)?;
    let path = if account.can_use(&fresh).await {
        initialise(&fresh, account, &binaries, durable).await?;
        rename(&fresh, &place)?;
        place
    } else {
        remove_tree(&fresh)?;
        let path = elsewhere(dir)?;
        tracing::info!(
            data = %path.display(), link = %place.display(),
            "the server's account cannot enter the data directory; the cluster's data go elsewhere"
        );
        let fresh = path.with_extension("new");
        make_empty(&fresh, account)?;
        initialise(&fresh, account, &binaries, durable).await?;
        rename(&fresh, &path)?;
        symlink(&path, &place).map_err(ClusterError::io("create the link", &place))?;
        path
    };
    Ok((Data { path, account }, binaries))
}

/// The cluster of a data directory, if there is one.
fn open(dir: &Path) -> Result<Option<Data>, ClusterError> {
    let place = place(dir);
    match fs::symlink_metadata(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClusterError::io("look at", &place)(error)),
        Ok(_) => {}
    }
    let Ok(path) = place.canonicalize() else {
        return Err(ClusterError::NotACluster { path: place });
    };
    // Asked first: to somebody else's data the next question has no answer.
    let account = Account::owner_of(&path)?;
    if !path.join("PG_VERSION").is_file() {
        return Err(ClusterError::NotACluster { path: place });
    }
    Ok(Some(Data { path, account }))
}

/// Stops what runs there and removes the data, wherever they lie.
pub(crate) async fn remove(dir: &Path) -> Result<(), ClusterError> {
    if let Some(data) = open(dir)? {
        match Server::running(&data) {
            Some(mut server) => server.stop().await?,
            None => Server::bury(&data)?,
        }
        remove_tree(&data.path)?;
    }
    remove_tree(&dir.join("postgres.new"))?;
    remove_file(&place(dir))
}

/// Removes a file; that it is not there is fine.
pub(crate) fn remove_file(path: &Path) -> Result<(), ClusterError> {
    absent_is_fine(fs::remove_file(path)).map_err(ClusterError::io("remove", path))
}

fn place(dir: &Path) -> PathBuf {
    dir.join("postgres")
}

/// A directory under [`ELSEWHERE`] that nobody has. Data without a link to them are left alone: they
/// belonged to a data directory that was removed, and with it perhaps the key that reads them.
fn elsewhere(dir: &Path) -> Result<PathBuf, ClusterError> {
    let root = Path::new(ELSEWHERE);
    fs::create_dir_all(root).map_err(ClusterError::io("create the directory", root))?;
    let mut hasher = DefaultHasher::new();
    dir.hash(&mut hasher);
    let name = format!("{:016x}", hasher.finish());
    let numbered = (2_u32..).map(|n| root.join(format!("{name}-{n}")));
    let free = std::iter::once(root.join(&name)).chain(numbered).find(|path| !path.exists());
    Ok(free.unwrap_or_else(|| root.join(name)))
}

async fn initialise(fresh: &Path, account: Account, binaries: &Binaries, durable: bool) -> Result<(), ClusterError> {
    let mut command = account.command(binaries.dir.join("initdb"));
    command
        .arg("-D")
        .arg(fresh)
        .args(["-U", SUPERUSER, "-E", "UTF8", "--locale=C"])
        // Who may enter the socket's directory is trusted; nobody comes by TCP.
        .args(["--auth-local=trust", "--auth-host=reject", "--no-instructions"]);
    if !durable {
        command.arg("--no-sync");
    }
    let output = command.output().await.map_err(ClusterError::io("run initdb for", fresh))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    remove_tree(fresh)?;
    Err(ClusterError::Initialise { path: fresh.to_owned(), output: said.trim().to_owned() })
}

fn make_empty(fresh: &Path, account: Account) -> Result<(), ClusterError> {
    remove_tree(fresh)?;
    fs::DirBuilder::new().mode(0o700).create(fresh).map_err(ClusterError::io("create the directory", fresh))?;
    account.give(fresh)
}

fn rename(from: &Path, to: &Path) -> Result<(), ClusterError> {
    fs::rename(from, to).map_err(ClusterError::io("move the new cluster to", to))
}

pub(crate) fn remove_tree(path: &Path) -> Result<(), ClusterError> {
    absent_is_fine(fs::remove_dir_all(path)).map_err(ClusterError::io("remove", path))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
