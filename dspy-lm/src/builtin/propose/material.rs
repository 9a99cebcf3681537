//! Everything in a prompt that a proposal is made from.

use super::merge;
use super::node::Node;
use super::notation;
use super::records::{Records, Values, is_field_name};
use super::roles::{self, Key, Wish};
use super::table::Table;
use super::task::{self, Task};
use super::told_form;
use crate::builtin::prompt::{Brief, Question};
use crate::builtin::text_form::TextForm;
use crate::builtin::words::sentences;

/// The maximum number of current instructions, and of bytes of each.
const MOST_CURRENT: usize = 8;
const LONGEST_CURRENT: usize = 40_000;
/// The maximum number of bytes of an input that names a label to describe.
const LONGEST_SUBJECT: usize = 120;

/// The parts of a prompt that a proposal is made from.
#[derive(Debug, Default)]
pub(super) struct Material {
    pub(super) tasks: Vec<Task>,
    /// The tasks whose answers are labels.
    pub(super) tables: Vec<Table>,
    /// Rules in feedback, with the number of times that they occur.
    pub(super) rules: Vec<(String, usize)>,
    /// Forms of right answers in feedback, each with the inputs of its record.
    pub(super) forms: Vec<(Values, TextForm)>,
    /// Rules in notes on records that the prompt does not show.
    pub(super) notes: Vec<String>,
    /// Instructions with scores.
    pub(super) tried: Vec<(String, f64)>,
    /// Instructions to improve.
    pub(super) current: Vec<String>,
    /// The names of fields of the program, if the prompt only names them.
    pub(super) fields: Vec<String>,
    /// Whether any record says anything about the quality of an answer.
    judged: bool,
    /// Whether there are records at all.
    shown: bool,
    /// The names of the parts of the program, if an input lists them.
    pub(super) parts: Vec<String>,
    /// The label that is to be described, if the prompt asks for the description of one.
    pub(super) subject: Option<String>,
}

impl Material {
    /// Reads the inputs of a prompt with fields.
    pub(super) fn of_fields(brief: &Brief, question: &Question) -> Material {
        let mut material = Material::default();
        let mut records = Records::default();
        let mut fields: Vec<(&str, &str)> = Vec::new();
        let mut diagnoses: Vec<&str> = Vec::new();
        for (field, text) in brief.inputs.iter().zip(&question.inputs) {
            let Some(text) = text.as_deref().filter(|text| !text.trim().is_empty()) else { continue };
            let is_length = roles::is_limit(&field.name) && text.trim().parse::<usize>().is_ok();
            if lists_fields(text) || is_length {
                continue;
            }
            if roles::is_diagnosis(&field.name) && !holds_records(text) {
                diagnoses.push(text);
                continue;
            }
            let named = roles::is_instruction(&field.name);
            let described = !named && roles::is_instruction(&field.description);
            if !named && !described {
                if roles::is_notes(&field.name) && material.add_notes(text) {
                    continue;
                }
                if let Some(parts) = list_of_parts(&field.name, text) {
                    material.parts = parts;
                }
                fields.push((&field.name, text));
                continue;
            }
            let mut own = Records::default();
            own.read(text);
            if !own.tried.is_empty() || own.list.iter().any(super::records::Record::is_judged) {
                records.tried.append(&mut own.tried);
                records.list.append(&mut own.list);
            } else if named || own.is_empty() {
                material.add_current(text);
            } else {
                fields.push((&field.name, text));
            }
        }
        if !fields.is_empty() {
            records.read_fields(&fields);
        }
        if records.is_empty() {
            let fields: Vec<(&str, &str)> = diagnoses.iter().map(|text| ("diagnoses", *text)).collect();
            records.read_fields(&fields);
        } else {
            // The rules that this model writes on single records say less than all records together.
            let said = diagnoses.iter().flat_map(|text| lessons(text));
            records.feedback.extend(said.filter(|sentence| !merge::is_rule(sentence)).map(str::to_owned));
        }
        if records.is_empty() {
            // Records may stand in the instruction itself.
            records.read(&brief.instruction);
            records.rows.clear();
        }
        material.learn(records);
        let describes = brief.outputs.iter().any(|field| roles::wish(field) == Some(Wish::MaybeInstruction));
        material.subject = if describes { material.subject_of(&fields) } else { None };
        material
    }

