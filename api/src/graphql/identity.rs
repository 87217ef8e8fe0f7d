//! The user who asks, their sessions, and what they do to both. Nobody sees another user here: workspaces show their
//! members instead.

use super::connection::{Connection, cost, page_args};
use super::listed::listed;
use super::loaders::load;
use super::payload::{Answer, Arguments, Entity, at_head, found, refused, run, run_input, settle};
use super::viewer::{PATIENCE, Viewer};
use super::workspace::{Workspace, WorkspaceOf};
use crate::accounts::{PasswordChange, change_password, end_session};
use crate::error::{ApiError, Code};
use crate::passwords::Password;
use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result};
use domain::identity::RevokeReason;
use domain::{PLATFORM, SessionId, UserId, WorkspaceId};
use event_store::Target;
use projections::identity::{self as rows, SessionStatus};
use projections::query::{MOST, PageArgs, Scope, count};
use projections::{Common, NodeId, ReadModel, Stored};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

/// A person who signs in, as they see themselves.
#[derive(Clone, Debug)]
pub(crate) struct User(Stored<rows::User>);

impl Entity for User {
    type Aggregate = domain::identity::User;
    const READ_MODELS: &'static [&'static str] = &[rows::User::TABLE];
    const ON_PLATFORM: bool = true;

    async fn read(scope: &mut Scope, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::me(scope).await?.filter(|user| user.row.id.uuid() == id).map(Self))
    }
}

/// A person who signs in, as they see themselves.
#[Object]
impl User {
    /// The id.
    pub(crate) async fn id(&self) -> ID {
        self.0.row.id.uuid().into()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::User {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }

    /// Where the user is after signing in, if they have chosen and are still a member there.
    async fn default_workspace(&self, ctx: &Context<'_>) -> Option<Result<Workspace>> {
        Workspace::of(ctx, self.0.row.default_workspace_id?.0).await
    }
}

/// One sign-in of the user.
#[derive(Clone, Debug)]
pub(crate) struct Session(Stored<rows::Session>);

listed! { Session: rows::Session; }

impl Entity for Session {
    type Aggregate = domain::identity::Session;
    const READ_MODELS: &'static [&'static str] = &[rows::Session::TABLE];
    const ON_PLATFORM: bool = true;

    async fn read(scope: &mut Scope, id: Uuid) -> Result<Option<Self>, sqlx::Error> {
        Ok(rows::my_session(scope, SessionId(id)).await?.map(Self))
    }
}

/// One sign-in of the user.
#[Object]
impl Session {
    /// The id.
    pub(crate) async fn id(&self) -> ID {
        self.0.row.id.uuid().into()
    }

    #[graphql(flatten)]
    async fn row(&self) -> &rows::Session {
        &self.0.row
    }

    #[graphql(flatten)]
    async fn common(&self) -> &Common {
        &self.0.common
    }

    /// Is it the one that this request belongs to?
    async fn is_current(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(Viewer::of(ctx)?.signed()?.session == Some(self.0.row.id.0))
    }

    /// Where the user works, once they have said so and while they are a member there.
    async fn workspace(&self, ctx: &Context<'_>) -> Option<Result<Workspace>> {
        Workspace::of(ctx, self.0.row.workspace_id?.0).await
    }
}

impl Workspace {
    /// A workspace, if the user is a member of it.
    async fn of(ctx: &Context<'_>, id: WorkspaceId) -> Option<Result<Self>> {
        load(ctx, WorkspaceOf(id)).await.map(|found| found.map(Self::from)).transpose()
    }
}

#[derive(Default)]
pub(crate) struct IdentityQuery;

#[Object]
impl IdentityQuery {
    /// The user who asks.
    async fn me(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        let me = async {
            let viewer = Viewer::get(ctx)?;
            found::<User>(viewer, viewer.signed()?.user.0).await
        };
        Some(me.await.map_err(Into::into))
    }

