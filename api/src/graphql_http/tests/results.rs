//! What goes out: data, errors, statuses, the page.

use super::*;

#[tokio::test]
async fn what_cannot_be_executed_has_no_data() {
    assert_eq!(refused_query("{").await, expect(400, Code::ParseFailed));
    assert_eq!(refused_query("").await, expect(400, Code::ParseFailed));
    assert_eq!(refused_query("{ nothing }").await, expect(422, Code::ValidationFailed));
    assert_eq!(refused_query("{ hello { x } }").await, expect(422, Code::ValidationFailed));
    assert_eq!(refused_query("query A { hello } query B { hello }").await, expect(422, Code::OperationUnknown));
    let body = json!({"query": "query A { hello }", "operationName": "C"});
    assert_eq!(refusal(post(body.to_string())).await, expect(422, Code::OperationUnknown));
    assert_eq!(refused_query("subscription { ticks }").await, expect(422, Code::SubscriptionUnsupported));
    // A client from before the specification gets the same.
    let legacy = with(query("{ nothing }"), header::ACCEPT, "application/json");
    assert_eq!(refusal(legacy).await, expect(422, Code::ValidationFailed));
    let (_, body) = answer(query("{ a(b: ) }")).await;
    assert!(body["errors"][0]["message"].as_str().unwrap().starts_with("`query` is not a GraphQL document: expected"));
    assert_eq!(body["errors"][0]["locations"], json!([{"line": 1, "column": 8}]));
    let (_, body) = answer(query("{\n  nothing }")).await;
    assert_eq!(body["errors"][0]["locations"], json!([{"line": 2, "column": 3}]));
}

#[tokio::test]
async fn variables_that_do_not_fit_are_refused_before_execution() {
    for (declared, value, rule) in [
        ("String!", json!({}), "Variable `$x` of type `String!`: a value is required."),
        ("String!", json!({"x": null}), "Variable `$x` of type `String!`: null is not allowed."),
        ("String", json!({"x": 7}), "Variable `$x` of type `String`: the value is not a `String`."),
        ("[Int!]", json!({"x": [1, null]}), "Variable `$x[1]` of type `[Int!]`: null is not allowed."),
        ("Colour", json!({"x": "BLUE"}), "Variable `$x` of type `Colour`: the value must be one of RED, GREEN."),
        ("Filter", json!({"x": 7}), "Variable `$x` of type `Filter`: the value must be an object of type `Filter`."),
        ("Filter", json!({"x": {}}), "Variable `$x` of type `Filter`: field `colour` of `Filter` is required."),
        ("Filter", json!({"x": {"hue": 1}}), "Variable `$x` of type `Filter`: `Filter` has no field `hue`."),
        ("Filter", json!({"x": {"colour": 1}}), "Variable `$x.colour` of type `Filter`: the value must be one of RED, GREEN."),
    ] {
        let document = format!("query($x: {declared}) {{ hello @skip(if: false) }}");
        let body = json!({"query": document, "variables": value}).to_string();
        assert_eq!(refusal(post(body.clone())).await, expect(422, Code::VariablesInvalid), "{rule}");
        assert_eq!(answer(post(body)).await.1["errors"][0]["message"], rule);
    }
    for value in [json!({"x": {"colour": "RED"}}), json!({"x": [{"colour": "RED", "most": null}]})] {
        let body = json!({"query": "query($x: [Filter!]!) { filtered(filter: $x) }", "variables": value});
        assert_eq!(answer(post(body.to_string())).await, (200, json!({"data": {"filtered": 1}})));
    }
    let body = json!({"query": "query($x: String, $y: String! = \"d\") { a: hello(name: $x) b: hello(name: $y) }"});
    assert_eq!(answer(post(body.to_string())).await.1, json!({"data": {"a": "hello world", "b": "hello d"}}));
}

