//! What the GraphQL specification asks of execution and releases of async-graphql have broken. An upgrade is judged here.

use std::{future::pending, sync::Arc};

use async_graphql::{EmptyMutation, EmptySubscription, Error, Object, Request, Result, Schema, SimpleObject};
use tokio::sync::Notify;

struct Query;

#[derive(SimpleObject)]
struct Leaf {
    name: &'static str,
}

struct Branch;

#[Object]
impl Branch {
    /// Fails and may not be null: the branch is null.
    async fn required(&self) -> Result<i32> {
        Err(Error::new("required failed"))
    }

    /// Fails and may be null.
    async fn optional(&self) -> Option<Result<i32>> {
        Some(Err(Error::new("optional failed")))
    }

    /// What `Result<Option<T>>` does instead, and why the house writes `Option<Result<T>>`.
    async fn inside_out(&self) -> Result<Option<i32>> {
        Err(Error::new("inside out failed"))
    }

    async fn fine(&self) -> i32 {
        1
    }

    async fn leaf(&self) -> Leaf {
        Leaf { name: "leaf" }
    }
}

#[Object]
impl Query {
    async fn first(&self, ctx: &async_graphql::Context<'_>) -> i32 {
        ctx.data_unchecked::<Arc<Notify>>().notified().await;
        1
    }

    async fn second(&self, ctx: &async_graphql::Context<'_>) -> i32 {
        ctx.data_unchecked::<Arc<Notify>>().notify_one();
        2
    }

    async fn branch(&self) -> Option<Branch> {
        Some(Branch)
    }

    async fn branches(&self) -> Vec<Option<Branch>> {
        vec![Some(Branch), Some(Branch)]
    }

    async fn root(&self) -> Branch {
        Branch
    }

    async fn never(&self) -> i32 {
        pending().await
    }
}

async fn run(query: &str) -> (String, Vec<String>) {
    let plain = Schema::new(Query, EmptyMutation, EmptySubscription);
    let guarded = super::guarded(Schema::build(Query, EmptyMutation, EmptySubscription)).finish();
    let mut answers = Vec::new();
    // With an extension and without one, async-graphql resolves fields by different code.
    for schema in [plain, guarded] {
        let response = schema.execute(Request::new(query).data(Arc::new(Notify::new()))).await;
        let errors = response
            .errors
            .iter()
            .map(|error| format!("{}: {}", serde_json::to_string(&error.path).unwrap(), error.message))
            .collect::<Vec<_>>();
        answers.push((serde_json::to_string(&response.data).unwrap(), errors));
    }
    assert_eq!(answers[0], answers[1]);
    answers.remove(0)
}

#[tokio::test]
async fn fields_that_finish_out_of_order_keep_the_order_asked() {
    assert_eq!(run("{ first second }").await.0, r#"{"first":1,"second":2}"#);
    assert_eq!(run("{ z: second a: first m: __typename }").await.0, r#"{"z":2,"a":1,"m":"Query"}"#);
}

#[tokio::test]
async fn merged_selections_keep_the_order_of_their_first_mention() {
    let query = "{ root { fine } first root { leaf { name } } second ...More } fragment More on Query { root { f: fine } }";
    assert_eq!(run(query).await.0, r#"{"root":{"fine":1,"leaf":{"name":"leaf"},"f":1},"first":1,"second":2}"#);
}

#[tokio::test]
async fn a_failed_non_null_field_nulls_its_parent_and_not_more() {
    let (data, errors) = run("{ branch { fine required } second }").await;
    assert_eq!(data, r#"{"branch":null,"second":2}"#);
    assert_eq!(errors, [r#"["branch","required"]: required failed"#]);
}

#[tokio::test]
async fn a_failed_non_null_field_in_a_list_nulls_its_element() {
    let (data, errors) = run("{ branches { required } second }").await;
    assert_eq!(data, r#"{"branches":[null,null],"second":2}"#);
    assert_eq!(errors, [r#"["branches",0,"required"]: required failed"#, r#"["branches",1,"required"]: required failed"#]);
}

#[tokio::test]
async fn a_failed_non_null_field_below_non_null_parents_nulls_the_data() {
    let (data, errors) = run("{ second root { required } }").await;
    assert_eq!(data, "null");
    assert_eq!(errors, [r#"["root","required"]: required failed"#]);
}

#[tokio::test]
async fn an_option_of_a_result_keeps_its_siblings() {
    let (data, errors) = run("{ branch { fine optional leaf { name } } }").await;
    assert_eq!(data, r#"{"branch":{"fine":1,"optional":null,"leaf":{"name":"leaf"}}}"#);
    assert_eq!(errors, [r#"["branch","optional"]: optional failed"#]);
}

/// Against the specification, and so in 7.0.19; if this fails, the house rule of `Option<Result<T>>` may go.
#[tokio::test]
async fn a_result_of_an_option_still_takes_its_siblings_along() {
    assert_eq!(run("{ branch { fine insideOut } }").await.0, r#"{"branch":null}"#);
}
