//! What goes wrong, as clients see it: one error for every face, and the closed list of top-level codes.
//! Invariant: what is nobody's business is logged under an error id, and the client sees the id alone.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Denied, Refusal};
use event_store::{ExecuteError, StoreError};
use serde::Serialize;
use std::fmt;
use strum::VariantArray as _;
use uuid::Uuid;

/// The codes that any command or query may answer with. Beside them stand the refusals that aggregates name, such
/// as `EMAIL_TAKEN`, and those of the GraphQL transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The input breaks a rule; the details say which.
    ValidationError,
    /// Who asks is not known: no token, or one that is not good (any more).
    Unauthenticated,
    /// Who asks may not.
    Forbidden,
    /// The account's e-mail address must be verified first.
    EmailNotVerified,
    /// The account is deactivated or deleted.
    AccountDisabled,
    /// There is no such thing, or none that who asks may know of.
    NotFound,
    /// Something else happened to it meanwhile, or the id is taken.
    Conflict,
    /// Not at this time of its life.
    InvalidState,
    /// The plan allows no more.
    QuotaExceeded,
    /// Too many requests.
    RateLimited,
    /// The Idempotency-Key was used for another command.
    IdempotencyKeyReused,
    /// The path knows other methods.
    MethodNotAllowed,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The read model has not come to the position that was asked for.
    StaleRead,
    /// The write stands, but the read model does not show it yet.
    ReadModelBehind,
    /// More waits than the program will hold.
    Overloaded,
    /// The database does not answer.
    Unavailable,
    /// The program failed.
    Internal,
}

impl Code {
    /// As clients see it: `VALIDATION_ERROR`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The HTTP status of an answer with this code (`spec/conventions.md`).
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::ValidationError => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::EmailNotVerified | Self::AccountDisabled => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict | Self::InvalidState | Self::IdempotencyKeyReused => StatusCode::CONFLICT,
            Self::QuotaExceeded => StatusCode::PAYMENT_REQUIRED,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::StaleRead | Self::ReadModelBehind | Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// The field, as the client named it: `passwordConfirm`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    code: &'static str,
    status: StatusCode,
    message: String,
    details: Vec<Detail>,
    error_id: Option<Uuid>,
    refused: bool,
}

impl ApiError {
    /// An error with one of the closed list's codes.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code.name(), status: code.status(), message: message.into(), details: Vec::new(), error_id: None, refused: false }
    }

    /// A business rule stands against it. A code outside the closed list is a conflict.
    #[must_use]
    pub fn refusal(code: &'static str, message: impl Into<String>, field: Option<&str>) -> Self {
        let message = message.into();
        let status = Code::VARIANTS.iter().find(|known| known.name() == code).map_or(StatusCode::CONFLICT, |known| known.status());
        let details = field.map(|field| Detail { field: field.to_owned(), message: message.clone() });
        Self { code, status, message, details: details.into_iter().collect(), error_id: None, refused: true }
    }

    /// The input breaks rules; at least one detail says which.
    #[must_use]
    pub fn invalid(details: Vec<Detail>) -> Self {
        let message = match details.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            many => format!("{} fields are not right; the details name each", many.len()),
        };
        Self { details, refused: true, ..Self::new(Code::ValidationError, message) }
    }

    /// One field of the input breaks a rule.
    #[must_use]
    pub fn invalid_field(field: &str, message: impl ToString) -> Self {
        Self::invalid(vec![Detail { field: field.to_owned(), message: message.to_string() }])
    }

    /// Nobody is signed in.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(Code::Unauthenticated, "sign in first: send `Authorization: Bearer <access token>` with a token that has not expired")
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::refusal(Code::NotFound.name(), message, None)
    }

    /// The program failed: logs `cause` under a new error id, which is all that the client gets.
    #[must_use]
    pub fn internal(cause: &dyn fmt::Display) -> Self {
        let id = crate::clock::new_uuid();
        tracing::error!(error_id = %id, error = %cause, "internal error");
        Self { error_id: Some(id), ..Self::new(Code::Internal, format!("the server failed; its log knows this failure as {id}")) }
    }

    /// The code: one of the closed list, or a named refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// True for this code.
    #[must_use]
    pub fn is(&self, code: Code) -> bool {
        self.code == code.name()
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong and what to do, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fields at fault.
    #[must_use]
    pub fn details(&self) -> &[Detail] {
        &self.details
    }

    /// Under which id the program's log holds the rest of an internal error.
    #[must_use]
    pub fn error_id(&self) -> Option<Uuid> {
        self.error_id
    }

    /// True for what a mutation answers in its `userErrors`; the others are top-level errors.
    #[must_use]
    pub fn is_user_error(&self) -> bool {
        self.refused
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<&StoreError> for ApiError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::new(Code::Overloaded, error.to_string()),
            StoreError::Unavailable => Self::new(Code::Unavailable, error.to_string()),
            error if error.is_transient() => {
                tracing::warn!(%error, "the database does not answer");
                Self::new(Code::Unavailable, "the database does not answer; try again shortly")
            }
            error => Self::internal(error),
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let message = match denied.needs.as_str() {
            "self" => "everybody may do this to themselves alone; sign in as that user".to_owned(),
            "sys" => "only the program itself does this".to_owned(),
            permission => format!("this needs the permission `{permission}`; ask an owner or administrator of the workspace for it"),
        };
        Self::new(Code::Forbidden, message)
    }
}

