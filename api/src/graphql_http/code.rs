//! The closed list of codes this side of the API answers with, the status of each, and the answer that carries them.
//! Invariant: every refusal is a GraphQL request error result; it has `errors`, each with a code, and never `data`.

use async_graphql::{ErrorExtensionValues, Pos, ServerError};
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};

use super::{accept::Media, reply};

/// Why a request was not executed: `extensions.code` of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The body is not JSON in UTF-8, or the connection broke while it was read.
    BadRequest,
    /// JSON, but not a GraphQL-over-HTTP request: a member is missing or of the wrong type.
    MalformedRequest,
    /// A list of requests.
    BatchingUnsupported,
    /// A method other than GET, HEAD and POST, or a mutation by GET.
    MethodNotAllowed,
    /// No media type in `Accept` can be produced.
    NotAcceptable,
    /// `Content-Type`, charset or `Content-Encoding` of the body is not supported.
    UnsupportedMediaType,
    /// The body is too large.
    PayloadTooLarge,
    /// The query string is too large.
    UriTooLong,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The document is not GraphQL.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// `operationName` names no operation, or is needed and missing.
    OperationUnknown,
    /// A variable's value does not fit its type.
    VariablesInvalid,
    /// A subscription; this endpoint answers once.
    SubscriptionUnsupported,
    /// Selections nest too deep.
    QueryTooDeep,
    /// The document's complexity is too high.
    QueryTooComplex,
    /// The document is too long.
    QueryTooLarge,
    /// Too many fields have an alias.
    TooManyAliases,
    /// Too many fields stand at the root.
    TooManyRootFields,
    /// Too many directives are used.
    TooManyDirectives,
    /// Execution took too long.
    Timeout,
    /// The caller is unknown.
    Unauthenticated,
    /// The caller is known and may not use this endpoint.
    Forbidden,
    /// What a header names is not there, or not for the caller.
    NotFound,
    /// A header breaks a rule.
    ValidationError,
    /// The database does not answer.
    Unavailable,
    /// More waits than the server will hold.
    Overloaded,
    /// The server failed.
    Internal,
}

impl Code {
    /// Every code, for whoever keeps the API's whole list.
    pub const ALL: [Self; 28] = [
        Self::BadRequest,
        Self::MalformedRequest,
        Self::BatchingUnsupported,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::UnsupportedMediaType,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::RequestTimeout,
        Self::ParseFailed,
        Self::ValidationFailed,
        Self::OperationUnknown,
        Self::VariablesInvalid,
        Self::SubscriptionUnsupported,
        Self::QueryTooDeep,
        Self::QueryTooComplex,
        Self::QueryTooLarge,
        Self::TooManyAliases,
        Self::TooManyRootFields,
        Self::TooManyDirectives,
        Self::Timeout,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::ValidationError,
        Self::Unavailable,
        Self::Overloaded,
        Self::Internal,
    ];

    /// The code as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::MalformedRequest => "MALFORMED_REQUEST",
            Self::BatchingUnsupported => "BATCHING_UNSUPPORTED",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::NotAcceptable => "NOT_ACCEPTABLE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::UriTooLong => "URI_TOO_LONG",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::OperationUnknown => "OPERATION_UNKNOWN",
            Self::VariablesInvalid => "VARIABLES_INVALID",
            Self::SubscriptionUnsupported => "SUBSCRIPTION_UNSUPPORTED",
            Self::QueryTooDeep => "QUERY_TOO_DEEP",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::QueryTooLarge => "QUERY_TOO_LARGE",
            Self::TooManyAliases => "TOO_MANY_ALIASES",
            Self::TooManyRootFields => "TOO_MANY_ROOT_FIELDS",
            Self::TooManyDirectives => "TOO_MANY_DIRECTIVES",
            Self::Timeout => "TIMEOUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::ValidationError => "VALIDATION_ERROR",
            Self::Unavailable => "UNAVAILABLE",
            Self::Overloaded => "OVERLOADED",
            Self::Internal => "INTERNAL",
        }
    }

    /// The status of an answer without `data`: section "Status Codes" of the edition named in `mod.rs`.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::ParseFailed => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Timeout | Self::Unavailable | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MalformedRequest
            | Self::BatchingUnsupported
            | Self::ValidationFailed
            | Self::OperationUnknown
            | Self::VariablesInvalid
            | Self::SubscriptionUnsupported
            | Self::QueryTooDeep
            | Self::QueryTooComplex
            | Self::QueryTooLarge
            | Self::TooManyAliases
            | Self::TooManyRootFields
            | Self::TooManyDirectives
            | Self::NotFound
            | Self::ValidationError => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// The code of this name, if it is one of this list.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// This code as an error of the GraphQL result.
    pub fn error(self, message: impl Into<String>, pos: Option<Pos>) -> ServerError {
        let mut error = ServerError::new(message, pos);
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", self.as_str());
        error.extensions = Some(extensions);
        error
    }
}

/// A request answered without being executed.
#[derive(Debug)]
pub struct Refusal {
    pub(super) code: Code,
    errors: Vec<ServerError>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// Refuses with one error; the message says what was wrong, the rule, and what to do.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::of(code, vec![code.error(message, None)])
    }

    pub(super) fn of(code: Code, errors: Vec<ServerError>) -> Self {
        let refusal = Self { code, errors, headers: Vec::new() };
        match code {
            Code::Unauthenticated => refusal.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => refusal,
        }
    }

    /// The same refusal at a place of the document.
    #[must_use]
    pub(super) fn at(mut self, pos: Pos) -> Self {
        for error in &mut self.errors {
            error.locations = vec![pos];
        }
        self
    }

    /// The same refusal with a header on its answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Why it was refused.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        // Also to a client that asked for `application/json`: only this media type says that the error is ours and
        // not some proxy's.
        let mut response = reply::render(
            refusal.code.status(),
            Media::GraphQlResponse,
            &reply::Body { errors: &refusal.errors, data: None, extensions: None },
        );
        for (name, value) in refusal.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
