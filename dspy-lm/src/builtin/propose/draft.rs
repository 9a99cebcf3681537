//! One proposal: the sentences of an instruction, of a diagnosis and of observations.

use std::collections::BTreeMap;

use super::material::Material;
use super::merge;
use super::rules;
use super::style::Style;
use super::table::Table;
use super::task::Task;
use super::text_form;
use super::told_form;
use crate::builtin::sampler::Sampler;

/// The number of rows below which old rules with conditions that are right are kept instead of new ones.
const FEW: usize = 20;
/// The number of tried instructions whose sentences are used.
const BEST_TRIED: usize = 3;
/// The number of learned sentences in observations.
const MOST_NOTED: usize = 12;
/// Sentences without any content that an instruction may end with.
const CLOSINGS: &[&str] = &[
    "Read the inputs with care before you answer.",
    "Use only what the inputs say.",
    "Consider every part of the inputs.",
    "Check the answer against the inputs.",
    "Give the answer in the form that is asked for.",
    "Look for the details that decide the answer.",
];

/// The sentences of one proposal.
#[derive(Debug, Default)]
pub(in crate::builtin) struct Draft {
    pub(super) instruction: Vec<String>,
    /// The sentences of the instruction that were learned from the records.
    pub(super) learned: Vec<String>,
    pub(super) diagnosis: Vec<String>,
    pub(super) observations: Vec<String>,
}

impl Draft {
    /// Writes a proposal of at most `most_bytes`. The sentences of one with `items` always have the same form, so that
    /// those of a later proposal can extend them.
    pub(super) fn write(
        material: &Material,
        sampler: &mut Sampler,
        most_bytes: Option<usize>,
        items: bool,
    ) -> Draft {
        let tables = &material.tables;
        let several = tables.len() > 1;
        let mut style = if items { Style::fixed(sampler) } else { Style::draw(sampler, several) };
        let most_words = if items { merge::MOST_IN_ITEM } else { merge::MOST_LISTED };
        let mut learned: Vec<String> = Vec::new();
        for table in tables {
            let bag = style.bag(table.len()).map(|rows| table.sample(&rows));
            learned.extend(rules::sentences(bag.as_ref().unwrap_or(table), &mut style, several));
        }
        material.tasks.iter().filter(|task| !is_tabled(task, tables)).for_each(|task| {
            let stated = text_form::sentences(task);
            learned.extend(
                stated.into_iter().filter(|sentence| !told_form::is_about(sentence, &material.forms)),
            );
        });
        let mut notes = material.notes.clone();
        merge::merge_lists(&mut notes, &mut learned, most_words);
        learned = merge::add_harmless(tables, learned, notes);
        let told = told_rules(material, &mut style);
        learned = rules_first(merge::add_harmless(tables, learned, told), tables);
        let mut old = known_sentences(material, &mut style);
        let rows = tables.iter().map(Table::len).sum::<usize>();
        let has_condition = |sentence: &String| sentence.starts_with("If ") && sentence.contains(" answer ");
        let slack = 0.6 / (rows.max(1) as f64).sqrt();
        if rows < FEW
            && old.iter().any(has_condition)
            && merge::accuracy(tables, &old) + slack >= merge::accuracy(tables, &learned)
        {
            // A few rows are too few to move thresholds that are right for them.
            learned.retain(|sentence| !has_condition(sentence));
        }
        merge::merge_lists(&mut old, &mut learned, most_words);
        let forms = told_form::sentences(&material.forms, &mut old, &mut style, most_words);
        let forms = merge::unknown(&learned, forms);
        learned.extend(forms);
        let count = learned.len();
        learned.rotate_left(style.below(count));
        let mut instruction = merge::add_harmless(tables, learned.clone(), old.clone());
        if material.is_untaught() {
            instruction = restated(material, old, &mut style);
        } else if !instruction.iter().any(|sentence| !learned.contains(sentence)) {
            instruction.insert(0, opening(tables, material));
        }
        if style.varies() && style.below(2) == 1 {
            let closing = CLOSINGS[style.variant % CLOSINGS.len()].to_owned();
            instruction.extend(merge::unknown(&instruction, vec![closing]));
        }
        if let Some(label) = &material.subject {
            // A description of one value has room for the rules about it only.
            let about = |sentence: &String| sentence.ends_with(&format!("answer \"{label}\"."));
            instruction = learned.iter().filter(|sentence| about(sentence)).cloned().collect();
        }
        let observations = observations(material, &learned);
        let diagnosis = diagnosis(material, &learned);
        Draft {
            instruction: merge::shortened(instruction, &learned, most_bytes),
            learned,
            diagnosis,
            observations,
        }
    }
}

fn is_tabled(task: &Task, tables: &[Table]) -> bool {
    tables.iter().any(|table| table.output == task.output)
}

/// `add_harmless` puts general sentences first; here they come last.
fn rules_first(sentences: Vec<String>, tables: &[Table]) -> Vec<String> {
    let labels = |sentence: &String| {
        tables.iter().flat_map(|table| &table.labels).any(|label| sentence.contains(label.as_str()))
    };
    let (rules, general): (Vec<String>, Vec<String>) = sentences.into_iter().partition(labels);
    rules.into_iter().chain(general).collect()
}

/// Returns rules that feedback states: the frequent ones, or some of them.
fn told_rules(material: &Material, style: &mut Style<'_>) -> Vec<String> {
    let mut rules: Vec<String> = material.rules.iter().map(|(rule, _)| rule.clone()).collect();
    if style.varies() && rules.len() > style.rules {
        let skip = style.below(rules.len() - style.rules + 1);
        rules.drain(..skip);
    }
    rules.truncate(style.rules);
    rules
}

