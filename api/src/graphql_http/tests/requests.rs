//! What comes in: methods, headers, bodies, members.

use super::*;

#[tokio::test]
async fn a_query_by_post_is_answered_in_the_media_type_asked() {
    for (accept, content_type) in
        [(GRAPHQL, GRAPHQL_UTF8), ("application/json", JSON_UTF8), ("*/*", GRAPHQL_UTF8), ("text/html, */*", GRAPHQL_UTF8)]
    {
        let response = serve(with(query("{ hello }"), header::ACCEPT, accept)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], content_type, "{accept}");
        assert_eq!(text(response).await, r#"{"data":{"hello":"hello world"}}"#);
    }
}

#[tokio::test]
async fn optional_members_may_be_null_and_unknown_ones_are_ignored() {
    let body = json!({
        "query": "query A($n: String) { hello(name: $n) } query B { __typename }", "operationName": "A",
        "variables": {"n": "é"}, "extensions": null, "id": 7, "doc": {"x": [1]},
    });
    assert_eq!(answer(post(body.to_string())).await, (200, json!({"data": {"hello": "hello é"}})));
    let body = r#"{"query":"{hello}","operationName":null,"variables":null,"extensions":{"any":[1]}}"#;
    assert_eq!(answer(post(body)).await.0, 200);
}

#[tokio::test]
async fn a_query_by_get_is_answered_and_empty_parameters_count_as_absent() {
    let hello = json!({"data": {"hello": "hello a b"}});
    let encoded = "query=query+Q(%24n:String)%7Bhello(name:%24n)%7D&variables=%7B%22n%22:%22a+b%22%7D";
    for more in ["", "&operationName=Q", "&operationName=&extensions=", "&unknown=1"] {
        assert_eq!(answer(get(&format!("{encoded}{more}"))).await, (200, hello.clone()), "{more}");
    }
    assert_eq!(refusal(get(&format!("{encoded}&operationName=null"))).await, expect(422, Code::OperationUnknown));
    let mut head = get("query=%7Bhello%7D");
    *head.method_mut() = Method::HEAD;
    assert_eq!(serve(head).await.status(), 200);
}

#[tokio::test]
async fn a_get_that_is_not_well_formed_is_refused() {
    assert_eq!(refusal(get("")).await, expect(422, Code::MalformedRequest));
    assert_eq!(refusal(get("query=%7Ba%7D&query=%7Bb%7D")).await, expect(422, Code::MalformedRequest));
    assert_eq!(refusal(get("query=%7Bhello%7D&variables=%5B1%5D")).await, expect(422, Code::MalformedRequest));
    assert_eq!(refusal(get("query=%7Bhello%7D&variables=%7B")).await, expect(400, Code::BadRequest));
    let long = "x".repeat(MAX_QUERY_STRING_BYTES);
    assert_eq!(refusal(get(&format!("query={long}"))).await, expect(414, Code::UriTooLong));
}

#[tokio::test]
async fn a_mutation_runs_by_post_and_never_by_get() {
    let before = WRITES.load(Ordering::SeqCst);
    for parameters in ["query=mutation%7Bwrite%7D", "query=query+Q%7Bhello%7Dmutation+M%7Bwrite%7D&operationName=M"] {
        let response = serve(get(parameters)).await;
        assert_eq!((response.status().as_u16(), &response.headers()[header::ALLOW]), (405, &"POST".parse().unwrap()));
    }
    assert_eq!(WRITES.load(Ordering::SeqCst), before);
    assert_eq!(answer(get("query=query+Q%7Bhello%7Dmutation+M%7Bwrite%7D&operationName=Q")).await.0, 200);
    assert_eq!(answer(query("mutation { write }")).await, (200, json!({"data": {"write": before}})));
}

#[tokio::test]
async fn other_methods_are_refused_with_those_allowed() {
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let mut request = query("{ hello }");
        *request.method_mut() = method;
        let response = serve(request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "GET, HEAD, POST");
    }
}

#[tokio::test]
async fn an_answer_nobody_wants_is_not_given() {
    for accept in ["text/plain", "application/xml, image/*", "application/json;q=0", ""] {
        let request = with(query("{ hello }"), header::ACCEPT, accept);
        assert_eq!(refusal(request).await, expect(406, Code::NotAcceptable), "{accept}");
    }
    let mut request = query("{ hello }");
    request.headers_mut().remove(header::ACCEPT);
    assert_eq!(serve(request).await.headers()[header::CONTENT_TYPE], GRAPHQL_UTF8);
}

