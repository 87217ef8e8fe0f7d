//! The answer to what was executed. Invariant: `data` stands in an answer exactly if execution began.

use std::collections::BTreeMap;

use async_graphql::{Response as Result, ServerError, Value};
use axum::{
    body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use super::{
    accept::Media,
    code::{Code, Refusal},
    request::Accepted,
};

/// "Partial Success": `data` and `errors` together.
const PARTIAL: u16 = 294;

/// A document of nonsense has a line of errors for each of its words; a reader needs the first.
const MAX_REQUEST_ERRORS: usize = 50;

/// `errors` first, as the GraphQL specification recommends; `data: None` leaves the entry out.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extensions: Option<&'a BTreeMap<String, Value>>,
}

/// The HTTP answer for what the schema returned, with the headers its resolvers asked for.
pub fn reply(accepted: &Accepted, result: Result) -> Response {
    let executed = accepted.began() || result.data != Value::Null;
    if !executed {
        return refuse(result);
    }
    let status = match (result.errors.is_empty(), accepted.media) {
        (false, Media::GraphQlResponse) => StatusCode::from_u16(PARTIAL).unwrap_or(StatusCode::OK),
        // 294 is not IANA's: it is meant only beside the media type that explains it.
        _ => StatusCode::OK,
    };
    let mut response = render(
        status,
        accepted.media,
        &Body {
            errors: &result.errors,
            data: Some(&result.data),
            extensions: (!result.extensions.is_empty()).then_some(&result.extensions),
        },
    );
    for (name, value) in &result.http_headers {
        response.headers_mut().append(name, value.clone());
    }
    response
}

fn refuse(result: Result) -> Response {
    let mut errors = result.errors;
    errors.truncate(MAX_REQUEST_ERRORS);
    let named = errors.iter().find_map(|error| match error.extensions.as_ref()?.get("code")? {
        Value::String(name) => Code::named(name),
        _ => None,
    });
    Refusal::of(named.unwrap_or(Code::ValidationFailed), errors).into()
}

pub(super) fn render(status: StatusCode, media: Media, body: &Body<'_>) -> Response {
    let (status, bytes) = match serde_json::to_vec(body) {
        Ok(bytes) => (status, bytes),
        Err(error) => {
            tracing::error!(%error, "a GraphQL result cannot be written as JSON");
            let text = r#"{"errors":[{"message":"The server failed to write its answer.","extensions":{"code":"INTERNAL"}}]}"#;
            (StatusCode::INTERNAL_SERVER_ERROR, text.as_bytes().to_vec())
        }
    };
    let media = if status.is_success() { media } else { Media::GraphQlResponse };
    let mut response = Response::new(body::Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.content_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
