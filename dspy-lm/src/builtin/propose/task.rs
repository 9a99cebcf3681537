//! The tasks behind records: rows of inputs with the right answer for one output.

use std::collections::BTreeMap;

use super::feedback::{self, Feedback};
use super::records::{Record, Records, Values};
use super::roles::{self, Key};
use crate::builtin::text_form::TextForm;

/// The share of the highest score from which an answer counts as right.
const RIGHT: f64 = 0.9;
/// The maximum number of tasks, of inputs of a row and of rules in feedback.
const MOST_TASKS: usize = 3;
const MOST_INPUTS: usize = 40;
const MOST_RULES: usize = 200;

/// One row of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) inputs: Values,
    pub(super) right: Option<String>,
    /// An answer that was wrong.
    pub(super) wrong: Option<String>,
}

/// The rows for one output.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Task {
    pub(super) output: String,
    pub(super) rows: Vec<Row>,
}

/// The tasks and rules in records.
#[derive(Debug, Default)]
pub(super) struct Learned {
    pub(super) tasks: Vec<Task>,
    /// Rules stated in feedback, each with the number of times that it occurs, the most frequent first.
    pub(super) rules: Vec<(String, usize)>,
    /// Forms of right answers that feedback states, each with the inputs of its record.
    pub(super) forms: Vec<(Values, TextForm)>,
}

/// Sorts out which answers are right.
pub(super) fn learn(records: &Records) -> Learned {
    let mut list = records.list.clone();
    list.extend(labelled(&records.rows));
    let highest = list.iter().filter_map(|record| record.score).fold(0.0, f64::max);
    let scale = if highest <= 1.0 {
        1.0
    } else if highest <= 10.0 {
        10.0
    } else {
        100.0
    };
    let mut learned = Learned::default();
    let mut rules: Vec<(String, usize)> = Vec::new();
    let mut add_rules = |found: &[String]| {
        for rule in found {
            match rules.iter().position(|(known, _)| known.eq_ignore_ascii_case(rule)) {
                Some(at) => rules[at].1 += 1,
                None if rules.len() < MOST_RULES => rules.push((rule.clone(), 1)),
                None => {}
            }
        }
    };
    let mut tasks: BTreeMap<String, Task> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let known = known_answers(&list);
    for record in &list {
        let told: Vec<Feedback> = record.feedback.iter().map(|text| feedback::read(text)).collect();
        told.iter().for_each(|told| add_rules(&told.rules));
        let mut form: Option<TextForm> = None;
        told.iter().filter_map(|told| told.form.as_ref()).for_each(|told| match &mut form {
            Some(form) => form.set(told),
            None => form = Some(told.clone()),
        });
        learned
            .forms
            .extend(form.map(|form| (record.inputs.iter().take(MOST_INPUTS).cloned().collect(), form)));
        for (output, row) in rows(record, &told, scale, &known) {
            if !tasks.contains_key(&output) {
                order.push(output.clone());
            }
            let task = tasks.entry(output.clone()).or_insert_with(|| Task { output, rows: Vec::new() });
            task.rows.push(row);
        }
    }
    for text in &records.feedback {
        let told = feedback::read(text);
        add_rules(&told.rules);
        learned.forms.extend(told.form.map(|form| (Values::new(), form)));
    }
    rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    learned.rules = rules;
    order.sort_by_key(|output| std::cmp::Reverse(tasks[output].rows.len()));
    learned.tasks = order.into_iter().filter_map(|output| tasks.remove(&output)).take(MOST_TASKS).collect();
    learned.tasks.iter_mut().for_each(Task::complete);
    learned
}

impl Task {
    /// Concludes the right answer where there are only two answers and one was wrong.
    fn complete(&mut self) {
        let mut answers: Vec<&String> =
            self.rows.iter().flat_map(|row| [row.right.as_ref(), row.wrong.as_ref()]).flatten().collect();
        answers.sort_unstable();
        answers.dedup();
        let opposite = |answer: &str| {
            Some(match answer {
                "yes" => "no",
                "no" => "yes",
                "true" => "false",
                "false" => "true",
                _ => return None,
            })
        };
        let pair: Vec<String> = match answers[..] {
            [only] => opposite(only).map(|other| vec![only.clone(), other.to_owned()]).unwrap_or_default(),
            [a, b] => vec![a.clone(), b.clone()],
            _ => Vec::new(),
        };
        let [a, b] = &pair[..] else { return };
        for row in self.rows.iter_mut().filter(|row| row.right.is_none()) {
            row.right = row.wrong.as_ref().map(|wrong| if wrong == a { b.clone() } else { a.clone() });
        }
    }
}

/// Returns the answers that occur in records, by which answers in feedback are recognized.
fn known_answers(list: &[Record]) -> Vec<String> {
    let mut known: Vec<String> = list
        .iter()
        .flat_map(|record| record.produced.iter().chain(&record.expected).chain(&record.answer))
        .map(|(_, value)| clean(value))
        .filter(|value| value.len() <= 60)
        .collect();
    known.sort_unstable_by_key(|value| std::cmp::Reverse(value.len()));
    known.dedup();
    known.truncate(1_000);
    known
}

fn clean(value: &str) -> String {
    value.trim().trim_matches(['"', '\'', '`']).to_owned()
}

