//! An embedder that remembers its vectors.

use std::collections::HashMap;
use std::sync::Mutex;

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{BoxFuture, Embedder, EmbeddingModel, Embeddings, LmError};

use crate::engine::{embed, in_study};

/// The largest number of remembered numbers, of four bytes each; beyond it, all vectors are forgotten.
const MOST: usize = 64 << 20;

/// An embedding model that asks another one only for texts that it does not know. Candidates of an optimization
/// share most of their demonstrations, and an index is built for each of them.
#[derive(Debug)]
struct Remembering {
    inner: Embedder,
    known: Mutex<Known>,
}

/// The remembered vectors.
#[derive(Debug, Default)]
struct Known {
    vectors: HashMap<String, Vec<f32>>,
    /// The number of numbers in them.
    size: usize,
}

impl Known {
    fn add(&mut self, new: Vec<(String, Vec<f32>)>, most: usize) {
        let size: usize = new.iter().map(|(_, vector)| vector.len()).sum();
        if self.size + size > most {
            *self = Known::default();
        }
        if size <= most {
            // Too much is counted if another call has added the same texts, never too little.
            self.size += size;
            self.vectors.extend(new);
        }
    }
}

/// Returns an embedder whose vectors are remembered by all of its clones.
pub(super) fn remembering(inner: Embedder) -> Embedder {
    let (.., dimensions) = inner.requests();
    let outer = Embedder::custom(Remembering { inner, known: Mutex::default() }).batch(usize::MAX);
    // They are those of the inner one, and a part of its name.
    dimensions.map_or(outer.clone(), |dimensions| outer.dimensions(dimensions))
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
            // The known vectors are taken now, as others may make the embedder forget them while this call waits.
            let mut all: Vec<Option<Vec<f32>>> = {
                let known = self.known.lock_any();
                // A study has the vectors in its journal: its cost does not depend on what ran before in this process.
                let remembered = |text: &String| known.vectors.get(text).filter(|_| !in_study()).cloned();
                texts.iter().map(remembered).collect()
            };
            let of_missing = texts.iter().zip(&all).filter(|(_, vector)| vector.is_none());
            let mut missing: Vec<&String> = of_missing.map(|(text, _)| text).collect();
            missing.sort_unstable();
            missing.dedup();
            if missing.is_empty() {
                return Ok(Embeddings::new(all.into_iter().flatten().collect()));
            }
            let unknown: Vec<&str> = missing.iter().map(|text| text.as_str()).collect();
            let new = embed(&self.inner, &unknown).await?;
            for (text, vector) in texts.iter().zip(&mut all).filter(|(_, vector)| vector.is_none()) {
                *vector = missing.binary_search(&text).ok().and_then(|at| new.get(at).cloned());
            }
            let whole = Embeddings::new(all.into_iter().flatten().collect());
            self.known.lock_any().add(missing.into_iter().cloned().zip(new).collect(), MOST);
            Ok(whole)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_by_the_size_of_the_vectors() {
        let vectors = |name: &str, count: usize| {
            (0..count).map(|at| (format!("{name} {at}"), vec![1.0; 3])).collect::<Vec<_>>()
        };
        let mut known = Known::default();
        known.add(vectors("a", 3), 15);
        known.add(vectors("b", 2), 15);
        assert_eq!((known.vectors.len(), known.size), (5, 15));
        known.add(vectors("c", 1), 15);
        assert_eq!((known.vectors.len(), known.size), (1, 3), "all others are forgotten");
        known.add(vectors("d", 6), 15);
        assert_eq!((known.vectors.len(), known.size), (0, 0), "they would be too many");
    }
}
