//! A new migration is part of the program: cargo does not see by itself that the directory has changed.
#![allow(clippy::print_stdout, reason = "so a build script speaks to cargo")]

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
