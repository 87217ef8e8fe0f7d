//! What becomes of errors: each is told at its own field, with a code. What fails with an [`ApiError`] says which,
//! an argument that cannot be read is the client's mistake, and what fails otherwise is the program's own failure.

use crate::error::{ApiError, Code};
use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute, NextResolve, ResolveInfo};
use async_graphql::{ErrorExtensionValues, Name, Response, ServerError, ServerResult, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Gives errors their codes, and ends them at the nearest field that may be null.
pub(super) struct Codes;

impl ExtensionFactory for Codes {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Caught::default())
    }
}

/// The errors of one request that were caught on their way up.
#[derive(Default)]
struct Caught(Mutex<Vec<ServerError>>);

#[async_trait]
impl Extension for Caught {
    async fn execute(&self, ctx: &ExtensionContext<'_>, operation_name: Option<&str>, next: NextExecute<'_>) -> Response {
        let mut response = next.run(ctx, operation_name).await;
        response.errors.append(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        response.errors.iter_mut().for_each(code);
        response
    }

    /// async-graphql lets an argument that cannot be read fail the parent of its field, be the field nullable or not
    /// (against section 6.4.4 of the specification); of several mutations, none would then say what it has done.
    async fn resolve(&self, ctx: &ExtensionContext<'_>, info: ResolveInfo<'_>, next: NextResolve<'_>) -> ServerResult<Option<Value>> {
        let nullable = !info.return_type.ends_with('!');
        match next.run(ctx, info).await {
            Err(error) if nullable => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                Ok(Some(Value::Null))
            }
            outcome => outcome,
        }
    }
}

fn code(error: &mut ServerError) {
    if error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some()) {
        return;
    }
    let shared = || error.source::<Arc<ApiError>>().map(|api| ApiError::clone(api));
    let api = match error.source::<ApiError>().cloned().or_else(shared) {
        Some(api) => api,
        // How async-graphql begins what it says of an argument's value.
        None if error.source.is_none()
            && ["Failed to parse", "Expected input type"].iter().any(|start| error.message.starts_with(start)) =>
        {
            ApiError::new(Code::ValidationError, error.message.clone())
        }
        None => ApiError::internal(&error.message),
    };
    crate::metrics::error(api.code());
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", api.code());
    if let Some(id) = api.error_id() {
        extensions.set("errorId", id.to_string());
    }
    if !api.details().is_empty() {
        let detail = |field: &str, message: &str| {
            Value::Object([(Name::new("field"), field.into()), (Name::new("message"), message.into())].into_iter().collect())
        };
        extensions.set("details", api.details().iter().map(|one| detail(&one.field, &one.message)).collect::<Vec<_>>());
    }
    error.message = api.message().to_owned();
    error.extensions = Some(extensions);
}
