//! What holds of the schema as a whole.

use super::{schema, sdl};
use crate::error::Code;
use crate::graphql::payload::{Arguments, command};
use domain::workspace::{MembershipCommand, WorkspaceCommand};
use serde_json::{Value, json};

/// The scalars of the specification itself.
const BUILT_IN: [&str; 5] = ["Int", "Float", "String", "Boolean", "ID"];

async fn introspected() -> Value {
    const QUERY: &str = "{ __schema {
        types { name kind description specifiedByURL
            fields(includeDeprecated: true) { name description args { name description } type { kind } }
            inputFields { name description } enumValues { name description } possibleTypes { name } }
        mutationType { name } } }";
    let response = schema().execute(QUERY).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    response.data.into_json().unwrap()["__schema"].clone()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn own(kind: &Value) -> bool {
    !kind["name"].as_str().unwrap().starts_with("__")
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap()
}

fn undescribed(value: &Value) -> bool {
    value["description"].as_str().is_none_or(|text| text.trim().is_empty())
}

#[tokio::test]
async fn every_type_field_argument_and_value_says_what_it_is() {
    let schema = introspected().await;
    let mut silent = Vec::new();
    for kind in list(&schema, "types").iter().filter(|kind| own(kind)) {
        if undescribed(kind) && !BUILT_IN.contains(&name(kind)) {
            silent.push(name(kind).to_owned());
        }
        for member in ["fields", "inputFields", "enumValues"].iter().flat_map(|members| list(kind, members)) {
            if undescribed(member) {
                silent.push(format!("{}.{}", name(kind), name(member)));
            }
            for argument in list(member, "args").iter().filter(|argument| undescribed(argument)) {
                silent.push(format!("{}.{}({})", name(kind), name(member), name(argument)));
            }
        }
    }
    assert!(silent.is_empty(), "without a description: {silent:#?}");
}

#[tokio::test]
async fn every_scalar_of_our_own_names_its_specification() {
    let schema = introspected().await;
    for kind in list(&schema, "types").iter().filter(|kind| kind["kind"] == "SCALAR" && !BUILT_IN.contains(&name(kind))) {
        assert!(kind["specifiedByURL"].is_string(), "{}", name(kind));
    }
    assert!(sdl().contains("scalar DateTime @specifiedBy"), "the SDL says so too");
}

#[tokio::test]
async fn a_mutation_that_fails_hides_no_other() {
    let schema = introspected().await;
    let mutation = list(&schema, "types").iter().find(|kind| kind["name"] == schema["mutationType"]["name"]).unwrap();
    let fields = list(mutation, "fields");
    assert!(fields.len() > 10);
    for field in fields {
        assert_eq!(field["type"]["kind"], "OBJECT", "{} must be nullable", name(field));
    }
}

#[tokio::test]
async fn whatever_mutations_answer_can_be_asked_for_by_its_id() {
    let schema = introspected().await;
    let types = list(&schema, "types");
    let node = types.iter().find(|kind| kind["name"] == "Node").unwrap();
    let nodes: Vec<&str> = list(node, "possibleTypes").iter().map(name).collect();
    for payload in types.iter().map(name).filter_map(|name| name.strip_suffix("Payload")) {
        assert!(nodes.contains(&payload), "{payload} is no Node");
    }
}

#[test]
fn a_command_is_made_of_arguments_and_what_breaks_a_rule_is_named() {
    let error =
        command::<WorkspaceCommand>("CreateWorkspace", json!({ "name": "A", "slug": "Not a slug", "kind": "TEAM" }), Arguments::Input)
            .unwrap_err();
    assert_eq!((error.code.as_str(), error.field), (Code::ValidationError.name(), Some(vec!["input".to_owned(), "slug".to_owned()])));
    assert!(error.message.contains("a-z"), "{}", error.message);
    let error = command::<MembershipCommand>("AssignRole", json!({ "role": "king" }), Arguments::Inline).unwrap_err();
    assert_eq!(error.field, Some(vec!["role".to_owned()]));
    assert!(error.message.contains("viewer"), "{}", error.message);
    assert_eq!(command::<MembershipCommand>("LeaveWorkspace", json!({}), Arguments::Inline), Ok(MembershipCommand::LeaveWorkspace {}));
}

#[test]
fn what_an_update_leaves_out_stays_and_null_is_said() {
    let fields = json!({ "currency": null, "custom": { "a": 1 } });
    let made = command::<WorkspaceCommand>("UpdateSettings", fields, Arguments::Input).unwrap();
    let WorkspaceCommand::UpdateSettings { default_role_key, timezone, currency, custom, .. } = made else { panic!("{made:?}") };
    assert!(default_role_key.is_keep() && timezone.is_keep());
    assert_eq!(currency, domain::Patch::Set(None));
    assert!(matches!(custom, domain::Patch::Set(Some(json)) if json.as_str() == r#"{"a":1}"#));
}

#[tokio::test]
async fn an_argument_that_cannot_be_read_nulls_its_own_field_and_has_a_code() {
    let bad = r#"mutation { a: updateProfile(input: {}) { entity { id } } b: revokeSession(sessionId: "no id") { entity { id } } }"#;
    let response = schema().execute(bad).await;
    let codes: Vec<String> =
        response.errors.iter().map(|error| error.extensions.as_ref().unwrap().get("code").unwrap().to_string()).collect();
    // Nothing of a request is known here, so the first fails too, but by itself.
    assert_eq!(codes.len(), 2, "{:?}", response.errors);
    assert!(codes.contains(&format!("{:?}", Code::ValidationError.name())), "{codes:?}");
    assert_eq!(response.data.into_json().unwrap(), json!({ "a": null, "b": null }));
}
