//! What the program is told from outside. A flag wins over its environment variable, which wins over
//! `annals.toml`, which wins over the default. Invariant: nothing is ignored in silence; a name nobody knows is
//! an error, wherever it stands.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, ValueEnum};
use sqlx::postgres::PgConnectOptions;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The file that is read if it is there and no other is named.
const DEFAULT_FILE: &str = "annals.toml";
const PREFIX: &str = "ANNALS_";
/// Read by other parts: `cluster` looks for the binaries of PostgreSQL there.
const ELSEWHERE: [&str; 1] = ["ANNALS_PG_BIN"];

/// The settings. Each field is a flag, an environment variable and a key of `annals.toml` in one.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings, each also as a variable or in annals.toml (flag over variable over file)")]
pub struct Config {
    /// The file of settings; without this, annals.toml of the working directory, if there is one
    #[arg(long, env = "ANNALS_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Where GraphQL, sign-in, /livez and /readyz are served; port 0 takes any free one
    #[arg(long, env = "ANNALS_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = address, global = true)]
    pub listen: SocketAddr,

    /// Where /metrics, and again /livez and /readyz, are served; not for the public
    #[arg(long, env = "ANNALS_ADMIN_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081", value_parser = address, global = true)]
    pub admin_listen: SocketAddr,

    /// Where the embedded PostgreSQL and its master key lie; not used with DATABASE_URL
    #[arg(long, env = "ANNALS_DATA_DIR", value_name = "DIRECTORY", default_value = ".annals", value_parser = path, global = true)]
    pub data_dir: PathBuf,

    /// The PostgreSQL to use, 15 or newer: postgres://OWNER@HOST/DATABASE. Its user is who `migrate` signs in as;
    /// everything else signs in as roles of Annals. Without it, or empty, an embedded server is started
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true, hide_default_value = true, global = true)]
    database_url: Option<DatabaseUrl>,

    /// The file with the master key, mode 0600; needed with DATABASE_URL, else master.key in the data directory
    #[arg(long, env = "ANNALS_MASTER_KEY_FILE", value_name = "FILE", value_parser = path, global = true)]
    pub master_key_file: Option<PathBuf>,

    /// Connections for queries, at the most
    #[arg(long, env = "ANNALS_API_CONNECTIONS", value_name = "1..=1000", default_value = "16", value_parser = Whole(1..=1000), global = true)]
    pub api_connections: u32,

    /// Connections for loading aggregates and grants, at the most
    #[arg(long, env = "ANNALS_LOADER_CONNECTIONS", value_name = "1..=1000", default_value = "8", value_parser = Whole(1..=1000), global = true)]
    pub loader_connections: u32,

    /// Connections for the projector, at the most
    #[arg(long, env = "ANNALS_WORKER_CONNECTIONS", value_name = "1..=1000", default_value = "4", value_parser = Whole(1..=1000), global = true)]
    pub worker_connections: u32,

    /// Queues over which the appends of all tenants are spread, each with a connection of its own
    #[arg(long, env = "ANNALS_APPEND_GROUPS", value_name = "1..=64", default_value = "2", value_parser = Whole(1..=64), global = true)]
    pub append_groups: u32,

    /// MiB of events that may wait to be appended; beyond, commands are refused as OVERLOADED
    #[arg(long, env = "ANNALS_APPEND_WAITING_MIB", value_name = "1..=4095", default_value = "64", value_parser = Whole(1..=4095), global = true)]
    pub append_waiting_mib: u32,

    /// Whether what waits is first appended as a whole; off, each command is checked under locks, as right and slower
    #[arg(long, env = "ANNALS_APPEND_SWIFT", value_name = "on|off", default_value = "on", value_enum, global = true)]
    pub append_swift: Switch,

    /// Whether processes of one database wake each other by NOTIFY; off, they look for themselves, somewhat later
    #[arg(long, env = "ANNALS_NOTIFICATIONS", value_name = "on|off", default_value = "on", value_enum, global = true)]
    pub notifications: Switch,

    /// Seconds that requests under way have to end in when the program is told to stop
    #[arg(long, env = "ANNALS_SHUTDOWN_GRACE_SECONDS", value_name = "0..=3600", default_value = "30", value_parser = Whole(0..=3600), global = true)]
    shutdown_grace_seconds: u32,

    /// How the log is written, on standard error
    #[arg(long, env = "ANNALS_LOG_FORMAT", value_name = "FORMAT", default_value = "auto", value_enum, global = true)]
    pub log_format: LogFormat,

    /// What the log tells: levels by module, as in `info,event_store=debug`
    #[arg(long, env = "ANNALS_LOG_FILTER", value_name = "FILTER", default_value = "info", value_parser = filter, global = true)]
    pub log_filter: String,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise
    Auto,
    /// Lines for people
    Human,
    /// One JSON object a line
    Json,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is done
    On,
    /// It is not
    Off,
}

