//! Who asks, in which workspace, and what they may see there: one for each request, made from its headers.

use super::consistency::Consistency;
use crate::accounts::{Origin, Signed};
use crate::app::App;
use crate::error::{ApiError, Code};
use async_graphql::Context;
use domain::roles::{Permission, Scope as Reach};
use domain::{Access, Denied, PLATFORM, Principal, TenantId, UserId, WorkspaceId};
use event_store::Request;
use projections::query::{Desk, Scope};
use std::sync::Arc;
use std::time::Duration;

/// How long a query waits for the position its client has seen, and a mutation for its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The workspace that the request has chosen, and what the user may do in it.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) workspace: WorkspaceId,
    pub(crate) access: Arc<Access>,
}

/// Everything resolvers know of the request.
#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) app: App,
    pub(crate) signed: Option<Signed>,
    pub(crate) chosen: Option<Chosen>,
    /// Taken by [`Viewer::acting`] alone.
    pub(super) origin: Origin,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) consistency: Consistency,
    /// Where the signed-in user reads.
    pub(crate) desk: Desk,
}

/// Rows a query may show: all of the workspace, or the user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    All,
    OwnedBy(UserId),
}

impl Visible {
    pub(crate) fn owner(self) -> Option<UserId> {
        match self {
            Self::All => None,
            Self::OwnedBy(user) => Some(user),
        }
    }
}

fn visible(access: &Access, user: UserId, permission: Permission) -> Option<Visible> {
    access.grants(user).scope(permission).map(|reach| match reach {
        Reach::Any => Visible::All,
        Reach::Own => Visible::OwnedBy(user),
    })
}

fn denied(permission: Permission) -> ApiError {
    Denied { needs: permission.name().to_owned() }.into()
}

impl Viewer {
    /// The viewer of a running request.
    pub(crate) fn of<'a>(ctx: &Context<'a>) -> async_graphql::Result<&'a Self> {
        ctx.data::<Arc<Self>>().map(AsRef::as_ref)
    }

    /// As [`Viewer::of`], for code that fails with an [`ApiError`].
    pub(crate) fn get<'a>(ctx: &Context<'a>) -> Result<&'a Self, ApiError> {
        Self::of(ctx).map_err(|error| ApiError::internal(&error.message))
    }

    pub(crate) fn signed(&self) -> Result<Signed, ApiError> {
        self.signed.ok_or_else(ApiError::unauthenticated)
    }

    pub(crate) fn chosen(&self) -> Result<&Chosen, ApiError> {
        self.signed()?;
        self.chosen.as_ref().ok_or_else(|| {
            ApiError::invalid_field(
                "Annals-Workspace",
                "this field is about a workspace: choose one with the header Annals-Workspace: <slug or id>",
            )
        })
    }

    /// That the user holds a permission of the platform's; who they are.
    pub(crate) async fn administers(&self, permission: Permission) -> Result<UserId, ApiError> {
        let user = self.signed()?.user;
        let access = self.app.commands.access().fresh(PLATFORM).await?;
        visible(&access, user, permission).map(|_| user).ok_or_else(|| denied(permission))
    }

    /// What the user may see under a permission in the chosen workspace.
    pub(crate) fn may(&self, permission: Permission) -> Result<Visible, ApiError> {
        let (signed, chosen) = (self.signed()?, self.chosen()?);
        visible(&chosen.access, signed.user, permission).ok_or_else(|| denied(permission))
    }

    /// That the user may see all under a permission in the chosen workspace.
    pub(crate) fn all(&self, permission: Permission) -> Result<(), ApiError> {
        if self.may(permission)? == Visible::All { Ok(()) } else { Err(denied(permission)) }
    }

    /// What the user may see under a permission, in a workspace that need not be the chosen one.
    pub(crate) async fn sees(&self, workspace: WorkspaceId, permission: Permission) -> Result<Option<Visible>, ApiError> {
        let user = self.signed()?.user;
        Ok(visible(&*self.access(workspace).await?, user, permission))
    }

    /// As [`Viewer::sees`], for who may see nothing an error.
    pub(crate) async fn must_see(&self, workspace: WorkspaceId, permission: Permission) -> Result<Visible, ApiError> {
        self.sees(workspace, permission).await?.ok_or_else(|| denied(permission))
    }

    /// That the user may see all under a permission, in a workspace that need not be the chosen one.
    pub(crate) async fn may_all(&self, workspace: WorkspaceId, permission: Permission) -> Result<(), ApiError> {
        if self.sees_all(workspace, permission).await? { Ok(()) } else { Err(denied(permission)) }
    }

    /// May the user see all under a permission, in a workspace that need not be the chosen one?
    pub(crate) async fn sees_all(&self, workspace: WorkspaceId, permission: Permission) -> Result<bool, ApiError> {
        Ok(self.sees(workspace, permission).await? == Some(Visible::All))
    }

    /// Who may do what in a workspace, which need not be the chosen one.
    pub(crate) async fn access(&self, workspace: WorkspaceId) -> Result<Arc<Access>, ApiError> {
        match &self.chosen {
            Some(chosen) if chosen.workspace == workspace => Ok(Arc::clone(&chosen.access)),
            _ => Ok(self.app.commands.access().fresh(workspace.into()).await?),
        }
    }

    /// A transaction in the chosen workspace in which these read models are as fresh as the client asks.
    pub(crate) async fn workspace_scope(&self, read_models: &[&str]) -> Result<Scope, ApiError> {
        self.scope(self.chosen()?.workspace.into(), read_models).await
    }

    /// A transaction over what is the user's own on the platform.
    pub(crate) async fn platform_scope(&self, read_models: &[&str]) -> Result<Scope, ApiError> {
        self.scope(PLATFORM, read_models).await
    }

    pub(crate) async fn scope(&self, tenant: TenantId, read_models: &[&str]) -> Result<Scope, ApiError> {
        self.signed()?;
        if let Some(position) = self.consistency.position(tenant) {
            self.app
                .freshness
                .wait(tenant, position, read_models, PATIENCE)
                .await
                .map_err(|behind| ApiError::new(Code::StaleRead, behind.to_string()))?;
        }
        self.desk.scope(tenant).await.map_err(ApiError::from)
    }

    /// The idempotency key of the mutation that is being resolved. The response key tells several mutations of one
    /// request apart, so that each has a key of its own.
    pub(crate) fn key(&self, ctx: &Context<'_>) -> Option<String> {
        let response_key = ctx.field().alias().unwrap_or(ctx.field().name());
        self.idempotency_key.as_ref().map(|key| format!("{key}:{response_key}"))
    }

    /// Where commands come from, for whoever is about to send some. They take their time, and other connections: nobody
    /// waits for one while holding another, so what was read at the desk until now is closed.
    pub(crate) fn acting(&self) -> &Origin {
        self.desk.close();
        &self.origin
    }

    /// The request of a command that the user sends to a log.
    pub(crate) fn request(&self, ctx: &Context<'_>, tenant: TenantId) -> Result<Request, ApiError> {
        let signed = self.signed()?;
        Ok(Request { key: self.key(ctx), ..self.acting().request(Principal::User(signed.user), tenant) })
    }
}
