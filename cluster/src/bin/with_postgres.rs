//! `with_postgres [--durable] [--] COMMAND ARGS…`: runs a command against a cluster of its own, whose
//! superuser URL it finds in `TEST_DATABASE_URL`. Nothing of the cluster outlives the command.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use cluster::{Cluster, ClusterError, Options};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

const USAGE: &str = "usage: with_postgres [--durable] [--] COMMAND [ARGS…]
Starts a throw-away PostgreSQL, sets TEST_DATABASE_URL to its superuser's URL, runs COMMAND, removes
the cluster and exits as COMMAND did. --durable keeps fsync on, as for benchmarks.";

/// How long a command may take to end after a signal.
const GRACE: Duration = Duration::from_secs(30);
/// What shells answer when a program cannot be run; 2 is for wrong usage.
const CANNOT_RUN: u8 = 127;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let durable = arguments.next_if(|argument| argument == "--durable").is_some();
    let separated = arguments.next_if(|argument| argument == "--").is_some();
    let words: Vec<_> = arguments.collect();
    let Some((program, rest)) = words.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if !separated && program.as_encoded_bytes().starts_with(b"-") {
        eprintln!("with_postgres: unknown option {}\n{USAGE}", program.to_string_lossy());
        return ExitCode::from(2);
    }
    let mut command = Command::new(program);
    command.args(rest);
    match run(command, durable).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("with_postgres: {error}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

async fn run(mut command: Command, durable: bool) -> Result<ExitCode, ClusterError> {
    // Listened to from here on, so that no signal ends us before the cluster is gone.
    let mut stops = Stops::listen()?;
    cluster::sweep_throwaways().await;
    let dir = cluster::throwaway_dir()?;
    let options = Options { durable, ..Options::default() };
    let cluster = match Cluster::start(dir.path(), options).await {
        Ok(cluster) => cluster,
        Err(error) => {
            Cluster::discard(dir.path()).await?;
            return Err(error);
        }
    };
    command.env("TEST_DATABASE_URL", cluster.url("postgres"));
    // What `cargo run` says of this program: a cargo further down would take it for a change of its build scripts'
    // world, and build half of the dependencies again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(&name);
        }
    }
    let outcome = supervise(command, &mut stops).await;
    cluster.stop().await?;
    Cluster::discard(dir.path()).await?;
    outcome.map(exit_code)
}

/// Runs the command to its end, passing on what we are told.
async fn supervise(mut command: Command, stops: &mut Stops) -> Result<ExitStatus, ClusterError> {
    // At a terminal the command must stay in the foreground's group, and Ctrl-C reaches it there by
    // itself; twice would mean "at once" to some. Elsewhere it gets a group, and signals go to all of it.
    let at_terminal = in_foreground();
    if !at_terminal {
        command.process_group(0);
    }
    let program = command.as_std().get_program().to_owned();
    let failed = |source| ClusterError::Io { action: "run", path: program.into(), source };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(source) => return Err(failed(source)),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut deadline = None;
    let status = loop {
        let grace = deadline.unwrap_or_else(|| Instant::now() + GRACE);
        tokio::select! {
            status = child.wait() => break status,
            signal = stops.next() => {
                deadline.get_or_insert(Instant::now() + GRACE);
                if !(at_terminal && signal == Signal::SIGINT) {
                    pass_on(&child, at_terminal, signal);
                }
            }
            () = sleep_until(grace), if deadline.is_some() => {
                pass_on(&child, at_terminal, Signal::SIGKILL);
                deadline = Some(Instant::now() + GRACE);
            }
        }
    };
    if let (false, Some(group)) = (at_terminal, group) {
        // What the command left behind in its group; mostly nothing.
        let _none_left = killpg(group, Signal::SIGKILL);
    }
    status.map_err(failed)
}

fn pass_on(child: &Child, at_terminal: bool, signal: Signal) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) else {
        return;
    };
    let sent = if at_terminal { kill(pid, signal) } else { killpg(pid, signal) };
    if let Err(error) = sent {
        eprintln!("with_postgres: could not pass on {signal}: {error}");
    }
}

fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|tty| tcgetpgrp(&tty) == Ok(getpgrp()))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // As shells do: 128 and the signal's number.
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The signals that ask a program to end.
struct Stops {
    interrupt: Signals,
    terminate: Signals,
    hangup: Signals,
}

impl Stops {
    fn listen() -> Result<Self, ClusterError> {
        let listen = |kind| signal(kind).map_err(|source| ClusterError::Io { action: "listen to", path: "signals".into(), source });
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}
