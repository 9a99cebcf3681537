//! The sentences of the inputs, scored by how well they fit the question.

use std::collections::{HashMap, HashSet};

use super::words::{Word, sentences, words};

/// The weight of a word in the rest of a passage, relative to one in the sentence itself.
const PASSAGE_SHARE: f64 = 0.4;
/// The weight of a new name in the best sentence, relative to a word of the question.
const BRIDGE_SHARE: f64 = 0.6;

/// A sentence of an input.
#[derive(Debug, Clone)]
pub(super) struct Sentence<'a> {
    pub(super) text: &'a str,
    pub(super) words: Vec<Word>,
    /// The index of its passage, which is a line of an input.
    passage: usize,
    /// The degree to which it fits the question; higher is better.
    pub(super) score: f64,
}

/// Splits texts into sentences; every line is a passage.
pub(super) fn split<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Sentence<'a>> {
    let lines = texts.into_iter().flat_map(str::lines).enumerate();
    lines
        .flat_map(|(passage, line)| {
            sentences(line).into_iter().map(move |text| Sentence {
                text,
                words: words(text),
                passage,
                score: 0.0,
            })
        })
        .collect()
}

/// Scores sentences by the rare words that they and their passages share with the question. Names in the best
/// sentence that are not in the question then count too, because they may link to the sentence with the
/// answer.
///
/// Without words to look for, sentences are scored by the words they share with the others.
pub(super) fn score(sentences: &mut [Sentence<'_>], asked: &[String]) {
    let mut counts: HashMap<&str, f64> = HashMap::new();
    for sentence in sentences.iter() {
        let stems: HashSet<&str> = content(&sentence.words).collect();
        stems.into_iter().for_each(|stem| *counts.entry(stem).or_default() += 1.0);
    }
    let total = sentences.len() as f64;
    let rarity = |stem: &str| counts.get(stem).map_or(0.0, |count| (1.0 + total / count).ln());
    let mut wanted: HashMap<String, f64> =
        asked.iter().map(|stem| (stem.clone(), rarity(stem))).filter(|(_, weight)| *weight > 0.0).collect();
    if wanted.is_empty() {
        let central: Vec<f64> = sentences
            .iter()
            .map(|sentence| {
                let shared: f64 = content(&sentence.words).map(|stem| counts[stem] - 1.0).sum();
                shared / (sentence.words.len().max(4) as f64).sqrt()
            })
            .collect();
        sentences.iter_mut().zip(central).for_each(|(sentence, score)| sentence.score = score);
        return;
    }
    let first = fit(sentences, &wanted);
    if let Some(best) = (0..first.len()).max_by(|a, b| first[*a].total_cmp(&first[*b]).then(b.cmp(a))) {
        let bridge: Vec<(String, f64)> = names(&sentences[best])
            .filter(|word| !asked.contains(&word.stem))
            .map(|word| (word.stem.clone(), rarity(&word.stem) * BRIDGE_SHARE))
            .collect();
        wanted.extend(bridge);
        let second = fit(sentences, &wanted);
        let best_passage = sentences[best].passage;
        for ((sentence, plain), bridged) in sentences.iter_mut().zip(first).zip(second) {
            sentence.score = if sentence.passage == best_passage { plain } else { bridged };
        }
    }
}

fn fit(sentences: &[Sentence<'_>], wanted: &HashMap<String, f64>) -> Vec<f64> {
    let found: Vec<HashSet<&str>> = sentences
        .iter()
        .map(|sentence| content(&sentence.words).filter(|stem| wanted.contains_key(*stem)).collect())
        .collect();
    let passages = sentences.iter().map(|sentence| sentence.passage).max().map_or(0, |last| last + 1);
    let mut of_passage: Vec<HashSet<&str>> = vec![HashSet::new(); passages];
    for (sentence, found) in sentences.iter().zip(&found) {
        of_passage[sentence.passage].extend(found);
    }
    // Sums run over sorted stems, so that rounding does not depend on the order of a hash set.
    let sum = |stems: &mut dyn Iterator<Item = &&str>| {
        let mut stems: Vec<&str> = stems.copied().collect();
        stems.sort_unstable();
        stems.iter().map(|stem| wanted[*stem]).sum::<f64>()
    };
    let found = sentences.iter().zip(&found);
    found
        .map(|(sentence, found)| {
            let own = sum(&mut found.iter());
            let around = sum(&mut of_passage[sentence.passage].difference(found));
            let length = sentence.words.len() as f64;
            own / (1.0 + length / 60.0) + PASSAGE_SHARE * around
        })
        .collect()
}

fn content(words: &[Word]) -> impl Iterator<Item = &str> {
    words.iter().filter(|word| !word.stop).map(|word| word.stem.as_str())
}

/// Returns the capitalised words and numbers of a sentence.
pub(super) fn names<'s>(sentence: &'s Sentence<'_>) -> impl Iterator<Item = &'s Word> {
    sentence.words.iter().filter(|word| {
        let first = word.written(sentence.text).chars().next();
        !word.stop && first.is_some_and(|first| first.is_uppercase() || first.is_ascii_digit())
    })
}

/// Returns the sentence with the highest score; the first of equals.
pub(super) fn best<'s, 'a>(sentences: &'s [Sentence<'a>]) -> Option<&'s Sentence<'a>> {
    sentences.iter().rev().max_by(|a, b| a.score.total_cmp(&b.score))
}