#[tokio::test]
async fn what_was_executed_has_data_even_if_it_is_null() {
    let failed = |path: &str| json!([{"message": format!("{path} failed"), "locations": [{"line": 1, "column": 3}], "path": [path]}]);
    let partial = json!({"data": {"failing": null, "hello": "hello world"}, "errors": failed("failing")});
    assert_eq!(answer(query("{ failing hello }")).await, (294, partial.clone()));
    let nothing = json!({"data": null, "errors": failed("required")});
    assert_eq!(answer(query("{ required }")).await, (294, nothing.clone()));
    for (document, body) in [("{ failing hello }", partial), ("{ required }", nothing)] {
        let response = serve(with(query(document), header::ACCEPT, "application/json")).await;
        assert_eq!((response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]), (200, &JSON_UTF8.parse().unwrap()));
        assert_eq!(serde_json::from_str::<Value>(&text(response).await).unwrap(), body);
    }
    let text = text(serve(query("{ required }")).await).await;
    assert!(text.starts_with(r#"{"errors":"#) && text.ends_with(r#","data":null}"#), "{text}");
}

#[tokio::test]
async fn a_caller_is_judged_before_the_body_is_read() {
    for (code, status) in [(Code::Unauthenticated, 401), (Code::Forbidden, 403)] {
        let request = post(Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>()));
        let response = endpoint().serve(request, |_| async move { Err(Refusal::new(code, "Sign in.")) }).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), status == 401);
        let body = format!(r#"{{"errors":[{{"message":"Sign in.","extensions":{{"code":"{}"}}}}]}}"#, code.as_str());
        assert_eq!(text(response).await, body);
    }
}

#[tokio::test]
async fn a_panic_and_an_endless_resolver_are_answered() {
    assert_eq!(refused_query("{ panicking }").await, expect(500, Code::Internal));
    assert!(answer(query("{ panicking }")).await.1["errors"][0]["message"].as_str().unwrap().contains("id-1"));
    assert_eq!(refused_query("{ endless }").await, expect(503, Code::Timeout));
    let (_, body) = answer(query("mutation { endless }")).await;
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("Idempotency-Key"));
}

#[tokio::test]
async fn a_browser_gets_the_page_and_a_query_gets_its_answer() {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let response = serve(with(get(""), header::ACCEPT, browser)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script-src 'self'"));
    let page = text(response).await;
    assert_eq!(page.matches(ASSETS_PATH).count(), 5);
    assert!(!page.contains("//") && !page.contains("<!-- assets"), "{page}");
    let response = serve(with(get("query=%7Bhello%7D"), header::ACCEPT, browser)).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], GRAPHQL_UTF8);
}

#[test]
fn codes_are_told_apart_and_found_again() {
    for code in Code::ALL {
        assert_eq!(Code::named(code.as_str()), Some(code));
        assert!(!code.status().is_success());
    }
}

#[tokio::test]
async fn complexity_multiplies_by_lists() {
    assert_eq!(answer(query("{ nodes(first: 100) { id } }")).await.0, 200);
    assert_eq!(refused_query("{ nodes(first: 1001) { id } }").await, expect(422, Code::QueryTooComplex));
}

#[tokio::test]
async fn the_standard_introspection_query_passes() {
    let type_ref = (0..9).fold("kind name".to_owned(), |inner, _| format!("kind name ofType {{ {inner} }}"));
    let document = format!(
        "query IntrospectionQuery {{ __schema {{ description queryType {{ name kind }} mutationType {{ name kind }} \
         subscriptionType {{ name kind }} types {{ ...FullType }} \
         directives {{ name description isRepeatable locations args(includeDeprecated: true) {{ ...InputValue }} }} }} }} \
         fragment FullType on __Type {{ kind name description specifiedByURL isOneOf \
         fields(includeDeprecated: true) {{ name description args(includeDeprecated: true) {{ ...InputValue }} \
         type {{ ...TypeRef }} isDeprecated deprecationReason }} \
         inputFields(includeDeprecated: true) {{ ...InputValue }} interfaces {{ ...TypeRef }} \
         enumValues(includeDeprecated: true) {{ name description isDeprecated deprecationReason }} \
         possibleTypes {{ ...TypeRef }} }} \
         fragment InputValue on __InputValue {{ name description type {{ ...TypeRef }} defaultValue isDeprecated \
         deprecationReason }} fragment TypeRef on __Type {{ {type_ref} }}"
    );
    let (status, body) = answer(query(&document)).await;
    assert_eq!((status, &body["errors"]), (200, &Value::Null));
}
