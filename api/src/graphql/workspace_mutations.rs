//! What is done to workspaces and to memberships: one line a command, and the processes that take several.

use super::payload::{Answer, Arguments, Payload, at_head, command, invalid, refused, run, run_input, settle};
use super::viewer::Viewer;
use super::workspace::{Member, Workspace};
use crate::accounts::{NewTeam, change_slug, create_team_workspace};
use crate::clock;
use crate::error::{ApiError, Code};
use async_graphql::{Context, InputObject, MaybeUndefined, Object, Result};
use domain::workspace::WorkspaceCommand;
use domain::{UserId, WorkspaceId};
use event_store::Target;
use projections::{JsonText, NodeId};
use serde::{Serialize, Serializer};
use serde_json::json;
use uuid::Uuid;

/// A TEAM workspace to be made.
#[derive(Clone, Debug, InputObject, Serialize)]
pub(crate) struct CreateWorkspaceInput {
    /// Its name for people: 1 to 100 characters.
    name: String,
    /// Its name in addresses, taken by nobody else: a-z, 0-9 and single hyphens between them, at most 100.
    slug: String,
}

/// What is to change of a workspace's defaults; what is left out stays.
#[derive(Clone, Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateWorkspaceSettingsInput {
    /// The role, by key, that new members get when nobody names one; not `owner`.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    default_role_key: MaybeUndefined<String>,
    /// Name of a time zone in the IANA database.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    timezone: MaybeUndefined<String>,
    /// ISO 4217 code; null for none.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    currency: MaybeUndefined<String>,
    /// From which confidence an AI's answer counts without review, in thousandths: 0 to 1000.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    ai_min_confidence: MaybeUndefined<i32>,
    /// What clients keep for themselves: at most 64 KiB of JSON without fractions; null for nothing.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined", serialize_with = "as_json")]
    custom: MaybeUndefined<JsonText>,
}

/// JSON as JSON and not as its text: what commands take.
fn as_json<S: Serializer>(json: &MaybeUndefined<JsonText>, serializer: S) -> Result<S::Ok, S::Error> {
    let value: Option<serde_json::Value> =
        json.value().map(|json| serde_json::from_str(&json.0)).transpose().map_err(serde::ser::Error::custom)?;
    value.serialize(serializer)
}

#[derive(Default)]
pub(crate) struct WorkspaceMutation;

#[Object]
impl WorkspaceMutation {
    /// Makes a TEAM workspace that the user owns. Choose it with the header Annals-Workspace from then on.
    async fn create_workspace(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is called.")] input: CreateWorkspaceInput,
    ) -> Answer<Workspace> {
        Some(create(ctx, input).await)
    }

    /// Gives the workspace another name.
    async fn rename_workspace(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new name: 1 to 100 characters.")] name: String,
    ) -> Answer<Workspace> {
        on_workspace(ctx, "RenameWorkspace", json!({ "name": name })).await
    }

    /// Gives the workspace another name in addresses. The former one is free from then on.
    async fn change_slug(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new slug: a-z, 0-9 and single hyphens between them, at most 100.")] slug: String,
    ) -> Answer<Workspace> {
        Some(set_slug(ctx, slug).await)
    }

    /// Changes the workspace's defaults.
    async fn update_workspace_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to change.")] input: UpdateWorkspaceSettingsInput,
    ) -> Answer<Workspace> {
        match chosen(ctx) {
            Ok(workspace) => run_input(ctx, Target::Existing(workspace.0), "UpdateSettings", input).await,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Deletes the workspace: from then on nobody can do or see anything in it, but its owners can restore it until
    /// `purgeAfter`, 30 days later.
    async fn delete_workspace(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The workspace's slug, so that it is not done by mistake.")] confirm_slug: String,
    ) -> Answer<Workspace> {
        on_workspace(ctx, "DeleteWorkspace", json!({ "confirmSlug": confirm_slug })).await
    }

    /// Brings a deleted workspace back as it was.
    async fn restore_workspace(&self, ctx: &Context<'_>) -> Answer<Workspace> {
        on_workspace(ctx, "RestoreWorkspace", json!({})).await
    }

    /// Makes a member an owner of the workspace.
    async fn grant_ownership(&self, ctx: &Context<'_>, #[graphql(desc = "The member.")] user_id: NodeId<UserId>) -> Answer<Workspace> {
        on_workspace(ctx, "GrantOwnership", json!({ "userId": user_id })).await
    }

    /// Takes ownership of the workspace from somebody, oneself included, while another owner is left.
    async fn revoke_ownership(&self, ctx: &Context<'_>, #[graphql(desc = "The owner.")] user_id: NodeId<UserId>) -> Answer<Workspace> {
        on_workspace(ctx, "RevokeOwnership", json!({ "userId": user_id })).await
    }

    /// Lets a member of the workspace do nothing, until they are reinstated. They keep their roles and their seat.
    async fn suspend_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The member: not an owner, and not you.")] user_id: NodeId<UserId>,
        #[graphql(desc = "Why: at most 1,000 characters.")] reason: Option<String>,
    ) -> Answer<Member> {
        on_member(ctx, Some(user_id.0), "SuspendMember", json!({ "reason": reason })).await
    }

    /// Ends a member's suspension.
    async fn reinstate_member(&self, ctx: &Context<'_>, #[graphql(desc = "The member.")] user_id: NodeId<UserId>) -> Answer<Member> {
        on_member(ctx, Some(user_id.0), "ReinstateMember", json!({})).await
    }

    /// Ends a membership of the workspace. Owners must cease to be owners first.
    async fn remove_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The member.")] user_id: NodeId<UserId>,
        #[graphql(desc = "Why: at most 1,000 characters.")] reason: Option<String>,
    ) -> Answer<Member> {
        on_member(ctx, Some(user_id.0), "RemoveMember", json!({ "reason": reason })).await
    }

    /// Ends one's own membership of the workspace. Owners must cease to be owners first.
    async fn leave_workspace(&self, ctx: &Context<'_>) -> Answer<Member> {
        on_member(ctx, None, "LeaveWorkspace", json!({})).await
    }
}