/// Where a database is and how to sign in there. Shown without its password.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    // Checked later: an error of clap would show the password.
    fn from_str(url: &str) -> Result<Self, Self::Err> {
        Ok(Self(url.trim().to_owned()))
    }
}

impl DatabaseUrl {
    /// The options of a connection.
    ///
    /// # Errors
    /// Not a URL of PostgreSQL. The error does not show it.
    pub fn options(&self) -> Result<PgConnectOptions, ConfigError> {
        let known = self.0.starts_with("postgres://") || self.0.starts_with("postgresql://");
        known.then(|| self.0.parse().ok()).flatten().ok_or(ConfigError::DatabaseUrl)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.options() {
            Ok(options) => {
                let database = options.get_database().unwrap_or_default();
                write!(f, "postgres://{}@{}:{}/{database}", options.get_username(), options.get_host(), options.get_port())
            }
            Err(_) => f.write_str("(not a URL)"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl Config {
    /// The server to use; `None` for the embedded one. An empty URL is none.
    #[must_use]
    pub fn database_url(&self) -> Option<&DatabaseUrl> {
        self.database_url.as_ref().filter(|url| !url.0.is_empty())
    }

    /// How long requests under way have when the program stops.
    #[must_use]
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds.into())
    }
}

/// What is wrong with the settings.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("settings file {path}: {error}; correct ANNALS_CONFIG or --config, or make the file readable", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("settings file {path}: {error}", path = path.display())]
    Toml {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        error: String,
    },
    /// A name that no setting has.
    #[error("{place}: there is no setting {name}{}; `annals --help` lists them all", nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Unknown {
        /// The file or the environment.
        place: String,
        /// The name.
        name: String,
        /// The known name that is most like it.
        nearest: Option<String>,
    },
    /// A value that a setting cannot have.
    #[error("settings file {path}: {key}: {rule}", path = path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which setting.
        key: String,
        /// What its value must be.
        rule: String,
    },
    /// `DATABASE_URL` cannot be used.
    #[error(
        "DATABASE_URL (--database-url, database_url) must be a URL such as postgres://owner:password@host:5432/annals, with special characters in the password percent-encoded; unset it to use the embedded server"
    )]
    DatabaseUrl,
}

/// One setting, as the flags know it.
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) variable: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is tested against it"))]
    pub(crate) default: Option<String>,
}

/// All settings.
pub(crate) fn settings() -> Vec<Setting> {
    Config::augment_args(Command::new("annals"))
        .get_arguments()
        .map(|argument| Setting {
            key: argument.get_id().to_string(),
            variable: argument.get_env().unwrap_or_default().to_string_lossy().into_owned(),
            default: argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned()),
        })
        .collect()
}

/// Refuses an environment that holds `ANNALS_` variables nobody reads.
///
/// # Errors
/// [`ConfigError::Unknown`] with the name that was probably meant.
pub(crate) fn check_environment(names: impl IntoIterator<Item = OsString>) -> Result<(), ConfigError> {
    let known: Vec<String> = settings().into_iter().map(|setting| setting.variable).chain(ELSEWHERE.map(str::to_owned)).collect();
    for name in names {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && !known.contains(&name) {
            return Err(ConfigError::Unknown { place: "environment".to_owned(), nearest: nearest(&name, &known), name });
        }
    }
    Ok(())
}

/// Which file of settings to read: the one that was named, else the usual one if it is there.
pub(crate) fn file(arguments: &[OsString], variable: Option<OsString>) -> Option<PathBuf> {
    let mut named = variable.filter(|name| !name.is_empty()).map(PathBuf::from);
    let mut arguments = arguments.iter().take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            named = arguments.next().map(PathBuf::from);
        } else if let Some(path) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            named = Some(PathBuf::from(path));
        }
    }
    named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
}

