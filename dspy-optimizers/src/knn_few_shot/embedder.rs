//! An embedder that remembers its vectors.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use dspy_core::lm::{BoxFuture, Embedder, EmbeddingModel, Embeddings, LmError};

use crate::engine::embed;

/// The largest number of remembered vectors; beyond it, all are forgotten.
const MOST: usize = 100_000;

/// An embedding model that asks another one only for texts that it does not know. Candidates of an optimization
/// share most of their demonstrations, and an index is built for each of them.
#[derive(Debug)]
struct Remembering {
    inner: Embedder,
    known: Mutex<HashMap<String, Vec<f32>>>,
}

/// Returns an embedder whose vectors are remembered by all of its clones.
pub(super) fn remembering(inner: Embedder) -> Embedder {
    Embedder::custom(Remembering { inner, known: Mutex::default() })
}

impl EmbeddingModel for Remembering {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn endpoint(&self) -> &str {
        self.inner.endpoint()
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _dimensions: Option<u32>,
    ) -> BoxFuture<'a, Result<Embeddings, LmError>> {
        Box::pin(async move {
            let mut missing: Vec<&String> = {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                texts.iter().filter(|text| !known.contains_key(*text)).collect()
            };
            missing.sort_unstable();
            missing.dedup();
            let unknown: Vec<&str> = missing.iter().map(|text| text.as_str()).collect();
            let new = if unknown.is_empty() { Vec::new() } else { embed(&self.inner, &unknown).await? };
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let vector = |text: &String| {
                let at = missing.binary_search(&text).ok();
                at.map(|at| new[at].clone()).or_else(|| known.get(text).cloned()).unwrap_or_default()
            };
            let all = Embeddings::new(texts.iter().map(vector).collect());
            if known.len() + missing.len() > MOST {
                known.clear();
            }
            known.extend(missing.into_iter().cloned().zip(new));
            Ok(all)
        })
    }
}
