//! What the queries of all read models have in common: the tenant of a transaction, and keyset pages.

mod page;
mod scope;

pub(crate) use page::rows_of_all_tenants;
pub use page::{Cursor, CursorError, Filter, MOST, Page, PageArgs, QueryError, Sort, USUAL, count, page, row, rows};
pub use scope::{Desk, Scope};