    /// Returns the label that a short input names: "The value `billing` of `team`".
    fn subject_of(&self, fields: &[(&str, &str)]) -> Option<String> {
        let labels: Vec<&String> = self.tables.iter().flat_map(|table| &table.labels).collect();
        fields.iter().find_map(|(_, text)| {
            let text = text.trim();
            let mut named = labels.iter().filter(|label| {
                text == label.as_str()
                    || ['`', '"'].iter().any(|quote| text.contains(&format!("{quote}{label}{quote}")))
            });
            let first = named.next().filter(|_| text.len() <= LONGEST_SUBJECT)?;
            named.next().is_none().then(|| (*first).clone())
        })
    }

    /// Reads a prompt without fields: records and the current instruction are in fences, or anywhere in the text.
    pub(super) fn of_text(system: &str, text: &str) -> Material {
        let mut material = Material::default();
        let mut records = Records::default();
        for (at, part) in text.split("```").enumerate() {
            let mut own = Records::default();
            own.read(part);
            let judged = own.list.iter().any(super::records::Record::is_judged);
            if judged || !own.tried.is_empty() || (at % 2 == 1 && !own.is_empty()) {
                records.list.append(&mut own.list);
                records.rows.append(&mut own.rows);
                records.tried.append(&mut own.tried);
                records.feedback.append(&mut own.feedback);
            } else if at % 2 == 1 {
                material.add_current(part);
            }
        }
        if records.is_empty() {
            records.read(system);
        }
        material.learn(records);
        material
    }

    /// Adds the rules in notes, and returns whether there are any.
    fn add_notes(&mut self, text: &str) -> bool {
        let text: String = text.chars().take(LONGEST_CURRENT).collect();
        let rules: Vec<String> = merge::split(&text)
            .into_iter()
            .filter(|line| merge::is_rule(line) || told_form::states(line))
            .collect();
        let found = !rules.is_empty();
        // Lists about the same answer become one.
        rules.into_iter().for_each(|rule| {
            let mut old = vec![rule];
            merge::merge_lists(&mut old, &mut self.notes, merge::MOST_LISTED);
            let new = merge::unknown(&self.notes, old);
            self.notes.extend(new);
        });
        found
    }

    fn add_current(&mut self, text: &str) {
        if self.current.len() < MOST_CURRENT {
            let lines = match notation::parse(text) {
                node @ Node::List(_) if text.trim_start().starts_with('[') => node.flat(),
                _ => text.to_owned(),
            };
            self.current.push(lines.chars().take(LONGEST_CURRENT).collect());
        }
    }

    fn learn(&mut self, mut records: Records) {
        self.judged = records.list.iter().any(super::records::Record::is_judged);
        self.shown = !records.list.is_empty() || records.rows.len() > 1;
        self.tried.append(&mut records.tried);
        let learned = task::learn(&records);
        let formed = !learned.forms.is_empty();
        self.tables = learned.tasks.iter().filter_map(|task| Table::of(task, formed)).collect();
        self.tasks = learned.tasks;
        self.rules = learned.rules;
        self.forms = learned.forms;
    }

    /// Returns whether nothing was learned from records.
    pub(super) fn is_untaught(&self) -> bool {
        self.tasks.is_empty() && self.rules.is_empty() && self.forms.is_empty() && self.notes.is_empty()
    }

    /// Returns whether the material fits what an output asks for, in a prompt that says `context`.
    pub(super) fn answers(&self, wish: Wish, brief: &Brief, context: &str) -> bool {
        let evidence = self.judged || !self.tried.is_empty();
        let shown = self.shown
            && (roles::speaks_of_records(context) || roles::asks_for_instruction(&brief.instruction));
        let current = !self.current.is_empty();
        match wish {
            Wish::Instruction => {
                evidence || shown || current || roles::asks_for_instruction(&brief.instruction)
            }
            Wish::MaybeInstruction => {
                evidence || shown && current || current && roles::asks_for_instruction(context)
            }
            Wish::Diagnosis => evidence || shown,
            Wish::Observation => evidence || shown || !self.notes.is_empty(),
        }
    }

