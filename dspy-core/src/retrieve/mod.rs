//! Retrieval: finds passages for a query.

mod bm25;
mod vector;

use serde::{Deserialize, Serialize};

pub use bm25::Bm25;
pub use vector::VectorIndex;

use crate::error::Result;
use crate::lm::BoxFuture;

/// A passage that was found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Passage {
    /// The index of the passage in its corpus, from 0.
    pub index: usize,
    /// The text.
    pub text: String,
    /// The relevance to the query; comparable only within one search.
    pub score: f64,
}

/// Passages, best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Passages(pub Vec<Passage>);

impl Passages {
    /// Converts the passages into their texts.
    pub fn into_texts(self) -> Vec<String> {
        self.0.into_iter().map(|passage| passage.text).collect()
    }
}

impl IntoIterator for Passages {
    type Item = Passage;
    type IntoIter = std::vec::IntoIter<Passage>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A search over passages. Object-safe: programs hold an `Arc<dyn Retriever>`.
///
/// ```
/// use dspy_core::retrieve::{Bm25, Retriever};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let corpus = Bm25::new(["The Seine flows through Paris.", "The Thames flows through London."]);
/// let found = corpus.search("Which river is in Paris?", 1).await?;
/// assert_eq!(found.into_texts(), ["The Seine flows through Paris."]);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// A custom implementation returns a boxed future; `search` is not an `async fn`:
///
/// ```
/// use dspy_core::Result;
/// use dspy_core::lm::BoxFuture;
/// use dspy_core::retrieve::{Passages, Retriever};
///
/// struct Nothing;
///
/// impl Retriever for Nothing {
///     fn search<'a>(&'a self, query: &'a str, k: usize) -> BoxFuture<'a, Result<Passages>> {
///         Box::pin(async move {
///             let _ = (query, k); // ask a server, await its answer
///             Ok(Passages::default())
///         })
///     }
/// }
/// ```
pub trait Retriever: Send + Sync {
    /// Returns the `k` passages that fit `query` best, best first; fewer if fewer fit at all.
    ///
    /// # Errors
    /// If the search fails, e.g. because a server cannot be reached.
    fn search<'a>(&'a self, query: &'a str, k: usize) -> BoxFuture<'a, Result<Passages>>;
}
