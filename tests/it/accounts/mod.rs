//! Accounts through the program's public faces: registration across two logs, signing in and out, workspaces.

mod registration;
mod rest;
mod sign_in;
mod workspaces;

use crate::harness::World;
use api::accounts::{self, Creation, NewAccount, NewTeam, NewUser, Origin, PasswordChange, Step};
use api::clock;
use api::error::{ApiError, Code};
use api::passwords::Password;
use api::system;
use axum::http::{HeaderMap, header};
use chrono::TimeDelta;
use domain::identity::{RevokeReason, Session, User, WorkspaceEntry, WorkspaceEntryCommand};
use domain::roles::BuiltInRole;
use domain::workspace::{MemberSource, Membership, Plan, Workspace, WorkspaceCommand, WorkspaceKind};
use domain::{Email, Name, PLATFORM, Principal, Slug, TenantId, UserId, WorkspaceId};
use event_store::{Request, Target};
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PASSWORD: &str = "correct horse";

fn email(name: &str) -> Email {
    Email::try_from(format!("{name}@example.org")).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn slug(text: &str) -> Slug {
    Slug::try_from(text).unwrap()
}

fn account(name: &str) -> NewAccount {
    NewAccount {
        email: email(name),
        password: password(PASSWORD),
        first_name: Some(Name::try_from("Ada").unwrap()),
        last_name: None,
        timezone: None,
    }
}

fn team(text: &str) -> NewTeam {
    NewTeam { id: clock::new_id(), name: Name::try_from(text).unwrap(), slug: slug(text), plan: None }
}

async fn registered(world: &World, name: &str) -> UserId {
    accounts::register(&world.app, &Origin::new(), account(name)).await.unwrap().user
}

async fn sign_in(world: &World, name: &str, with: &str) -> Result<accounts::SignedIn, ApiError> {
    accounts::sign_in(&world.app, &Origin::new(), &email(name), password(with), None).await
}

async fn found(world: &World, text: &str) -> Option<WorkspaceId> {
    accounts::workspace_by_slug_or_id(&world.app, text).await.unwrap()
}

async fn entry(world: &World, id: WorkspaceId) -> WorkspaceEntry {
    world.app.commands.state(PLATFORM, id.entry().0).await.unwrap()
}

fn bearer(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
}

/// The events of a log: their names, who sent them and for whom.
async fn log(world: &World, tenant: TenantId) -> Vec<(String, String, String)> {
    sqlx::query_as(
        "select event_type, (metadata ->> 'actor_kind') || ':' || (metadata ->> 'actor_id'), coalesce(metadata ->> 'on_behalf_of', '')
         from event_store.events where tenant_id = $1 order by position",
    )
    .bind(tenant.0)
    .fetch_all(&world.app.pools.loader)
    .await
    .unwrap()
}

async fn names(world: &World, tenant: TenantId) -> Vec<String> {
    log(world, tenant).await.into_iter().map(|(name, ..)| name).collect()
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

/// One HTTP/1.1 request, without any library's idea of what a request should be.
async fn send(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let address = world.http().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

async fn post(world: &World, path: &str, body: Value) -> Answer {
    send(world, "POST", path, &[("Content-Type", "application/json")], &body.to_string()).await
}
