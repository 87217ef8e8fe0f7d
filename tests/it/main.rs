//! The one test binary: the program against a real PostgreSQL, from the log up. Every test has a database of its own.
//! `make test` brings the server; `harness` is what tests stand on.
#![recursion_limit = "512"]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::type_complexity, reason = "tables of trials")]

mod accounts;
mod backup;
mod chaos;
mod graphql;
mod harness;
mod health;
mod import;
mod log;
mod processes;
mod program;
mod smoke;
