//! GraphQL over HTTP, September 2026 edition: what comes in, what goes out, and nothing about the schema.
//! Invariant: whatever a client sends, it gets a well-formed GraphQL result or none of the schema's work is begun.
//!
//! The order is: method and `Accept`, the caller (from the headers alone), the body, the document's limits, execution.
//! A stranger therefore costs neither a body nor a parse. The schema must be built through [`guarded`].

mod accept;
mod code;
mod document;
mod documents;
mod graphiql;
mod guard;
#[cfg(test)]
mod limits_tests;
mod members;
#[cfg(test)]
mod pins;
mod reply;
mod request;
mod scan;
#[cfg(test)]
mod tests;
mod variables;

use std::{panic::AssertUnwindSafe, time::Duration};

use async_graphql::{Data, Executor};
use axum::{http::request::Parts, response::Response};
use futures::FutureExt;

use self::documents::Documents;

pub use self::{
    accept::Media,
    code::{Code, Refusal},
    document::{MAX_ALIASES, MAX_DEPTH, MAX_DIRECTIVES, MAX_NESTING, MAX_ROOT_FIELDS, MAX_SELECTIONS},
    graphiql::{ASSETS_PATH, assets},
    guard::{MAX_COMPLEXITY, guarded},
    reply::reply,
    request::{Accepted, MAX_BODY_BYTES, MAX_QUERY_STRING_BYTES, Wanted, head},
    scan::{MAX_DOCUMENT_BYTES, MAX_TOKENS},
};

/// How long the schema may work on one request.
pub const MAX_EXECUTION: Duration = Duration::from_secs(10);

/// One GraphQL endpoint: a schema and the way to name an internal error.
#[derive(Clone)]
pub struct Endpoint<E> {
    executor: E,
    error_id: fn() -> String,
    time: Duration,
    documents: Documents,
}

impl<E: Executor> Endpoint<E> {
    /// `executor` is a schema built through [`guarded`]; `error_id` names one internal error to client and log alike.
    pub fn new(executor: E, error_id: fn() -> String) -> Self {
        Self { executor, error_id, time: MAX_EXECUTION, documents: Documents::default() }
    }

    /// The same endpoint with another limit than [`MAX_EXECUTION`].
    #[must_use]
    pub fn with_time(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// Answers one HTTP request: GraphQL by POST or GET, or the GraphiQL page for a browser.
    ///
    /// `prepare` sees the request's head before anything of its body is read; what it returns is the request's
    /// context data, and what it refuses is the answer. It is not asked for the page, which holds nothing secret.
    pub async fn serve<P, F>(&self, request: axum::extract::Request, prepare: P) -> Response
    where
        P: FnOnce(Parts) -> F,
        F: Future<Output = Result<Data, Refusal>>,
    {
        let (parts, body) = request.into_parts();
        let wanted = match head(&parts) {
            Ok(wanted) => wanted,
            Err(refusal) => return refusal.into(),
        };
        let media = match wanted {
            Wanted::Page => return graphiql::page(),
            Wanted::Result(media) => media,
        };
        let data = match prepare(parts.clone()).await {
            Ok(data) => data,
            Err(refusal) => return refusal.into(),
        };
        let mut accepted = match request::read(&parts, body, media, &self.documents).await {
            Ok(accepted) => accepted,
            Err(refusal) => return refusal.into(),
        };
        self.execute(&mut accepted, data).await
    }

    async fn execute(&self, accepted: &mut Accepted, data: Data) -> Response {
        let request = accepted.take(data);
        let work = AssertUnwindSafe(self.executor.execute(request)).catch_unwind();
        match tokio::time::timeout(self.time, work).await {
            Ok(Ok(response)) => reply(accepted, response),
            Ok(Err(_)) => {
                let id = (self.error_id)();
                tracing::error!(error_id = %id, "a resolver panicked");
                Refusal::new(Code::Internal, format!("The server failed; its log knows this failure as {id}.")).into()
            }
            Err(_) => {
                let seconds = self.time.as_secs_f32();
                let then = if accepted.mutation {
                    "Whether the mutation took effect is unknown: send it again with the same `Idempotency-Key`."
                } else {
                    "Ask for less at once, or try again later."
                };
                Refusal::new(Code::Timeout, format!("The operation ran longer than {seconds} s. {then}")).into()
            }
        }
    }
}
