//! The command line. Standard output is for results (a token, a schema, a report); everything else is the log's.
//! Invariant: whatever a command started has ended when it returns, also after Ctrl-C.

use crate::accounts::{Standing, set_standing, user_by_email, workspace_by_slug_or_id};
use crate::app::App;
use crate::config::{self, Config, Switch};
use crate::database::{self, Database};
use crate::import::ImportArgs;
use crate::notifications::Notifications;
use crate::serve::{Options, Running};
use crate::{backup, first_run, logging, metrics, operators};
use anyhow::{Context, bail};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use domain::{Email, Key, Slug, TenantId};
use event_store::Reader;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long the first query may have to wait for the demo.
const DEMO_PATIENCE: Duration = Duration::from_secs(10);

/// Annals: a multi-tenant, event-sourced backend. Without DATABASE_URL it brings its own PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "annals", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Does everything in one process: migrates, serves the API, runs the projector
    Serve {
        /// Loads the demo at first start, and prints where to click and what to paste
        #[arg(long)]
        demo: bool,
    },
    /// Serves the API; any number of these beside any number of workers
    Api,
    /// Runs the projector, which keeps the read models up with the log
    Worker,
    /// Creates the roles and applies the migrations that are missing
    Migrate,
    /// Backs the database up, while it is in use; never the master key, without which the backup cannot be used
    Backup(backup::BackupArgs),
    /// Makes an empty database of a backup, compares the two, and makes the read models anew
    Restore(backup::RestoreArgs),
    /// Loads the demo: workspace `demo` of owner@demo.example; changes nothing where it is loaded
    Demo,
    /// Carries the history of another system over
    Import {
        #[command(subcommand)]
        format: Import,
    },
    /// Makes read models anew from the log, beside the live ones; may be stopped, or killed, and started again
    Rebuild(operators::Rebuild),
    /// Says how logs, read models and workers stand, and what stands still
    Status(operators::StatusArgs),
    /// Has a read model that stands still tried at once
    Retry(operators::Retry),
    /// Lets a read model pass over the event before which it stands still, now and in every replay
    Skip(operators::SkipArgs),
    /// Makes a user an administrator of the platform
    SystemAdmin(operators::Administrator),
    /// Suspends a workspace, or ends its suspension
    #[command(subcommand)]
    Workspace(Standing),
    /// Prints an access token of a user, good for 15 minutes
    Token {
        /// The user's e-mail address
        #[arg(long, value_parser = email)]
        email: Email,
    },
    /// Prints the GraphQL schema
    Schema,
}

#[derive(Debug, Subcommand)]
enum Import {
    /// An event log as IEEE XES, plain or gzip; may be stopped and started again
    Xes {
        /// The log
        file: PathBuf,
        /// The workspace, by its slug
        #[arg(long, value_parser = slug)]
        workspace: Slug,
        /// The pipeline, by its key; made where there is none
        #[arg(long, value_parser = key)]
        pipeline: Key,
        /// For whom a workspace that does not exist is made
        #[arg(long, value_parser = email)]
        owner: Option<Email>,
    },
}

/// Runs the program as its command line says.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match parse(&arguments) {
        Ok(Ok(cli)) => cli,
        Ok(Err(error)) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(error) => return failed(&error.into(), false, 2),
    };
    logging::start(&cli.config);
    let json = logging::is_json(cli.config.log_format, std::io::IsTerminal::is_terminal(&std::io::stderr()));
    metrics::start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("starting the runtime"), json, 1),
    };
    let outcome = runtime.block_on(run(cli));
    // Password hashing or a read of standard input may still be under way.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, json, 1),
    }
}

/// What the arguments, the environment and the file say together. The inner error is clap's, which also is how it
/// gives help.
fn parse(arguments: &[OsString]) -> Result<Result<Cli, clap::Error>, config::ConfigError> {
    let mut command = Cli::command();
    config::check_environment(std::env::vars_os().map(|(name, _)| name))?;
    if let Some(path) = config::file(arguments, std::env::var_os("ANNALS_CONFIG")) {
        command = config::with_file(command, &path)?;
    }
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    Ok(parsed.map_err(config::explain))
}

fn failed(error: &anyhow::Error, json: bool, code: u8) -> ExitCode {
    if json {
        tracing::error!("{error:#}");
    } else {
        // Nobody reads standard error: then nobody can be told.
        let _ = writeln!(std::io::stderr(), "annals: {error:#}");
    }
    ExitCode::from(code)
}

/// The first signal asks to stop in order, the second to stop now.
#[derive(Clone)]
struct Signals {
    stop: CancellationToken,
    now: CancellationToken,
}

/// What comes so soon after a signal is the same one again: some senders tell the process and then its group.
const ECHO: Duration = Duration::from_millis(200);

