//! Rows as JSON, singly and in keyset pages: a cursor is the sort key of a row, so that a page costs what it
//! shows, however far in it lies.

use super::Scope;
use crate::model::{Common, ReadModel, Stored};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use thiserror::Error;

/// The most rows a page may have.
pub const MOST: i64 = 100;
/// The rows of a page that does not say how many.
pub const USUAL: i64 = 20;

/// An order of rows: SQL expressions that are never null, the last of them unique, all in one direction and
/// backed by an index.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    /// How cursors name the order.
    pub name: &'static str,
    /// Expressions over the row `t`, each with its SQL type.
    pub by: &'static [(&'static str, &'static str)],
    /// From the last to the first.
    pub descending: bool,
}

/// Where a row stands in an order: opaque text for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    #[serde(rename = "o")]
    order: String,
    #[serde(rename = "k")]
    key: Vec<String>,
}

/// What is wrong with the arguments of a page: field, rule and remedy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CursorError {
    /// Not a cursor of ours.
    #[error("{0}: this is no cursor; pass on the cursor of an edge as it was given")]
    Malformed(&'static str),
    /// A cursor of another order.
    #[error(
        "{field}: this cursor belongs to the order {given}, and the rows are asked for in the order {wanted}; begin again without a cursor"
    )]
    OtherOrder {
        /// `after` or `before`.
        field: &'static str,
        /// The cursor's order.
        given: String,
        /// The order asked for.
        wanted: &'static str,
    },
    /// Both ends, or neither the right way round.
    #[error("give either first (with after) or last (with before), not both")]
    BothEnds,
    /// Out of bounds.
    #[error("{field}: must be 1 to {MOST}; it is {given}")]
    Size {
        /// `first` or `last`.
        field: &'static str,
        /// What was asked.
        given: i64,
    },
}

impl Cursor {
    /// The text for clients.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_vec(self).map(|json| URL_SAFE_NO_PAD.encode(json)).unwrap_or_default()
    }

    fn decode(field: &'static str, text: &str, sort: &Sort) -> Result<Self, CursorError> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed(field))?;
        let cursor: Self = serde_json::from_slice(&json).map_err(|_| CursorError::Malformed(field))?;
        if cursor.order != sort.name {
            return Err(CursorError::OtherOrder { field, given: cursor.order, wanted: sort.name });
        }
        if cursor.key.len() != sort.by.len() || cursor.key.iter().any(|part| part.len() > 1000 || part.contains('\0')) {
            return Err(CursorError::Malformed(field));
        }
        Ok(cursor)
    }
}

/// Which page: Relay's arguments.
#[derive(Clone, Debug, Default)]
pub struct PageArgs {
    /// So many from the start.
    pub first: Option<i64>,
    /// Behind this cursor.
    pub after: Option<String>,
    /// So many from the end.
    pub last: Option<i64>,
    /// Before this cursor.
    pub before: Option<String>,
}

#[derive(Debug)]
struct Window {
    limit: i64,
    backward: bool,
    cursor: Option<Cursor>,
}

impl PageArgs {
    fn window(&self, sort: &Sort) -> Result<Window, CursorError> {
        let backward = self.last.is_some() || self.before.is_some();
        if backward && (self.first.is_some() || self.after.is_some()) {
            return Err(CursorError::BothEnds);
        }
        let (field, given, cursor) =
            if backward { ("last", self.last, ("before", &self.before)) } else { ("first", self.first, ("after", &self.after)) };
        let limit = given.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(CursorError::Size { field, given: limit });
        }
        let cursor = cursor.1.as_deref().map(|text| Cursor::decode(cursor.0, text, sort)).transpose()?;
        Ok(Window { limit, backward, cursor })
    }
}

/// A page of rows, each with its cursor.
#[derive(Clone, Debug)]
pub struct Page<R> {
    /// The rows in order.
    pub rows: Vec<(Cursor, Stored<R>)>,
    /// Are there more behind the last?
    pub has_next: bool,
    /// Are there more before the first?
    pub has_previous: bool,
}

