//! The demo: a workspace with people and a board, made by commands as anybody could send them. Loading it again
//! changes nothing, since every command has a key.

use crate::accounts::{
    NewTeam, NewUser, Origin, add_member, create_team_workspace, provision_user, user_by_email, workspace_by_slug_or_id,
};
use crate::app::{App, request};
use crate::clock;
use crate::error::ApiError;
use crate::system::DEMO;
use anyhow::{Context, anyhow};
use chrono::TimeDelta;
use domain::roles::BuiltInRole;
use domain::workspace::{MemberSource, Plan};
use domain::{Decider, Email, Name, Principal, Slug, TenantId, UserId, WorkspaceId, for_each_aggregate};
use event_store::{Request, Target};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

/// The scenario: people and commands, never rows.
const SCENARIO: &str = include_str!("../../fixtures/demo.json");
/// The space of the demo's people: their ids are the same wherever it is loaded.
const PEOPLE: Uuid = Uuid::from_u128(0xde30_0000_0000_5000_8000_0000_0000_0001);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    workspace: Team,
    people: Vec<Person>,
    commands: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Team {
    slug: Slug,
    name: Name,
    owner: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    /// How commands call them.
    r#as: String,
    email: Email,
    name: Name,
    /// None for the owner, who creates the workspace.
    role: Option<BuiltInRole>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    r#as: String,
    /// `type:name`: the name stands for an id, here and as `@name` in commands.
    to: String,
    /// How many hours before the loading it happened.
    #[serde(default)]
    hours_ago: i64,
    command: Value,
}

/// Loads the demo.
///
/// # Errors
/// A slug or an address of the demo that somebody else has taken; the store.
pub async fn load(app: &App) -> anyhow::Result<()> {
    let scenario: Scenario = serde_json::from_str(SCENARIO).context("fixtures/demo.json")?;
    let origin = Origin::new();
    let mut users = HashMap::new();
    for person in &scenario.people {
        let user = match user_by_email(app, &person.email).await? {
            Some(user) => user,
            None => {
                let id = UserId(Uuid::new_v5(&PEOPLE, person.r#as.as_bytes()));
                let new = NewUser { id, email: person.email.clone(), first_name: None, last_name: None, name: Some(person.name.clone()) };
                provision_user(app, &DEMO, &origin, new).await?
            }
        };
        users.insert(person.r#as.as_str(), user);
    }
    let owner = *users.get(scenario.workspace.owner.as_str()).context("the owner is one of the people")?;
    let workspace = match workspace_by_slug_or_id(app, scenario.workspace.slug.as_str()).await? {
        Some(workspace) => workspace,
        None => {
            let team =
                NewTeam { id: clock::new_id(), name: scenario.workspace.name, slug: scenario.workspace.slug, plan: Some(Plan::Enterprise) };
            create_team_workspace(app, &origin, owner, team).await?
        }
    };
    for person in &scenario.people {
        let (Some(user), Some(role)) = (users.get(person.r#as.as_str()), person.role) else { continue };
        match add_member(app, &DEMO, &origin, Some(owner), workspace, *user, vec![role], MemberSource::Provisioned).await {
            // Whoever has given them other roles since has the last word.
            Err(error) if error.is_user_error() => tracing::debug!(%error, "the demo's member is there"),
            other => other?,
        }
    }
    for (n, step) in scenario.commands.into_iter().enumerate() {
        let user = *users.get(step.r#as.as_str()).with_context(|| format!("demo command {n}: nobody is called {}", step.r#as))?;
        execute(app, &origin, workspace, user, n, step).await.map_err(|error| anyhow!("demo command {n}: {error}"))?;
    }
    Ok(())
}

async fn execute(app: &App, origin: &Origin, workspace: WorkspaceId, user: UserId, n: usize, step: Step) -> Result<(), ApiError> {
    let tenant = TenantId::from(workspace);
    let invalid = |what: String| ApiError::invalid_field("demo", what);
    let (kind, name) = step.to.split_once(':').ok_or_else(|| invalid(format!("{} is no type:name", step.to)))?;
    let id = named(workspace, name);
    let mut command = step.command;
    resolve(workspace, &mut command);
    let now = clock::now();
    let request = Request {
        correlation_id: origin.correlation_id,
        occurred_at: (step.hours_ago > 0).then(|| now - TimeDelta::hours(step.hours_ago)),
        key: Some(format!("demo:{n}")),
        keep_key: true,
        ..request(Principal::User(user), tenant)
    };
    macro_rules! execute {
        ($($decider:ty,)*) => {
            match kind {
                $(kind if kind == <$decider as Decider>::TYPE => {
                    let command = serde_json::from_value(command).map_err(|error| invalid(error.to_string()))?;
                    app.commands.execute::<$decider>(&request, Target::Existing(id), command).await?;
                })*
                other => return Err(invalid(format!("there is no aggregate {other}"))),
            }
        };
    }
    for_each_aggregate!(execute!());
    Ok(())
}

/// The id that a name of the scenario stands for.
fn named(workspace: WorkspaceId, name: &str) -> Uuid {
    Uuid::new_v5(&workspace.0, format!("demo-{name}").as_bytes())
}

/// Replaces `@name` by the id it stands for.
fn resolve(workspace: WorkspaceId, value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix('@') {
                *text = match name.strip_prefix("user:") {
                    Some(person) => Uuid::new_v5(&PEOPLE, person.as_bytes()).to_string(),
                    None => named(workspace, name).to_string(),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| resolve(workspace, item)),
        Value::Object(map) => map.values_mut().for_each(|item| resolve(workspace, item)),
        _ => {}
    }
}