impl<E: Refusal> From<ExecuteError<E>> for ApiError {
    fn from(error: ExecuteError<E>) -> Self {
        match error {
            ExecuteError::Denied(denied) => denied.into(),
            ExecuteError::Refused(refusal) => Self::refusal(refusal.code(), refusal.to_string(), refusal.field()),
            ExecuteError::IdTaken => Self::refusal(Code::Conflict.name(), error.to_string(), None),
            ExecuteError::KeyMisused => Self::refusal(Code::IdempotencyKeyReused.name(), error.to_string(), None),
            ExecuteError::Contended => Self::new(Code::Conflict, error.to_string()),
            ExecuteError::Store(error) => error.into(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    details: &'a [Detail],
    #[serde(skip_serializing_if = "Option::is_none")]
    error_id: Option<Uuid>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Envelope<'a> {
            error: Body<'a>,
        }
        let error = Body { code: self.code, message: &self.message, details: &self.details, error_id: self.error_id };
        let mut response = (self.status, Json(Envelope { error })).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            // RFC 9110, section 15.5.2: an answer 401 says how to sign in.
            StatusCode::UNAUTHORIZED => drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"annals\""))),
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::identity::UserError;

    #[test]
    fn refusals_keep_their_code_and_field_and_the_spec_gives_the_status() {
        let taken = ApiError::from(ExecuteError::Refused(UserError::EmailTaken));
        assert_eq!((taken.code(), taken.status(), taken.is_user_error()), ("EMAIL_TAKEN", StatusCode::CONFLICT, true));
        assert_eq!(taken.details()[0].field, "email");
        let missing = ApiError::from(ExecuteError::Refused(UserError::NotFound));
        assert_eq!((missing.code(), missing.status()), ("NOT_FOUND", StatusCode::NOT_FOUND));
        assert_eq!(ApiError::refusal("QUOTA_EXCEEDED", "no more", None).status(), StatusCode::PAYMENT_REQUIRED);
    }

    #[test]
    fn who_may_not_learns_the_permission_and_it_is_a_top_level_error() {
        let denied = ApiError::from(ExecuteError::<UserError>::Denied(Denied { needs: "pipelines.update".into() }));
        assert!(denied.is(Code::Forbidden) && denied.message().contains("`pipelines.update`") && !denied.is_user_error());
    }

    #[test]
    fn a_failing_store_says_whether_to_try_again_and_never_how_it_failed() {
        let of = |error: StoreError| ApiError::from(ExecuteError::<UserError>::Store(error));
        assert!(of(StoreError::Overloaded).is(Code::Overloaded));
        assert!(of(StoreError::Unavailable).is(Code::Unavailable));
        assert!(of(sqlx::Error::PoolTimedOut.into()).is(Code::Unavailable));
        let internal = of(StoreError::data("event 7", "a secret detail"));
        assert!(internal.is(Code::Internal) && internal.error_id().is_some());
        assert!(!internal.message().contains("secret") && internal.message().contains(&internal.error_id().unwrap().to_string()));
    }

    #[test]
    fn keys_used_twice_and_ids_that_are_taken_are_conflicts() {
        assert_eq!(ApiError::from(ExecuteError::<UserError>::KeyMisused).code(), "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(ApiError::from(ExecuteError::<UserError>::IdTaken).code(), "CONFLICT");
        assert_eq!(ApiError::from(ExecuteError::<UserError>::Contended).status(), StatusCode::CONFLICT);
    }
}
