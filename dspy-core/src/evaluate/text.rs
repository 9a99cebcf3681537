//! Measures of text answers, as used for question answering since SQuAD (Rajpurkar et al., 2016).

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization as _;

/// Normalizes text for comparison: canonical Unicode (NFD), lower case, no ASCII punctuation, no articles,
/// single spaces.
///
/// ```
/// use dspy_core::evaluate::normalize_text;
/// assert_eq!(normalize_text("The  Tower, (Paris)!"), "tower paris");
/// ```
pub fn normalize_text(text: &str) -> String {
    let bare: String =
        text.nfd().flat_map(char::to_lowercase).filter(|c| !c.is_ascii_punctuation()).collect();
    let words = bare.split_whitespace().filter(|word| !matches!(*word, "a" | "an" | "the"));
    words.collect::<Vec<_>>().join(" ")
}

/// Returns whether the answer equals the expected one, after [`normalize_text`].
///
/// ```
/// use dspy_core::evaluate::answer_exact_match;
/// assert!(answer_exact_match("The Eiffel Tower", "eiffel tower."));
/// ```
pub fn answer_exact_match(expected: &str, answer: &str) -> bool {
    normalize_text(expected) == normalize_text(answer)
}

/// Returns whether a passage contains the expected answer, word for word after [`normalize_text`].
///
/// ```
/// use dspy_core::evaluate::answer_passage_match;
/// assert!(answer_passage_match("the Seine", ["Paris lies on the Seine."]));
/// assert!(!answer_passage_match("Seine", ["A seiner is a fishing boat."]));
/// ```
pub fn answer_passage_match<T: AsRef<str>>(expected: &str, passages: impl IntoIterator<Item = T>) -> bool {
    let expected = format!(" {} ", normalize_text(expected));
    passages.into_iter().any(|passage| format!(" {} ", normalize_text(passage.as_ref())).contains(&expected))
}

/// Returns the harmonic mean of precision and recall over words, after [`normalize_text`]: from 0 to 1.
///
/// ```
/// use dspy_core::evaluate::token_f1;
/// assert_eq!(token_f1("Eiffel Tower", "the Eiffel Tower"), 1.0);
/// assert!((token_f1("Eiffel Tower", "Eiffel") - 2.0 / 3.0).abs() < 1e-9);
/// ```
pub fn token_f1(expected: &str, answer: &str) -> f64 {
    let (expected, answer) = (normalize_text(expected), normalize_text(answer));
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in expected.split(' ').filter(|word| !word.is_empty()) {
        *left.entry(word).or_default() += 1;
    }
    let total = left.values().sum::<usize>();
    let (mut common, mut given) = (0usize, 0usize);
    for word in answer.split(' ').filter(|word| !word.is_empty()) {
        given += 1;
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    match (total, given) {
        (0, 0) => 1.0,
        _ if common == 0 => 0.0,
        _ => 2.0 * common as f64 / (total + given) as f64,
    }
}