/// The command with what the file says for defaults.
///
/// # Errors
/// A file that cannot be read, a name no setting has, a value its setting cannot have.
pub(crate) fn with_file(mut command: Command, path: &Path) -> Result<Command, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // The error's own text shows the line, which may hold a password.
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        ConfigError::Toml { path: path.to_owned(), error: format!("line {line}: {}", error.message()) }
    })?;
    // A file does not name a file.
    let known: Vec<String> = settings().into_iter().map(|setting| setting.key).filter(|key| key != "config").collect();
    for (key, value) in table {
        if !known.contains(&key) {
            return Err(ConfigError::Unknown {
                place: format!("settings file {}", path.display()),
                nearest: nearest(&key, &known),
                name: key,
            });
        }
        let refused = |rule: String| ConfigError::Value { path: path.to_owned(), key: key.clone(), rule };
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => return Err(refused(format!("must be a text or a whole number, not a {}", other.type_str()))),
        };
        check(&key, &value).map_err(refused)?;
        command = command.mut_arg(&key, |argument| argument.default_value(value));
    }
    Ok(command)
}

/// Has a setting's own parser judge a value, since clap trusts defaults.
fn check(key: &str, value: &str) -> Result<(), String> {
    let flag = format!("--{}", key.replace('_', "-"));
    let alone = Config::augment_args(Command::new("annals").no_binary_name(true)).mut_args(without_environment);
    let alone = alone.disable_help_flag(true);
    match alone.try_get_matches_from([format!("{flag}={value}")]) {
        Ok(_) => Ok(()),
        Err(error) => Err(match std::error::Error::source(&error) {
            Some(rule) => format!("{value:?}: {rule}"),
            None => match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) => format!("{value:?}: must be one of {}", values.join(", ")),
                _ => format!("{value:?} is not what this setting can have"),
            },
        }),
    }
}

/// An argument that only its flag and its default set.
pub(crate) fn without_environment(argument: clap::Arg) -> clap::Arg {
    argument.env(clap::builder::Resettable::<clap::builder::OsStr>::Reset)
}

/// Adds to an error of clap where else the setting may have come from, since it only knows flags.
pub(crate) fn explain(mut error: clap::Error) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return error;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let key = flag.split_whitespace().next().unwrap_or_default().trim_start_matches("--").replace('-', "_");
    if let Some(setting) = settings().into_iter().find(|setting| setting.key == key) {
        let tip = format!("the value is the flag's, or else that of the variable {}", setting.variable);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn nearest(name: &str, known: &[String]) -> Option<String> {
    let likeness = |known: &String| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    // ANNALS_ alone already makes names alike.
    (likeness(best) > 0.85).then(|| best.clone())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let localhost = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    localhost
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("must be a path, not empty; leave the setting out for its default".to_owned()) } else { Ok(text.into()) }
}

fn filter(text: &str) -> Result<String, String> {
    let rule = |error: &dyn fmt::Display| format!("{error}; must be levels by module, such as `info` or `warn,event_store=debug`");
    tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| rule(&error))
}

/// A whole number within bounds.
#[derive(Clone)]
struct Whole(RangeInclusive<u32>);

impl clap::builder::TypedValueParser for Whole {
    type Value = u32;

    fn parse_ref(&self, command: &Command, argument: Option<&clap::Arg>, value: &OsStr) -> Result<u32, clap::Error> {
        let range = self.0.clone();
        let parse = move |text: &str| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
        };
        clap::builder::TypedValueParser::parse_ref(&parse, command, argument, value)
    }
}

#[cfg(test)]
#[derive(clap::Parser)]
struct Only {
    #[command(flatten)]
    config: Config,
}

#[cfg(test)]
impl Config {
    /// The settings of these flags, whatever the environment of the test is.
    pub(crate) fn of(flags: &[&str]) -> Self {
        use clap::{CommandFactory, FromArgMatches};
        let command = Only::command().mut_args(without_environment);
        let matches = command.get_matches_from(["annals"].iter().chain(flags));
        Only::from_arg_matches(&matches).unwrap().config
    }
}
