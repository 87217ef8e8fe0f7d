//! Waiting for a condition, with a deadline and never by a guess.

use std::time::{Duration, Instant};

/// How long a test waits for what should happen at once, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer, and fails the test after a minute, saying what never came.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
