//! Carries an IEEE XES event log over as commands by its own people. The file is read twice: once to see that all
//! of it can be carried over, before anything is written, and once to do it. Ids and idempotency keys derive from
//! the names in the log, so that it may be stopped at any moment and started again.

mod check;
mod names;
mod people;
mod progress;
mod traces;

use crate::accounts::Origin;
use crate::app::{App, request};
use crate::error::ApiError;
use anyhow::{Context, bail};
use check::Checked;
use domain::pipeline::{Pipeline, PipelineCommand, PipelineType};
use domain::workspace::{Plan, Workspace};
use domain::{ClaimName, Email, Key, Name, PipelineId, Principal, Slug, TenantId, UserId, WorkspaceId};
use event_store::Target;
use names::Names;
use progress::Progress;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What to carry over, and where to.
#[derive(Clone, Debug)]
pub struct ImportArgs {
    /// The log: plain or gzip.
    pub file: PathBuf,
    /// The workspace, by its slug.
    pub workspace: Slug,
    /// The pipeline, by its key; made where there is none.
    pub pipeline: Key,
    /// For whom a workspace that does not exist is made.
    pub owner: Option<Email>,
}

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Cases of the log, each an item.
    pub items: u64,
    /// Events of the log.
    pub events: u64,
    /// Events that an earlier run had carried over already.
    pub known: u64,
    /// Activities, each a stage.
    pub stages: usize,
    /// People, each a user and a member.
    pub people: usize,
    /// Events without a resource, carried over in the owner's name.
    pub nobodys: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events of {} cases carried over in {:.1} s: {} new, {} known from an earlier run; {} activities, {} people",
            self.events,
            self.items,
            self.elapsed.as_secs_f64(),
            self.events - self.known,
            self.known,
            self.stages,
            self.people
        )?;
        if self.nobodys > 0 {
            write!(f, "; {} events name no org:resource and are in the owner's name", self.nobodys)?;
        }
        Ok(())
    }
}

/// The workspace and pipeline that an import fills.
#[derive(Clone, Debug)]
struct Destination {
    app: App,
    origin: Origin,
    workspace: WorkspaceId,
    owner: UserId,
    pipeline: PipelineId,
    names: Names,
}

impl Destination {
    fn tenant(&self) -> TenantId {
        self.workspace.into()
    }

    /// A command of the owner: what the import needs beside the log's own events.
    async fn as_owner(&self, command: PipelineCommand) -> Result<(), ApiError> {
        let request = event_store::Request {
            correlation_id: self.origin.correlation_id,
            imported: true,
            ..request(Principal::User(self.owner), self.tenant())
        };
        self.app.commands.execute::<Pipeline>(&request, Target::Existing(self.pipeline.0), command).await?;
        Ok(())
    }
}

/// Carries an XES log over.
///
/// # Errors
/// A file that is no XES log, is broken, or holds what cannot be carried over, before anything is written; a
/// workspace that is not there and has no owner to be; a database that goes away: then start it again.
pub async fn xes(app: &App, arguments: ImportArgs, stop: &CancellationToken) -> anyhow::Result<ImportReport> {
    let checked = check::check(&arguments.file, stop).await?;
    let destination = destination(app, &arguments, &checked).await?;
    let progress = Progress::start(checked.events);
    let traces = traces::carry_over(Arc::new(destination), &arguments.file, &checked, &progress, stop).await;
    let report = ImportReport {
        items: checked.traces,
        events: checked.events,
        known: progress.known(),
        stages: checked.activities.len(),
        people: checked.resources,
        nobodys: checked.nobodys,
        elapsed: progress.elapsed(),
    };
    progress.end();
    traces.with_context(|| {
        format!("after {} of {} events; what is done stays done, and the same command goes on from there", progress.done(), checked.events)
    })?;
    Ok(report)
}

async fn destination(app: &App, arguments: &ImportArgs, checked: &Checked) -> anyhow::Result<Destination> {
    let origin = Origin::new();
    let (workspace, owner) = workspace(app, &origin, arguments).await?;
    let tenant = TenantId::from(workspace);
    let known = app.commands.claim_holder(tenant, &ClaimName::clear("pipeline_key", &arguments.pipeline)).await?;
    let names = Names::new(app.commands.vault(), tenant);
    let pipeline = known.map_or_else(|| names.pipeline(&arguments.pipeline), PipelineId);
    let destination = Destination { app: app.clone(), origin, workspace, owner, pipeline, names };
    if known.is_none() {
        let name = Name::try_from(arguments.pipeline.as_str()).map_err(|error| anyhow::anyhow!("--pipeline {error}"))?;
        let create = PipelineCommand::CreatePipeline {
            key: arguments.pipeline.clone(),
            name,
            kind: PipelineType::Generic,
            description: None,
            stages: Vec::new(),
        };
        destination.as_owner(create).await.context("creating the pipeline")?;
    }
    stages(&destination, checked).await?;
    Ok(destination)
}

/// Every activity a stage, in the order in which the log first names them; then the pipeline is active.
async fn stages(destination: &Destination, checked: &Checked) -> anyhow::Result<()> {
    let pipeline = destination.app.commands.state::<Pipeline>(destination.tenant(), destination.pipeline.0).await?;
    let board = pipeline.live().context("the pipeline is deleted; restore it or name another")?;
    for activity in &checked.activities {
        let stage = destination.names.stage(destination.pipeline, activity)?;
        if stage.stage_id.is_some_and(|id| board.stage(id).is_some()) {
            continue;
        }
        destination
            .as_owner(PipelineCommand::AddStage { stage, order: None })
            .await
            .with_context(|| format!("making a stage of the activity {activity:?}"))?;
    }
    if !board.is_active && !checked.activities.is_empty() {
        destination.as_owner(PipelineCommand::ActivatePipeline).await.context("activating the pipeline")?;
    }
    Ok(())
}

/// The workspace, made for the owner where there is none, and in whose name the pipeline is set up.
async fn workspace(app: &App, origin: &Origin, arguments: &ImportArgs) -> anyhow::Result<(WorkspaceId, UserId)> {
    let owner = match &arguments.owner {
        None => None,
        Some(email) => {
            let user = crate::accounts::user_by_email(app, email).await?;
            Some(user.with_context(|| format!("--owner {email}: there is no such user; register them first"))?)
        }
    };
    if let Some(workspace) = crate::accounts::workspace_by_slug_or_id(app, arguments.workspace.as_str()).await? {
        let state = app.commands.state::<Workspace>(workspace.into(), workspace.0).await?;
        if let Some(owner) = owner
            && !state.is_owner(owner)
        {
            bail!("--owner: this user does not own the workspace {}; leave --owner out, or name one who does", arguments.workspace);
        }
        let first = state.owners().next();
        return Ok((workspace, owner.or(first).context("the workspace has no owner")?));
    }
    let Some(owner) = owner else {
        bail!("there is no workspace {}; name with --owner EMAIL for whom it shall be made", arguments.workspace);
    };
    let team = crate::accounts::NewTeam {
        id: crate::clock::new_id(),
        name: Name::try_from(arguments.workspace.as_str()).map_err(|error| anyhow::anyhow!("--workspace {error}"))?,
        slug: arguments.workspace.clone(),
        plan: Some(Plan::Enterprise),
    };
    let workspace = crate::accounts::create_team_workspace(app, origin, owner, team).await.context("creating the workspace")?;
    Ok((workspace, owner))
}
