//! Forms of answers that feedback states, with the words and values of the inputs that go with each form.

use super::merge;
use super::records::Values;
use super::rules;
use super::style::Style;
use super::table::Table;
use super::task::{Row, Task};
use crate::builtin::form_rules::FormRule;
use crate::builtin::prompt::Field;
use crate::builtin::text_form::TextForm;
use crate::builtin::words::words;

/// The number of records below which old statements for all other cases are kept instead of new ones.
const FEW: usize = 20;
/// The number of records from which inputs are compared on held-out records, and the number of parts.
const COMPARED: usize = 12;
const PARTS: usize = 3;
/// The maximum number of records, and of inputs that are compared.
const MOST_RECORDS: usize = 150;
const MOST_INPUTS: usize = 8;

/// A form that feedback states, with the inputs of its record.
type Told = (Values, TextForm);

/// Returns whether a sentence states the form of the answer.
pub(super) fn states(sentence: &str) -> bool {
    FormRule::read(sentence).is_some()
}

/// Returns whether a sentence states a property, such as the case, that one of these forms has too.
pub(super) fn is_about(sentence: &str, forms: &[Told]) -> bool {
    FormRule::read(sentence).is_some_and(|rule| forms.iter().any(|(_, form)| form.overlaps(&rule.form)))
}

/// Returns sentences about the form of the answer, and merges those in `old` with them.
pub(super) fn sentences(
    told: &[Told],
    old: &mut Vec<String>,
    style: &mut Style<'_>,
    most_words: usize,
) -> Vec<String> {
    if told.is_empty() {
        return Vec::new();
    }
    let step = told.len().div_ceil(MOST_RECORDS);
    let told: Vec<&Told> = told.iter().step_by(step).collect();
    let (mut known, rest): (Vec<String>, Vec<String>) =
        std::mem::take(old).into_iter().partition(|sentence| states(sentence));
    *old = rest;
    let is_about = |form: &TextForm| told.iter().any(|(_, told)| told.overlaps(form));
    let has_condition = |rule: FormRule<'_>| rule.condition.is_some() && is_about(&rule.form);
    let conditions = known.iter().filter_map(|sentence| FormRule::read(sentence)).any(has_condition);
    let mut new = written(&told, conditions, style);
    merge::merge_lists(&mut known, &mut new, most_words);
    if told.len() < FEW && style.below(2) == 0 {
        keep_usual(&known, &mut new, &told);
    }
    for sentence in known {
        let Some(rule) = FormRule::read(&sentence) else { continue };
        let is_usual = rule.condition.is_none() || rule.is_fallback();
        if !is_about(&rule.form) {
            new.extend(merge::unknown(&new, vec![sentence]));
        } else if !is_usual {
            let before = accuracy(&new, &told);
            new.push(sentence);
            if accuracy(&new, &told) + 1e-9 < before {
                new.pop();
            }
        }
    }
    new
}

/// Keeps the form that is `known` for all other cases if the other known sentences do no better on these few records with
/// the new one.
fn keep_usual(known: &[String], new: &mut [String], told: &[&Told]) {
    let is_usual = |rule: &FormRule<'_>| rule.condition.is_none() || rule.is_fallback();
    let is_about = |form: &TextForm| told.iter().any(|(_, told)| told.overlaps(form));
    let usual =
        |sentence: &String| FormRule::read(sentence).filter(is_usual).map(|rule| rule.form).filter(is_about);
    let Some(old) = known.iter().find_map(usual) else { return };
    let Some((at, form)) = new.iter().enumerate().find_map(|(at, sentence)| {
        let rule = FormRule::read(sentence).filter(FormRule::is_fallback)?;
        Some((at, rule.form))
    }) else {
        return;
    };
    let others = known.iter().filter(|sentence| usual(sentence).is_none());
    let with = |form: &TextForm| {
        let sentences: Vec<String> = others.clone().cloned().chain([otherwise(form)]).collect();
        accuracy(&sentences, told)
    };
    if with(&old) + 1e-9 >= with(&form) {
        new[at] = otherwise(&old);
    }
}