fn signals() -> std::io::Result<Signals> {
    let signals = Signals { stop: CancellationToken::new(), now: CancellationToken::new() };
    // A terminal that is closed hangs up.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let heard = signals.clone();
    tokio::spawn(async move {
        let mut first: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            match first {
                None => {
                    tracing::info!("told to stop; once more to stop at once");
                    heard.stop.cancel();
                    first = Some(Instant::now());
                }
                Some(first) if first.elapsed() < ECHO => {}
                Some(_) => return heard.now.cancel(),
            }
        }
    });
    Ok(signals)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    if matches!(cli.command, Command::Schema) {
        return print(&crate::graphql::sdl());
    }
    let signals = signals().context("listening for signals")?;
    tokio::select! {
        outcome = with_database(cli, &signals.stop) => outcome,
        // What is dropped here tells what it started to stop, and does not wait for it.
        () = signals.now.cancelled() => bail!("stopped at once, as asked"),
    }
}

/// Opens the database, runs the command, and closes the database whatever came of it.
async fn with_database(cli: Cli, stop: &CancellationToken) -> anyhow::Result<()> {
    // It looks at the backup and the key before anything is opened.
    if let Command::Restore(arguments) = &cli.command {
        return print(&backup::restore(&cli.config, arguments, stop).await?);
    }
    let database = Database::open(&cli.config).await?;
    let outcome = execute(&cli.command, &cli.config, &database, stop).await;
    database.close().await;
    outcome
}

async fn execute(command: &Command, config: &Config, database: &Database, stop: &CancellationToken) -> anyhow::Result<()> {
    match command {
        // As it is, also by a program that is newer: a backup is what one makes before an upgrade.
        Command::Backup(arguments) => return print(&backup::take(database, config, arguments, stop).await?),
        // Those that belong to one machine bring its database up to date themselves.
        Command::Serve { .. } | Command::Migrate => database.migrate().await?,
        _ if config.database_url().is_none() => database.migrate().await?,
        _ => {}
    }
    if matches!(command, Command::Migrate) {
        return print("The database is up to date.\n");
    }
    let pools = database.pools(config);
    if let Err(error) = database.require_migrated(&pools).await {
        pools.close().await;
        return Err(error.into());
    }
    let app = App::new(pools.clone(), database.master(), database::appender(config));
    let outcome = with_app(command, config, app, stop).await;
    pools.close().await;
    outcome
}

async fn with_app(command: &Command, config: &Config, app: App, stop: &CancellationToken) -> anyhow::Result<()> {
    let notifications = config.notifications == Switch::On;
    let everything = Options {
        listen: Some(config.listen),
        admin_listen: Some(config.admin_listen),
        projects: true,
        notifications,
        grace: config.shutdown_grace(),
    };
    // Those that serve bring their own.
    let told = (notifications && matches!(command, Command::Demo | Command::Import { .. })).then(|| Notifications::start(&app));
    let outcome = match command {
        Command::Serve { demo } => serve(app, everything, *demo, stop).await,
        Command::Api => serve(app, Options { projects: false, ..everything }, false, stop).await,
        Command::Worker => serve(app, Options { listen: None, ..everything }, false, stop).await,
        Command::Demo => crate::demo::load(&app).await,
        Command::Import { format: Import::Xes { file, workspace, pipeline, owner } } => {
            let arguments =
                ImportArgs { file: file.clone(), workspace: workspace.clone(), pipeline: pipeline.clone(), owner: owner.clone() };
            let report = crate::import::xes(&app, arguments, stop).await?;
            print(&format!("{report}\n"))
        }
        Command::Rebuild(which) => until(stop, operators::rebuild(&app, which)).await,
        Command::Status(how) => until(stop, operators::status(&app, how)).await,
        Command::Retry(what) => until(stop, operators::retry(&app, what)).await,
        Command::Skip(what) => until(stop, operators::skip(&app, what)).await,
        Command::SystemAdmin(who) => until(stop, operators::administrator(&app, who)).await,
        Command::Workspace(standing) => {
            set_standing(&app, standing.clone()).await?;
            print("Done.\n")
        }
        Command::Token { email } => print(&format!("{}\n", token(&app, email).await?)),
        // All of these have been done without an app.
        Command::Backup(_) | Command::Restore(_) | Command::Migrate | Command::Schema => Ok(()),
    };
    if let Some(told) = told {
        told.stop().await;
    }
    outcome
}

async fn serve(app: App, options: Options, demo: bool, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut running = Running::start(app, options).await?;
    let outcome = until_stopped(&mut running, demo, stop).await;
    running.stop().await;
    outcome
}

async fn until_stopped(running: &mut Running, demo: bool, stop: &CancellationToken) -> anyhow::Result<()> {
    if demo {
        tokio::select! {
            outcome = welcome(running) => outcome?,
            // What is loaded stays, and the next start loads the rest.
            () = stop.cancelled() => return Ok(()),
        }
    }
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        part = running.failed() => bail!("the {part} ended though nobody told it to; the log says why"),
    }
}

