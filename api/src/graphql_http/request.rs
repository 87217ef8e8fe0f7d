//! From an HTTP request to a GraphQL one. Invariant: what is accepted names one query or mutation, within the limits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_graphql::{Data, Request};
use axum::{
    body::Body,
    extract::Query,
    http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts},
};
use futures::StreamExt;

use super::{
    accept::{Media, acceptable, is_utf8, split},
    code::{Code, Refusal},
    document,
    documents::Documents,
    members::{from_json, from_parameters},
};

/// Bytes of a request's body.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Bytes of a GET request's query string, still encoded. (At 65,534 hyper itself answers 414, without a body.)
pub const MAX_QUERY_STRING_BYTES: usize = 32 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);

/// What a request's head asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A browser came by: the GraphiQL page.
    Page,
    /// A GraphQL result in this media type.
    Result(Media),
}

/// A request fit for execution.
pub struct Accepted {
    /// The media type of the answer.
    pub media: Media,
    /// It is a mutation, so that giving up on it leaves its outcome unknown.
    pub mutation: bool,
    request: Request,
    began: Began,
}

/// Set by the schema's guard when execution begins; lives in the request's context data.
#[derive(Clone, Default)]
pub(super) struct Began(Arc<AtomicBool>);

impl Began {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Accepted {
    /// The request to execute, with this context data. It can be taken once; a second one is empty.
    pub fn take(&mut self, data: Data) -> Request {
        let mut request = std::mem::replace(&mut self.request, Request::new(""));
        request.data = data;
        request.data.insert(self.began.clone());
        request
    }

    pub(super) fn began(&self) -> bool {
        self.began.0.load(Ordering::Acquire)
    }
}

/// Judges what stands before the body: method, `Accept`, and what the headers say of the body.
pub fn head(parts: &Parts) -> Result<Wanted, Refusal> {
    let post = parts.method == Method::POST;
    if !post && parts.method != Method::GET && parts.method != Method::HEAD {
        let message = format!("Method {} is not supported here. Use POST, or GET for a query.", parts.method);
        return Err(Refusal::new(Code::MethodNotAllowed, message).with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST")));
    }
    let length = parts.uri.query().map_or(0, str::len);
    if length > MAX_QUERY_STRING_BYTES {
        let message = format!("The query string has {length} bytes; at most {MAX_QUERY_STRING_BYTES} are allowed. Use POST.");
        return Err(Refusal::new(Code::UriTooLong, message));
    }
    let acceptable = acceptable(&parts.headers);
    if acceptable.page && !post && !parameters(&parts.uri)?.iter().any(|(name, _)| name == "query") {
        return Ok(Wanted::Page);
    }
    let Some(media) = acceptable.media else {
        return Err(Refusal::new(
            Code::NotAcceptable,
            "`Accept` allows neither `application/graphql-response+json` nor `application/json` (in UTF-8). Add one.",
        ));
    };
    if post {
        content(&parts.headers)?;
    }
    Ok(Wanted::Result(media))
}

fn content(headers: &HeaderMap) -> Result<(), Refusal> {
    let unsupported = |message: String| {
        Refusal::new(Code::UnsupportedMediaType, message).with_header(header::ACCEPT, HeaderValue::from_static("application/json"))
    };
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(declared), None) = (types.next(), types.next()) else {
        return Err(unsupported("POST needs one `Content-Type`. Send `Content-Type: application/json`.".into()));
    };
    let declared = String::from_utf8_lossy(declared.as_bytes());
    let mut parts = split(&declared, ';');
    if !parts.next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return Err(unsupported(format!("`Content-Type: {declared}` is not supported. Send `application/json`.")));
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.trim().eq_ignore_ascii_case("charset") && !is_utf8(value) {
            return Err(unsupported(format!("Charset {value} is not supported. Send the body in UTF-8.")));
        }
    }
    for encoding in headers.get_all(header::CONTENT_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            let message = format!("`Content-Encoding: {encoding}` is not supported. Send the body as it is.");
            return Err(Refusal::new(Code::UnsupportedMediaType, message)
                .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        }
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    Ok(())
}

fn too_large() -> Refusal {
    let message = format!("The body is larger than {MAX_BODY_BYTES} bytes. Send less at once.");
    Refusal::new(Code::PayloadTooLarge, message)
}

/// Reads what [`head`] let through: the parameters of a GET, the body of a POST.
pub(super) async fn read(parts: &Parts, body: Body, media: Media, documents: &Documents) -> Result<Accepted, Refusal> {
    let post = parts.method == Method::POST;
    let request = if post { from_json(&collect(body, BODY_TIME).await?)? } else { from_parameters(parameters(&parts.uri)?)? };
    accept(request, post, media, documents)
}

fn accept(mut request: Request, post: bool, media: Media, documents: &Documents) -> Result<Accepted, Refusal> {
    let mutation = document::check(&mut request, post, documents)?;
    Ok(Accepted { media, mutation, request, began: Began::default() })
}

pub(super) async fn collect(body: Body, time: Duration) -> Result<Vec<u8>, Refusal> {
    let reading = async {
        let mut bytes = Vec::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Refusal::new(Code::BadRequest, format!("The body broke off: {error}. Send it again.")))?;
            if bytes.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(time, reading).await.unwrap_or_else(|_| {
        let message = format!("The body did not arrive within {} s. Send it again.", time.as_secs_f32());
        Err(Refusal::new(Code::RequestTimeout, message))
    })
}

fn parameters(uri: &Uri) -> Result<Vec<(String, String)>, Refusal> {
    Query::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .map_err(|error| Refusal::new(Code::MalformedRequest, format!("The query string: {error}.")))
}