/// Returns the sentences of the current instructions and of the best ones that were tried.
fn known_sentences(material: &Material, style: &mut Style<'_>) -> Vec<String> {
    let mut tried: Vec<&(String, f64)> = material.tried.iter().collect();
    tried.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut found: Vec<String> = Vec::new();
    let best = tried.iter().take(BEST_TRIED);
    let worst = material.tried.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    for (rank, (text, score)) in best.enumerate() {
        // The best one is used as a whole, the others only if they are better than the worst.
        if rank == 0 || *score > worst {
            let more = merge::split(text);
            found.extend(merge::unknown(&found, more));
        }
    }
    // Of several current instructions another one may come first.
    let count = material.current.len();
    let first = style.below(count);
    for at in 0..count {
        let more = merge::split(&material.current[(at + first) % count]);
        found.extend(merge::unknown(&found, more));
    }
    found
}

/// Returns the task in plain words, without records: the known sentences, and with variety another order or a closing.
fn restated(material: &Material, mut known: Vec<String>, style: &mut Style<'_>) -> Vec<String> {
    if known.is_empty() {
        known.push(match &material.fields[..] {
            [] => "Read the inputs and give the answer that is asked for.".to_owned(),
            [rest @ .., last] if !rest.is_empty() => {
                format!("From {}, produce {last}.", rules::joined(rest, "and"))
            }
            [only, ..] => format!("Produce {only}."),
        });
    }
    if style.varies() {
        let length = known.len();
        if length > 2 {
            let at = 1 + style.below(length - 1);
            known[1..].rotate_left(at - 1);
        }
    }
    let closing = CLOSINGS[style.variant % CLOSINGS.len()].to_owned();
    let new = merge::unknown(&known, vec![closing]);
    known.extend(new);
    if style.varies() && style.below(2) == 1 {
        let second = CLOSINGS[style.below(CLOSINGS.len())].to_owned();
        let new = merge::unknown(&known, vec![second]);
        known.extend(new);
    }
    known
}

/// Returns a sentence that states the task.
fn opening(tables: &[Table], material: &Material) -> String {
    let names = |names: Vec<&str>| {
        let names: Vec<String> = names.into_iter().take(8).map(|name| format!("`{name}`")).collect();
        rules::joined(&names, "and")
    };
    let outputs: Vec<&str> = material.tasks.iter().map(|task| task.output.as_str()).collect();
    match tables.first() {
        Some(table) => {
            let inputs = names(table.columns.iter().map(|column| column.name.as_str()).collect());
            format!("Read {inputs} and find the right {}.", names(outputs))
        }
        None if outputs.is_empty() => "Follow these rules.".to_owned(),
        None => format!("Find the right {}.", names(outputs)),
    }
}

/// Returns sentences about wrong answers.
fn diagnosis(material: &Material, learned: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for task in &material.tasks {
        let mut confused: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &task.rows {
            match (&row.wrong, &row.right) {
                (Some(wrong), Some(right)) => *confused.entry((wrong, right)).or_default() += 1,
                (Some(wrong), None) => *unknown.entry(wrong).or_default() += 1,
                _ => {}
            }
        }
        let total = task.rows.len();
        let mut confused: Vec<_> = confused.into_iter().collect();
        confused.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for ((wrong, right), count) in confused.into_iter().take(3) {
            let (wrong, right) = (brief(wrong), brief(right));
            found.push(format!(
                "The program answered \"{wrong}\" where \"{right}\" is right ({count} of {total})."
            ));
        }
        if let Some((wrong, count)) = unknown.into_iter().max_by_key(|(_, count)| *count) {
            found.push(format!("The answer \"{}\" was wrong ({count} of {total}).", brief(wrong)));
        }
    }
    found.extend(material.rules.iter().take(3).map(|(rule, _)| rule.clone()));
    if found.is_empty() && material.forms.is_empty() {
        found.push("The records show no wrong answer.".to_owned());
    } else {
        let more = merge::unknown(
            &found,
            learned.iter().filter(|rule| rule.contains("answer \"")).take(2).cloned().collect(),
        );
        found.extend(more);
        let forms = learned.iter().filter(|rule| told_form::is_about(rule, &material.forms)).cloned();
        let more = merge::unknown(&found, forms.collect());
        found.extend(more);
    }
    found
}

/// Returns sentences about the records.
fn observations(material: &Material, learned: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for task in &material.tasks {
        let mut inputs: Vec<String> = task.rows.first().map_or_else(Vec::new, |row| {
            row.inputs.iter().take(12).map(|(name, _)| format!("`{name}`")).collect()
        });
        inputs.dedup();
        let of =
            if inputs.is_empty() { String::new() } else { format!(" of {}", rules::joined(&inputs, "and")) };
        found.push(format!(
            "There are {} records{of} with an answer for `{}`.",
            task.rows.len(),
            task.output
        ));
    }
    for table in &material.tables {
        let counts: Vec<String> = table
            .labels
            .iter()
            .enumerate()
            .take(12)
            .map(|(at, label)| {
                format!("\"{label}\" ({})", table.right.iter().filter(|right| **right == at).count())
            })
            .collect();
        found.push(format!("The answers for `{}` are {}.", table.output, rules::joined(&counts, "and")));
    }
    found.extend(learned.iter().take(MOST_NOTED).cloned());
    if found.is_empty() {
        found.push("The prompt shows no records to describe.".to_owned());
    }
    found
}

/// Returns the start of a value on one line.
fn brief(value: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().take(12).collect();
    words.join(" ").chars().take(100).collect()
}
