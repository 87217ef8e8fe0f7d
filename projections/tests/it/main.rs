//! Read models against a real PostgreSQL: the catalog, who sees what, and a log carried through to the queries.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "clippy knows test functions, not what they share")]

mod catalog;
#[allow(dead_code, reason = "not all that the other tests need of a database is needed here")]
#[path = "../../../tests/it/harness/database.rs"]
mod database;
mod end_to_end;
mod fragile;
mod leases;
mod rebuild;
mod scope;
mod visibility;
#[path = "../../../tests/it/harness/wait.rs"]
mod wait;
mod world;

use wait::eventually;
