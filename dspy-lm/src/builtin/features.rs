//! Weighted features of inputs, and the similarity between them.

use std::collections::HashMap;

use super::words::{Word, words};

/// The maximum number of words of a value that is also a feature as a whole, together with its field's name.
const SHORT_VALUE: usize = 4;
/// The length of letter n-grams, which make the comparison tolerant of endings and typing errors.
const GRAM: usize = 4;
/// The weight of a function word; a content word has weight 1.
const STOP_WEIGHT: f64 = 0.1;
/// The share of words in the similarity of two inputs; the rest is the share of letter n-grams.
const WORD_SHARE: f64 = 0.7;

/// The distinct features of one input, sorted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Bag {
    /// Words, and short values as a whole, with their weights: [`STOP_WEIGHT`] for function words, 1 for all
    /// others.
    pub(super) words: Vec<(u64, f64)>,
    /// Letter n-grams of the content words.
    grams: Vec<u64>,
    /// The values of numeric fields, by field name.
    pub(super) numbers: Vec<(u64, f64)>,
}

impl Bag {
    /// Extracts the features of field values, given as pairs of name and text.
    pub(super) fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Bag {
        let mut bag = Bag::default();
        for (name, text) in values {
            if let Some(number) = number(text) {
                bag.numbers.push((hash(name), number));
                continue;
            }
            let found = words(text);
            if (1..=SHORT_VALUE).contains(&found.len()) {
                bag.words.push((whole_value(name, &found), 1.0));
            }
            for word in &found {
                bag.add(word);
            }
        }
        bag.words.sort_unstable_by_key(|(feature, _)| *feature);
        bag.words.dedup_by_key(|(feature, _)| *feature);
        bag.grams.sort_unstable();
        bag.grams.dedup();
        bag.numbers.sort_unstable_by_key(|(field, _)| *field);
        bag
    }

    fn add(&mut self, word: &Word) {
        self.words.push((hash(&word.stem), if word.stop { STOP_WEIGHT } else { 1.0 }));
        if word.stop {
            return;
        }
        let letters: Vec<char> = std::iter::once('<').chain(word.stem.chars()).chain(['>']).collect();
        self.grams.extend(letters.windows(GRAM.min(letters.len())).map(hash_chars));
    }
}

/// Returns the feature of a short value as a whole.
pub(super) fn whole_value(name: &str, found: &[Word]) -> u64 {
    let text: Vec<&str> = found.iter().map(|word| word.stem.as_str()).collect();
    hash(&format!("{name}={}", text.join(" ")))
}

/// Parses text that is a single number, optionally with a currency sign or a percent sign.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim().trim_start_matches(['$', '€', '£']).trim_end_matches('%');
    let plain = if text.contains(',') { text.replace(',', "") } else { text.to_owned() };
    plain.parse::<f64>().ok().filter(|number| number.is_finite() && plain.len() < 20)
}

/// Computes the FNV-1a hash, which is the same on every machine, unlike the standard library's.
pub(super) fn hash(text: &str) -> u64 {
    fnv(text.bytes())
}

fn hash_chars(chars: &[char]) -> u64 {
    fnv(chars.iter().flat_map(|c| u32::from(*c).to_le_bytes()))
}

fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Weights of features by inverse document frequency, and the standard deviation of each numeric field.
#[derive(Debug, Default)]
pub(super) struct Weights {
    documents: f64,
    words: HashMap<u64, f64>,
    grams: HashMap<u64, f64>,
    scales: HashMap<u64, f64>,
}

