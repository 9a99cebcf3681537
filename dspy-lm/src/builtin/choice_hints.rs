//! Evidence for choices in the prompt: their names, their descriptions, and rules in prose that mention them.

use std::collections::HashMap;

use serde_json::Value;

use super::features::hash;
use super::prompt::Field;
use super::value_type::plain;
use super::words::{Word, is_stop_word, sentences, words};

/// Weights of a word by its source: the name of a choice, its description, or a rule in prose.
const IN_NAME: f64 = 1.5;
const IN_DESCRIPTION: f64 = 1.0;
const IN_RULE: f64 = 1.2;
/// The weight of a match of only the first letters, relative to a match of the whole stem.
const PREFIX_SHARE: f64 = 0.5;
/// The number of letters of such a prefix.
const PREFIX: usize = 5;
/// Words after which a function word such as `no` or `other` counts as the name of a choice.
const LEADS_TO_VALUE: &[&str] =
    &["->", "=>", "→", "=", "answer", "say", "output", "return", "label", "choose"];

/// Weighted words that are evidence for each choice.
#[derive(Debug, Default)]
pub(super) struct ChoiceHints {
    /// The choices that each word is evidence for, with weights, by the hash of its stem or prefix.
    weights: HashMap<u64, Vec<(usize, f64)>>,
    choices: usize,
}

impl ChoiceHints {
    /// Collects the evidence from a field's names and descriptions and from the instruction.
    pub(super) fn read(field: &Field, choices: &[Value], instruction: &str) -> ChoiceHints {
        let mut hints = ChoiceHints { choices: choices.len(), ..ChoiceHints::default() };
        let names: Vec<Name> = choices.iter().map(|choice| Name::new(&plain(choice))).collect();
        for (index, name) in names.iter().enumerate() {
            for word in name.words.iter().filter(|_| !is_truth(&choices[index])) {
                hints.add(word, index, IN_NAME);
            }
            let descriptions = field.choices.iter().filter(|(value, _)| *value == choices[index]);
            for word in descriptions.flat_map(|(_, text)| words(text)).filter(|word| !word.stop) {
                hints.add(&word.stem, index, IN_DESCRIPTION);
            }
        }
        let truth = choices.iter().position(|choice| *choice == Value::Bool(true));
        for (text, of_field) in [(instruction, false), (field.description.as_str(), true)] {
            for sentence in sentences(text) {
                for clause in sentence.split(';') {
                    // A description of a boolean field describes when it is true, unless it mentions a value.
                    let about_field = of_field || clause.contains(&format!("`{}`", field.name));
                    hints.add_rule(clause, &names, truth.filter(|_| about_field));
                }
            }
        }
        if let Some(truth) = truth {
            for word in words(&field.name.replace('_', " ")).iter().filter(|word| !word.stop) {
                hints.add(&word.stem, truth, IN_NAME);
            }
        }
        hints
    }

    fn add(&mut self, stem: &str, choice: usize, weight: f64) {
        let mut put = |feature: u64, weight: f64| {
            let entry = self.weights.entry(feature).or_default();
            match entry.iter_mut().find(|(known, _)| *known == choice) {
                Some((_, known)) => *known = weight.max(*known),
                None => entry.push((choice, weight)),
            }
        };
        put(hash(stem), weight);
        if let Some(prefix) = prefix(stem) {
            put(prefix, weight * PREFIX_SHARE);
        }
    }

    /// Adds a clause as a rule about the choices that it mentions, or about `otherwise` if it mentions none.
    fn add_rule(&mut self, clause: &str, names: &[Name], otherwise: Option<usize>) {
        let found = words(clause);
        let mentions: Vec<_> = names.iter().map(|name| name.mentions(clause, &found)).collect();
        let mentioned: Vec<_> = (0..names.len()).filter(|index| !mentions[*index].is_empty()).collect();
        match (&mentioned[..], otherwise) {
            ([], None) => {}
            ([], Some(choice)) | (&[choice], _) => self.add_words(&found, choice),
            (several, _) => {
                // "refunds to billing, parcels to shipping": each part between commas is about its own
                // choice.
                let leads = mentions.iter().flatten().any(|at| *at == 0);
                let mut waiting: Vec<&[Word]> = Vec::new();
                let mut last = None;
                for part in parts(clause, &found) {
                    let inside = |at: &usize| {
                        part.first().is_some_and(|word| found[*at].start >= word.start)
                            && part.last().is_some_and(|word| found[*at].start <= word.start)
                    };
                    let mut here = several.iter().filter(|index| mentions[**index].iter().any(inside));
                    match (here.next(), here.next()) {
                        (Some(choice), None) => {
                            for part in waiting.drain(..).chain([part]) {
                                self.add_words(part, *choice);
                            }
                            last = Some(*choice);
                        }
                        (None, _) if leads => {
                            last.into_iter().for_each(|choice| self.add_words(part, choice));
                        }
                        (None, _) => waiting.push(part),
                        // A part that lists several choices is no evidence for any of them.
                        _ => waiting.clear(),
                    }
                }
            }
        }
    }

    fn add_words(&mut self, found: &[Word], choice: usize) {
        for word in found.iter().filter(|word| !word.stop) {
            self.add(&word.stem, choice, IN_RULE);
        }
    }