/// Returns a row for each output of a record.
fn rows(record: &Record, told: &[Feedback], scale: f64, known: &[String]) -> Vec<(String, Row)> {
    let good = record.score.map(|score| score / scale >= RIGHT);
    let approved = good.or_else(|| told.iter().find_map(|told| told.approves));
    let said = told.iter().find_map(|told| told.right.as_ref()).map(|right| recognized(right, known));
    let mut expected: Vec<(String, String)> = record.expected.clone();
    let mut produced: Vec<(String, String)> = record.produced.clone();
    // An answer beside an expected one, or with a low score, was given by the program.
    let was_given = !expected.is_empty() || approved == Some(false) || said.is_some();
    if was_given {
        produced.extend(record.answer.clone());
    } else {
        expected.extend(record.answer.clone());
    }
    let judged = approved.is_some() || said.is_some() || !expected.is_empty();
    for values in [&mut expected, &mut produced] {
        if values.len() > 1 {
            values.retain(|(name, _)| roles::of_key(name) != Key::Skipped);
        }
    }
    let only = match &produced[..] {
        [(name, _)] if !name.is_empty() => name.clone(),
        _ => "answer".to_owned(),
    };
    let mut found: Vec<(String, Row)> = Vec::new();
    let names: Vec<String> = expected.iter().chain(&produced).map(|(name, _)| name.clone()).collect();
    let mut names: Vec<String> =
        names.into_iter().map(|name| if name.is_empty() { only.clone() } else { name }).collect();
    if names.is_empty() && said.is_some() {
        names.push(only.clone());
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let several = names.len() > 1;
    for name in names {
        let of = |values: &Values| {
            let value = values.iter().find(|(known, _)| *known == name || (known.is_empty() && name == only));
            value.map(|(_, value)| clean(value)).filter(|value| !value.is_empty())
        };
        let given = of(&produced);
        let mut right = of(&expected);
        if right.is_none() && !several {
            right.clone_from(&said);
        }
        if right.is_none() && (approved == Some(true) || !judged) {
            right.clone_from(&given);
        }
        // With several outputs a low score does not say which of them was wrong.
        let is_wrong = match &right {
            Some(right) => given.as_ref() != Some(right),
            None => approved == Some(false) && !several,
        };
        let wrong = given.filter(|_| is_wrong);
        if right.is_some() || wrong.is_some() {
            let inputs = record.inputs.iter().take(MOST_INPUTS).cloned().collect();
            found.push((name, Row { inputs, right, wrong }));
        }
    }
    found
}

/// Returns the known answer that feedback names, or else what it says.
fn recognized(said: &str, known: &[String]) -> String {
    let lower = said.to_lowercase();
    let same = known.iter().find(|answer| answer.to_lowercase() == lower);
    let starts = || {
        known.iter().find(|answer| {
            let rest = lower.strip_prefix(&answer.to_lowercase());
            rest.is_some_and(|rest| !answer.is_empty() && !rest.starts_with(|c: char| c.is_alphanumeric()))
        })
    };
    same.or_else(starts).cloned().unwrap_or_else(|| said.to_owned())
}

/// Turns rows without roles into records: the column that looks most like a label is the answer.
fn labelled(rows: &[Values]) -> Vec<Record> {
    let Some(first) = rows.first() else { return Vec::new() };
    let columns: Vec<&String> = first.iter().map(|(name, _)| name).collect();
    let alike: Vec<&Values> = rows
        .iter()
        .filter(|row| columns.iter().all(|name| row.iter().any(|(known, _)| known == *name)))
        .collect();
    if alike.len() < 2 {
        return Vec::new();
    }
    let looks_like_label = |name: &&&String| {
        let mut values: Vec<&str> = alike
            .iter()
            .filter_map(|row| row.iter().find(|(known, _)| known == **name))
            .map(|(_, v)| v.as_str())
            .collect();
        let short = values.iter().all(|value| (1..=6).contains(&value.split_whitespace().count()));
        let count = values.len();
        values.sort_unstable();
        values.dedup();
        short && values.len() > 1 && values.len() * 2 <= count.max(4)
    };
    let label = columns.iter().rev().find(looks_like_label).or(columns.last()).map(|name| (*name).clone());
    let Some(label) = label else { return Vec::new() };
    alike
        .into_iter()
        .map(|row| {
            let (answer, inputs) = row.iter().cloned().partition(|(name, _)| *name == label);
            Record { inputs, expected: answer, ..Record::default() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(text: &str) -> Vec<Option<String>> {
        let mut records = Records::default();
        records.read(text);
        let learned = learn(&records);
        learned
            .tasks
            .first()
            .map(|task| task.rows.iter().map(|row| row.right.clone()).collect())
            .unwrap_or_default()
    }

    #[test]
    fn the_right_answer_is_trusted() {
        let some = |text: &str| Some(text.to_owned());
        for (text, expected) in [
            (r#"[{"q": "a", "expected": "x", "output": "y"}]"#, vec![some("x")]),
            (r#"[{"q": "a", "answer": "y", "score": 0, "feedback": "Expected x."}]"#, vec![some("x")]),
            (r#"[{"q": "a", "answer": "y", "score": 1}]"#, vec![some("y")]),
            (r#"[{"q": "a", "outputs": {"t": "y", "reasoning": "r"}, "score": 0.0}]"#, vec![None]),
            (r#"[{"q": "a", "outputs": {"t": "yes"}, "score": 0.0}]"#, vec![some("no")]),
            (
                r#"[{"q": "a", "outputs": {"t": "x"}, "score": 5}, {"q": "a", "outputs": {"t": "z"}, "score": 100}, {"q": "b", "outputs": {"t": "y"}, "score": 0}]"#,
                vec![None, some("z"), None],
            ),
            (r#"[{"inputs": {"q": "a"}, "outputs": {"t": "y"}}]"#, vec![some("y")]),
            (r#"[{"m": "a b", "t": "x"}, {"m": "c d", "t": "y"}]"#, vec![some("x"), some("y")]),
        ] {
            assert_eq!(rights(text), expected, "{text}");
        }
    }
}