#[tokio::test]
async fn only_json_in_utf8_is_read() {
    for good in ["application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"", "application/json; odd=1"] {
        assert_eq!(answer(with(query("{ hello }"), header::CONTENT_TYPE, good)).await.0, 200, "{good}");
    }
    for bad in [
        "application/json; charset=utf-16",
        "application/graphql",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/json-patch+json",
        "",
    ] {
        let request = with(query("{ hello }"), header::CONTENT_TYPE, bad);
        assert_eq!(refusal(request).await, expect(415, Code::UnsupportedMediaType), "{bad}");
    }
    let mut request = query("{ hello }");
    request.headers_mut().remove(header::CONTENT_TYPE);
    assert_eq!(refusal(request).await, expect(415, Code::UnsupportedMediaType));
    let request = with(query("{ hello }"), header::CONTENT_ENCODING, "gzip");
    assert_eq!(refusal(request).await, expect(415, Code::UnsupportedMediaType));
    assert_eq!(answer(with(query("{ hello }"), header::CONTENT_ENCODING, "identity")).await.0, 200);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_bad_request() {
    for body in [
        &b""[..],
        b" \n",
        b"NONSENSE",
        b"{\"query\":",
        b"\xEF\xBB\xBF{\"query\":\"{hello}\"}",
        b"{\"query\":\"\xFF\"}",
        b"{\"query\":\"{hello}\"} x",
        b"[",
        b"{\"query\":\"{hello}\",\"query\":\"{hello}\"}",
        br#"{"query":"{hello}","variables":{},"variables":{}}"#,
        br#"{"query":"\ud800"}"#,
    ] {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(refusal(post(body.to_vec())).await, expect(400, Code::BadRequest), "{shown}");
    }
}

#[tokio::test]
async fn json_that_is_no_request_names_the_member_and_the_rule() {
    for body in [
        "{}",
        "7",
        "\"{hello}\"",
        "null",
        r#"{"qeury":"{__typename}"}"#,
        r#"{"query":null}"#,
        r#"{"query":7}"#,
        r#"{"query":{}}"#,
        r#"{"query":"{hello}","operationName":7}"#,
        r#"{"query":"{hello}","variables":[7]}"#,
        r#"{"query":"{hello}","variables":"{}"}"#,
        r#"{"query":"{hello}","extensions":true}"#,
    ] {
        assert_eq!(refusal(post(body)).await, expect(422, Code::MalformedRequest), "{body}");
    }
    let (_, body) = answer(post(r#"{"query":"{hello}","variables":[7]}"#)).await;
    assert_eq!(body["errors"][0]["message"], "`variables` must be an object, not a list.");
    assert_eq!(refusal(post(r#"[{"query":"{hello}"}]"#)).await, expect(422, Code::BatchingUnsupported));
}

#[tokio::test]
async fn a_body_too_large_is_refused_with_and_without_its_length_declared() {
    let body = json!({"query": "{ hello }", "variables": {"x": "y".repeat(MAX_BODY_BYTES)}}).to_string();
    let declared = with(post(body.clone()), header::CONTENT_LENGTH, &body.len().to_string());
    assert_eq!(refusal(declared).await, expect(413, Code::PayloadTooLarge));
    let chunks = body.into_bytes().chunks(1000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let streamed = Body::from_stream(stream::iter(chunks));
    assert_eq!(refusal(post(streamed)).await, expect(413, Code::PayloadTooLarge));
    let broken = Body::from_stream(stream::iter([Ok(b"{".to_vec()), Err(std::io::Error::other("gone"))]));
    assert_eq!(refusal(post(broken)).await, expect(400, Code::BadRequest));
}

#[tokio::test]
async fn a_body_that_never_arrives_is_not_waited_for() {
    let body = Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>());
    let refusal = request::collect(body, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!((refusal.code(), refusal.code().status().as_u16()), (Code::RequestTimeout, 408));
}

#[tokio::test]
async fn a_variable_of_any_name_hides_no_other() {
    let body = json!({"query": "query($n: String) { hello(name: $n) }", "variables": {"a-b": 1, "": 2, "n": "x"}});
    assert_eq!(answer(post(body.to_string())).await, (200, json!({"data": {"hello": "hello x"}})));
}