    /// Returns the evidence in an input as (word, choice, weight). A word that is evidence for fewer choices
    /// has more weight; one that is evidence for all of several choices has none.
    pub(super) fn evidence<'a>(&'a self, stems: &'a [String]) -> impl Iterator<Item = (&'a str, usize, f64)> {
        stems.iter().flat_map(move |stem| {
            let exact = self.weights.get(&hash(stem));
            let entry = exact.or_else(|| self.weights.get(&prefix(stem)?));
            let entries = entry.map(Vec::as_slice).unwrap_or_default();
            let rarity = (1.0 + self.choices as f64 / entries.len().max(1) as f64).ln();
            // A word that belongs to all choices does not distinguish them.
            let shared = if entries.len() == self.choices && self.choices > 1 { 0.0 } else { rarity };
            entries.iter().map(move |(choice, weight)| (stem.as_str(), *choice, weight * shared))
        })
    }
}

/// Splits the words of a clause at commas and vertical bars.
fn parts<'a>(clause: &str, found: &'a [Word]) -> impl Iterator<Item = &'a [Word]> {
    let breaks: Vec<usize> = clause.match_indices([',', '|']).map(|(at, _)| at).collect();
    found.chunk_by(move |left, right| !breaks.iter().any(|at| (left.end..=right.start).contains(at)))
}

fn prefix(stem: &str) -> Option<u64> {
    let end = stem.char_indices().nth(PREFIX).map(|(end, _)| end)?;
    Some(hash(&format!("{}*", &stem[..end])))
}

fn is_truth(choice: &Value) -> bool {
    choice.is_boolean()
}

/// The name of a choice as words, for finding it in prose.
struct Name {
    words: Vec<String>,
    /// Whether the name consists of function words only, such as `no`, and counts only if marked as a value.
    common: bool,
}

impl Name {
    fn new(text: &str) -> Name {
        let spaced = split_case(text);
        let found = words(&spaced);
        let common = found.iter().all(|word| word.stop) || is_stop_word(&text.to_lowercase());
        Name { words: found.into_iter().map(|word| word.stem).collect(), common }
    }

    /// Returns the positions of the name in `found`, the words of `clause`.
    fn mentions(&self, clause: &str, found: &[Word]) -> Vec<usize> {
        if self.words.is_empty() {
            return Vec::new();
        }
        // A name such as `card_arrival` may be written as one word or as two; both are split into the same
        // words.
        let matches = |(at, window): (usize, &[Word])| {
            let same = window.iter().zip(&self.words).all(|(word, stem)| word.stem == *stem);
            (same && (!self.common || is_marked(clause, found, at, self.words.len()))).then_some(at)
        };
        found.windows(self.words.len()).enumerate().filter_map(matches).collect()
    }
}

/// Returns whether the words are quoted, follow a word such as "answer", or start the clause before a colon.
fn is_marked(clause: &str, found: &[Word], at: usize, length: usize) -> bool {
    let before = clause[..found[at].start].trim_end();
    let after = &clause[found[at + length - 1].end..];
    let quoted = before.ends_with(['"', '`', '\'', '“']) && after.starts_with(['"', '`', '\'', '”']);
    quoted
        || LEADS_TO_VALUE.iter().any(|lead| before.to_lowercase().ends_with(lead))
        || (before.is_empty() && after.trim_start().starts_with(':'))
}

/// Splits identifiers into words: `cardArrival` becomes `card Arrival`, `card_arrival` becomes `card
/// arrival`.
fn split_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    let mut lower = false;
    for c in text.chars() {
        if c.is_uppercase() && lower {
            out.push(' ');
        }
        lower = c.is_lowercase();
        out.push(if matches!(c, '_' | '-' | '/') { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn best(instruction: &str, choices: &[&str], input: &str) -> Vec<f64> {
        let choices: Vec<Value> = choices.iter().map(|choice| json!(choice)).collect();
        let hints = ChoiceHints::read(&Field::default(), &choices, instruction);
        let stems: Vec<String> = words(input).into_iter().map(|word| word.stem).collect();
        let mut scores = vec![0.0; choices.len()];
        hints.evidence(&stems).for_each(|(_, choice, weight)| scores[choice] += weight);
        scores
    }

    #[test]
    fn rules_in_prose_are_understood() {
        for rules in [
            "Mentions of a refund → billing. Parcels → shipping.",
            "Refunds go to billing; parcels go to shipping.",
            "Refunds and money go to billing, parcels and boxes to shipping.",
            "billing: refunds, money\nshipping: parcels, boxes",
            "Choose billing for refunds, money, shipping for parcels.",
        ] {
            let scores = best(rules, &["billing", "shipping"], "Where is my parcel?");
            assert!(scores[1] > scores[0], "{rules}: {scores:?}");
            let scores = best(rules, &["billing", "shipping"], "I want a refund.");
            assert!(scores[0] > scores[1], "{rules}: {scores:?}");
        }
    }

    #[test]
    fn function_words_are_values_only_when_marked() {
        let rules = "There is no need to hurry. Answer \"no\" for cats. Answer \"yes\" for dogs.";
        let scores = best(rules, &["yes", "no"], "a dog in a hurry");
        assert!(scores[0] > scores[1], "{scores:?}");
    }

    #[test]
    fn names_speak_for_themselves() {
        let scores = best("", &["card_arrival", "exchangeRate"], "when will my card arrive");
        assert!(scores[0] > scores[1], "{scores:?}");
    }
}
