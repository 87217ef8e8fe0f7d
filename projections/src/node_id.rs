//! Typed ids as GraphQL's `ID`: the same UUID the log has, so that one id is good on every face.

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, ID, InputType, InputValueError, InputValueResult, OutputType, Positioned, ServerResult, Value};
use domain::TypedId;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use uuid::Uuid;

/// An id in rows and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId<T>(pub T);

impl<T: TypedId> NodeId<T> {
    /// The UUID.
    pub fn uuid(self) -> Uuid {
        self.0.into()
    }
}

impl<T> From<T> for NodeId<T> {
    fn from(id: T) -> Self {
        Self(id)
    }
}

// Written out, since the attribute would register each `NodeId<T>` as another type of the name ID, which the schema
// refuses.
impl<T: TypedId> InputType for NodeId<T> {
    type RawValueType = Self;

    fn type_name() -> Cow<'static, str> {
        <ID as InputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <ID as InputType>::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        match value.unwrap_or_default() {
            Value::String(text) => Uuid::try_parse(&text).map(|id| Self(T::from(id))).map_err(|_| {
                InputValueError::custom(format!(
                    "{text:.60?} is no id of a {}: ids are UUIDs such as 01a3b8f0-7c1e-7d2a-9f00-3b6a5d4c2e10",
                    T::WHAT
                ))
            }),
            value => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.uuid().to_string())
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }
}

impl<T: TypedId> OutputType for NodeId<T> {
    fn type_name() -> Cow<'static, str> {
        <ID as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <ID as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        Ok(InputType::to_value(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};
    use domain::{ItemId, UserId};

    struct Query;

    #[Object]
    impl Query {
        async fn user(&self, id: NodeId<UserId>) -> NodeId<UserId> {
            id
        }

        async fn item(&self, id: NodeId<ItemId>) -> NodeId<ItemId> {
            id
        }
    }

    #[tokio::test]
    async fn ids_of_all_kinds_are_one_type_and_a_wrong_one_says_what_it_should_be() {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        assert!(schema.sdl().contains("item(id: ID!): ID!"));
        let id = "01a3b8f0-7c1e-7d2a-9f00-3b6a5d4c2e10";
        let answer = schema.execute(format!("{{ user(id: \"{id}\") item(id: \"{id}\") }}")).await;
        assert_eq!(answer.data.to_string(), format!("{{user: \"{id}\", item: \"{id}\"}}"));
        let answer = schema.execute("{ item(id: \"seven\") }").await;
        assert!(answer.errors[0].message.contains("no id of a pipeline item"), "{:?}", answer.errors);
    }
}
