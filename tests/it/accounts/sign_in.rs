//! Sessions: who gets one, how it goes on, and how it ends.

use super::*;

#[tokio::test]
async fn who_fails_to_sign_in_learns_nothing_and_ten_failures_lock_the_account() {
    let world = World::new().await;
    let user = registered(&world, "ada").await;
    let login = async |name: &str, with: &str| {
        let began = Instant::now();
        let answer = post(&world, "/api/v1/auth/login", json!({ "email": format!("{name}@example.org"), "password": with })).await;
        assert!(answer.status == 200 || began.elapsed().as_millis() >= 250, "all failures take as long");
        answer
    };
    let unknown = login("nobody", PASSWORD).await;
    assert_eq!((unknown.status, unknown.body["error"]["code"].as_str()), (401, Some("UNAUTHENTICATED")));
    assert!(unknown.head.contains("www-authenticate: bearer"));
    for answer in join_all((0..10).map(|_| login("ada", "wrong horse"))).await {
        assert_eq!((answer.status, &answer.body), (401, &unknown.body));
    }
    let locked = login("ada", PASSWORD).await;
    assert_eq!((locked.status, &locked.body), (401, &unknown.body), "the right password does not help while it is locked");
    let state: User = world.app.commands.state(PLATFORM, user.0).await.unwrap();
    assert!(state.is_locked(clock::now()));
    assert_eq!(state.account().unwrap().failed_logins, 0, "what fails while it is locked does not count");
    let log = names(&world, PLATFORM).await;
    assert_eq!(log.iter().filter(|name| *name == "UserLocked").count(), 1);
    assert!(!log.contains(&"SessionStarted".to_owned()));
}

#[tokio::test]
async fn signing_in_gives_tokens_and_refreshing_rotates_them() {
    let world = World::new().await;
    let user = registered(&world, "ada").await;
    let answer =
        post(&world, "/api/v1/auth/login", json!({ "email": "ADA@example.org ", "password": PASSWORD, "clientLabel": "laptop" })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("cache-control: no-store"));
    assert_eq!((&answer.body["tokenType"], &answer.body["expiresIn"]), (&json!("Bearer"), &json!(900)));
    assert_eq!((&answer.body["user"]["id"], &answer.body["user"]["email"]), (&json!(user), &json!("ada@example.org")));
    let access = answer.body["accessToken"].as_str().unwrap();
    let signed = accounts::authenticate(&world.app, &bearer(access)).await.unwrap().unwrap();
    assert_eq!(signed.user, user);

    let first = answer.body["refreshToken"].as_str().unwrap().to_owned();
    let second = post(&world, "/api/v1/auth/refresh", json!({ "refreshToken": first })).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_ne!(second.body["refreshToken"], json!(first));
    let session: Session = world.app.commands.state(PLATFORM, signed.session.unwrap().0).await.unwrap();
    assert_eq!(session.live(clock::now()).unwrap().rotation, 1);

    let stolen = post(&world, "/api/v1/auth/refresh", json!({ "refreshToken": first })).await;
    assert_eq!((stolen.status, stolen.body["error"]["code"].as_str()), (401, Some("UNAUTHENTICATED")));
    let victim = post(&world, "/api/v1/auth/refresh", json!({ "refreshToken": second.body["refreshToken"] })).await;
    assert_eq!(victim.status, 401, "a token used twice ends the session");
    for token in [access, second.body["accessToken"].as_str().unwrap()] {
        assert!(accounts::authenticate(&world.app, &bearer(token)).await.unwrap_err().is(Code::Unauthenticated), "and its access tokens");
    }
    let long = "A".repeat(64);
    for bad in ["", "x", &long, &first[1..]] {
        assert_eq!(post(&world, "/api/v1/auth/refresh", json!({ "refreshToken": bad })).await.status, 401, "{bad}");
    }
}

#[tokio::test]
async fn of_many_refreshes_with_one_token_at_most_one_gets_a_pair() {
    let world = World::new().await;
    registered(&world, "ada").await;
    let token = sign_in(&world, "ada", PASSWORD).await.unwrap().refresh_token;
    let origin = Origin::new();
    let outcomes = join_all((0..6).map(|_| accounts::refresh(&world.app, &origin, &token))).await;
    assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() <= 1);
    assert!(outcomes.into_iter().filter_map(Result::err).all(|error| error.is(Code::Unauthenticated)));
}

