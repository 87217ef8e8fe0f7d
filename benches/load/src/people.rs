//! Workspaces with people, boards and items, made by commands in this process before the load begins.

use anyhow::{Context, Result};
use api::accounts::{self, NewTeam, NewUser, Origin};
use api::app::App;
use api::clock;
use api::system::{DEMO, SIGN_IN};
use api::tokens::RefreshToken;
use benches::annals::{self, Tenant};
use benches::measure::Caller;
use benches::workload::COMMANDS;
use domain::identity::{LoginMethod, Session, SessionCommand};
use domain::roles::BuiltInRole;
use domain::workspace::{MemberSource, Plan};
use domain::{PLATFORM, SessionId, TenantId, UserId, WorkspaceId};
use event_store::Target;
use futures::{StreamExt, TryStreamExt};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

/// Operators of each workspace, beside its owner.
const OPERATORS: usize = 4;
/// Workspaces that are made at once.
const AT_ONCE: usize = 256;
/// Callers that fill the logs: the more, the larger the batches.
const CALLERS: usize = 1024;

/// Somebody in a workspace, with a way in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
}

/// A workspace and who works in it.
#[derive(Clone, Debug)]
pub(crate) struct Company {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) slug: String,
    pub(crate) people: Vec<Person>,
}

/// So many workspaces; `made` counts them.
pub(crate) async fn companies(app: &App, number: usize, made: &AtomicUsize) -> Result<Vec<Company>> {
    let company = async |n| {
        let company = company(app, n).await;
        made.fetch_add(1, Ordering::Relaxed);
        company
    };
    futures::stream::iter(0..number).map(company).buffered(AT_ONCE).try_collect().await
}

/// Workspaces with an owner, in which nothing ever happens; `made` counts them.
pub(crate) async fn resting(app: &App, numbers: Range<usize>, made: &AtomicUsize) -> Result<()> {
    let workspace = async |n| {
        workspace(app, n).await?;
        made.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    futures::stream::iter(numbers).map(workspace).buffer_unordered(AT_ONCE).try_collect().await
}

/// A workspace and its owner.
async fn workspace(app: &App, n: usize) -> Result<(WorkspaceId, UserId, String)> {
    let owner = user(app, &format!("owner-{n}")).await?;
    let (id, slug): (WorkspaceId, _) = (clock::new_id(), format!("company-{n}"));
    let team = NewTeam { id, name: format!("Company {n}").try_into()?, slug: slug.clone().try_into()?, plan: Some(Plan::Enterprise) };
    accounts::create_team_workspace(app, &Origin::new(), owner, team).await.with_context(|| format!("making {slug}"))?;
    Ok((id, owner, slug))
}

async fn company(app: &App, n: usize) -> Result<Company> {
    let (id, owner, slug) = workspace(app, n).await?;
    let origin = Origin::new();
    let mut people = vec![];
    for number in 0..OPERATORS {
        let user = user(app, &format!("operator-{number}-{n}")).await?;
        let role = vec![BuiltInRole::Operator];
        accounts::add_member(app, &DEMO, &origin, Some(owner), id, user, role, MemberSource::Provisioned).await?;
        people.push(Person { user, session: session(app, user).await? });
    }
    let members: Vec<UserId> = people.iter().map(|person| person.user).collect();
    let tenant = TenantId::from(id);
    let board = annals::board(&app.commands, tenant, owner, members[0]).await?;
    Ok(Company { tenant: Arc::new(Tenant { id: tenant, members, board }), slug, people })
}

async fn user(app: &App, name: &str) -> Result<UserId> {
    let id: UserId = clock::new_id();
    let email = format!("{name}@load.example").try_into()?;
    let new = NewUser { id, email, first_name: None, last_name: None, name: Some(name.to_owned().try_into()?) };
    Ok(accounts::provision_user(app, &DEMO, &Origin::new(), new).await?)
}

async fn session(app: &App, user: UserId) -> Result<SessionId> {
    let session: SessionId = clock::new_id();
    let refresh_hash = RefreshToken::random(session).hash();
    let start = SessionCommand::StartSession { user_id: user, method: LoginMethod::Password, refresh_hash, client_label: None };
    app.commands.execute::<Session>(&Origin::new().system(&SIGN_IN, PLATFORM, Some(user)), Target::New(session.0), start).await?;
    Ok(session)
}

/// Some `events` of items, whole items over all workspaces; `done` counts them.
pub(crate) async fn fill(app: &App, companies: &[Company], events: usize, done: &Arc<AtomicUsize>) -> Result<()> {
    let tenants: Vec<_> = companies.iter().map(|company| Arc::clone(&company.tenant)).collect();
    let items = events.div_ceil(COMMANDS);
    let callers = items.clamp(1, CALLERS);
    let mut tasks = JoinSet::new();
    for (n, mut member) in annals::members(&app.commands, &tenants, callers).into_iter().enumerate() {
        let mine = items / callers + usize::from(n < items % callers);
        let done = Arc::clone(done);
        tasks.spawn(async move {
            for _ in 0..mine * COMMANDS {
                done.fetch_add(usize::try_from(member.command().await?)?, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.context("a caller ended")??;
    }
    Ok(())
}
