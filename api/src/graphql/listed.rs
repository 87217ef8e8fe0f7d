//! Rows in lists. What stands in a row's columns is there at once and cannot fail, so it goes into the answer as it is.
//! async-graphql would make a future on the heap for each field of each row and two more for each extension: for a list of
//! 50 that was a third of what the program did (docs/performance.md).

use async_graphql::futures_util::future::try_join_all;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field, Selection, SelectionSet};
use async_graphql::registry::{MetaType, Registry};
use async_graphql::resolver_utils::resolve_container;
use async_graphql::{ContainerType, ContextSelectionSet, OutputType, Positioned, ServerResult, Value};
use projections::Common;
use std::borrow::Cow;
use std::collections::HashSet;

/// What lists consist of: an entity over a row.
pub(crate) trait Listed: ContainerType {
    /// Its fields that are columns of the row.
    fn columns() -> &'static HashSet<String>;
}

impl<N: Listed> Listed for &N {
    fn columns() -> &'static HashSet<String> {
        N::columns()
    }
}

/// Says over which rows entities stand.
macro_rules! listed {
    ($($entity:ty: $row:ty;)*) => {$(
        impl $crate::graphql::listed::Listed for $entity {
            fn columns() -> &'static std::collections::HashSet<String> {
                static COLUMNS: std::sync::LazyLock<std::collections::HashSet<String>> =
                    std::sync::LazyLock::new($crate::graphql::listed::columns::<$row>);
                &COLUMNS
            }
        }
    )*};
}
pub(super) use listed;

/// The fields of a row and those that every row has, as GraphQL names them.
pub(super) fn columns<R: OutputType>() -> HashSet<String> {
    let mut registry = Registry::default();
    let row = registry.create_fake_output_type::<R>();
    let common = registry.create_fake_output_type::<Common>();
    let names = |of: MetaType| of.fields().into_iter().flat_map(|fields| fields.keys()).cloned().collect::<Vec<_>>();
    names(row).into_iter().chain(names(common)).collect()
}

/// A list of entities.
pub(crate) struct Rows<N>(pub(crate) Vec<N>);

/// One entity of a list.
pub(crate) struct Row<N>(pub(crate) N);

/// What is asked of each row.
struct Asked<'a> {
    /// The fields in their order, and whether each is a column.
    fields: Vec<(&'a Positioned<Field>, bool)>,
    /// Those that are not.
    rest: Option<Positioned<SelectionSet>>,
}

impl<'a> Asked<'a> {
    /// Nothing where there is no column among it, or where fragments, directives or a key that is asked for twice call for
    /// the whole of the specification.
    fn of<N: Listed>(set: &'a Positioned<SelectionSet>) -> Option<Self> {
        let (mut keys, mut fields, mut rest) = (HashSet::new(), Vec::new(), Vec::new());
        for selection in &set.node.items {
            let Selection::Field(field) = &selection.node else { return None };
            if !field.node.directives.is_empty() || !keys.insert(field.node.response_key().node.as_str()) {
                return None;
            }
            let column = N::columns().contains(field.node.name.node.as_str()) && field.node.selection_set.node.items.is_empty();
            if !column {
                rest.push(selection.clone());
            }
            fields.push((field, column));
        }
        if rest.len() == fields.len() {
            return None;
        }
        let rest = (!rest.is_empty()).then(|| Positioned::new(SelectionSet { items: rest }, set.pos));
        Some(Self { fields, rest })
    }

    async fn of_row<N: Listed>(&self, ctx: &ContextSelectionSet<'_>, row: &N) -> ServerResult<Value> {
        let mut rest = match &self.rest {
            None => IndexMap::new(),
            Some(rest) => match resolve_container(&ctx.with_selection_set(rest), row).await? {
                Value::Object(rest) => rest,
                other => return Ok(other),
            },
        };
        let mut object = IndexMap::with_capacity(self.fields.len());
        for (field, column) in &self.fields {
            let key = field.node.response_key().node.clone();
            let value = if *column { row.resolve_field(&ctx.with_field(field)).await? } else { rest.swap_remove(&key) };
            object.insert(key, value.unwrap_or_default());
        }
        Ok(Value::Object(object))
    }
}

