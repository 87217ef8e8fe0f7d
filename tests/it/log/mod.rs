//! The properties of the log, each against a real PostgreSQL. Almost every test ends with `audit`.

mod append_only;
mod batch;
mod cache;
mod claims;
mod crowd;
mod fence;
mod guards;
mod keys;
mod loss;
mod notify;
mod order;
mod personal;
mod stock;
mod strangers;
mod swift;