impl Weights {
    /// Estimates the weights from the inputs of the demonstrations.
    pub(super) fn estimate<'a>(bags: impl Iterator<Item = &'a Bag>) -> Weights {
        let mut weights = Weights::default();
        let mut sums: HashMap<u64, (f64, f64, f64)> = HashMap::new();
        for bag in bags {
            weights.documents += 1.0;
            for (feature, _) in &bag.words {
                *weights.words.entry(*feature).or_default() += 1.0;
            }
            for feature in &bag.grams {
                *weights.grams.entry(*feature).or_default() += 1.0;
            }
            for (field, number) in &bag.numbers {
                let sum = sums.entry(*field).or_default();
                *sum = (sum.0 + 1.0, sum.1 + number, sum.2 + number * number);
            }
        }
        for (field, (count, sum, squares)) in sums {
            let variance = (squares - sum * sum / count) / (count - 1.0).max(1.0);
            if variance > f64::EPSILON {
                weights.scales.insert(field, variance.sqrt());
            }
        }
        weights
    }

    fn rarity(&self, counts: &HashMap<u64, f64>, feature: u64) -> f64 {
        let seen = counts.get(&feature).copied().unwrap_or_default();
        (1.0 + (self.documents + 1.0) / (seen + 1.0)).ln()
    }

    /// Returns the weight of a word: its own weight times its rarity.
    pub(super) fn of_word(&self, (feature, weight): (u64, f64)) -> f64 {
        weight * self.rarity(&self.words, feature)
    }

    /// Adds to a bag the weights and vector lengths needed for comparisons.
    pub(super) fn weigh(&self, bag: &Bag) -> Weighed {
        let words: Vec<_> = bag.words.iter().map(|word| (word.0, self.of_word(*word))).collect();
        let grams: Vec<_> = bag.grams.iter().map(|gram| (*gram, self.rarity(&self.grams, *gram))).collect();
        let scaled = |(field, number): &(u64, f64)| Some((*field, number / self.scales.get(field)?));
        Weighed {
            word_length: length(&words),
            gram_length: length(&grams),
            numbers: bag.numbers.iter().filter_map(scaled).collect(),
            words,
            grams,
        }
    }
}

fn length(features: &[(u64, f64)]) -> f64 {
    features.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt()
}

/// A [`Bag`] with the weights needed for comparisons.
#[derive(Debug, Clone, Default)]
pub(super) struct Weighed {
    words: Vec<(u64, f64)>,
    grams: Vec<(u64, f64)>,
    numbers: Vec<(u64, f64)>,
    word_length: f64,
    gram_length: f64,
}

impl Weighed {
    /// Returns the similarity of two inputs, from 0 (nothing in common) to 1 (identical).
    pub(super) fn similarity(&self, other: &Weighed) -> f64 {
        let text = WORD_SHARE * cosine(&self.words, &other.words, self.word_length * other.word_length)
            + (1.0 - WORD_SHARE) * cosine(&self.grams, &other.grams, self.gram_length * other.gram_length);
        match (self.distance(&other.numbers), self.words.is_empty() || other.words.is_empty()) {
            (None, _) => text,
            (Some(distance), true) => (-distance).exp(),
            (Some(distance), false) => f64::midpoint(text, (-distance).exp()),
        }
    }

    /// Returns the mean squared distance of the numbers in units of their standard deviations; `None` if the
    /// inputs have no numeric field in common.
    fn distance(&self, other: &[(u64, f64)]) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0.0);
        for (field, number) in &self.numbers {
            if let Ok(at) = other.binary_search_by_key(field, |(field, _)| *field) {
                sum += (number - other[at].1).powi(2);
                count += 1.0;
            }
        }
        (count > 0.0).then(|| sum / count)
    }
}

/// Returns the cosine of two sorted sparse vectors; `lengths` is the product of their lengths.
fn cosine(left: &[(u64, f64)], right: &[(u64, f64)], lengths: f64) -> f64 {
    if lengths <= 0.0 {
        return 0.0;
    }
    let mut dot = 0.0;
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (left.get(i), right.get(j)) {
        match a.0.cmp(&b.0) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                dot += a.1 * b.1;
                i += 1;
                j += 1;
            }
        }
    }
    dot / lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_rare_words_make_texts_similar() {
        let texts = ["the parcel is late", "the parcel got lost", "the invoice is wrong", "the printer jams"];
        let bags: Vec<_> = texts.iter().map(|text| Bag::new([("text", *text)])).collect();
        let weights = Weights::estimate(bags.iter());
        let weighed: Vec<_> = bags.iter().map(|bag| weights.weigh(bag)).collect();
        let to_first: Vec<_> = weighed.iter().map(|other| weighed[0].similarity(other)).collect();
        assert!((to_first[0] - 1.0).abs() < 1e-9);
        assert!(to_first[1] > to_first[2] && to_first[2] >= to_first[3], "{to_first:?}");
    }

    #[test]
    fn numbers_are_compared_in_units_of_their_spread() {
        let rows = [("1.0", "900"), ("1.1", "100"), ("5.0", "905")];
        let bags: Vec<_> = rows.iter().map(|(a, b)| Bag::new([("a", *a), ("b", *b)])).collect();
        let weights = Weights::estimate(bags.iter());
        let query = weights.weigh(&Bag::new([("a", "4.9"), ("b", "890")]));
        let to: Vec<_> = bags.iter().map(|bag| query.similarity(&weights.weigh(bag))).collect();
        assert!(to[2] > to[0] && to[0] > to[1], "{to:?}");
    }
}
