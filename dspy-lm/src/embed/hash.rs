//! Vectors computed from hashes of words.

use super::{BoxFuture, EmbeddingModel, Embeddings};
use crate::LmError;
use dspy_base::fold::words;

/// An embedding model by feature hashing (Weinberger et al., 2009): each word and each letter trigram adds
/// its weight, positive or negative, to the dimension that its hash selects.
#[derive(Debug)]
pub(super) struct HashModel {
    dimensions: usize,
}

/// The weight of a word, relative to a trigram of its letters.
const WORD: f32 = 2.0;

impl HashModel {
    pub(super) fn new(dimensions: usize) -> Self {
        HashModel { dimensions: dimensions.max(1) }
    }
}

/// Returns the vector of `text`, of length one; the zero vector if it contains no words.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0f32; dimensions];
    let mut add = |feature: &str, weight: f32| {
        let hash = blake3::hash(feature.as_bytes());
        let [a, b, c, d, sign, ..] = *hash.as_bytes();
        let place = u32::from_le_bytes([a, b, c, d]) as usize % dimensions;
        if let Some(number) = vector.get_mut(place) {
            *number += if sign & 1 == 0 { weight } else { -weight };
        }
    };
    for word in words(text) {
        add(&word, WORD);
        let letters: Vec<char> = std::iter::once('<').chain(word.chars()).chain(['>']).collect();
        for three in letters.windows(3) {
            add(&three.iter().collect::<String>(), 1.0);
        }
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number /= length);
    }
    vector
}

impl EmbeddingModel for HashModel {
    #[expect(clippy::unnecessary_literal_bound, reason = "the trait returns what implementors own")]
    fn id(&self) -> &str {
        "hashed"
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        dimensions: Option<u32>,
    ) -> BoxFuture<'a, Result<Embeddings, LmError>> {
        let dimensions = dimensions.map_or(self.dimensions, |count| count.max(1) as usize);
        Box::pin(
            async move { Ok(Embeddings::new(texts.iter().map(|text| vector(text, dimensions)).collect())) },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_one_and_are_the_same_everywhere() {
        for text in ["a", "The Seine flows through Paris.", "漢字 ünd so"] {
            let found = vector(text, 64);
            assert_eq!((found.len(), &found), (64, &vector(text, 64)));
            let length: f32 = found.iter().map(|number| number * number).sum();
            assert!((length - 1.0).abs() < 1e-5, "{text}: {length}");
        }
        assert_eq!(vector(" !", 2), [0.0, 0.0]);
        // Saved vectors stay comparable from release to release.
        let places: Vec<usize> =
            vector("a", 64).iter().enumerate().filter(|(_, n)| **n != 0.0).map(|(at, _)| at).collect();
        assert_eq!(places.len(), 2);
    }
}
