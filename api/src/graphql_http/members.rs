//! The members of a GraphQL-over-HTTP request, from JSON or from a query string. Invariant: what is wrong is named by
//! member and rule; a member of another name is ignored, as the specification asks.

use std::fmt;

use async_graphql::{Request, Variables};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use super::code::{Code, Refusal};

const MEMBERS: [&str; 4] = ["query", "operationName", "variables", "extensions"];

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::MalformedRequest, message)
}

/// An empty optional parameter counts as absent; a parameter of another name is ignored.
pub(super) fn from_parameters(pairs: Vec<(String, String)>) -> Result<Request, Refusal> {
    let mut members = Members::default();
    for (name, text) in pairs {
        let Some(place) = members.place(&name) else {
            continue;
        };
        if place.is_some() {
            return Err(malformed(format!("Parameter `{name}` is given twice. Give it once.")));
        }
        *place = Some(match name.as_str() {
            "query" | "operationName" => Value::String(text),
            _ if text.is_empty() => Value::Null,
            _ => serde_json::from_str(&text)
                .map_err(|error| Refusal::new(Code::BadRequest, format!("Parameter `{name}` is not JSON: {error}.")))?,
        });
    }
    if members.operation_name.as_ref().is_some_and(|name| name == "") {
        members.operation_name = None;
    }
    members.into_request()
}

pub(super) fn from_json(body: &[u8]) -> Result<Request, Refusal> {
    let bad = |message: String| Refusal::new(Code::BadRequest, message);
    if body.starts_with(b"\xEF\xBB\xBF") {
        return Err(bad("The body begins with a byte order mark, which JSON does not allow. Leave it out.".into()));
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| bad(format!("The body is not UTF-8 at byte {}. Send JSON in UTF-8.", error.valid_up_to())))?;
    match text.trim_ascii_start().bytes().next() {
        None => {
            return Err(bad("The body is empty. Send a JSON object with the member `query`.".into()));
        }
        Some(b'{') => {}
        Some(first) => {
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| bad(format!("The body is not JSON: {error}.")))?;
            return Err(match first {
                b'[' => {
                    Refusal::new(Code::BatchingUnsupported, "The body is a list; batches are not supported. Send one request at a time.")
                }
                _ => malformed("The body must be a JSON object with the member `query`."),
            });
        }
    }
    let members: Members = serde_json::from_str(text).map_err(|error| bad(format!("The body is not JSON as needed here: {error}.")))?;
    members.into_request()
}

#[derive(Default)]
struct Members {
    query: Option<Value>,
    operation_name: Option<Value>,
    variables: Option<Value>,
    extensions: Option<Value>,
}

impl Members {
    fn place(&mut self, name: &str) -> Option<&mut Option<Value>> {
        match name {
            "query" => Some(&mut self.query),
            "operationName" => Some(&mut self.operation_name),
            "variables" => Some(&mut self.variables),
            "extensions" => Some(&mut self.extensions),
            _ => None,
        }
    }

    fn into_request(self) -> Result<Request, Refusal> {
        let query = match self.query {
            Some(Value::String(query)) => query,
            Some(other) => {
                return Err(malformed(format!("`query` must be a string, not {}.", kind(&other))));
            }
            None => {
                return Err(malformed("`query` is missing. Send the GraphQL document as a string."));
            }
        };
        let mut request = Request::new(query);
        request.operation_name = match self.operation_name {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(other) => {
                return Err(malformed(format!("`operationName` must be a string, not {}.", kind(&other))));
            }
        };
        if let Some(variables) = object("variables", self.variables)? {
            request.variables = Variables::from_json(variables);
        }
        if let Some(extensions) = object("extensions", self.extensions)? {
            request.extensions =
                serde_json::from_value(extensions).map_err(|error| malformed(format!("`extensions` is not understood: {error}.")))?;
        }
        Ok(request)
    }
}

fn object(name: &str, value: Option<Value>) -> Result<Option<Value>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value @ Value::Object(_)) => Ok(Some(value)),
        Some(other) => Err(malformed(format!("`{name}` must be an object, not {}.", kind(&other)))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// By hand, because a member given twice is refused and an unknown one, as the specification says, ignored.
impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<String>()? {
                    match members.place(&name) {
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        Some(Some(_)) => {
                            let name = MEMBERS.into_iter().find(|member| *member == name).unwrap_or("query");
                            return Err(serde::de::Error::duplicate_field(name));
                        }
                        Some(place) => *place = Some(map.next_value()?),
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
