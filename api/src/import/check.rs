//! The first reading: can all of it be carried over? Nothing is written before this has said yes.

use anyhow::{Context, bail};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use tokio_util::sync::CancellationToken;
use xes::{Attributes, Record};

/// What the log holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Checked {
    pub(super) traces: u64,
    pub(super) events: u64,
    /// In the order in which the log first names them.
    pub(super) activities: Vec<String>,
    pub(super) resources: usize,
    pub(super) nobodys: u64,
}

/// An event of the log, as far as the import needs to understand it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) activity: String,
    pub(super) resource: Option<String>,
    pub(super) at: chrono::DateTime<chrono::Utc>,
    pub(super) lifecycle: Option<String>,
    pub(super) attributes: serde_json::Value,
}

/// Understands an event.
pub(super) fn step(line: u64, attributes: &Attributes) -> anyhow::Result<Step> {
    let activity = attributes
        .text("concept:name")
        .with_context(|| format!("line {line}: the event has no concept:name, so that its activity is not known"))?;
    let at = attributes.date("time:timestamp").with_context(|| format!("line {line}: the event has no time:timestamp"))??;
    Ok(Step {
        activity: activity.to_owned(),
        resource: attributes.text("org:resource").filter(|resource| !resource.is_empty()).map(str::to_owned),
        at,
        lifecycle: attributes.text("lifecycle:transition").map(str::to_owned),
        attributes: attributes.to_json(),
    })
}

/// The name of a case.
pub(super) fn case(line: u64, attributes: &Attributes) -> anyhow::Result<String> {
    let name = attributes
        .text("concept:name")
        .with_context(|| format!("line {line}: the trace has no concept:name, from which the item's id derives"))?;
    Ok(name.to_owned())
}

/// Reads the whole log.
pub(super) async fn check(file: &Path, stop: &CancellationToken) -> anyhow::Result<Checked> {
    let (file, stop) = (file.to_owned(), stop.clone());
    tokio::task::spawn_blocking(move || read(&file, &stop)).await?
}

fn read(file: &Path, stop: &CancellationToken) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    let (mut activities, mut resources, mut cases) = (HashSet::new(), BTreeSet::new(), HashSet::new());
    for record in xes::open(file).with_context(|| file.display().to_string())? {
        match record.with_context(|| format!("{}: nothing was written", file.display()))? {
            Record::TraceStart { line, attributes, .. } => {
                checked.traces += 1;
                let name = case(line, &attributes)?;
                super::names::title(&name).with_context(|| format!("line {line}"))?;
                if !cases.insert(super::names::digest(&name)) {
                    bail!(
                        "line {line}: a second trace is called {name:?}; ids derive from these names, so give each case its own. Nothing was written"
                    );
                }
            }
            Record::Event { line, attributes, .. } => {
                checked.events += 1;
                let step = step(line, &attributes)?;
                super::traces::command_inputs(&step).with_context(|| format!("line {line}"))?;
                if !activities.contains(&step.activity) {
                    super::names::stage_texts(&step.activity).with_context(|| format!("line {line}"))?;
                    activities.insert(step.activity.clone());
                    checked.activities.push(step.activity);
                }
                match step.resource {
                    Some(resource) => drop(resources.insert(resource)),
                    None => checked.nobodys += 1,
                }
            }
            Record::TraceEnd { .. } => {
                if stop.is_cancelled() {
                    bail!("stopped while checking the file; nothing was written");
                }
            }
        }
    }
    let most = domain::pipeline::MAX_STAGES;
    if checked.activities.len() > most {
        bail!(
            "{}: it names {} activities, and a pipeline has at most {most} stages; nothing was written",
            file.display(),
            checked.activities.len()
        );
    }
    checked.resources = resources.len();
    Ok(checked)
}
