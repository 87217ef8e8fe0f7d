//! Reading a request's body: JSON, bounded in size and time, every fault named with its field.

use crate::error::{ApiError, Code, Detail};
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use domain::Invalid;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The most bytes of a body.
pub(super) const MAX_BODY_BYTES: usize = 64 << 10;
/// How long a body may take to arrive.
const MAX_BODY_TIME: Duration = Duration::from_secs(10);

/// Reads a body as JSON of this shape.
///
/// # Errors
/// UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE, REQUEST_TIMEOUT, or VALIDATION_ERROR with the field at fault.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
    if !is_json(headers) {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "send the body as `Content-Type: application/json`, in UTF-8 and not compressed",
        ));
    }
    let mut request = Request::new(body);
    DefaultBodyLimit::apply(DefaultBodyLimit::max(MAX_BODY_BYTES), &mut request);
    let bytes = match tokio::time::timeout(MAX_BODY_TIME, Bytes::from_request(request, &())).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(ApiError::new(Code::PayloadTooLarge, format!("the body may have at most {MAX_BODY_BYTES} bytes")));
        }
        Ok(Err(_)) => return Err(ApiError::new(Code::ValidationError, "the body ended early; send all of it")),
        Err(_) => return Err(ApiError::new(Code::RequestTimeout, "the body took too long to arrive; send it again")),
    };
    // serde takes a list for a struct too, field by field.
    if bytes.trim_ascii_start().first().is_some_and(|first| *first == b'[') {
        return Err(ApiError::new(Code::ValidationError, "the body must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            // What is wrong with the whole is nobody's field.
            serde_json::error::Category::Data if path != "." => ApiError::invalid_field(&path, inner),
            serde_json::error::Category::Data => ApiError::new(Code::ValidationError, format!("the body is not right: {inner}")),
            _ => ApiError::new(Code::ValidationError, format!("the body is not JSON: {inner}")),
        }
    })?;
    reader.end().map_err(|error| ApiError::new(Code::ValidationError, format!("the body is not JSON: {error}")))?;
    Ok(value)
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let utf8 = parts.filter(|part| !part.is_empty()).all(|part| match part.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => charset.trim_matches('"').eq_ignore_ascii_case("utf-8"),
        _ => true,
    });
    let plain = headers.get_all(header::CONTENT_ENCODING).iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    media.eq_ignore_ascii_case("application/json") && utf8 && plain
}

/// Collects what is wrong with a body's fields, so that all of it is said at once.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Detail>);

impl Fields {
    /// A field that must be there.
    pub(super) fn required<T, U: TryFrom<T, Error: ToString>>(&mut self, field: &str, value: Option<T>) -> Option<U> {
        if value.is_none() {
            self.fault(field, "is missing");
        }
        self.optional(field, value)
    }

    /// A field that may be there.
    pub(super) fn optional<T, U: TryFrom<T, Error: ToString>>(&mut self, field: &str, value: Option<T>) -> Option<U> {
        value.and_then(|value| U::try_from(value).map_err(|error| self.fault(field, error)).ok())
    }

    /// A rule that must hold.
    pub(super) fn rule(&mut self, field: &str, rule: Result<(), Invalid>) {
        if let Err(broken) = rule {
            self.fault(field, broken);
        }
    }

    fn fault(&mut self, field: &str, message: impl ToString) {
        self.0.push(Detail { field: field.to_owned(), message: message.to_string() });
    }

    /// What was wrong, if anything was.
    pub(super) fn error(self) -> ApiError {
        ApiError::invalid(self.0)
    }

    /// True while nothing is wrong.
    pub(super) fn is_right(&self) -> bool {
        self.0.is_empty()
    }
}