fn chosen(ctx: &Context<'_>) -> Result<WorkspaceId, ApiError> {
    Ok(Viewer::get(ctx)?.chosen()?.workspace)
}

pub(super) async fn on_workspace(ctx: &Context<'_>, name: &'static str, fields: serde_json::Value) -> Answer<Workspace> {
    match chosen(ctx) {
        Ok(workspace) => run(ctx, Target::Existing(workspace.0), name, fields).await,
        Err(error) => Some(Err(error.into())),
    }
}

/// A command to the membership of a user, or of the one who asks.
pub(super) async fn on_member(ctx: &Context<'_>, user: Option<UserId>, name: &'static str, fields: serde_json::Value) -> Answer<Member> {
    let membership = || {
        let viewer = Viewer::get(ctx)?;
        let signed = viewer.signed()?;
        Ok::<_, ApiError>(viewer.chosen()?.workspace.membership(user.unwrap_or(signed.user)))
    };
    match membership() {
        Ok(membership) => run(ctx, Target::Existing(membership.0), name, fields).await,
        Err(error) => Some(Err(error.into())),
    }
}

async fn create(ctx: &Context<'_>, input: CreateWorkspaceInput) -> Result<Payload<Workspace>> {
    let viewer = Viewer::of(ctx)?;
    let user = viewer.signed()?.user;
    let fields = json!({ "name": input.name, "slug": input.slug, "kind": "TEAM" });
    let (name, slug) = match command("CreateWorkspace", fields, Arguments::Input) {
        Ok(WorkspaceCommand::CreateWorkspace { name, slug, .. }) => (name, slug),
        Ok(_) => return Err(ApiError::internal(&"a command of another name than its own").into()),
        Err(error) => return Ok(invalid(error)),
    };
    // Under the same key comes the same id: what was begun is carried on, and what is done is left as it is.
    let id = match viewer.key(ctx) {
        Some(key) => WorkspaceId(Uuid::new_v5(&user.0, format!("workspace {key}").as_bytes())),
        None => clock::new_id(),
    };
    let work = async {
        let asked = (name.to_string(), slug.to_string());
        let made = create_team_workspace(&viewer.app, viewer.acting(), user, NewTeam { id, name, slug, plan: None }).await?;
        let reused = made == id && viewer.idempotency_key.is_some() && created_as(viewer, id).await? != Some(asked);
        if reused {
            return Err(ApiError::refusal(
                Code::IdempotencyKeyReused.name(),
                "this Idempotency-Key was used for another workspace; use a new key for a new command",
                None,
            ));
        }
        Ok(made)
    };
    match work.await {
        Ok(id) => settle(viewer, id.into(), at_head(viewer, id.into(), id.0).await, Arguments::Input).await,
        Err(error) => refused(error, Arguments::Input),
    }
}

/// The name and the slug with which a workspace was created, whatever they are by now.
async fn created_as(viewer: &Viewer, workspace: WorkspaceId) -> Result<Option<(String, String)>, ApiError> {
    let first = sqlx::query_as("select payload->>'name', payload->>'slug' from event_store.events where tenant_id = $1 and position = 1");
    Ok(first.bind(workspace.0).fetch_optional(&viewer.app.pools.loader).await?)
}

async fn set_slug(ctx: &Context<'_>, slug: String) -> Result<Payload<Workspace>> {
    let viewer = Viewer::of(ctx)?;
    let (user, workspace) = (viewer.signed()?.user, viewer.chosen()?.workspace);
    let slug = match command("ChangeSlug", json!({ "slug": slug }), Arguments::Inline) {
        Ok(WorkspaceCommand::ChangeSlug { slug }) => slug,
        Ok(_) => return Err(ApiError::internal(&"a command of another name than its own").into()),
        Err(error) => return Ok(invalid(error)),
    };
    let changed = change_slug(&viewer.app, viewer.acting(), user, workspace, slug).await;
    settle(viewer, workspace.into(), changed, Arguments::Inline).await
}