    /// The sessions of the user who asks, from the newest to the oldest.
    #[graphql(complexity = "cost(first, last) * child_complexity")]
    async fn my_sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Those with this status only.")] status: Option<SessionStatus>,
        #[graphql(desc = "So many from the start, 1 to 100; 20 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Those before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Session>>> {
        let list = async {
            let mut scope = Viewer::get(ctx)?.platform_scope(Session::READ_MODELS).await?;
            let page = rows::my_sessions(&mut scope, status, &page_args(first, after, last, before)).await?;
            let total = if counted(ctx) { Some(count_sessions(&mut scope, status).await?) } else { None };
            scope.end();
            Ok::<_, ApiError>(Connection::new(page, total, Session))
        };
        Some(list.await.map_err(Into::into))
    }
}

async fn count_sessions(scope: &mut Scope, status: Option<SessionStatus>) -> Result<i64, sqlx::Error> {
    let of_actor = count::<rows::Session>(scope, move |query| {
        query.push(" and t.user_id = event_store.current_actor()");
        if let Some(status) = status {
            query.push(" and t.status = ").push_bind(if status == SessionStatus::Active { "ACTIVE" } else { "REVOKED" });
        }
    });
    of_actor.await
}

/// Is `totalCount` asked of the connection that is being resolved?
pub(super) fn counted(ctx: &Context<'_>) -> bool {
    ctx.look_ahead().field("totalCount").exists()
}

/// What is to change of one's profile; what is left out stays.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateProfileInput {
    /// The first name, 1 to 100 characters; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    first_name: MaybeUndefined<String>,
    /// The last name, 1 to 100 characters; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    last_name: MaybeUndefined<String>,
    /// The display name, 1 to 100 characters; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    name: MaybeUndefined<String>,
    /// The phone number, such as +31 20 123 4567; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    phone: MaybeUndefined<String>,
    /// The http or https address of a picture, at most 2,048 characters; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    image_url: MaybeUndefined<String>,
    /// Name of a time zone in the IANA database.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    timezone: MaybeUndefined<String>,
}

#[derive(Default)]
pub(crate) struct IdentityMutation;

#[Object]
impl IdentityMutation {
    /// Changes one's own profile.
    async fn update_profile(&self, ctx: &Context<'_>, #[graphql(desc = "What is to change.")] input: UpdateProfileInput) -> Answer<User> {
        match me(ctx) {
            Ok(user) => run_input(ctx, Target::Existing(user.0), "UpdateProfile", input).await,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Sets another password and ends one's other sessions.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password until now.", secret)] current_password: String,
        #[graphql(desc = "The new one.", secret)] new_password: String,
        #[graphql(desc = "The new one again.", secret)] password_confirm: String,
    ) -> Answer<User> {
        let change = PasswordChange {
            current: Password::new(current_password),
            new: Password::new(new_password),
            confirm: Password::new(password_confirm),
        };
        Some(set_password(ctx, change).await)
    }

    /// Chooses the workspace in which one is after signing in.
    async fn set_default_workspace(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A workspace one is a member of.")] workspace_id: NodeId<WorkspaceId>,
    ) -> Answer<User> {
        match (me(ctx), joined(ctx, workspace_id.0).await) {
            (Ok(user), Ok(())) => run(ctx, Target::Existing(user.0), "SetDefaultWorkspace", json!({ "workspaceId": workspace_id })).await,
            (Err(error), _) | (_, Err(error)) => Some(refused(error, Arguments::Inline)),
        }
    }

    /// Moves the session of this request to another workspace: access tokens name it from their next refresh on.
    async fn switch_workspace(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A workspace one is a member of.")] workspace_id: NodeId<WorkspaceId>,
    ) -> Answer<Session> {
        match (current_session(ctx), joined(ctx, workspace_id.0).await) {
            (Ok(session), Ok(())) => run(ctx, Target::Existing(session.0), "SwitchWorkspace", json!({ "workspaceId": workspace_id })).await,
            (Err(error), _) | (_, Err(error)) => Some(refused(error, Arguments::Inline)),
        }
    }

    /// Ends one of one's sessions: its tokens are good no more.
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "One's own session.")] session_id: NodeId<SessionId>,
    ) -> Answer<Session> {
        Some(end(ctx, session_id.0).await)
    }
}

