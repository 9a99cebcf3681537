//! Statements about the form of an answer with the conditions under which they hold: "When the question mentions a
//! year, answer with the number only. Otherwise, answer in lower case."

use std::borrow::Cow;

use serde_json::Value;

use super::choice_hints::{ChoiceHints, FALLBACKS, Prose};
use super::choice_names::split_case;
use super::clauses::last_comma;
use super::input::Input;
use super::prompt::Field;
use super::text_form::TextForm;
use super::words::{stem, words};

/// Words that start a condition.
const STARTS: &[&str] = &["when", "whenever", "if", "where", "for"];
/// Words that start a condition at the end of a clause.
const TRAILING: &[&str] = &[" when ", " whenever ", " if "];
/// Words that make no condition: "for each question", "if possible".
const EMPTY: &[&str] =
    &["every", "question", "answer", "input", "reply", "case", "time", "possible", "record"];

/// A form of the answer, and its condition.
#[derive(Debug, PartialEq)]
pub(super) struct FormRule<'a> {
    /// The condition with words that weaken it: `When the question mentions a year, usually`.
    pub(super) condition: Option<Cow<'a, str>>,
    pub(super) form: TextForm,
}

impl<'a> FormRule<'a> {
    /// Reads a clause; `None` if it states no form.
    pub(super) fn read(clause: &'a str) -> Option<FormRule<'a>> {
        let clause = clause.trim_start_matches(['-', '*', '•', ' ']);
        let clause = without_output(clause);
        if is_fallback(clause) || starts_with_condition(clause) {
            let (start, end) = match last_comma(clause) {
                Some(comma) if TextForm::stated(&clause[comma + 1..]).is_some() => (comma, comma + 1),
                _ => {
                    let start = TextForm::stated(clause)?.1.start;
                    (start, start)
                }
            };
            let (form, span) = TextForm::stated(&clause[end..])?;
            let hedge = clause[end..end + span.start].trim();
            let condition = clause[..start].trim().trim_end_matches([',', ':']);
            if !is_fallback(condition) && is_empty(condition) {
                return Some(FormRule { condition: None, form });
            }
            let condition = if hedge.is_empty() {
                Cow::Borrowed(condition)
            } else {
                Cow::Owned(format!("{condition}, {hedge}"))
            };
            return Some(FormRule { condition: Some(condition), form });
        }
        let (form, span) = TextForm::stated(clause)?;
        let rest = clause[span.end..].trim_end_matches(['.', '!']);
        let condition = TRAILING.iter().filter_map(|word| rest.find(word)).min().map(|at| rest[at..].trim());
        let condition = condition.filter(|condition| !is_empty(condition)).map(Cow::Borrowed);
        Some(FormRule { condition, form })
    }

    /// Returns whether it holds in all other cases.
    pub(super) fn is_fallback(&self) -> bool {
        self.condition.as_deref().is_some_and(is_fallback)
    }
}

fn is_fallback(text: &str) -> bool {
    let lower = text.to_lowercase();
    FALLBACKS.iter().any(|phrase| lower.starts_with(phrase))
}

/// Returns whether a condition has no words that could be evidence.
fn is_empty(condition: &str) -> bool {
    let stems: Vec<String> = EMPTY.iter().map(|word| stem(word)).collect();
    let lower = condition.to_lowercase();
    words(&lower)
        .iter()
        .all(|word| word.stop || stems.contains(&word.stem) || STARTS.contains(&word.written(&lower)))
}

fn starts_with_condition(clause: &str) -> bool {
    let first = clause.split_whitespace().next().unwrap_or_default().to_lowercase();
    STARTS.contains(&&*first)
}

/// Removes the name of the output that a clause is about: "For `answer`, …".
fn without_output(clause: &str) -> &str {
    let named = clause.strip_prefix("For `").and_then(|rest| rest.split_once('`'));
    named.and_then(|(_, rest)| rest.strip_prefix([',', ':'])).map_or(clause, str::trim_start)
}

/// Returns the forms whose conditions the values of the inputs meet. Of rules about the same property, that with the
/// most evidence counts; if a rule is for all other cases, that is so for all rules.
pub(super) fn met<'r>(
    rules: &'r [FormRule<'_>],
    inputs: &[Field],
    texts: &[Option<String>],
) -> impl Iterator<Item = &'r TextForm> {
    let mut groups: Vec<Vec<&FormRule<'_>>> = Vec::new();
    let one_group = rules.iter().any(FormRule::is_fallback);
    for rule in rules.iter().filter(|rule| rule.condition.is_some()) {
        let belongs = |group: &&mut Vec<&FormRule<'_>>| {
            one_group || group.iter().any(|other| other.form.overlaps(&rule.form))
        };
        match groups.iter_mut().find(belongs) {
            Some(group) => group.push(rule),
            None => groups.push(vec![rule]),
        }
    }
    let found: Vec<&'r TextForm> =
        groups.iter().filter_map(|group| strongest(group, inputs, texts)).collect();
    found.into_iter()
}

/// Returns the form with the most evidence, if there is any.
fn strongest<'r>(
    rules: &[&'r FormRule<'_>],
    inputs: &[Field],
    texts: &[Option<String>],
) -> Option<&'r TextForm> {
    let mut forms: Vec<&TextForm> = Vec::new();
    // Rules by the only input that they name: words of other inputs are no evidence for these.
    let mut by_input: Vec<(Option<usize>, String)> = Vec::new();
    for rule in rules {
        let Some(condition) = &rule.condition else { continue };
        let at = forms.iter().position(|form| **form == rule.form).unwrap_or(forms.len());
        if at == forms.len() {
            forms.push(&rule.form);
        }
        let line = format!("{condition} answer \"{}\".\n", placeholder(at));
        let named = only_named(condition, inputs);
        match by_input.iter_mut().find(|(known, _)| *known == named) {
            Some((_, lines)) => lines.push_str(&line),
            None => by_input.push((named, line)),
        }
    }
    let choices: Vec<Value> = (0..forms.len()).map(|at| placeholder(at).into()).collect();
    let mut scores = vec![0.0; forms.len()];
    for (named, instruction) in &by_input {
        let hints = ChoiceHints::read(&Field::default(), &choices, Prose { instruction, inputs });
        let input = match named {
            Some(at) => Input::of_fields(&inputs[*at..=*at], texts.get(*at..=*at).unwrap_or_default()),
            None => Input::of_fields(inputs, texts),
        };
        let evidence = hints.evidence(&input.stems).chain(hints.rules(&input));
        evidence.for_each(|(_, form, weight)| scores[form] += weight);
    }
    let best = scores.iter().copied().fold(0.0, f64::max);
    let at = scores.iter().position(|score| *score > 0.0 && *score >= best - 1e-9)?;
    forms.get(at).copied()
}

/// Returns the name of a form in the rules that are read as rules about choices. It is no word.
fn placeholder(at: usize) -> String {
    format!("zqx{at}")
}

/// Returns the only input that a condition names: "the question", or "`question`".
fn only_named(condition: &str, inputs: &[Field]) -> Option<usize> {
    let lower = condition.to_lowercase();
    let names = |input: &Field| {
        let name = split_case(&input.name).to_lowercase();
        let name = name.trim();
        !name.is_empty()
            && (lower.contains(&format!("the {name} ")) || lower.contains(&format!("`{}`", input.name)))
    };
    let mut named = (0..inputs.len()).filter(|at| names(&inputs[*at]));
    named.next().filter(|_| named.next().is_none())
}
