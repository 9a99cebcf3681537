//! The form of free text, as an instruction states it: case, length, punctuation, start and end of the answer.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex_lite::Regex;

use super::choice_hints::is_about_another;
use super::clauses::clauses;
use super::form_rules::{self, FormRule};
use super::prompt::Field;
use super::text_rules::LABEL_WORDS;
use super::tokens::{Token, lex};
use super::words::words;

/// The form of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TextForm {
    case: Option<Case>,
    pub(super) most_words: Option<usize>,
    number_only: bool,
    unpunctuated: bool,
    start: Option<String>,
    end: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

impl TextForm {
    /// Reads statements about the answer: "Answer in lower case", "End the answer with "."". Of statements with
    /// conditions, those count that `texts`, the values of the inputs, meet.
    pub(super) fn read(
        field: &Field,
        instruction: &str,
        inputs: &[Field],
        texts: &[Option<String>],
    ) -> TextForm {
        let about_field = |clause: &&str| !is_about_another(clause, field, inputs);
        let stated = clauses(instruction).into_iter().chain(clauses(&field.description));
        let rules: Vec<FormRule<'_>> = stated.filter(about_field).filter_map(FormRule::read).collect();
        let mut form = TextForm::default();
        rules.iter().filter(|rule| rule.condition.is_none()).for_each(|rule| form.set(&rule.form));
        form_rules::met(&rules, inputs, texts).for_each(|met| form.set(met));
        form
    }

    /// Returns the form that a clause states, and where it does so.
    pub(super) fn stated(clause: &str) -> Option<(TextForm, Range<usize>)> {
        static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
            const ANSWER: &str = r"\b(?:answer|reply|respond|write|written)\b";
            const THE_ANSWER: &str = r"(?:the|your|each|every) (?:answer|reply|response) with";
            [
                format!(r"(?i)(?:{ANSWER}[^.]*\bin|\buse) (?:all |only )?(lower|upper)[ -]?case\b"),
                format!(r"(?i)(?:{ANSWER}[^.]*\bin|\buse) (?:all |only |block )*(?:capitals|capital letters)\b"),
                r"(?i)\b(?:answer|reply|respond)\b[^.]*\b(?:at most|up to|no more than) (\d+) words?\b".to_owned(),
                r"(?i)\b(?:answer|reply|respond) (?:with|in) (?:a single|one) word\b".to_owned(),
                r"(?i)\b(?:answer|reply|respond) with (?:just |only )?the number\b|\bthe number only\b|\bdigits only\b"
                    .to_owned(),
                format!(
                    r"(?i){ANSWER}[^.]*\b(?:without|with no) (?:any )?punctuation\b|\b(?:use no|do not use|don't use) (?:any )?punctuation\b"
                ),
                format!(r#"(?i)\b(?:start|begin) {THE_ANSWER} ["`“](.{{1,40}}?)["`”]"#),
                format!(r#"(?i)\b(?:end|finish) {THE_ANSWER} ["`“](.{{1,40}}?)["`”]"#),
            ]
            .iter()
            .filter_map(|pattern| Regex::new(pattern).ok())
            .collect()
        });
        let mut form = TextForm::default();
        let mut span: Option<Range<usize>> = None;
        for (at, pattern) in FORMS.iter().enumerate() {
            let Some(found) = pattern.captures(clause) else { continue };
            let first = found.get(1).map(|text| text.as_str().to_owned());
            match at {
                0 => {
                    let lower = first.is_some_and(|case| case.eq_ignore_ascii_case("lower"));
                    form.case = Some(if lower { Case::Lower } else { Case::Upper });
                }
                1 => form.case = Some(Case::Upper),
                2 => {
                    let count = first.and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                    form.most_words = count.or(form.most_words);
                }
                3 => form.most_words = Some(1),
                4 => form.number_only = true,
                5 => form.unpunctuated = true,
                6 => form.start = first,
                _ => form.end = first,
            }
            if let Some(found) = found.get(0) {
                let known = span.get_or_insert(found.range());
                *known = known.start.min(found.start())..known.end.max(found.end());
            }
        }
        (form != TextForm::default()).then_some((form, span?))
    }

    /// Takes over what another form states.
    pub(super) fn set(&mut self, other: &TextForm) {
        self.case = other.case.or(self.case);
        self.most_words = other.most_words.or(self.most_words);
        self.number_only |= other.number_only;
        self.unpunctuated |= other.unpunctuated;
        self.start = other.start.clone().or_else(|| self.start.take());
        self.end = other.end.clone().or_else(|| self.end.take());
    }