/// Why rows could not be read.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The arguments.
    #[error(transparent)]
    Page(#[from] CursorError),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A condition over the row `t`, pushed onto a query that already has one.
pub trait Filter: Fn(&mut QueryBuilder<'static, Postgres>) + Send + Sync {}
impl<F: Fn(&mut QueryBuilder<'static, Postgres>) + Send + Sync> Filter for F {}

fn columns<R: ReadModel>() -> String {
    serde_aux::serde_introspection::serde_introspect::<R>()
        .iter()
        .chain(&Common::COLUMNS)
        .map(|column| format!("t.{column}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A row as JSON. Costly: a page makes it outside of the sort that finds its rows, of those alone.
fn json<R: ReadModel>() -> String {
    format!("(select row_to_json(r) from (select {}) r) as row", columns::<R>())
}

/// Straight from the text: each of the two passes over what is not its own.
fn decode<R: ReadModel>(row: &PgRow) -> Result<Stored<R>, sqlx::Error> {
    let decode = |error: serde_json::Error| sqlx::Error::Decode(format!("a row of {}: {error}", R::TABLE).into());
    // Of type json, which comes as the text it is.
    let text: &str = row.try_get_unchecked("row")?;
    Ok(Stored { row: serde_json::from_str(text).map_err(decode)?, common: serde_json::from_str(text).map_err(decode)? })
}

/// The rows that pass a filter, at most `limit`, in the order of a bare `order by` text.
///
/// # Errors
/// The database.
pub async fn rows<R: ReadModel>(scope: &mut Scope, filter: impl Filter, order: &str, limit: i64) -> Result<Vec<Stored<R>>, sqlx::Error> {
    let mut query = QueryBuilder::new(format!("select {} from read_models.{} t where t.tenant_id = ", json::<R>(), R::TABLE));
    query.push_bind(scope.tenant().0);
    filter(&mut query);
    // Bound, so that look-ups of so many ids and of so many more are one statement.
    query.push(format!(" order by {order} limit ")).push_bind(limit);
    query.build().fetch_all(scope.connection()).await?.iter().map(decode).collect()
}

/// As [`rows`], over all the tenants that row-level security shows to this scope: what a user may see of their own
/// in a scope of the platform.
///
/// # Errors
/// The database.
pub(crate) async fn rows_of_all_tenants<R: ReadModel>(
    scope: &mut Scope,
    filter: impl Filter,
    order: &str,
    limit: i64,
) -> Result<Vec<Stored<R>>, sqlx::Error> {
    let mut query = QueryBuilder::new(format!("select {} from read_models.{} t where true", json::<R>(), R::TABLE));
    filter(&mut query);
    query.push(format!(" order by {order} limit {limit}"));
    query.build().fetch_all(scope.connection()).await?.iter().map(decode).collect()
}

/// The row of a key, if there is one.
///
/// # Errors
/// The database.
pub async fn row<R: ReadModel>(scope: &mut Scope, filter: impl Filter) -> Result<Option<Stored<R>>, sqlx::Error> {
    Ok(rows(scope, filter, "t.tenant_id", 1).await?.pop())
}

/// How many rows pass a filter.
///
/// # Errors
/// The database.
pub async fn count<R: ReadModel>(scope: &mut Scope, filter: impl Filter) -> Result<i64, sqlx::Error> {
    let mut query = QueryBuilder::new(format!("select count(*) from read_models.{} t where t.tenant_id = ", R::TABLE));
    query.push_bind(scope.tenant().0);
    filter(&mut query);
    query.build_query_scalar().fetch_one(scope.connection()).await
}

/// A page of the rows that pass a filter.
///
/// # Errors
/// The arguments, or the database.
pub async fn page<R: ReadModel>(scope: &mut Scope, filter: impl Filter, sort: &Sort, args: &PageArgs) -> Result<Page<R>, QueryError> {
    let window = args.window(sort)?;
    let key = sort.by.iter().map(|(expression, _)| format!("({expression})::text")).collect::<Vec<_>>().join(", ");
    let mut query = QueryBuilder::new(format!(
        "select {}, array[{key}] as key from (select * from read_models.{} t where t.tenant_id = ",
        json::<R>(),
        R::TABLE
    ));
    query.push_bind(scope.tenant().0);
    filter(&mut query);
    let descending = sort.descending != window.backward;
    if let Some(cursor) = &window.cursor {
        let expressions = sort.by.iter().map(|(expression, _)| *expression).collect::<Vec<_>>().join(", ");
        query.push(format!(" and ({expressions}) {} (", if descending { "<" } else { ">" }));
        for (n, (part, (_, kind))) in cursor.key.iter().zip(sort.by).enumerate() {
            query.push(if n > 0 { ", " } else { "" }).push_bind(part.clone()).push(format!("::{kind}"));
        }
        query.push(")");
    }
    let direction = if descending { " desc" } else { "" };
    let order = sort.by.iter().map(|(expression, _)| format!("{expression}{direction}")).collect::<Vec<_>>().join(", ");
    query.push(format!(" order by {order} limit {}) t order by {order}", window.limit + 1));
    let found = query.build().fetch_all(scope.connection()).await.map_err(|error| malformed(error, &window))?;
    let mut rows = found
        .iter()
        .map(|found| Ok((Cursor { order: sort.name.to_owned(), key: found.try_get("key")? }, decode(found)?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > window.limit;
    rows.truncate(usize::try_from(window.limit).unwrap_or(usize::MAX));
    if window.backward {
        rows.reverse();
    }
    let behind = window.cursor.is_some();
    let (has_next, has_previous) = if window.backward { (behind, more) } else { (more, behind) };
    Ok(Page { rows, has_next, has_previous })
}

/// A cursor that somebody has tampered with may hold text that is no time or UUID: their fault, not ours.
fn malformed(error: sqlx::Error, window: &Window) -> QueryError {
    let data = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code.starts_with("22"));
    if data && window.cursor.is_some() {
        CursorError::Malformed(if window.backward { "before" } else { "after" }).into()
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SORT: Sort = Sort { name: "AT", by: &[("t.at", "timestamptz"), ("t.id", "uuid")], descending: false };

    fn args(first: Option<i64>, after: Option<&str>, last: Option<i64>) -> PageArgs {
        PageArgs { first, after: after.map(str::to_owned), last, before: None }
    }

    #[test]
    fn a_page_has_one_end_and_a_bounded_size() {
        assert_eq!(args(None, None, None).window(&SORT).unwrap().limit, USUAL);
        assert_eq!(args(Some(1), None, Some(1)).window(&SORT).unwrap_err(), CursorError::BothEnds);
        for bad in [0, -1, 101] {
            assert_eq!(args(Some(bad), None, None).window(&SORT).unwrap_err(), CursorError::Size { field: "first", given: bad });
        }
    }

    #[test]
    fn a_cursor_is_good_for_its_own_order_only() {
        let cursor = Cursor { order: "AT".into(), key: vec!["2026-01-01".into(), "x".into()] };
        let text = cursor.encode();
        assert_eq!(args(None, Some(&text), None).window(&SORT).unwrap().cursor, Some(cursor));
        let other = Sort { name: "NAME", ..SORT };
        assert!(matches!(args(None, Some(&text), None).window(&other), Err(CursorError::OtherOrder { field: "after", .. })));
        for bad in ["", "%%%", "e30", "eyJvIjoiQVQiLCJrIjpbXX0"] {
            assert!(matches!(args(None, Some(bad), None).window(&SORT), Err(CursorError::Malformed("after"))), "{bad}");
        }
    }
}
