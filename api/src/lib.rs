//! The `annals` program: GraphQL and sign-in in front of the log and its read models, and the command line. Its
//! parts can be run in process: see [`serve::Running`].
#![recursion_limit = "512"]

pub mod accounts;
pub mod app;
mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod database;
pub mod demo;
pub mod error;
pub mod first_run;
pub mod graphql;
pub mod graphql_http;
pub mod health;
pub mod import;
pub mod logging;
pub mod metrics;
mod notifications;
pub mod operations;
mod operators;
pub mod passwords;
pub mod rest;
pub mod serve;
pub mod system;
mod teller;
pub mod tokens;
