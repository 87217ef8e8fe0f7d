//! Connections after Relay's specification (GraphQL Cursor Connections), one shape for all lists.

use super::listed::{Listed, Row, Rows};
use crate::error::ApiError;
use async_graphql::{Object, OutputType, SimpleObject, TypeName};
use projections::query::{CursorError, MOST, Page, PageArgs, QueryError, USUAL};
use projections::{ReadModel, Stored};
use std::borrow::Cow;

/// Where a page lies among all pages.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct PageInfo {
    /// Are there more behind the last edge?
    has_next_page: bool,
    /// Are there more before the first edge?
    has_previous_page: bool,
    /// The cursor of the first edge.
    start_cursor: Option<String>,
    /// The cursor of the last edge.
    end_cursor: Option<String>,
}

/// Something in a list, with its place.
pub(crate) struct Edge<N> {
    cursor: String,
    node: N,
}

impl<N: OutputType> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

/// Something in a list, with its place.
#[Object(name_type)]
impl<N: Listed> Edge<N> {
    /// Its place: pass it on as `after` or `before`, in the same order.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// What stands there.
    async fn node(&self) -> Row<&N> {
        Row(&self.node)
    }
}

/// A page of a list.
pub(crate) struct Connection<N> {
    edges: Vec<Edge<N>>,
    page_info: PageInfo,
    total_count: Option<i64>,
}

impl<N: OutputType> TypeName for Connection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<N: Listed> Connection<N> {
    /// The page, in the order asked for.
    async fn edges(&self) -> &[Edge<N>] {
        &self.edges
    }

    /// The page without cursors.
    async fn nodes(&self) -> Rows<&N> {
        Rows(self.edges.iter().map(|edge| &edge.node).collect())
    }

    /// Where the page lies.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }

    /// How many there are over all pages. Counted only when asked for: it reads all of them.
    async fn total_count(&self) -> Option<i64> {
        self.total_count
    }
}

impl<N> Connection<N> {
    /// The connection of a page of rows.
    pub(crate) fn new<R: ReadModel>(page: Page<R>, total_count: Option<i64>, node: impl Fn(Stored<R>) -> N) -> Self {
        let edges: Vec<_> = page.rows.into_iter().map(|(cursor, row)| Edge { cursor: cursor.encode(), node: node(row) }).collect();
        let page_info = PageInfo {
            has_next_page: page.has_next,
            has_previous_page: page.has_previous,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Self { edges, page_info, total_count }
    }
}

/// The arguments of a page as the queries take them.
pub(crate) fn page_args(first: Option<i32>, after: Option<String>, last: Option<i32>, before: Option<String>) -> PageArgs {
    PageArgs { first: first.map(i64::from), after, last: last.map(i64::from), before }
}

/// What a page costs for each field of its rows: as many as it may have. Sizes out of bounds are refused later.
pub(crate) fn cost(first: Option<i32>, last: Option<i32>) -> usize {
    let size = first.or(last).map_or(USUAL, i64::from).clamp(1, MOST);
    usize::try_from(size).unwrap_or(usize::MAX)
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Database(error) => error.into(),
            QueryError::Page(error) => {
                let field = match &error {
                    CursorError::Malformed(field) | CursorError::OtherOrder { field, .. } | CursorError::Size { field, .. } => field,
                    CursorError::BothEnds => "last",
                };
                let text = error.to_string();
                let rule = text.strip_prefix(field).and_then(|text| text.strip_prefix(": "));
                Self::invalid_field(field, rule.unwrap_or(&text))
            }
        }
    }
}
