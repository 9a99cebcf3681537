//! Statements of an instruction about free text: the answers that are possible, and the form of the answer.

use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::Value;

use super::prompt::Field;
use super::tokens::{Token, lex};
use super::words::{sentences, words};

/// The maximum number of words of a possible answer, and of possible answers.
const LABEL_WORDS: usize = 6;
const MOST_LABELS: usize = 200;

/// Returns the answers that an instruction or a description lists: "Answer with one of: a, b or c." A description that
/// is nothing but words with "or" between them is such a list, too.
pub(super) fn stated_labels(field: &Field, instruction: &str) -> Vec<Value> {
    let about_another = |sentence: &&str| {
        let named = sentence.trim_start().to_lowercase();
        named
            .strip_prefix("for `")
            .is_some_and(|rest| !rest.starts_with(&format!("{}`", field.name.to_lowercase())))
    };
    let listed = sentences(instruction).into_iter().filter(|sentence| !about_another(sentence));
    let listed = listed.chain(sentences(&field.description)).find_map(|sentence| {
        let at = sentence.to_lowercase().find("one of")?;
        let rest = sentence.get(at + "one of".len()..)?;
        let rest = rest.split_once(':').map_or(rest, |(_, rest)| rest);
        let found = items(rest.trim_end_matches('.'));
        (found.len() > 1).then_some(found)
    });
    let found = listed.or_else(|| {
        let text = field.description.trim().trim_end_matches('.');
        let found = items(text);
        let single = found.iter().all(|label| words(label).len() == 1);
        (found.len() > 1 && single && text.contains(" or ")).then_some(found)
    });
    found.unwrap_or_default().into_iter().take(MOST_LABELS).map(Value::from).collect()
}

/// Splits a list such as `a, b or "c d"`. If anything is in quotes, only that counts.
fn items(text: &str) -> Vec<String> {
    let quoted: Vec<String> = lex(text)
        .iter()
        .filter_map(|token| if let Token::Quoted(text) = token.token { Some(text.to_owned()) } else { None })
        .collect();
    if quoted.len() > 1 {
        return quoted;
    }
    let text = text.replace(" or ", ", ").replace(['/', '|'], ", ");
    let found: Vec<String> =
        text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
    let fair = |item: &String| (1..=LABEL_WORDS).contains(&item.split_whitespace().count());
    if found.iter().all(fair) { found } else { Vec::new() }
}

/// The form of an answer, as an instruction states it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TextForm {
    case: Option<Case>,
    pub(super) most_words: Option<usize>,
    number_only: bool,
    start: Option<String>,
    end: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

impl TextForm {
    /// Reads statements about the answer: "Answer in lower case", "Answer with at most 3 words", "End the answer with
    /// ".""
    pub(super) fn read(field: &Field, instruction: &str) -> TextForm {
        static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
            [
                r"(?i)\b(?:answer|reply|respond|written)\b[^.]*\bin (lower|upper)[ -]?case\b",
                r"(?i)\b(?:answer|reply|respond)\b[^.]*\b(?:at most|up to|no more than) (\d+) words?\b",
                r"(?i)\b(?:answer|reply|respond) with (?:just |only )?the number\b|\bthe number only\b|\bdigits only\b",
                r#"(?i)\b(?:start|begin) the answer with ["`](.{1,40}?)["`]"#,
                r#"(?i)\bend the answer with ["`](.{1,40}?)["`]"#,
                r"(?i)\b(?:answer|reply|respond) (?:with|in) (?:a single|one) word\b",
            ]
            .iter()
            .filter_map(|pattern| Regex::new(pattern).ok())
            .collect()
        });
        let mut form = TextForm::default();
        for line in instruction.lines().chain(field.description.lines()) {
            for (at, pattern) in FORMS.iter().enumerate() {
                let Some(found) = pattern.captures(line) else { continue };
                let first = found.get(1).map(|text| text.as_str().to_owned());
                match at {
                    0 => {
                        let lower = first.is_some_and(|case| case.eq_ignore_ascii_case("lower"));
                        form.case = Some(if lower { Case::Lower } else { Case::Upper });
                    }
                    1 => {
                        form.most_words =
                            first.and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                    }
                    2 => form.number_only = true,
                    3 => form.start = first,
                    4 => form.end = first,
                    _ => form.most_words = Some(1),
                }
            }
        }
        form
    }

    /// Returns whether answers are a few words.
    pub(super) fn is_short(&self) -> bool {
        self.number_only || self.most_words.is_some_and(|most| most <= LABEL_WORDS)
    }

    /// Brings a string into this form.
    pub(super) fn apply(&self, mut text: String) -> String {
        if self.number_only {
            let found = lex(&text).into_iter().find(|token| matches!(token.token, Token::Number(_)));
            if let Some(token) = found {
                text = text[token.start..token.end].to_owned();
            }
        }
        if let Some(most) = self.most_words {
            let last = words(&text).get(most - 1).map(|word| word.end);
            if let Some(end) = last.filter(|_| words(&text).len() > most) {
                text.truncate(end);
            }
        }
        match self.case {
            Some(Case::Lower) => text = text.to_lowercase(),
            Some(Case::Upper) => text = text.to_uppercase(),
            None => {}
        }
        if let Some(start) = self.start.as_ref().filter(|start| !text.starts_with(start.as_str())) {
            text.insert_str(0, start);
        }
        if let Some(end) = self.end.as_ref().filter(|end| !text.ends_with(end.as_str())) {
            text.push_str(end);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn possible_answers_are_read() {
        let labels = |instruction: &str, description: &str| {
            stated_labels(&Field { description: description.into(), ..Field::default() }, instruction)
        };
        for instruction in [
            "Think. Answer with one of: red, dark blue or green.",
            "Answer with exactly one of these: \"red\", \"dark blue\", \"green\".",
            "One of `red`, `dark blue`, `green`",
        ] {
            assert_eq!(
                labels(instruction, ""),
                [json!("red"), json!("dark blue"), json!("green")],
                "{instruction}"
            );
        }
        assert_eq!(labels("", "yes or no"), [json!("yes"), json!("no")]);
        assert_eq!(
            labels("", "setosa, versicolor or virginica"),
            [json!("setosa"), json!("versicolor"), json!("virginica")]
        );
        assert!(
            labels(
                "This is one of the tasks that matter. Do it well, or not.",
                "The answer, or nothing at all."
            )
            .is_empty()
        );
    }

    #[test]
    fn forms_are_applied() {
        let apply =
            |instruction: &str, text: &str| TextForm::read(&Field::default(), instruction).apply(text.into());
        assert_eq!(apply("Answer in lower case. Answer with at most 2 words.", "The Red Fox"), "the red");
        assert_eq!(apply("Answer with the number only.", "It took 12.5 days."), "12.5");
        assert_eq!(apply("End the answer with \"!\". Start the answer with \"A: \".", "Hi"), "A: Hi!");
        assert_eq!(apply("Answer the question.", "The Red Fox"), "The Red Fox");
    }
}
