//! What REST answers, whatever comes in.

use super::*;

#[tokio::test]
async fn rest_says_what_is_wrong_in_one_shape() {
    let world = World::new().await;
    let path = "/api/v1/auth/register";
    let body = json!({ "email": "ada@example.org", "password": PASSWORD, "passwordConfirm": PASSWORD, "firstName": "Ada" });
    let made = post(&world, path, body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let user: UserId = serde_json::from_value(made.body["user"]["id"].clone()).unwrap();
    assert_eq!(made.body["workspace"]["id"], json!(WorkspaceId::personal(user)));
    let taken = post(&world, path, body.clone()).await;
    assert_eq!(
        (taken.status, &taken.body["error"]["code"], &taken.body["error"]["details"][0]["field"]),
        (409, &json!("EMAIL_TAKEN"), &json!("email"))
    );

    let mut more = body.clone();
    more["admin"] = json!(true);
    let unknown = post(&world, path, more).await;
    assert_eq!((unknown.status, &unknown.body["error"]["code"]), (400, &json!("VALIDATION_ERROR")));
    assert!(unknown.body["error"]["message"].as_str().unwrap().contains("admin"));
    let empty = post(&world, path, json!({})).await;
    assert_eq!((empty.status, empty.body["error"]["details"].as_array().map(Vec::len)), (400, Some(3)));

    let text = body.to_string();
    for (method, kind, body, status, code) in [
        ("POST", "text/plain", text.as_str(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "application/json", "{", 400, "VALIDATION_ERROR"),
        ("POST", "application/json", &format!("\"{}\"", "x".repeat(70_000)), 413, "PAYLOAD_TOO_LARGE"),
        ("GET", "application/json", "", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = send(&world, method, path, &[("Content-Type", kind)], body).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (status, &json!(code)));
    }

    let jwks = send(&world, "GET", "/.well-known/jwks.json", &[], "").await;
    assert_eq!((jwks.status, &jwks.body), (200, &world.app.tokens.jwks()));
    // Where it came from is known, and sealed.
    let sealed: Vec<Option<String>> =
        sqlx::query_scalar("select metadata ->> 'request' from event_store.events where event_type = 'UserRegistered'")
            .fetch_all(&world.app.pools.loader)
            .await
            .unwrap();
    assert!(matches!(sealed.as_slice(), [Some(sealed)] if !sealed.contains("127.0.0.1")));
}

#[tokio::test]
async fn a_database_that_is_gone_is_unavailable_and_the_program_lives() {
    let world = World::new().await;
    registered(&world, "ada").await;
    world.app.pools.close().await;
    for (path, body) in [
        ("/api/v1/auth/login", json!({ "email": "ada@example.org", "password": PASSWORD })),
        ("/api/v1/auth/register", json!({ "email": "eve@example.org", "password": PASSWORD, "passwordConfirm": PASSWORD })),
    ] {
        let answer = post(&world, path, body).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &json!("UNAVAILABLE")), "{path}");
        assert!(answer.head.contains("retry-after"));
    }
    assert_eq!(send(&world, "GET", "/.well-known/jwks.json", &[], "").await.status, 200);
}
