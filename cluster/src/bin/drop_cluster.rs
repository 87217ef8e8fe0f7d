//! `drop_cluster DATA_DIR`: stops what a killed program left running there and removes the embedded
//! cluster's data, wherever they lie. Refused while a program uses them.

use std::path::Path;
use std::process::ExitCode;

use cluster::Cluster;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [dir] = arguments.as_slice() else {
        eprintln!("usage: drop_cluster DATA_DIR");
        return ExitCode::from(2);
    };
    match Cluster::discard(Path::new(dir)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drop_cluster: {error}");
            ExitCode::FAILURE
        }
    }
}
