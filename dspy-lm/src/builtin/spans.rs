//! Short answers: names, numbers and phrases extracted from sentences.

use std::collections::HashMap;

use super::passages::Sentence;
use super::words::{Word, words};

/// Words that may occur in lower case inside a name.
const LINKS: &[&str] = &["of", "de", "da", "di", "del", "van", "von", "the", "la", "le", "and"];
/// The maximum number of words of a candidate phrase in lower case.
const LONGEST_PHRASE: usize = 3;

/// The form of a short answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    Name,
    Year,
    Number,
    /// A number and the word after it, such as a unit.
    Measure,
    Phrase,
}

impl Shape {
    const ALL: [Shape; 5] = [Shape::Name, Shape::Year, Shape::Number, Shape::Measure, Shape::Phrase];

    /// Returns the form of an answer.
    pub(super) fn of(text: &str) -> Shape {
        let found = words(text);
        let is_number = |word: &Word| word.written(text).starts_with(|c: char| c.is_ascii_digit());
        match found.first() {
            Some(first) if is_number(first) && found.len() == 1 => {
                if is_year(first.written(text)) {
                    Shape::Year
                } else {
                    Shape::Number
                }
            }
            Some(first) if is_number(first) => Shape::Measure,
            Some(first) if first.written(text).starts_with(char::is_uppercase) => Shape::Name,
            _ => Shape::Phrase,
        }
    }
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && text.parse::<u32>().is_ok_and(|year| (1000..2100).contains(&year))
}

/// Returns the question word, with the word after it for `which`, `what` and `how`: `who`, `when`, `how
/// many`, `which year`.
fn asks_for(question: &str) -> Option<String> {
    let lower = question.to_lowercase();
    let found: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let at = found.iter().position(|word| {
        matches!(*word, "who" | "whom" | "whose" | "when" | "where" | "which" | "what" | "how" | "why")
    })?;
    Some(match (found[at], found.get(at + 1)) {
        (asks @ ("which" | "what" | "how"), Some(next)) => format!("{asks} {next}"),
        (asks, _) => asks.to_owned(),
    })
}

/// Returns the log-probability of each form, in nats: a prior by the question word, updated by the
/// demonstrations `shown` (pairs of question and answer).
pub(super) fn expectations(question: &str, shown: &[(&str, &str)]) -> HashMap<Shape, f64> {
    let asks = asks_for(question);
    let usual = match asks.as_deref() {
        Some("when" | "what year" | "which year") => Shape::Year,
        Some("how many" | "how much") => Shape::Number,
        Some("how long" | "how tall" | "how high" | "how far" | "how old" | "how deep" | "how wide") => {
            Shape::Measure
        }
        _ => Shape::Name,
    };
    let mut counts: HashMap<Shape, f64> = Shape::ALL.into_iter().map(|shape| (shape, 0.3)).collect();
    *counts.entry(usual).or_default() += 1.5;
    for (question, answer) in shown {
        let alike = asks_for(question) == asks;
        *counts.entry(Shape::of(answer)).or_default() += if alike { 1.0 } else { 0.05 };
    }
    let total: f64 = Shape::ALL.iter().map(|shape| counts[shape]).sum();
    counts.into_iter().map(|(shape, count)| (shape, (count / total).ln())).collect()
}

/// A candidate for a short answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span<'a> {
    pub(super) text: &'a str,
    pub(super) sentence: &'a str,
    pub(super) score: f64,
}

