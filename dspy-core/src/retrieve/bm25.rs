//! BM25 over passages in memory.

use std::collections::HashMap;

use super::{Passage, Passages, Retriever};
use crate::error::Result;
use crate::lm::BoxFuture;
use dspy_base::fold::words;

/// The saturation of repeated terms, as in Lucene.
const K1: f64 = 1.2;
/// The strength of length normalization, as in Lucene.
const B: f64 = 0.75;

/// A corpus in memory, searched by the words that query and passage share.
///
/// The ranking is Okapi BM25 with Lucene's inverse document frequency and constants (k₁ = 1.2, b = 0.75). Source:
/// Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
#[derive(Debug, Clone)]
pub struct Bm25 {
    passages: Vec<String>,
    lengths: Vec<f64>,
    mean_length: f64,
    /// The passages that contain each term, with the number of occurrences.
    postings: HashMap<String, Vec<(u32, u32)>>,
}

impl Bm25 {
    /// Indexes a corpus.
    pub fn new<T: Into<String>>(passages: impl IntoIterator<Item = T>) -> Self {
        let passages: Vec<String> = passages.into_iter().map(Into::into).collect();
        let mut postings: HashMap<String, Vec<(u32, u32)>> = HashMap::new();
        let mut lengths = Vec::with_capacity(passages.len());
        for (index, passage) in (0u32..).zip(&passages) {
            let mut length = 0.0;
            for term in words(passage) {
                length += 1.0;
                let found = postings.entry(term).or_default();
                match found.last_mut() {
                    Some((last, count)) if *last == index => *count += 1,
                    _ => found.push((index, 1)),
                }
            }
            lengths.push(length);
        }
        let mean_length = lengths.iter().sum::<f64>() / (lengths.len().max(1) as f64);
        Bm25 { passages, lengths, mean_length, postings }
    }

    /// Returns the number of passages.
    pub fn len(&self) -> usize {
        self.passages.len()
    }

    /// Returns whether there are no passages.
    pub fn is_empty(&self) -> bool {
        self.passages.is_empty()
    }

    /// Does the same as [`Retriever::search`], synchronously.
    pub fn find(&self, query: &str, k: usize) -> Passages {
        let mut scores: HashMap<u32, f64> = HashMap::new();
        for term in words(query) {
            let Some(found) = self.postings.get(&term) else { continue };
            let (total, with_term) = (self.passages.len() as f64, found.len() as f64);
            let rarity = (1.0 + (total - with_term + 0.5) / (with_term + 0.5)).ln();
            for &(index, count) in found {
                let length = self.lengths[index as usize] / self.mean_length;
                let count = f64::from(count);
                *scores.entry(index).or_default() += rarity * count / (count + K1 * (1.0 - B + B * length));
            }
        }
        let mut ranked: Vec<(u32, f64)> = scores.into_iter().collect();
        // Passages with equal scores keep the order of the corpus, so that searches are deterministic.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.truncate(k);
        let passage = |(index, score): (u32, f64)| {
            let index = index as usize;
            Passage { index, text: self.passages[index].clone(), score }
        };
        Passages(ranked.into_iter().map(passage).collect())
    }
}

impl Retriever for Bm25 {
    fn search<'a>(&'a self, query: &'a str, k: usize) -> BoxFuture<'a, Result<Passages>> {
        Box::pin(std::future::ready(Ok(self.find(query, k))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_terms_and_short_passages_win() {
        let corpus = Bm25::new([
            "river river river",
            "the loire is a river",
            "the loire is a long river in france with many castles on its banks",
            "",
        ]);
        let order =
            |query| corpus.find(query, 9).into_iter().map(|passage| passage.index).collect::<Vec<_>>();
        assert_eq!(order("Loire?"), [1, 2]);
        assert_eq!(order("river"), [0, 1, 2]);
        assert_eq!(order("loire river"), [1, 2, 0]);
        assert!(order("danube").is_empty() && order("").is_empty());
        assert!(Bm25::new(Vec::<String>::new()).find("x", 3).0.is_empty());
    }
}