fn me(ctx: &Context<'_>) -> Result<UserId, ApiError> {
    Ok(Viewer::get(ctx)?.signed()?.user)
}

fn current_session(ctx: &Context<'_>) -> Result<SessionId, ApiError> {
    let session = Viewer::get(ctx)?.signed()?.session;
    session
        .ok_or_else(|| ApiError::refusal(Code::InvalidState.name(), "this access token belongs to no session; sign in to have one", None))
}

/// That the user is a member. Memberships stand in the workspaces' logs, which commands of the platform cannot see.
async fn joined(ctx: &Context<'_>, workspace: WorkspaceId) -> Result<(), ApiError> {
    let viewer = Viewer::get(ctx)?;
    let user = viewer.signed()?.user;
    if viewer.access(workspace).await?.is_member(user) {
        Ok(())
    } else {
        Err(ApiError::refusal(Code::NotFound.name(), "there is no such workspace, or you are no member of it", Some("workspaceId")))
    }
}

async fn set_password(ctx: &Context<'_>, change: PasswordChange) -> Result<super::payload::Payload<User>> {
    let viewer = Viewer::of(ctx)?;
    let work = async {
        let signed = viewer.signed()?;
        let others = other_sessions(viewer, signed.session).await?;
        change_password(&viewer.app, viewer.acting(), signed.user, change, &others).await?;
        at_head(viewer, PLATFORM, signed.user.0).await
    };
    settle(viewer, PLATFORM, work.await, Arguments::Inline).await
}

/// The user's sessions but this one. None of them may be missed, so the read model must be as far as the log; where
/// it is not, nothing has been changed yet.
async fn other_sessions(viewer: &Viewer, current: Option<SessionId>) -> Result<Vec<SessionId>, ApiError> {
    let head = at_head(viewer, PLATFORM, Uuid::nil()).await?.position();
    let behind = |_| {
        ApiError::new(
            Code::StaleRead,
            "the list of your sessions is not up to date just now, and all others must end with the password; try again shortly",
        )
    };
    viewer.app.freshness.wait(PLATFORM, head, Session::READ_MODELS, PATIENCE).await.map_err(behind)?;
    let mut scope = viewer.platform_scope(Session::READ_MODELS).await?;
    let (mut others, mut args) = (Vec::new(), PageArgs { first: Some(MOST), ..PageArgs::default() });
    loop {
        let page = rows::my_sessions(&mut scope, Some(SessionStatus::Active), &args).await?;
        others.extend(page.rows.iter().map(|(_, session)| session.row.id.0).filter(|session| Some(*session) != current));
        match page.rows.last() {
            Some((cursor, _)) if page.has_next => args.after = Some(cursor.encode()),
            _ => break,
        }
    }
    scope.end();
    Ok(others)
}

async fn end(ctx: &Context<'_>, session: SessionId) -> Result<super::payload::Payload<Session>> {
    let viewer = Viewer::of(ctx)?;
    let work = async {
        let user = viewer.signed()?.user;
        // Asked before the command, which would say of another user's that it is there.
        let state = viewer.app.commands.state::<domain::identity::Session>(PLATFORM, session.0).await?;
        if state.user_id() != Some(user) {
            return Err(ApiError::refusal(Code::NotFound.name(), "you have no such session", Some("sessionId")));
        }
        end_session(&viewer.app, viewer.acting(), user, session, RevokeReason::Logout).await?;
        at_head(viewer, PLATFORM, session.0).await
    };
    settle(viewer, PLATFORM, work.await, Arguments::Inline).await
}
