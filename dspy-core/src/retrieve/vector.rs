//! Search of passages by embedding vectors.

use super::{Passage, Passages, Retriever};
use crate::error::Result;
use crate::lm::{BoxFuture, Embedder, LmError, LmErrorKind, Usage};

/// A corpus in memory, searched by the cosine similarity of query and passage vectors.
///
/// A search returns the nearest passages, however far they are: the score is from −1 to 1. Passages whose vectors are
/// zero, as those of blank texts may be, are never found, and a query with such a vector finds nothing.
///
/// Every search scans all passages, which is fast enough for some hundred thousand of them; for more,
/// implement [`Retriever`] over another index.
///
/// ```
/// use dspy_core::lm::Embedder;
/// use dspy_core::retrieve::{Retriever, VectorIndex};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let passages = ["The Seine flows through Paris.", "The Thames flows through London."];
/// let corpus = VectorIndex::new(Embedder::hashed(256), passages).await?;
/// let found = corpus.search("Which river is in Paris?", 1).await?;
/// assert_eq!(found.into_texts(), ["The Seine flows through Paris."]);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct VectorIndex {
    embedder: Embedder,
    passages: Vec<String>,
    /// The concatenated vectors, each of length one.
    vectors: Vec<f32>,
    dimensions: usize,
    usage: Usage,
}

impl VectorIndex {
    /// Embeds and indexes a corpus.
    ///
    /// # Errors
    /// The errors of the embedder; [`Decode`](LmErrorKind::Decode) if its vectors differ in size.
    pub async fn new<T: Into<String>>(
        embedder: Embedder,
        passages: impl IntoIterator<Item = T>,
    ) -> Result<Self> {
        let passages: Vec<String> = passages.into_iter().map(Into::into).collect();
        let embeddings = embedder.embed(passages.iter().map(String::as_str)).await?;
        let dimensions = embeddings.vectors.first().map_or(0, Vec::len);
        let mut vectors = Vec::with_capacity(dimensions * passages.len());
        for mut vector in embeddings.vectors {
            if vector.len() != dimensions {
                return Err(uneven(&embedder, dimensions, vector.len()).into());
            }
            normalize(&mut vector);
            vectors.append(&mut vector);
        }
        Ok(VectorIndex { embedder, passages, vectors, dimensions, usage: embeddings.usage })
    }

    /// Returns the number of passages.
    pub fn len(&self) -> usize {
        self.passages.len()
    }

    /// Returns whether there are no passages.
    pub fn is_empty(&self) -> bool {
        self.passages.is_empty()
    }

    /// Returns the usage of indexing.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    fn nearest(&self, query: &[f32], k: usize) -> Passages {
        let is_zero = |vector: &[f32]| vector.iter().all(|number| *number == 0.0);
        if self.dimensions == 0 || is_zero(query) {
            return Passages::default();
        }
        let score = |vector: &[f32]| vector.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
        let vectors = self.vectors.chunks_exact(self.dimensions).zip(0..);
        // Vectors of length zero have no angle to any other.
        let found = vectors.filter(|(vector, _)| !is_zero(vector));
        let mut found: Vec<(f32, usize)> = found.map(|(vector, at)| (score(vector), at)).collect();
        // Passages with equal scores keep the order of the corpus.
        let better = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if k < found.len() {
            found.select_nth_unstable_by(k, better);
            found.truncate(k);
        }
        found.sort_unstable_by(better);
        let passage = |(score, index): (f32, usize)| Passage {
            index,
            text: self.passages.get(index).cloned().unwrap_or_default(),
            score: score.into(),
        };
        Passages(found.into_iter().map(passage).collect())
    }
}

fn uneven(embedder: &Embedder, expected: usize, found: usize) -> LmError {
    let message = format!("a vector has {found} numbers where others have {expected}");
    LmError::new(LmErrorKind::Decode, embedder.id(), message)
}

fn normalize(vector: &mut [f32]) {
    // The squares of large and small numbers are no `f32`.
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number = (f64::from(*number) / length) as f32);
    }
}

impl Retriever for VectorIndex {
    fn search<'a>(&'a self, query: &'a str, k: usize) -> BoxFuture<'a, Result<Passages>> {
        Box::pin(async move {
            if self.is_empty() || k == 0 {
                return Ok(Passages::default());
            }
            let mut vector = self.embedder.embed_one(query).await?;
            if vector.len() != self.dimensions {
                return Err(uneven(&self.embedder, self.dimensions, vector.len()).into());
            }
            normalize(&mut vector);
            Ok(self.nearest(&vector, k))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::{EmbeddingModel, Embeddings};

    #[tokio::test]
    async fn the_best_come_first_and_equals_in_their_order() {
        let passages = ["red lamp", "a river in France", "red lamp", "blue", ""];
        let index = VectorIndex::new(Embedder::hashed(128), passages).await.unwrap();
        assert_eq!((index.len(), index.is_empty()), (5, false));
        let found = index.search("the red lamp", 2).await.unwrap();
        assert_eq!(found.0.iter().map(|passage| passage.index).collect::<Vec<_>>(), [0, 2]);
        assert!(found.0[0].score > 0.5 && found.0[0].score <= 1.0 + 1e-6);
        assert!(index.search("lamp", 0).await.unwrap().0.is_empty());
        let whole = index.search("lamp", 9).await.unwrap().0;
        assert!(whole.iter().all(|passage| passage.index != 4), "an empty text is like nothing");
    }

    /// Vectors of this length in the plane; the texts are their angles in degrees.
    struct Angles(f32);

    impl EmbeddingModel for Angles {
        fn id(&self) -> &'static str {
            "angles"
        }

        fn embed<'a>(
            &'a self,
            texts: &'a [String],
            _: Option<u32>,
        ) -> BoxFuture<'a, std::result::Result<Embeddings, LmError>> {
            let angles = texts.iter().map(|text| text.parse::<f32>().unwrap().to_radians());
            let vectors = angles.map(|angle| vec![self.0 * angle.cos(), self.0 * angle.sin()]).collect();
            Box::pin(async move { Ok(Embeddings::new(vectors)) })
        }
    }

    #[tokio::test]
    async fn the_angle_decides_at_any_length_and_up_to_the_opposite() {
        for scale in [1.0, 3e30, 1e-30] {
            let embedder = Embedder::custom(Angles(scale));
            let index = VectorIndex::new(embedder, ["180", "95", "90", "10", "0"]).await.unwrap();
            let found = index.search("0", 5).await.unwrap().0;
            let order: Vec<&str> = found.iter().map(|passage| passage.text.as_str()).collect();
            assert_eq!(order, ["0", "10", "90", "95", "180"], "{scale}");
            assert!((found[4].score + 1.0).abs() < 1e-6);
        }
    }

    #[tokio::test]
    async fn an_empty_corpus_asks_nobody() {
        let index = VectorIndex::new(Embedder::hashed(8), [""; 0]).await.unwrap();
        assert!(index.search("x", 3).await.unwrap().0.is_empty());
    }
}
