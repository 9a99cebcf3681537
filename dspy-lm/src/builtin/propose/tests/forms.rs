//! Forms of answers that feedback states.

use serde_json::json;

use super::{Random, ask, only, outputs, prompt, propose};
use crate::Request;

/// A task whose answers are copied from a note; words of the question decide which form they have.
struct Formed {
    names: [String; 2],
    words: Vec<String>,
}

const FORMS: [&str; 3] =
    ["answer in upper case", "answer in lower case", "end the answer with \"So be it!\""];

impl Formed {
    fn new(seed: u64) -> Formed {
        let mut random = Random(seed);
        let names: [String; 2] = random.words(2).try_into().unwrap();
        Formed { names, words: random.words(12) }
    }

    /// Returns the question of a row and the index of its form.
    fn row(&self, random: &mut Random) -> (String, usize) {
        let form = [0, 0, 1, 2][random.below(4)];
        let mark = &self.words[form * 3 + random.below(3)];
        (format!("What {mark} {} is it?", random.word()), form)
    }

    fn record(&self, random: &mut Random, feedback: fn(&str, &str) -> String) -> serde_json::Value {
        let (question, form) = self.row(random);
        let (answer, note) = (random.words(2).join(" "), random.words(9).join(" "));
        let [first, second] = &self.names;
        json!({
            "inputs": {first: format!("The {note}."), second: question},
            "outputs": {"reply": "No Idea"},
            "score": 0.25,
            "feedback": feedback(&answer, FORMS[form]),
        })
    }

    /// Returns the share of new questions that are answered in the right form.
    fn accuracy(&self, instruction: &str, random: &mut Random) -> f64 {
        const ROWS: usize = 60;
        let right = |random: &mut Random| {
            let (question, form) = self.row(random);
            let inputs = [
                (self.names[0].as_str(), format!("The {}.", random.words(9).join(" "))),
                (self.names[1].as_str(), question),
            ];
            let said = only(&ask(&Request::new(prompt(&inputs, &[("reply", "string")], instruction))));
            match form {
                0 => said == said.to_uppercase(),
                1 => said == said.to_lowercase(),
                _ => said.ends_with("So be it!"),
            }
        };
        (0..ROWS).filter(|_| right(random)).count() as f64 / ROWS as f64
    }
}

#[test]
fn forms_in_any_clause_of_feedback_are_learned() {
    let feedback: [fn(&str, &str) -> String; 4] = [
        |answer, form| format!("expected {answer}; {form}"),
        |answer, form| format!("Wrong: {form}; expected {answer}."),
        |answer, form| format!("Expected \"{answer}\", but {form}"),
        |answer, form| format!("The right answer is {answer}.\nPlease {form}."),
    ];
    for feedback in feedback {
        let (mut before, mut after, mut small) = (0.0, 0.0, 0.0);
        for seed in 0..4 {
            let task = Formed::new(seed);
            let mut random = Random(seed + 100);
            let mut records = |count: usize| {
                let list: Vec<_> = (0..count).map(|_| task.record(&mut random, feedback)).collect();
                serde_json::Value::Array(list).to_string()
            };
            let bare = "Give the right reply.";
            let learned = propose(&records(40), bare, None);
            // In small batches too, each with the instruction of the one before.
            let batches = (0..8).fold(bare.to_owned(), |text, _| propose(&records(5), &text, None));
            before += task.accuracy(bare, &mut random) / 4.0;
            after += task.accuracy(&learned, &mut random) / 4.0;
            small += task.accuracy(&batches, &mut random) / 4.0;
        }
        assert!(after > before + 0.6 && small > before + 0.4, "{before} → {after}, {small}");
    }
}

#[test]
fn the_only_form_has_no_condition() {
    let task = Formed::new(7);
    let mut random = Random(1);
    let records: Vec<_> = (0..4)
        .map(|_| task.record(&mut random, |answer, _| format!("expected {answer}; use lower case")))
        .collect();
    let text = propose(&json!(records).to_string(), "Give the right reply. Answer in upper case.", None);
    assert!(text.contains("Answer in lower case.") && !text.contains("upper case"), "{text}");
}

#[test]
fn a_diagnosis_names_the_forms() {
    let task = Formed::new(8);
    let mut random = Random(2);
    let feedback: fn(&str, &str) -> String = |answer, form| format!("expected {answer}; {form}");
    let records: Vec<_> = (0..30).map(|_| task.record(&mut random, feedback)).collect();
    let inputs = [("examples", json!(records).to_string())];
    let wanted = [("root_cause", "string"), ("lesson", "string")];
    let found =
        outputs(&ask(&Request::new(prompt(&inputs, &wanted, "Say what went wrong in the examples."))));
    assert!(found.iter().any(|(_, text)| text.contains("answer in lower case.")), "{found:?}");
}