/// Loads the demo and says where it is.
async fn welcome(running: &Running) -> anyhow::Result<()> {
    let app = &running.app;
    crate::demo::load(app).await.context("loading the demo")?;
    let workspace = workspace_by_slug_or_id(app, first_run::WORKSPACE).await?.context("the demo's workspace is not there")?;
    let tenant = TenantId::from(workspace);
    let head = Reader::new(app.pools.loader.clone(), app.commands.vault()).head(tenant).await?;
    if app.freshness.wait(tenant, head, &projections::names(), DEMO_PATIENCE).await.is_err() {
        tracing::warn!("the demo's read models are not there yet; /readyz and the log say more");
    }
    let token = token(app, &email(first_run::OWNER).map_err(anyhow::Error::msg)?).await?;
    match running.address {
        Some(address) => print(&first_run::text(address, &token)),
        None => Ok(()),
    }
}

/// An operator's token: one without a session, so there is nothing to refresh or to sign out of.
async fn token(app: &App, email: &Email) -> anyhow::Result<String> {
    let user = user_by_email(app, email).await?;
    let user = user.with_context(|| format!("there is no user {}; `annals demo` makes {}", email.as_ref(), first_run::OWNER))?;
    Ok(app.tokens.issue(user, None, None, crate::clock::now()))
}

/// Does something that can be left at any moment, until it is done or we are told to stop; prints what it says.
async fn until(stop: &CancellationToken, work: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<()> {
    tokio::select! {
        outcome = work => print(&outcome?),
        () = stop.cancelled() => bail!("stopped before it was done; run it again"),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `annals schema | head` has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("writing to standard output"),
    }
}

pub(crate) fn email(text: &str) -> Result<Email, String> {
    Email::try_from(text).map_err(|error| format!("{error}; such as owner@demo.example"))
}

fn slug(text: &str) -> Result<Slug, String> {
    Slug::try_from(text).map_err(|error| format!("{error}; such as my-company"))
}

fn key(text: &str) -> Result<Key, String> {
    Key::try_from(text).map_err(|error| format!("{error}; such as permit_receipt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let command = Cli::command().mut_args(config::without_environment);
        let matches = command.try_get_matches_from(["annals"].iter().chain(arguments))?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_may_stand_before_or_after_the_command() {
        for arguments in [["--listen", "127.0.0.1:9", "serve"], ["serve", "--listen", "127.0.0.1:9"]] {
            assert_eq!(parsed(&arguments).unwrap().config.listen.port(), 9);
        }
    }

    #[test]
    fn help_names_every_command_and_every_setting_with_its_variable_and_default() {
        let help = Cli::command().render_long_help().to_string();
        for command in [
            "serve",
            "api",
            "worker",
            "migrate",
            "backup",
            "restore",
            "demo",
            "import",
            "rebuild",
            "status",
            "retry",
            "skip",
            "system-admin",
            "token",
            "schema",
        ] {
            assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command} is not in:\n{help}");
        }
        for setting in config::settings() {
            assert!(help.contains(&format!("[env: {}", setting.variable)), "{} is not in:\n{help}", setting.variable);
            assert!(help.contains(&format!("--{}", setting.key.replace('_', "-"))));
            assert!(setting.default.is_none_or(|default| help.contains(&format!("[default: {default}]"))));
        }
    }

    #[test]
    fn rebuild_wants_one_read_model_or_all_in_so_many_words() {
        assert!(parsed(&["rebuild"]).is_err());
        assert!(parsed(&["rebuild", "pipeline_items", "--all"]).is_err());
        assert!(parsed(&["rebuild", "--all"]).is_ok() && parsed(&["rebuild", "pipeline_items"]).is_ok());
    }

    #[test]
    fn nothing_is_skipped_or_retried_without_a_reason() {
        let skip = ["skip", "pipeline_items", "--workspace", "acme", "--position", "7"];
        assert!(parsed(&skip).unwrap_err().to_string().contains("--reason"));
        assert!(parsed(&[&skip[..], &["--reason", "spoilt"]].concat()).is_ok());
        assert!(parsed(&["retry", "pipeline_items"]).unwrap_err().to_string().contains("--reason"));
        assert!(parsed(&["retry", "pipeline_items", "--reason", "mended"]).is_ok());
    }

    #[test]
    fn what_an_import_is_told_is_checked_before_anything_is_opened() {
        let import = |workspace, pipeline| parsed(&["import", "xes", "log.xes", "--workspace", workspace, "--pipeline", pipeline]);
        assert!(import("receipt", "receipt").is_ok());
        let error = import("Not A Slug", "receipt").unwrap_err().to_string();
        assert!(error.contains("--workspace") && error.contains("my-company"), "{error}");
        assert!(import("receipt", "no-hyphens").is_err());
    }

    #[test]
    fn an_e_mail_address_that_is_none_is_refused() {
        assert!(parsed(&["token", "--email", "nobody"]).is_err());
    }
}