#[tokio::test]
async fn signing_out_counts_at_once_and_only_for_that_session() {
    let world = World::new().await;
    registered(&world, "ada").await;
    let (one, two) = (sign_in(&world, "ada", PASSWORD).await.unwrap(), sign_in(&world, "ada", PASSWORD).await.unwrap());
    assert!(accounts::authenticate(&world.app, &bearer(&one.access_token)).await.unwrap().is_some());
    let authorization = format!("bearer {}", one.access_token);
    for _ in 0..2 {
        let out = send(&world, "POST", "/api/v1/auth/logout", &[("Authorization", &authorization)], "").await;
        assert_eq!((out.status, out.body), (204, Value::Null));
    }
    assert!(accounts::authenticate(&world.app, &bearer(&one.access_token)).await.unwrap_err().is(Code::Unauthenticated));
    assert!(accounts::refresh(&world.app, &Origin::new(), &one.refresh_token).await.unwrap_err().is(Code::Unauthenticated));
    assert!(accounts::authenticate(&world.app, &bearer(&two.access_token)).await.unwrap().is_some());
    let state: Session = world.app.commands.state(PLATFORM, one.session.0).await.unwrap();
    assert_eq!(state.revoked(), Some(RevokeReason::Logout));
    assert_eq!(send(&world, "POST", "/api/v1/auth/logout", &[], "").await.status, 401);
}

#[tokio::test]
async fn nobody_ends_anothers_session_and_a_bad_header_is_not_taken_for_none() {
    let world = World::new().await;
    registered(&world, "ada").await;
    let eve = registered(&world, "eve").await;
    let ada = sign_in(&world, "ada", PASSWORD).await.unwrap();
    let denied = accounts::end_session(&world.app, &Origin::new(), eve, ada.session, RevokeReason::Logout).await.unwrap_err();
    assert!(denied.is(Code::Forbidden));
    assert!(accounts::authenticate(&world.app, &bearer(&ada.access_token)).await.unwrap().is_some());
    assert_eq!(accounts::authenticate(&world.app, &HeaderMap::new()).await.unwrap(), None);
    for bad in ["Bearer", "Bearer ", "Basic YTpi", "x", &format!("Bearer {}x", ada.access_token)] {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bad.parse().unwrap())]);
        assert!(accounts::authenticate(&world.app, &headers).await.unwrap_err().is(Code::Unauthenticated), "{bad}");
    }
    // A token of a session that never was, though signed by us.
    let forged = world.app.tokens.issue(eve, Some(clock::new_id()), None, clock::now());
    assert!(accounts::authenticate(&world.app, &bearer(&forged)).await.is_err());
    let anothers = world.app.tokens.issue(eve, Some(ada.session), None, clock::now());
    assert!(accounts::authenticate(&world.app, &bearer(&anothers)).await.is_err());
    let operators = world.app.tokens.issue(eve, None, None, clock::now());
    assert_eq!(accounts::authenticate(&world.app, &bearer(&operators)).await.unwrap().unwrap().user, eve);
}

#[tokio::test]
async fn a_new_password_counts_alone_and_ends_the_other_sessions() {
    let world = World::new().await;
    let ada = registered(&world, "ada").await;
    let (mine, other) = (sign_in(&world, "ada", PASSWORD).await.unwrap(), sign_in(&world, "ada", PASSWORD).await.unwrap());
    let change = async |current: &str, new: &str, confirm: &str| {
        let change = PasswordChange { current: password(current), new: password(new), confirm: password(confirm) };
        accounts::change_password(&world.app, &Origin::new(), ada, change, &[other.session]).await
    };
    assert_eq!(change("wrong horse", "better horse", "better horse").await.unwrap_err().code(), "WRONG_PASSWORD");
    assert!(change(PASSWORD, "better horse", "bitter horse").await.unwrap_err().is(Code::ValidationError));
    assert!(change(PASSWORD, "short", "short").await.unwrap_err().is(Code::ValidationError));
    assert!(accounts::authenticate(&world.app, &bearer(&other.access_token)).await.is_ok());
    change(PASSWORD, "better horse", "better horse").await.unwrap();
    assert!(sign_in(&world, "ada", PASSWORD).await.is_err());
    assert!(sign_in(&world, "ada", "better horse").await.is_ok());
    assert!(accounts::authenticate(&world.app, &bearer(&mine.access_token)).await.is_ok());
    assert!(accounts::authenticate(&world.app, &bearer(&other.access_token)).await.is_err());
}
