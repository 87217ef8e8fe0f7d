//! What comes in wrong: nothing of it reaches a command.

use super::*;
use axum::http::HeaderMap;
use serde_json::json as value;

fn headers(content_type: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())])
}

async fn read_login(content_type: &str, body: impl Into<Body>) -> Result<LoginBody, ApiError> {
    json(&headers(content_type), body.into()).await
}

fn registration(body: serde_json::Value) -> Result<NewAccount, ApiError> {
    serde_json::from_value::<RegisterBody>(body).unwrap().checked()
}

fn faults(error: &ApiError) -> Vec<(&str, &str)> {
    error.details().iter().map(|detail| (detail.field.as_str(), detail.message.as_str())).collect()
}

#[tokio::test]
async fn only_json_in_utf_8_is_read() {
    for good in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\"", "application/json; x=y"] {
        assert!(read_login(good, "{}").await.is_ok(), "{good}");
    }
    for bad in ["text/plain", "application/json; charset=latin1", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        assert!(read_login(bad, "{}").await.unwrap_err().is(Code::UnsupportedMediaType), "{bad}");
    }
    let mut compressed = headers("application/json");
    compressed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert!(json::<LoginBody>(&compressed, Body::from("{}")).await.unwrap_err().is(Code::UnsupportedMediaType));
    assert!(json::<LoginBody>(&HeaderMap::new(), Body::from("{}")).await.unwrap_err().is(Code::UnsupportedMediaType));
}

#[tokio::test]
async fn a_body_has_at_most_64_kib() {
    let of = |bytes: usize| format!("{{\"email\": \"{}\"}}", "x".repeat(bytes - 13));
    assert!(read_login("application/json", of(body::MAX_BODY_BYTES)).await.is_ok());
    assert!(read_login("application/json", of(body::MAX_BODY_BYTES + 1)).await.unwrap_err().is(Code::PayloadTooLarge));
}

#[tokio::test]
async fn what_is_not_json_or_of_another_shape_is_refused_with_its_place() {
    for bad in ["", "{", "nul", "{} {}", "{\"email\": }", "\u{feff}{}", "5", "null", "[\"ada@example.org\"]", &"[".repeat(10_000)] {
        let error = read_login("application/json", bad.to_owned()).await.unwrap_err();
        assert!(error.is(Code::ValidationError), "{bad}: {error}");
    }
    let error = read_login("application/json", r#"{"email": 5}"#).await.unwrap_err();
    assert_eq!(error.details()[0].field, "email");
    let error = read_login("application/json", r#"{"emial": "a"}"#).await.unwrap_err();
    assert!(error.is(Code::ValidationError) && error.message().contains("unknown field `emial`"), "{error}");
    assert!(read_login("application/json", r#"{"email": "a", "email": "b"}"#).await.is_err());
    assert!(read_login("application/json", b"{\"email\": \"\xff\"}".to_vec()).await.is_err());
}

#[test]
fn all_that_is_wrong_with_a_registration_is_said_at_once() {
    let error = registration(value!({ "email": "ada", "password": "short", "timezone": "Mars", "firstName": " " })).unwrap_err();
    let fields: Vec<_> = faults(&error).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["email", "passwordConfirm", "password", "firstName", "timezone"]);
    let error =
        registration(value!({ "email": "ada@example.org", "password": "correct horse", "passwordConfirm": "correct house" })).unwrap_err();
    assert_eq!(faults(&error), [("passwordConfirm", "must be the same as the password")]);
    assert!(registration(value!({})).unwrap_err().message().contains("3 fields"));
}

#[test]
fn a_right_registration_is_tidied() {
    let new = registration(
        value!({ "email": " Ada@Example.org ", "password": "correct horse", "passwordConfirm": "correct horse", "firstName": "Ada", "lastName": null }),
    );
    let new = new.unwrap();
    assert_eq!((new.email.as_str(), new.first_name.as_ref().map(Name::as_str), new.last_name), ("ada@example.org", Some("Ada"), None));
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_that_request() {
    let response = answer(async { panic!("in the middle") }).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], "INTERNAL");
    assert!(body["error"]["errorId"].is_string() && !body.to_string().contains("middle"));
}
