//! The operators' part of the command line: how read models stand, and what to do about those that stand still.

use crate::accounts::Origin;
use crate::app::App;
use crate::operations::{self, Skip};
use crate::teller::Teller;
use anyhow::bail;
use domain::Email;
use projections::{Pace, Parked, Projector, RebuildProgress, Status, Tried};
use std::fmt::Write as _;

/// Which read models are made anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Rebuild {
    #[command(flatten)]
    which: Which,
    /// Gives up what an earlier run has begun, and drops it; the live read models stay as they are
    #[arg(long)]
    abandon: bool,
    /// How much of the time it works, in percent; below 100 it takes one processor at the most, and leaves the rest of the
    /// time to requests. By itself it works all of the time while nobody asks anything, and half of it while somebody does
    #[arg(long, default_value_t = Pace::AUTO, value_name = "auto|PERCENT")]
    pace: Pace,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Which one
    read_model: Option<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

/// How it is told.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// What is tried at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// The read model, as `annals status` names it
    read_model: String,
    /// In this workspace only, by slug or id; the platform by its id
    #[arg(long)]
    workspace: Option<String>,
    /// Why: goes to the program's log
    #[arg(long)]
    reason: String,
}

/// What is passed over.
#[derive(Debug, clap::Args)]
pub(crate) struct SkipArgs {
    /// The read model, as `annals status` names it
    read_model: String,
    /// The workspace, by slug or id; the platform by its id
    #[arg(long)]
    workspace: String,
    /// The event: the one before which the read model stands, as `annals status` says
    #[arg(long)]
    position: i64,
    /// Why: stays in the workspace's log for ever
    #[arg(long)]
    reason: String,
}

/// Who administers the platform.
#[derive(Debug, clap::Args)]
pub(crate) struct Administrator {
    /// The user's e-mail address
    #[arg(long, value_parser = crate::cli::email)]
    email: Email,
    /// Takes it from them again
    #[arg(long)]
    revoke: bool,
}

/// Makes read models anew, or gives that up; what is to be printed.
pub(crate) async fn rebuild(app: &App, Rebuild { which, abandon, pace }: &Rebuild) -> anyhow::Result<String> {
    let names: Vec<String> = which.read_model.iter().cloned().collect();
    let told = if names.is_empty() { projections::names().join(", ") } else { names.join(", ") };
    let projector = crate::serve::projector(app).await?;
    if *abandon {
        projections::abandon(&projector, &names).await?;
        return Ok(format!("Given up, if it was begun: {told}.\n"));
    }
    let mut teller = Teller::new();
    let outcome = made_anew(&projector, &names, *pace, &mut teller).await;
    teller.end();
    Ok(format!("Made anew: {told}.\n{}", outcome?))
}

/// Makes read models anew, all where none is named, and tells how it goes; a line for each that stands still then.
pub(crate) async fn made_anew(projector: &Projector, names: &[String], pace: Pace, teller: &mut Teller) -> anyhow::Result<String> {
    let progress = &mut |now: &RebuildProgress| {
        let last = now.events >= now.of_events;
        if last { teller.tell_now(now) } else { teller.tell(now) }
    };
    let mut text = String::new();
    for standing in projections::rebuild(projector, names, pace, progress).await? {
        let _infallible = writeln!(
            text,
            "{} of {} stands still before event {}: {}",
            standing.read_model, standing.tenant, standing.failing, standing.error
        );
    }
    Ok(text)
}

/// How read models stand; what is to be printed.
pub(crate) async fn status(app: &App, StatusArgs { json }: &StatusArgs) -> anyhow::Result<String> {
    let status = projections::status(&app.pools.worker).await?;
    Ok(if *json { serde_json::to_string_pretty(&status)? + "\n" } else { table(&status) })
}

/// Tries what stands still; what is to be printed.
pub(crate) async fn retry(app: &App, Retry { read_model, workspace, reason }: &Retry) -> anyhow::Result<String> {
    outcome(&operations::retry(app, None, read_model, workspace.as_deref(), reason).await?)
}

/// Lets a read model pass over an event; what is to be printed.
pub(crate) async fn skip(app: &App, SkipArgs { read_model, workspace, position, reason }: &SkipArgs) -> anyhow::Result<String> {
    let skip = Skip { read_model, workspace, position: *position, reason };
    outcome(&operations::skip(app, &Origin::new(), None, None, skip).await?)
}

/// Makes an administrator of the platform, or ends it; what is to be printed.
pub(crate) async fn administrator(app: &App, Administrator { email, revoke }: &Administrator) -> anyhow::Result<String> {
    operations::set_administrator(app, email, !revoke).await?;
    let what = if *revoke { "no administrator of the platform" } else { "an administrator of the platform" };
    Ok(format!("{} is {what}.\n", email.as_ref()))
}

