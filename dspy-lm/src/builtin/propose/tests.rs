//! Laws of proposals, on synthetic tasks: random words, labels, fields and thresholds.

mod forms;
mod known;
mod learning;
mod operations;
mod prompts;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::builtin::BuiltinLm;
use crate::{Message, Params, Request, Response};

/// A random number generator.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % count
    }

    fn word(&mut self) -> String {
        let pick =
            |random: &mut Random, letters: &str| letters.chars().nth(random.below(letters.len())).unwrap();
        (0..3).flat_map(|_| [pick(self, "bdfgklmnprtvz"), pick(self, "aou")]).collect()
    }

    fn words(&mut self, count: usize) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        while found.len() < count {
            let word = self.word();
            if !found.contains(&word) {
                found.push(word);
            }
        }
        found
    }
}

/// A synthetic task: rows of inputs with a label.
#[derive(Clone)]
struct Synthetic {
    output: String,
    kind: String,
    labels: Vec<String>,
    rows: Vec<(Vec<(String, String)>, String)>,
}

fn field(out: &mut String, number: usize, name: &str, kind: &str) {
    let _ = writeln!(out, "{number}. `{name}` ({kind})");
}

/// Writes the prompt of an adapter.
fn prompt(inputs: &[(&str, String)], outputs: &[(&str, &str)], instruction: &str) -> Vec<Message> {
    let mut system = "Input fields:\n".to_owned();
    inputs.iter().enumerate().for_each(|(at, (name, _))| field(&mut system, at + 1, name, "string"));
    system.push_str("Output fields:\n");
    outputs.iter().enumerate().for_each(|(at, (name, kind))| field(&mut system, at + 1, name, kind));
    let _ = write!(system, "\nYour task:\n        {}", instruction.replace('\n', "\n        "));
    let mut user = String::new();
    inputs.iter().for_each(|(name, value)| {
        let _ = write!(user, "[[ ## {name} ## ]]\n{value}\n\n");
    });
    user.push_str("Answer with the fields.");
    vec![Message::system(system), Message::user(user)]
}

fn ask(request: &Request) -> Response {
    BuiltinLm::new().respond(request)
}

fn outputs(response: &Response) -> Vec<(String, String)> {
    let sections = crate::builtin::sections::read(&response.completions[0].text);
    sections.map(|(name, text)| (name.to_owned(), crate::builtin::sections::unescape(text))).collect()
}

fn only(response: &Response) -> String {
    outputs(response).into_iter().next().map(|(_, text)| text).unwrap_or_default()
}

/// Proposes an instruction for records.
fn propose(records: &str, current: &str, rollout: Option<u64>) -> String {
    let inputs = [("current_instruction", current.to_owned()), ("examples", records.to_owned())];
    let mut request =
        Request::new(prompt(&inputs, &[("new_instruction", "string")], "Write a better instruction."));
    request.rollout = rollout;
    request.params = Params { temperature: Some(1.0), ..Params::default() };
    only(&ask(&request))
}

impl Synthetic {
    /// Some words go with each label; the others are noise.
    fn of_words(seed: u64, labels: &[&str], kind: &str, rows: usize) -> Synthetic {
        let mut random = Random(seed);
        let labels: Vec<String> = if labels.is_empty() {
            random.words(4)
        } else {
            labels.iter().map(|label| (*label).to_owned()).collect()
        };
        let vocabulary = random.words(60);
        let own: Vec<&[String]> =
            (0..labels.len()).map(|label| &vocabulary[label * 6..label * 6 + 6]).collect();
        let noise = &vocabulary[30..];
        let input = random.word();
        let rows = (0..rows)
            .map(|_| {
                let label = random.below(labels.len());
                let mut text: Vec<&str> = (0..5).map(|_| noise[random.below(noise.len())].as_str()).collect();
                for _ in 0..2 {
                    let at = random.below(text.len());
                    text.insert(at, &own[label][random.below(6)]);
                }
                (vec![(input.clone(), format!("The {}.", text.join(" ")))], labels[label].clone())
            })
            .collect();
        let kind = if kind.is_empty() { choices(&labels) } else { kind.to_owned() };
        Synthetic { output: random.word(), kind, labels, rows }
    }

    /// Thresholds on two numeric fields decide; a third one is noise.
    fn of_numbers(seed: u64, rows: usize) -> Synthetic {
        let mut random = Random(seed);
        let (names, labels) = (random.words(3), random.words(3));
        let thresholds = [random.below(60) + 20, random.below(60) + 20];
        let rows = (0..rows)
            .map(|_| {
                let values = [random.below(100), random.below(100), random.below(100)];
                let label = match () {
                    () if values[0] < thresholds[0] => 0,
                    () if values[1] < thresholds[1] => 1,
                    () => 2,
                };
                let inputs = names.iter().zip(values).map(|(name, value)| {
                    (format!("{name}_{name}"), format!("{}.{}", value / 10, value % 10))
                });
                (inputs.collect(), labels[label].clone())
            })
            .collect();
        Synthetic { output: random.word(), kind: choices(&labels), labels, rows }
    }

