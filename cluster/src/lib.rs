//! A private PostgreSQL cluster run from the binaries on the machine: no server to set up, no TCP,
//! nothing left running. One data directory has at most one server, shared by all who start it.
//!
//! What lies in a data directory:
//!
//! | name | what it is |
//! |---|---|
//! | `postgres` | the cluster's data, or a link to it where the server's account cannot enter here |
//! | `postgres.log` | the server's log |
//! | `start.lock` | held while somebody starts, stops or discards the cluster |
//! | `users.lock` | held, shared, by each program that uses the cluster |

mod account;
mod binaries;
mod data;
mod error;
mod locks;
mod pid_file;
mod server;
mod throwaway;
mod tools;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use server::Server;

pub use error::ClusterError;
pub use throwaway::{sweep_throwaways, throwaway_dir};
pub use tools::Tools;

/// The superuser of every embedded cluster; it has no password.
const SUPERUSER: &str = "annals";
/// How long one program waits for another that starts or stops the same cluster. Longer than the
/// longest start, which is a recovery.
const LOCK_WAIT: Duration = Duration::from_secs(11 * 60);

/// How a cluster is run. The settings of a server that is adopted stay as its starter chose them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether a commit survives a crash of the machine. `false` is for tests: nothing is synced.
    pub durable: bool,
    /// Upper bound of connections, those of superusers included.
    pub max_connections: u32,
    /// Further settings as `postgresql.conf` knows them; they win over the built-in ones.
    pub settings: Vec<(String, String)>,
    /// What the server finds in its environment besides; otherwise that is all but empty.
    pub environment: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { durable: true, max_connections: 200, settings: Vec::new(), environment: Vec::new() }
    }
}

/// A running cluster. End it with [`Cluster::stop`]; one that is merely dropped is told to stop, but
/// nobody waits for it.
#[derive(Debug)]
pub struct Cluster {
    data_dir: PathBuf,
    server: Server,
    adopted: bool,
    /// `None` once the cluster was stopped.
    users: Option<File>,
}

impl Cluster {
    /// Starts the cluster of `data_dir`, creating both if need be, and returns when it answers. A
    /// server that already runs there, left by a killed program or shared with a living one, is
    /// adopted; what a crash left behind is recovered.
    ///
    /// # Errors
    /// Any [`ClusterError`]; one of the server itself carries the end of its log.
    pub async fn start(data_dir: &Path, options: Options) -> Result<Self, ClusterError> {
        fs::create_dir_all(data_dir).map_err(ClusterError::io("create the directory", data_dir))?;
        let data_dir = data_dir.canonicalize().map_err(ClusterError::io("resolve the directory", data_dir))?;

        let starting = locks::exclusive(&data_dir.join("start.lock"), LOCK_WAIT).await?;
        let (data, binaries) = data::open_or_create(&data_dir, options.durable).await?;
        let users = locks::shared(&data_dir.join("users.lock"), LOCK_WAIT).await?;
        let (server, adopted) = match Server::adopt(&data).await? {
            Some(server) => (server, true),
            None => {
                let log = data_dir.join("postgres.log");
                (Server::launch(&data, &binaries, &log, &arguments(&options), &options.environment).await?, false)
            }
        };
        drop(starting);
        tracing::info!(
            data = %data.path.display(),
            socket = %server.socket_dir().display(),
            adopted,
            "embedded PostgreSQL {} is ready", binaries.major
        );
        Ok(Self { data_dir, server, adopted, users: Some(users) })
    }

    /// The superuser's URL of a database of this cluster, over its Unix socket; understood by sqlx
    /// and by libpq. The database need not exist yet.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{SUPERUSER}@localhost:{}/{}?host={}&sslmode=disable",
            server::PORT,
            percent_encoded(database),
            percent_encoded(&self.server.socket_dir().to_string_lossy()),
        )
    }

    /// Whether the server was running already when this program came.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// Stops the server in order (open transactions are rolled back) and waits for its end. While
    /// other living programs use the cluster, it is left to them.
    ///
    /// # Errors
    /// [`ClusterError::StillRunning`] if it outlives even an immediate shutdown, or a lock or file
    /// cannot be had.
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        let Some(users) = self.users.take() else {
            return Ok(());
        };
        let _starting = locks::exclusive(&self.data_dir.join("start.lock"), LOCK_WAIT).await?;
        if locks::is_last_user(&users) {
            self.server.stop().await?;
        } else {
            tracing::info!("others use the embedded PostgreSQL; it is left to them");
        }
        Ok(())
    }

    /// Stops whatever a killed program left running in `data_dir` and removes the cluster's data,
    /// wherever it lies, with its log. Other files of the directory stay.
    ///
    /// # Errors
    /// [`ClusterError::InUse`] while a living program uses the cluster.
    pub async fn discard(data_dir: &Path) -> Result<(), ClusterError> {
        let Ok(data_dir) = data_dir.canonicalize() else {
            return Ok(());
        };
        let start_lock = data_dir.join("start.lock");
        let users_lock = data_dir.join("users.lock");
        let starting = locks::exclusive(&start_lock, LOCK_WAIT).await?;
        let users = locks::open(&users_lock)?;
        if !locks::is_last_user(&users) {
            return Err(ClusterError::InUse { data_dir });
        }
        data::remove(&data_dir).await?;
        for name in ["postgres.log", "postgres.log.old", "users.lock", "start.lock"] {
            data::remove_file(&data_dir.join(name))?;
        }
        drop((users, starting));
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(users) = self.users.take() else {
            return;
        };
        let Ok(starting) = locks::open(&self.data_dir.join("start.lock")) else {
            return;
        };
        if starting.try_lock().is_ok() && locks::is_last_user(&users) {
            self.server.tell_to_stop();
        }
    }
}

/// The settings as the server's arguments: for two cores and a few gigabytes; later ones win.
fn arguments(options: &Options) -> Vec<OsString> {
    let on_off = |on| String::from(if on { "on" } else { "off" });
    let mut settings: Vec<(String, String)> = [
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "4GB"),
        ("wal_compression", "on"),
        ("jit", "off"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_line_prefix", "%m [%p] %q%u@%d "),
        ("log_checkpoints", "off"),
        // Details quote the values of rows, which may be a person's.
        ("log_error_verbosity", if options.durable { "terse" } else { "default" }),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    settings.push(("max_connections".to_owned(), options.max_connections.to_string()));
    for name in ["fsync", "synchronous_commit", "full_page_writes"] {
        settings.push((name.to_owned(), on_off(options.durable)));
    }
    settings.extend(options.settings.iter().cloned());
    settings.into_iter().flat_map(|(name, value)| [OsString::from("-c"), OsString::from(format!("{name}={value}"))]).collect()
}

/// Percent-encodes everything but the unreserved characters of RFC 3986, section 2.3.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_reserves_is_encoded() {
        assert_eq!(percent_encoded("a/b c?é"), "a%2Fb%20c%3F%C3%A9");
    }

    #[test]
    fn the_callers_settings_come_last_and_so_win() {
        let settings = vec![("shared_buffers".to_owned(), "64MB".to_owned())];
        let arguments = arguments(&Options { settings, ..Options::default() });
        assert_eq!(arguments.last(), Some(&OsString::from("shared_buffers=64MB")));
        assert!(arguments.contains(&OsString::from("fsync=on")));
    }
}