/// Returns sentences that the records alone suggest; with conditions if known sentences have `conditions`.
fn written(told: &[&Told], conditions: bool, style: &mut Style<'_>) -> Vec<String> {
    let mut counts: Vec<(&TextForm, usize)> = Vec::new();
    for (_, form) in told {
        match counts.iter().position(|(known, _)| *known == form) {
            Some(at) => counts[at].1 += 1,
            None => counts.push((form, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let forms: Vec<&TextForm> = counts.into_iter().map(|(form, _)| form).collect();
    let Some(usual) = forms.first() else { return Vec::new() };
    let conflict = forms.iter().any(|a| forms.iter().any(|b| joined(a, b) != joined(b, a)));
    // Feedback may state only what an answer lacks, so that all forms are wanted of all answers.
    if conditions && forms.len() == 1 {
        return vec![otherwise(usual)];
    }
    if !conditions && (forms.len() == 1 || !conflict && style.below(2) == 0) {
        let all = forms.iter().fold(TextForm::default(), |all, form| joined(&all, form));
        return all.phrases().iter().map(|phrase| sentence("", phrase)).collect();
    }
    let plain = || usual.phrases().iter().map(|phrase| sentence("", phrase)).collect();
    let rows: Vec<&Told> = told.iter().copied().filter(|(inputs, _)| !inputs.is_empty()).collect();
    if style.varies() && style.below(4) == 3 {
        return plain();
    }
    match best_input(&rows, &forms, style) {
        Some(input) => conditional(&rows, &forms, &input, style),
        None => plain(),
    }
}

/// Returns the input whose words and values tell the forms best; `None` if none does better than the usual form.
fn best_input(rows: &[&Told], forms: &[&TextForm], style: &mut Style<'_>) -> Option<String> {
    let mut names: Vec<(&String, usize)> = Vec::new();
    for (name, value) in rows.iter().flat_map(|(inputs, _)| inputs) {
        match names.iter().position(|(known, _)| *known == name) {
            Some(at) => names[at].1 += words(value).len(),
            None if names.len() < MOST_INPUTS => names.push((name, words(value).len())),
            None => {}
        }
    }
    // Short inputs, such as questions, are clearer than long ones.
    names.retain(|(_, length)| *length >= rows.len());
    names.sort_by_key(|(_, length)| *length);
    if rows.len() < COMPARED {
        return names.first().map(|(name, _)| (*name).clone());
    }
    // The records of a part, or all others.
    let of_part = |part: usize, inside: bool| -> Vec<&Told> {
        let own = rows.iter().enumerate().filter(|(at, _)| (at % PARTS == part) == inside);
        own.map(|(_, row)| *row).collect()
    };
    let usual = forms.first().map_or_else(String::new, |form| otherwise(form));
    let mut best =
        ((0..PARTS).map(|part| accuracy(std::slice::from_ref(&usual), &of_part(part, true))).sum(), None);
    for (name, _) in names {
        let score: f64 = (0..PARTS)
            .map(|part| {
                let rules = conditional(&of_part(part, false), forms, name, style);
                accuracy(&rules, &of_part(part, true))
            })
            .sum();
        if score > best.0 + 1e-9 {
            best = (score, Some(name.clone()));
        }
    }
    best.1
}

/// Returns sentences with conditions on an input, and one for all other cases.
fn conditional(rows: &[&Told], forms: &[&TextForm], input: &str, style: &mut Style<'_>) -> Vec<String> {
    let label = |at: usize| format!("zqx{at}");
    let rows = rows.iter().filter_map(|(inputs, form)| {
        let inputs = inputs.iter().filter(|(name, _)| name == input).cloned().collect();
        let at = forms.iter().position(|known| *known == form)?;
        Some(Row { inputs, right: Some(label(at)), wrong: None })
    });
    let task = Task { output: String::new(), rows: rows.collect() };
    let mut found = Vec::new();
    if let Some(table) = Table::of(&task, false) {
        // Only this frame of a rule has a place for a form.
        let frame = std::mem::take(&mut style.frame);
        for rule in rules::sentences(&table, style, false) {
            let stated = forms.iter().enumerate().find_map(|(at, form)| {
                let start = rule.strip_suffix(&format!("answer \"{}\".", label(at)))?;
                Some(sentence(start, &form.to_string()))
            });
            found.extend(stated.filter(|sentence| {
                FormRule::read(sentence).is_some_and(|rule| rule.condition.is_some() && !rule.is_fallback())
            }));
        }
        style.frame = frame;
    }
    found.extend(forms.first().map(|form| otherwise(form)));
    found
}

fn otherwise(form: &TextForm) -> String {
    sentence("Otherwise, ", &form.to_string())
}

/// Writes a sentence.
fn sentence(start: &str, phrase: &str) -> String {
    let text = format!("{start}{phrase}.");
    let mut chars = text.chars();
    chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
}

fn joined(first: &TextForm, second: &TextForm) -> TextForm {
    let mut form = first.clone();
    form.set(second);
    form
}

/// Returns the share of records whose form the answering half takes from these sentences.
fn accuracy(sentences: &[String], told: &[&Told]) -> f64 {
    let instruction = sentences.join("\n");
    let right = told.iter().filter(|(inputs, form)| {
        let fields: Vec<Field> =
            inputs.iter().map(|(name, _)| Field { name: name.clone(), ..Field::default() }).collect();
        let texts: Vec<Option<String>> = inputs.iter().map(|(_, text)| Some(text.clone())).collect();
        let read = TextForm::read(&Field::default(), &instruction, &fields, &texts);
        joined(&read, form) == read
    });
    right.count() as f64 / told.len().max(1) as f64
}