    /// Returns whether both forms state the same property, such as the case.
    pub(super) fn overlaps(&self, other: &TextForm) -> bool {
        (self.case.is_some() && other.case.is_some())
            || ((self.most_words.is_some() || self.number_only)
                && (other.most_words.is_some() || other.number_only))
            || (self.unpunctuated && other.unpunctuated)
            || (self.start.is_some() && other.start.is_some())
            || (self.end.is_some() && other.end.is_some())
    }

    /// Returns whether answers are a few words.
    pub(super) fn is_short(&self) -> bool {
        self.number_only || self.most_words.is_some_and(|most| most <= LABEL_WORDS)
    }

    /// Returns a phrase for each property of the form: `answer in lower case`.
    pub(super) fn phrases(&self) -> Vec<String> {
        let quoted = |text: &String| {
            let quote = if text.contains('"') { '`' } else { '"' };
            format!("{quote}{text}{quote}")
        };
        let case = |case| format!("answer in {} case", if case == Case::Lower { "lower" } else { "upper" });
        let length = |most| format!("answer with at most {most} word{}", if most == 1 { "" } else { "s" });
        let parts = [
            self.case.map(case),
            self.most_words.map(length),
            self.number_only.then(|| "answer with the number only".to_owned()),
            self.unpunctuated.then(|| "answer without punctuation".to_owned()),
            self.start.as_ref().map(|start| format!("start the answer with {}", quoted(start))),
            self.end.as_ref().map(|end| format!("end the answer with {}", quoted(end))),
        ];
        parts.into_iter().flatten().collect()
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
        if self.unpunctuated {
            text = text.replace(['-', '/', '_'], " ");
            text.retain(|c| !c.is_ascii_punctuation());
            text.truncate(text.trim_end().len());
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

/// Writes the form as it is read: `answer in lower case`.
impl fmt::Display for TextForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.phrases().join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(instruction: &str, text: &str, question: &str) -> String {
        let inputs = [Field { name: "question".to_owned(), ..Field::default() }];
        TextForm::read(&Field::default(), instruction, &inputs, &[Some(question.to_owned())])
            .apply(text.into())
    }

    #[test]
    fn forms_are_applied() {
        for (instruction, text, expected) in [
            ("Answer in lower case. Answer with at most 2 words.", "The Red Fox", "the red"),
            ("Answer with the number only.", "It took 12.5 days.", "12.5"),
            ("End the answer with \"!\". Start the answer with \"A: \".", "Hi", "A: Hi!"),
            ("End the answer with \"So. Long!\" Answer in capital letters; be kind.", "Hi", "HISo. Long!"),
            ("Answer without punctuation.", "St. Louis-Park, Ohio.", "St Louis Park Ohio"),
            ("Answer the question.", "The Red Fox", "The Red Fox"),
        ] {
            assert_eq!(apply(instruction, text, "Who?"), expected, "{instruction}");
            if let Some((form, _)) = TextForm::stated(instruction) {
                assert_eq!(TextForm::stated(&form.to_string()).unwrap().0, form, "{form}");
            }
        }
    }

    #[test]
    fn forms_with_conditions_are_applied_if_these_are_met() {
        let rules = "When the question mentions actor or singer, answer in lower case. If the question mentions a river, \
                     end the answer with \"!\". Otherwise, answer in upper case.";
        assert_eq!(apply(rules, "The Fox", "Which actor is it?"), "the fox");
        assert_eq!(apply(rules, "The Fox", "Which river is it?"), "The Fox!");
        assert_eq!(apply(rules, "The Fox", "Which is it?"), "THE FOX");
        for rule in [
            "Answer in lower case if the question mentions an actor.",
            "For actors: answer in lower case.",
            "When it is about actors answer in lower case.",
        ] {
            assert_eq!(apply(rule, "The Fox", "Which actor is it?"), "the fox", "{rule}");
            assert_eq!(apply(rule, "The Fox", "Which river is it?"), "The Fox", "{rule}");
        }
        // Properties that differ do not compete.
        let rules = "If the question mentions actors, answer in lower case. If it mentions rivers, answer with at most 1 word.";
        assert_eq!(apply(rules, "The Fox", "Which actor is at the river?"), "the");
    }
}