/// Returns all candidates in scored sentences, each with its score.
pub(super) fn candidates<'a>(
    sentences: &[Sentence<'a>],
    question: &str,
    shown: &[(&str, &str)],
) -> Vec<Span<'a>> {
    let expected = expectations(question, shown);
    let asked: Vec<Word> = words(question).into_iter().filter(|word| !word.stop).collect();
    let is_asked = |word: &Word| asked.iter().any(|other| other.stem == word.stem);
    let head = asks_for(question).and_then(|asks| Some(words(asks.split_once(' ')?.1).first()?.stem.clone()));
    let top = sentences.iter().map(|sentence| sentence.score).fold(1e-9, f64::max);
    let mut found: Vec<Span<'a>> = Vec::new();
    for sentence in sentences {
        let hits: Vec<bool> = sentence.words.iter().map(|word| !word.stop && is_asked(word)).collect();
        for (start, end, shape) in spans(sentence) {
            let inside = &sentence.words[start..end];
            let content = inside.iter().filter(|word| !word.stop).count().max(1) as f64;
            let repeated = inside.iter().filter(|word| !word.stop && is_asked(word)).count() as f64 / content;
            let near = hits
                .iter()
                .enumerate()
                .filter(|(at, hit)| **hit && !(start..end).contains(at))
                .map(|(at, _)| 1.0 / (1.0 + if at < start { start - at } else { at + 1 - end } as f64))
                .sum::<f64>();
            // "Which river" is likely answered next to the word "river".
            let around = start.saturating_sub(2)..(end + 2).min(sentence.words.len());
            let beside =
                head.as_ref().is_some_and(|head| sentence.words[around].iter().any(|w| w.stem == *head));
            let score = 3.0 * sentence.score / top
                + expected.get(&shape).copied().unwrap_or_default()
                + near.min(1.0)
                + if beside { 0.8 } else { 0.0 }
                - 3.0 * repeated;
            let text = &sentence.text[inside[0].start..inside[inside.len() - 1].end];
            found.push(Span { text, sentence: sentence.text, score });
        }
    }
    found
}

/// Returns the spans of a sentence as ranges of words with their forms.
fn spans(sentence: &Sentence<'_>) -> Vec<(usize, usize, Shape)> {
    let list = &sentence.words;
    let written = |at: usize| list[at].written(sentence.text);
    let capital = |at: usize| written(at).starts_with(char::is_uppercase) && !(at == 0 && list[at].stop);
    let digit = |at: usize| written(at).starts_with(|c: char| c.is_ascii_digit());
    // The words of a span are separated only by a space, a dot, a hyphen or `'s`.
    let joined = |at: usize| {
        let gap = &sentence.text[list[at].end..list[at + 1].start];
        matches!(gap, " " | ". " | "-" | "." | "'s ")
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < list.len() {
        let mut end = at + 1;
        if digit(at) {
            found.push((at, end, if is_year(written(at)) { Shape::Year } else { Shape::Number }));
            if end < list.len() && joined(at) && !list[end].stop {
                found.push((at, end + 1, Shape::Measure));
            }
        } else if capital(at) && !list[at].stop {
            while end < list.len() && joined(end - 1) {
                let link = LINKS.contains(&list[end].stem.as_str())
                    && end + 1 < list.len()
                    && joined(end)
                    && capital(end + 1);
                if !(capital(end) || link || (digit(end) && !is_year(written(end)))) {
                    break;
                }
                end += 1;
            }
            found.push((at, end, Shape::Name));
        } else if !list[at].stop {
            while end < list.len() && end - at < LONGEST_PHRASE && joined(end - 1) {
                if list[end].stop || capital(end) || digit(end) {
                    break;
                }
                end += 1;
            }
            found.push((at, end, Shape::Phrase));
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::passages;

    fn answer(text: &str, question: &str) -> String {
        let mut sentences = passages::split([text]);
        let asked: Vec<_> = words(question).into_iter().filter(|w| !w.stop).map(|w| w.stem).collect();
        passages::score(&mut sentences, &asked);
        let found = candidates(&sentences, question, &[]);
        found.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap().text.to_owned()
    }

    #[test]
    fn questions_find_spans_of_the_right_shape() {
        let text =
            "The Alder Bridge was designed by Mira van Holt and opened in 1931.\nIt spans the river Tame.";
        assert_eq!(answer(text, "Who designed the Alder Bridge?"), "Mira van Holt");
        assert_eq!(answer(text, "When was the Alder Bridge opened?"), "1931");
        assert_eq!(answer(text, "Which river does the Alder Bridge span?"), "Tame");
    }
}
