//! The second reading: each case's events in their order, many cases at a time.

use super::Destination;
use super::check::{Checked, Step, case, step};
use super::names;
use super::people::People;
use super::progress::Progress;
use crate::app::request;
use anyhow::{Context, bail};
use domain::pipeline::{ItemCommand, PipelineItem};
use domain::{ActivityName, ItemId, Json, Principal, UserId};
use event_store::{Request, Target};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use xes::Record;

/// How many cases are under way at once: enough to share commits.
const CASES: usize = 64;
/// How many events may wait: what bounds the memory of an import.
const WAITING: usize = 64;

/// A case's event with the user who did it.
struct Done {
    index: u64,
    user: UserId,
    step: Step,
}

/// The checked inputs of an event's command.
pub(super) fn command_inputs(step: &Step) -> anyhow::Result<(ActivityName, Option<ActivityName>, Json<16>)> {
    let name = ActivityName::try_from(step.activity.as_str()).with_context(|| format!("the activity {:?}", step.activity))?;
    let lifecycle = step.lifecycle.as_deref().map(ActivityName::try_from).transpose().context("lifecycle:transition")?;
    let attributes = Json::try_from(step.attributes.clone()).context("the event's attributes")?;
    Ok((name, lifecycle, attributes))
}

/// Carries all cases over.
pub(super) async fn carry_over(
    destination: Arc<Destination>,
    file: &Path,
    checked: &Checked,
    progress: &Progress,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (records, mut reading) = mpsc::channel(WAITING);
    let path = file.to_owned();
    let reader = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        for record in xes::open(&path)? {
            if records.blocking_send(record?).is_err() {
                // Whoever carries over has given up, and says why.
                break;
            }
        }
        Ok(())
    });
    let work = async {
        let slots = Arc::new(Semaphore::new(CASES));
        let mut cases: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let mut people = People::default();
        let mut current: Option<mpsc::Sender<Done>> = None;
        // Cases report through a channel, so that they need not borrow the progress.
        let (told, mut tell) = mpsc::unbounded_channel();
        loop {
            let record = tokio::select! {
                record = reading.recv() => record,
                Some(finished) = cases.join_next() => {
                    finished??;
                    continue;
                }
                Some(known) = tell.recv() => {
                    progress.event(known);
                    continue;
                }
                () = stop.cancelled() => bail!("stopped"),
            };
            match record {
                Some(Record::TraceStart { line, attributes, .. }) => {
                    let slot = loop {
                        tokio::select! {
                            slot = Arc::clone(&slots).acquire_owned() => break slot?,
                            Some(finished) = cases.join_next() => finished??,
                            Some(known) = tell.recv() => progress.event(known),
                            () = stop.cancelled() => bail!("stopped"),
                        }
                    };
                    let name = case(line, &attributes)?;
                    let (events, mut incoming) = mpsc::channel::<Done>(WAITING);
                    let (destination, told) = (Arc::clone(&destination), told.clone());
                    let data = attributes.to_json();
                    cases.spawn(async move {
                        let _slot = slot;
                        let mut item = Case {
                            item: destination.names.item(destination.pipeline, &name),
                            name,
                            data: Some(data),
                            standing: None,
                            destination,
                        };
                        while let Some(done) = incoming.recv().await {
                            let known = item.carry_over(done).await?;
                            // Nobody listens any more when the import is given up.
                            let _ = told.send(known);
                        }
                        Ok(())
                    });
                    current = Some(events);
                }
                Some(Record::Event { line, event, attributes, .. }) => {
                    let step = step(line, &attributes)?;
                    let user = people.user(&destination, step.resource.as_deref()).await?;
                    let done = Done { index: event, user, step };
                    let events = current.as_ref().context("an event outside a trace")?;
                    if events.send(done).await.is_err() {
                        // The case has ended before its last event: its error comes by way of the set.
                        while let Some(finished) = cases.join_next().await {
                            finished??;
                        }
                        bail!("a case ended early");
                    }
                }
                Some(Record::TraceEnd { .. }) => current = None,
                None => break,
            }
        }
        drop((told, current));
        while let Some(known) = tell.recv().await {
            progress.event(known);
        }
        while let Some(finished) = cases.join_next().await {
            finished??;
        }
        Ok(())
    };
    let outcome = work.await;
    drop(reading);
    let read = reader.await?;
    outcome.and(read)?;
    if progress.done() != checked.events {
        bail!("the file has changed while it was carried over: {} events were checked, {} were there", checked.events, progress.done());
    }
    Ok(())
}

/// A case under way.
struct Case {
    destination: Arc<Destination>,
    item: ItemId,
    name: String,
    data: Option<serde_json::Value>,
    /// The activity at whose stage the item stands.
    standing: Option<String>,
}

impl Case {
    /// Carries one event over; true when an earlier run had.
    async fn carry_over(&mut self, done: Done) -> anyhow::Result<bool> {
        let place = || format!("event {} of the case {:?}", done.index + 1, self.name);
        let (name, lifecycle, attributes) = command_inputs(&done.step).with_context(place)?;
        let stage = self.destination.names.stage_id(self.destination.pipeline, &done.step.activity);
        let command = match &self.standing {
            None => ItemCommand::CreateItem {
                pipeline_id: self.destination.pipeline,
                stage_id: Some(stage),
                title: names::title(&self.name)?,
                description: None,
                assigned_to: Some(done.user),
                due_date: None,
                priority: None,
                data: self.data.take().map(Json::try_from).transpose().context("the trace's attributes").with_context(place)?,
                tags: Vec::new(),
                source_ref: None,
                attributes: Some(attributes),
                rank: None,
            },
            Some(standing) if *standing == done.step.activity => {
                ItemCommand::RecordActivity { name, lifecycle, data: None, attributes: Some(attributes) }
            }
            Some(_) => ItemCommand::MoveItem { to_stage_id: stage, rank: None, note: None, attributes: Some(attributes) },
        };
        let request = Request {
            correlation_id: self.destination.origin.correlation_id,
            occurred_at: Some(done.step.at),
            imported: true,
            key: Some(self.destination.names.key(self.item, done.index)),
            keep_key: true,
            ..request(Principal::User(done.user), self.destination.tenant())
        };
        let committed = self.destination.app.commands.execute::<PipelineItem>(&request, Target::Existing(self.item.0), command).await;
        let committed = committed.map_err(crate::error::ApiError::from).with_context(place)?;
        self.standing = Some(done.step.activity);
        Ok(committed.replayed)
    }
}