    /// The label of the middle of a range is another one than those of its ends; a second number is noise.
    fn of_bands(seed: u64, rows: usize) -> Synthetic {
        let mut random = Random(seed);
        let (names, labels) = (random.words(2), random.words(2));
        let (low, high) = (25 + random.below(15), 60 + random.below(15));
        let rows = (0..rows)
            .map(|_| {
                let values = [random.below(100), random.below(100)];
                let label = usize::from((low..high).contains(&values[0]));
                let inputs = names.iter().zip(values).map(|(name, value)| (name.clone(), value.to_string()));
                (inputs.collect(), labels[label].clone())
            })
            .collect();
        Synthetic { output: random.word(), kind: choices(&labels), labels, rows }
    }

    /// Of two texts, only the words of the second one decide. The first one has other words.
    fn of_two_texts(seed: u64, rows: usize) -> Synthetic {
        // Not the words of the task itself.
        let mut random = Random(seed + 1_000_000);
        let names = random.words(2);
        let mut task = Synthetic::of_words(seed, &[], "", rows);
        let noise = random.words(40);
        for (inputs, _) in &mut task.rows {
            let Some((name, _)) = inputs.first_mut() else { continue };
            *name = names[1].clone();
            let text: Vec<&str> = (0..9).map(|_| noise[random.below(noise.len())].as_str()).collect();
            inputs.insert(0, (names[0].clone(), format!("The {}.", text.join(" "))));
        }
        task
    }

    /// Returns the share of the last rows that are answered right under an instruction.
    fn accuracy(&self, instruction: &str, from: usize) -> f64 {
        let lm = BuiltinLm::new();
        let right = |(inputs, label): &&(Vec<(String, String)>, String)| {
            let inputs: Vec<(&str, String)> =
                inputs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let request = Request::new(prompt(&inputs, &[(&self.output, &self.kind)], instruction));
            let said = only(&lm.respond(&request));
            said == *label
        };
        let rows = &self.rows[from..];
        rows.iter().filter(right).count() as f64 / rows.len() as f64
    }

    /// Writes the first rows as records in one of several notations.
    fn records(&self, count: usize, notation: usize) -> String {
        let object = |inputs: &[(String, String)]| -> Value {
            inputs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
        };
        let rows = &self.rows[..count];
        let wrong = |label: &str| self.labels.iter().find(|other| *other != label).unwrap().clone();
        match notation {
            0 => {
                let record = |(inputs, label): &(Vec<(String, String)>, String)| json!({"inputs": object(inputs), "outputs": {self.output.as_str(): label}, "score": 1.0});
                Value::Array(rows.iter().map(record).collect()).to_string()
            }
            1 => rows.iter().fold(String::new(), |mut out: String, (inputs, label)| {
                inputs.iter().for_each(|(name, value)| out += &format!("{name}: {value}\n"));
                let _ = writeln!(out, "expected: {label}\n");
                out
            }),
            2 => rows.iter().enumerate().fold(String::new(), |mut out: String, (at, (inputs, label))| {
                let _ = writeln!(out, "# Example {}\n## Inputs", at + 1);
                inputs.iter().for_each(|(name, value)| out += &format!("### {name}\n{value}\n\n"));
                let _ = writeln!(out, "## Generated Outputs\n### {}\n{}\n", self.output, wrong(label));
                let _ = writeln!(out, "## Feedback\nExpected {label}, got {}.\n", wrong(label));
                out
            }),
            4 => rows.iter().enumerate().fold(String::new(), |mut out: String, (at, (inputs, label))| {
                let _ = writeln!(out, "# Example {}", at + 1);
                inputs.iter().for_each(|(name, value)| out += &format!("{name}: {value}\n"));
                let _ = writeln!(out, "{}: {label}\n", self.output);
                out
            }),
            _ => rows.iter().fold(String::new(), |mut out: String, (inputs, label)| {
                inputs.iter().for_each(|(name, value)| out += &format!("[[ \\## {name} ## ]]\n{value}\n\n"));
                let _ = writeln!(out, "[[ \\## {} ## ]]\n{label}\n\n[[ \\## completed ## ]]\n", self.output);
                out
            }),
        }
    }
}

fn choices(labels: &[String]) -> String {
    labels.iter().map(|label| format!("\"{label}\"")).collect::<Vec<_>>().join(" | ")
}