/// Good where all has caught up; otherwise a failure that says what stands.
fn outcome(tried: &Tried) -> anyhow::Result<String> {
    let caught_up = format!("Caught up in {} workspaces.", tried.caught_up);
    if tried.standing.is_empty() && tried.waiting.is_empty() {
        return Ok(caught_up + "\n");
    }
    let mut text = caught_up;
    for parked in &tried.standing {
        let _infallible = write!(text, "\n{}", line(parked));
    }
    if !tried.waiting.is_empty() {
        let _infallible = write!(text, "\n{} are due, and no worker has tried them yet; is one running?", tried.waiting.len());
    }
    bail!(text)
}

fn line(parked: &Parked) -> String {
    let what = parked.read_model.as_deref().unwrap_or("everything");
    let event =
        parked.failing.map_or_else(|| format!("behind event {}", parked.position.0), |failing| format!("before event {}", failing.0));
    format!(
        "{what} of {} stands {event} since {}; tried {} times, next at {}: {}",
        parked.workspace_id.uuid(),
        parked.since.format("%F %T"),
        parked.attempts,
        parked.retry_at.format("%F %T"),
        parked.error
    )
}

fn table(status: &Status) -> String {
    let mut text = format!(
        "{} logs with {} events, of which the read models have come past {}; {} logs are behind.\n\n",
        status.logs, status.events, status.projected, status.logs_behind
    );
    let width = status.read_models.iter().map(|model| model.name.len()).max().unwrap_or(0).max(10);
    let _infallible = writeln!(text, "{:width$}  {:>9}  {:>8}  {:>6}", "read model", "version", "behind", "parked");
    for model in &status.read_models {
        let version = match model.stored_version {
            Some(stored) if stored == model.version => stored.to_string(),
            Some(stored) => format!("{stored} not {}", model.version),
            None => "none yet".to_owned(),
        };
        let _infallible = write!(text, "{:width$}  {version:>9}  {:>8}  {:>6}", model.name, model.lag_events, model.parked);
        if let Some(rebuild) = &model.rebuild {
            let since = rebuild.started_at.format("%F %T");
            let _infallible = write!(text, "  made anew since {since}: {} of {} events", rebuild.events, status.projected);
        }
        text.push('\n');
    }
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _infallible = writeln!(text, "\n{title}\n  {}", lines.join("\n  "));
        }
    };
    let behind = |log: &projections::LogLag| {
        format!("{} at {} of {}, {:.0} s old", log.workspace_id.uuid(), log.checkpoint.0, log.head.0, log.lag_seconds)
    };
    section("behind", status.behind.iter().map(behind).collect());
    section("parked", status.parked.iter().map(line).collect());
    let worker = |worker: &projections::Worker| {
        let (since, until) = (worker.since.format("%F %T"), worker.expires_at.format("%T"));
        format!(
            "{} (process {}, version {}) since {since}: {} of 64 shards, until {until}",
            worker.id, worker.process_id, worker.version, worker.shards
        )
    };
    section("workers", status.workers.iter().map(worker).collect());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use domain::TenantId;
    use projections::{NodeId, Position, ReadModelStatus, RebuildStatus};

    fn noon() -> DateTime<Utc> {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn parked(failing: Option<i64>) -> Parked {
        Parked {
            workspace_id: NodeId(TenantId(uuid::Uuid::nil())),
            read_model: failing.map(|_| "pipeline_items".to_owned()),
            position: Position(16),
            failing: failing.map(Position),
            error: "no_ducks".to_owned(),
            attempts: 3,
            retry_at: noon(),
            since: noon(),
        }
    }

    #[test]
    fn the_table_says_what_is_behind_parked_and_made_anew() {
        let model = |name: &str, stored_version, rebuild| ReadModelStatus {
            name: name.to_owned(),
            version: 2,
            stored_version,
            lag_events: 4,
            parked: 1,
            rebuild,
        };
        let rebuild = Some(RebuildStatus { version: 2, started_at: noon(), events: 50 });
        let status = Status {
            logs: 2,
            events: 104,
            projected: 100,
            logs_behind: 1,
            read_models: vec![model("pipeline_items", Some(1), rebuild), model("users", None, None)],
            behind: vec![],
            parked: vec![parked(Some(17)), parked(None)],
            workers: vec![],
        };
        let text = table(&status);
        for part in [
            "2 logs with 104 events, of which the read models have come past 100; 1 logs are behind.",
            "pipeline_items    1 not 2         4       1  made anew since 2026-06-01 12:00:00: 50 of 100 events",
            "users            none yet         4       1\n",
            "pipeline_items of 00000000-0000-0000-0000-000000000000 stands before event 17 since 2026-06-01 12:00:00; tried 3 times",
            "everything of 00000000-0000-0000-0000-000000000000 stands behind event 16",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(!text.contains("workers"));
    }

    #[test]
    fn what_still_stands_is_a_failure_of_the_command() {
        let tried = |standing: Vec<Parked>, waiting| Tried { caught_up: 2, standing, waiting };
        assert_eq!(outcome(&tried(vec![], vec![])).unwrap(), "Caught up in 2 workspaces.\n");
        let error = outcome(&tried(vec![parked(Some(17))], vec![parked(Some(18))])).unwrap_err().to_string();
        assert!(error.contains("before event 17") && error.contains("1 are due") && error.contains("is one running?"), "{error}");
    }
}
