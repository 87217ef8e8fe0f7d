//! Read models against a real PostgreSQL: the catalog, who sees what, and a log carried through to the queries.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "clippy knows test functions, not what they share")]

mod catalog;
mod database;
mod end_to_end;
mod visibility;
mod world;
