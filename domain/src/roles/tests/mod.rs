//! What the module promises, by room: its tables, and its sets.

mod sets;
mod tables;