impl<N: Listed> OutputType for Rows<N> {
    fn type_name() -> Cow<'static, str> {
        Vec::<N>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<N>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<N>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let Some(asked) = Asked::of::<N>(ctx.item) else { return self.0.resolve(ctx, field).await };
        let of_row = async |(n, row): (usize, &N)| {
            let ctx = ctx.with_index(n);
            asked.of_row(&ctx, row).await.map_err(|error| ctx.set_error_path(error))
        };
        let rows = self.0.iter().enumerate();
        if asked.rest.is_some() {
            // At once, so that loaders load for all of them together.
            return Ok(Value::List(try_join_all(rows.map(of_row)).await?));
        }
        let mut list = Vec::with_capacity(self.0.len());
        for row in rows {
            list.push(of_row(row).await?);
        }
        Ok(Value::List(list))
    }
}

impl<N: Listed> OutputType for Row<N> {
    fn type_name() -> Cow<'static, str> {
        N::type_name()
    }

    fn qualified_type_name() -> String {
        N::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        N::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match Asked::of::<N>(ctx.item) {
            Some(asked) => asked.of_row(ctx, &self.0).await,
            None => self.0.resolve(ctx, field).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;
    use crate::graphql::codes::Codes;
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Result, Schema, SimpleObject};

    #[derive(SimpleObject)]
    struct CardRow {
        id: i32,
        title: String,
        due_on: Option<String>,
        tags: Vec<String>,
    }

    struct Card(CardRow);

    listed! { Card: CardRow; }

    #[Object]
    impl Card {
        /// Stands before the column of this name.
        async fn title(&self) -> String {
            tokio::task::yield_now().await;
            self.0.title.to_uppercase()
        }

        #[graphql(flatten)]
        async fn row(&self) -> &CardRow {
            &self.0
        }

        async fn after(&self) -> Card {
            tokio::task::yield_now().await;
            card(self.0.id + 1)
        }

        async fn may_fail(&self) -> Option<Result<i32>> {
            Some(Err(failed(self.0.id)))
        }

        async fn must_not_fail(&self) -> Result<i32> {
            Err(failed(self.0.id))
        }
    }

    fn failed(id: i32) -> async_graphql::Error {
        ApiError::not_found(format!("{id} is not there")).into()
    }

    fn card(id: i32) -> Card {
        Card(CardRow { id, title: format!("card {id}"), due_on: (id > 1).then(|| "today".into()), tags: vec!["t".into()] })
    }

    struct Query(Vec<Card>);

    #[Object]
    impl Query {
        async fn rows(&self) -> Rows<&Card> {
            Rows(self.0.iter().collect())
        }

        async fn list(&self) -> Vec<&Card> {
            self.0.iter().collect()
        }

        async fn row(&self) -> Option<Row<&Card>> {
            self.0.first().map(Row)
        }

        async fn one(&self) -> Option<&Card> {
            self.0.first()
        }
    }

    #[test]
    fn columns_are_named_as_graphql_names_them() {
        let columns = Card::columns();
        assert!(["id", "title", "dueOn", "tags", "createdAt", "updatedBy"].iter().all(|name| columns.contains(*name)), "{columns:?}");
        assert!(["after", "mayFail", "due_on", "__typename"].iter().all(|name| !columns.contains(*name)), "{columns:?}");
    }

    #[tokio::test]
    async fn a_row_is_answered_as_any_object_is() {
        let schema = || Schema::build(Query((1..4).map(card).collect()), EmptyMutation, EmptySubscription);
        let selections = [
            "id title dueOn tags",
            "tags b: id a: id",
            "id after { title after { id } } dueOn",
            "after { id }",
            "id mayFail tags",
            "id mustNotFail",
            "__typename id",
            "id id tags",
            "id ... on Card { dueOn } ...More",
            "id tags @include(if: false) dueOn @skip(if: false)",
        ];
        for schema in [schema().finish(), schema().extension(Codes).finish()] {
            for selection in selections {
                let more = if selection.contains("...More") { "fragment More on Card { tags }" } else { "" };
                for (fast, plain) in [("rows", "list"), ("row", "one")] {
                    let ask = async |field| {
                        let answer = schema.execute(format!("{{ it: {field} {{ {selection} }} }} {more}")).await;
                        let errors: Vec<_> = answer.errors.iter().map(|error| (error.path.clone(), error.message.clone())).collect();
                        (serde_json::to_string(&answer.data).unwrap(), format!("{errors:?}"))
                    };
                    assert_eq!(ask(fast).await, ask(plain).await, "{fast} {{ {selection} }}");
                }
            }
        }
    }
}