    /// Returns the list items with identifiers in the current instructions, as (identifier, text).
    pub(super) fn bullets(&self) -> Vec<(String, String)> {
        let lines = self.current.iter().flat_map(|text| text.lines());
        lines
            .filter_map(|line| match merge::bullet(line) {
                (Some(id), text) => Some((id.to_owned(), text.to_owned())),
                (None, _) => None,
            })
            .take(500)
            .collect()
    }
}

/// Returns whether a string has records with scores, feedback or expected values.
fn holds_records(text: &str) -> bool {
    let mut own = Records::default();
    own.read(text);
    own.list.iter().any(super::records::Record::is_judged)
}

/// Returns the sentences of diagnoses, without those about causes: the lines of `Cause: …` and `Lesson: …`.
fn lessons(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| match notation::key_line(line) {
        Some((key, _)) if roles::is_diagnosis(key) => None,
        Some((key, value)) if roles::is_lesson(key) => Some(value),
        _ => Some(line),
    });
    lines.flat_map(sentences)
}

/// Returns the items of an input that lists the parts of a program.
fn list_of_parts(name: &str, text: &str) -> Option<Vec<String>> {
    let names = roles::name_words(name);
    let of_parts = names.iter().any(|word| {
        matches!(
            word.as_str(),
            "module" | "modules" | "predictor" | "predictors" | "component" | "components"
        )
    });
    let items: Vec<String> = if of_parts { serde_json::from_str(text).ok()? } else { return None };
    (items.len() <= 64).then_some(items)
}

/// Returns whether a string only lists fields with their types, with or without prose between the lists: below titles
/// such as "Inputs:" there are items such as "- size (number): in metres". Such a list is no record.
fn lists_fields(text: &str) -> bool {
    let (mut items, mut titled) = (0, false);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (item, key) = (is_typed_item(line), notation::key_line(line));
        let role = key.map(|(key, _)| roles::of_key(key));
        let title = matches!(role, Some(Key::Inputs | Key::Produced))
            && key.is_some_and(|(_, value)| value.is_empty());
        let below = items > 0 && line.starts_with(char::is_whitespace);
        let starts_record = line.starts_with(['#', '[', '{', '<'])
            || role.is_some_and(|role| role != Key::Field)
            || key.is_some_and(|(key, _)| is_field_name(key));
        if !item && !title && (titled || starts_record && !below) {
            return false;
        }
        titled = title;
        items += usize::from(item);
    }
    items > 0 && !titled
}

/// Returns whether a line is a list item of a name with a type in parentheses.
fn is_typed_item(line: &str) -> bool {
    let (_, rest) = merge::bullet(line);
    let Some((name, kind)) = rest.split_once(" (").filter(|_| rest.len() < line.trim().len()) else {
        return false;
    };
    let name = name.trim_matches('`');
    let named = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    // Types may have parentheses of their own, and a description may follow.
    named && kind.contains(')') && (kind.ends_with(')') || kind.contains("):"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_fields_are_no_records() {
        for text in [
            "Inputs:\n- message (string)\nOutputs:\n- team (\"billing\" | \"sales\")",
            "Inputs:\n- width (number): in metres\n  or feet\nOutputs:\n- kind (one of a (b), c): the kind\n  - a: first\n  \
             - c: second",
            "Step `self.route`: Decide which team answers.\nAnswer with one of: \"a\" or \"b\".\nBe brief:\nInputs:\n- message (string)\nOutputs:\n- team \
             (string): The team.\n\nStep `self.rank`: Rank it.\nInputs:\n- team (string)\nOutputs:\n- rank (integer)",
            "Inputs:\nOutputs:\n- team (string)",
            "1. `message` (string)\n2. `team` (string): The team.",
        ] {
            assert!(lists_fields(text), "{text}");
        }
        for text in [
            "",
            "Inputs:",
            "Decide which team answers.",
            "Inputs:\nmessage: late\nOutputs:\nteam: shipping",
            "Inputs:\n- message (string)\nOutputs:\n- team (string)\n# Example 1\nmessage: late",
            "- message (string)\nmessage: late\nteam: shipping",
            "- Refunds (also partial) go to returns.",
        ] {
            assert!(!lists_fields(text), "{text}");
        }
    }
}
