//! Documents that were parsed and found within the limits, by their text: clients send the same few again and again.
//! Invariant: what is kept is bounded in bytes, whatever is sent.

use std::sync::Arc;

use async_graphql::parser::types::ExecutableDocument;
use quick_cache::{Weighter, sync::Cache};

/// Bytes of all texts that are kept. Parsed, a document takes some twenty times as much.
const BYTES: u64 = 512 * 1024;
/// Bytes of a text, at the most: those of programs are shorter.
const LONGEST: usize = 8 * 1024;
/// About how many are expected.
const EXPECTED: usize = 1_000;

#[derive(Clone)]
struct ByText;

impl Weighter<String, Arc<ExecutableDocument>> for ByText {
    fn weight(&self, text: &String, _: &Arc<ExecutableDocument>) -> u64 {
        text.len() as u64
    }
}

/// The documents of one endpoint. Cheap to clone.
#[derive(Clone)]
pub(super) struct Documents(Arc<Cache<String, Arc<ExecutableDocument>, ByText>>);

impl Default for Documents {
    fn default() -> Self {
        Self(Arc::new(Cache::with_weighter(EXPECTED, BYTES, ByText)))
    }
}

impl Documents {
    pub(super) fn known(&self, text: &str) -> Option<ExecutableDocument> {
        self.0.get(text).map(|document| ExecutableDocument::clone(&document))
    }

    pub(super) fn keep(&self, text: String, document: &ExecutableDocument) {
        if text.len() <= LONGEST {
            self.0.insert(text, Arc::new(document.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::parse_query;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_length() {
        let documents = Documents::default();
        let document = parse_query("{ me { id } }").unwrap();
        let text = |n: usize| format!("{{ me {{ id }} }} # {n} {}", "x".repeat(4_000));
        (0..1_000).for_each(|n| documents.keep(text(n), &document));
        let kept = (0..1_000).filter(|n| documents.known(&text(*n)).is_some()).count();
        assert!(kept > 0 && kept as u64 * 4_000 <= BYTES, "{kept} are kept");
        let long = "x".repeat(LONGEST + 1);
        documents.keep(long.clone(), &document);
        assert!(documents.known(&long).is_none());
    }
}
