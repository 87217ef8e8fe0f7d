//! What only the schema can judge: complexity and variables; and the mark that says that execution began.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{
    ObjectType, Request, Response, SchemaBuilder, ServerError, ServerResult, SubscriptionType, ValidationResult, Variables,
    async_trait::async_trait,
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextPrepareRequest, NextValidation},
    parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition},
};

use super::{code::Code, document::MAX_NESTING, request::Began, variables};

/// Complexity of a document: one for each field unless the schema says otherwise; lists should multiply.
pub const MAX_COMPLEXITY: usize = 1_000;

/// Adds to a schema the checks this endpoint relies on.
#[must_use]
pub fn guarded<Q, M, S>(builder: SchemaBuilder<Q, M, S>) -> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    builder.limit_recursive_depth(MAX_NESTING).extension(Guard)
}

struct Guard;

impl ExtensionFactory for Guard {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Checks::default())
    }
}

/// One request's findings, kept from hook to hook.
#[derive(Default)]
struct Checks {
    operation_name: Mutex<Option<String>>,
    misfits: Mutex<Vec<ServerError>>,
}

#[async_trait]
impl Extension for Checks {
    async fn prepare_request(&self, ctx: &ExtensionContext<'_>, request: Request, next: NextPrepareRequest<'_>) -> ServerResult<Request> {
        let request = next.run(ctx, request).await?;
        self.operation_name.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&request.operation_name);
        Ok(request)
    }

    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        given: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let document = next.run(ctx, query, given).await.map_err(|error| with_code(error, Code::ParseFailed))?;
        let name = self.operation_name.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(operation) = operation(&document, name.as_deref()) {
            *self.misfits.lock().unwrap_or_else(PoisonError::into_inner) =
                variables::misfits(&ctx.schema_env.registry, &operation.variable_definitions, given);
        }
        Ok(document)
    }

    async fn validation(&self, ctx: &ExtensionContext<'_>, next: NextValidation<'_>) -> Result<ValidationResult, Vec<ServerError>> {
        let validated = next.run(ctx).await;
        // First, because validation looks at values too and says less about them.
        let misfits = std::mem::take(&mut *self.misfits.lock().unwrap_or_else(PoisonError::into_inner));
        if !misfits.is_empty() {
            return Err(misfits);
        }
        let result =
            validated.map_err(|errors| errors.into_iter().map(|error| with_code(error, Code::ValidationFailed)).collect::<Vec<_>>())?;
        if result.complexity > MAX_COMPLEXITY {
            let message = format!(
                "The document's complexity is {}; at most {MAX_COMPLEXITY} is allowed. Ask for fewer fields, or for \
                 shorter pages by `first` and `last`.",
                result.complexity
            );
            return Err(vec![Code::QueryTooComplex.error(message, None)]);
        }
        Ok(result)
    }

    async fn execute(&self, ctx: &ExtensionContext<'_>, operation_name: Option<&str>, next: NextExecute<'_>) -> Response {
        if let Some(began) = ctx.data_opt::<Began>() {
            began.set();
        }
        next.run(ctx, operation_name).await
    }
}

fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), _) => Some(&operation.node),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name).map(|found| &found.node),
        (DocumentOperations::Multiple(operations), None) => operations.values().next().map(|found| &found.node),
    }
}

fn with_code(mut error: ServerError, code: Code) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code.as_str());
    error
}
