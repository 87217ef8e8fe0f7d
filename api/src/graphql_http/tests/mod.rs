//! The specification, requirement by requirement, through the endpoint as a client meets it. Here: the schema and the
//! client; beside: the tests.

mod requests;
mod results;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_graphql::{Data, Enum, Error, InputObject, Object, Result, Schema, SimpleObject, Subscription};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, StatusCode, header},
    response::Response,
};
use futures::{Stream, stream};
use serde_json::{Value, json};

use super::*;

static WRITES: AtomicU32 = AtomicU32::new(0);

struct Query;
struct Mutation;
struct Subscriptions;

#[derive(SimpleObject)]
struct Node {
    id: i32,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Red,
    Green,
}

#[derive(InputObject)]
struct Filter {
    colour: Colour,
    most: Option<i32>,
}

#[Object]
impl Query {
    async fn hello(&self, name: Option<String>) -> String {
        format!("hello {}", name.unwrap_or_else(|| "world".into()))
    }

    async fn failing(&self) -> Option<Result<i32>> {
        Some(Err(Error::new("failing failed")))
    }

    async fn required(&self) -> Result<i32> {
        Err(Error::new("required failed"))
    }

    async fn panicking(&self, #[graphql(default)] but: bool) -> i32 {
        assert!(but, "as asked");
        0
    }

    async fn endless(&self) -> i32 {
        std::future::pending().await
    }

    async fn me(&self) -> Query {
        Query
    }

    async fn filtered(&self, filter: Vec<Filter>) -> usize {
        filter.iter().filter(|filter| filter.colour == Colour::Red).map(|f| f.most.map_or(1, |m| m as usize)).sum()
    }

    #[graphql(complexity = "first * child_complexity")]
    async fn nodes(&self, first: usize) -> Vec<Node> {
        (0..).take(first).map(|id| Node { id }).collect()
    }
}

#[Object]
impl Mutation {
    async fn write(&self) -> u32 {
        WRITES.fetch_add(1, Ordering::SeqCst)
    }

    async fn endless(&self) -> i32 {
        std::future::pending().await
    }
}

#[Subscription]
impl Subscriptions {
    async fn ticks(&self) -> impl Stream<Item = i32> {
        stream::iter([1])
    }
}

const GRAPHQL: &str = "application/graphql-response+json";
const GRAPHQL_UTF8: &str = "application/graphql-response+json; charset=utf-8";
const JSON_UTF8: &str = "application/json; charset=utf-8";

fn endpoint() -> Endpoint<Schema<Query, Mutation, Subscriptions>> {
    let schema = guarded(Schema::build(Query, Mutation, Subscriptions)).finish();
    Endpoint::new(schema, || "id-1".to_owned()).with_time(Duration::from_millis(200))
}

async fn serve(request: Request) -> Response {
    endpoint().serve(request, |_| async { Ok(Data::default()) }).await
}

fn post(body: impl Into<Body>) -> Request {
    Request::post("/graphql").header(header::CONTENT_TYPE, "application/json").header(header::ACCEPT, GRAPHQL).body(body.into()).unwrap()
}

fn with(mut request: Request, name: header::HeaderName, value: &str) -> Request {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

fn get(query: &str) -> Request {
    Request::get(format!("/graphql?{query}")).header(header::ACCEPT, GRAPHQL).body(Body::empty()).unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

async fn answer(request: Request) -> (u16, Value) {
    let response = serve(request).await;
    let status = response.status().as_u16();
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(response.headers()[header::VARY], "Accept");
    (status, serde_json::from_str(&text(response).await).unwrap())
}

/// The status and code of a refusal, which is a well-formed request error result.
async fn refusal(request: Request) -> (u16, String) {
    let response = serve(request).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], GRAPHQL_UTF8);
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["errors"], "{body}");
    let error = &body["errors"][0];
    assert!(!error["message"].as_str().unwrap().is_empty());
    (status, error["extensions"]["code"].as_str().unwrap().to_owned())
}

fn query(document: &str) -> Request {
    post(json!({ "query": document }).to_string())
}

async fn refused_query(document: &str) -> (u16, String) {
    refusal(query(document)).await
}

fn expect(status: u16, code: Code) -> (u16, String) {
    assert_eq!(code.status().as_u16(), status);
    (status, code.as_str().to_owned())
}
