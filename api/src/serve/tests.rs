//! Tests of a serving process.

use super::*;
use tower::ServiceExt;

fn router() -> Router {
    let routes = Router::new()
        .route("/fine", get(async |id: axum::Extension<RequestId>| id.0.0.to_string()))
        .route("/broken", get(async || -> &'static str { panic!("as the test wants it") }));
    wrapped(routes)
}

async fn ask(request: axum::http::request::Builder) -> (StatusCode, axum::http::HeaderMap, String) {
    let response = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (head.status, head.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_request_keeps_its_id_and_gets_one_where_it_has_none_or_nonsense() {
    let given = "0197a000-0000-7000-8000-000000000001";
    let (_, headers, body) = ask(Request::get("/fine").header("X-Request-Id", given)).await;
    assert_eq!((body.as_str(), headers["x-request-id"].to_str().unwrap()), (given, given));
    for request in [Request::get("/fine"), Request::get("/fine").header("X-Request-Id", "1; drop table")] {
        let (_, headers, body) = ask(request).await;
        assert_eq!(headers["x-request-id"].to_str().unwrap(), body);
        assert_eq!(Uuid::try_parse(&body).unwrap().get_version_num(), 7);
    }
}

#[tokio::test]
async fn a_handler_that_panics_answers_internal_with_an_error_id() {
    let (status, headers, body) = ask(Request::get("/broken")).await;
    assert_eq!(status, 500);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["error"]["code"], "INTERNAL");
    assert!(!body.to_string().contains("as the test wants it"));
    assert!(headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn an_unknown_address_or_method_is_an_error_in_json() {
    let (status, headers, body) = ask(Request::get("/nowhere?token=secret")).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (StatusCode::NOT_FOUND, "application/json"));
    assert!(body.contains("\"NOT_FOUND\"") && body.contains("/nowhere") && !body.contains("secret"), "{body}");
    let (status, headers, body) = ask(Request::post("/fine")).await;
    assert_eq!((status, headers["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD"));
    assert!(body.contains("METHOD_NOT_ALLOWED"), "{body}");
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_browsers_from_mischief() {
    for path in ["/fine", "/broken", "/nowhere"] {
        let (_, headers, _) = ask(Request::get(path)).await;
        for name in ["x-content-type-options", "content-security-policy", "x-frame-options", "referrer-policy", "cache-control"] {
            assert!(headers.contains_key(name), "{path} lacks {name}");
        }
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = bind(Some(taken.local_addr().unwrap()), "listen", "ANNALS_LISTEN").await.unwrap_err().to_string();
    assert!(error.contains("is in use") && error.contains("--listen") && error.contains("ANNALS_LISTEN"), "{error}");
}

async fn fetch(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_process_is_ready_once_it_runs_and_leaves_nothing_listening_when_it_has_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let config = crate::config::Config::of(&["--data-dir", data.to_str().unwrap()]);
    let database = crate::database::Database::open(&config).await.unwrap();
    database.migrate().await.unwrap();
    crate::metrics::start();
    let app = App::new(database.pools(&config), database.master(), crate::database::appender(&config));
    let anywhere = Options::default().listen;
    let running = Running::start(app, Options { admin_listen: anywhere, ..Options::default() }).await.unwrap();
    let (address, admin) = (running.address.unwrap(), running.admin_address.unwrap());

    let ready = fetch(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.0 200") && ready.ends_with("ready\n"), "{ready}");
    let metrics = fetch(admin, "/metrics").await;
    assert!(metrics.contains("projection_lag_events 0") && metrics.contains("pool_max_connections{pool=\"api\"} 16"), "{metrics}");
    assert!(fetch(address, "/metrics").await.starts_with("HTTP/1.0 404"), "metrics are not for the public");
    assert!(fetch(address, "/schema.graphql").await.contains("type Query"));

    running.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    database.close().await;
    cluster::Cluster::discard(&data).await.unwrap();
}
