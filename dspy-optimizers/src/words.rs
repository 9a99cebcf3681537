//! The similarity of texts by their words.

use std::collections::{BTreeMap, BTreeSet};

/// The word counts of some text, as a vector of length 1. Case and punctuation do not count.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct WordCounts(BTreeMap<String, f64>);

impl WordCounts {
    pub(crate) fn of(text: &str) -> Self {
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        let all = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        all.for_each(|word| *counts.entry(word.to_lowercase()).or_default() += 1.0);
        let length = counts.values().map(|count| count * count).sum::<f64>().sqrt();
        counts.values_mut().for_each(|count| *count /= length);
        WordCounts(counts)
    }

    /// Returns the distance of the vectors, from 0 (equal) to √2 (no common word).
    pub(crate) fn distance(&self, other: &WordCounts) -> f64 {
        if self == other {
            return 0.0;
        }
        let all: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let gap = |word: &String| self.0.get(word).unwrap_or(&0.0) - other.0.get(word).unwrap_or(&0.0);
        all.into_iter().map(|word| gap(word).powi(2)).sum::<f64>().sqrt()
    }

    /// Returns the cosine of the vectors, from 0 (no common word) to 1 (equal).
    pub(crate) fn similarity(&self, other: &WordCounts) -> f64 {
        if self == other {
            return 1.0;
        }
        self.0.iter().filter_map(|(word, own)| Some(own * other.0.get(word)?)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_texts_share_words() {
        let of = WordCounts::of;
        assert_eq!(of("Say yes, or no.").similarity(&of("say YES or no")), 1.0);
        assert_eq!(of("Say yes.").similarity(&of("Never no.")), 0.0);
        assert_eq!((of("").similarity(&of("")), of("").similarity(&of("x"))), (1.0, 0.0));
        let (a, b) = (of("a b c d"), of("a b c e"));
        assert!((a.similarity(&b) - 0.75).abs() < 1e-9 && (a.distance(&b) - 0.5_f64.sqrt()).abs() < 1e-9);
    }
}
