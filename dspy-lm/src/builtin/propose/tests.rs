//! Laws of proposals, on synthetic tasks: random words, labels, fields and thresholds.

mod operations;

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

/// Checks that proposals raise the accuracy on fresh rows by at least `lift` on average.
fn assert_lifts(name: &str, tasks: impl Iterator<Item = Synthetic>, shown: usize, lift: f64) {
    let (mut before, mut after, mut count) = (0.0, 0.0, 0.0);
    let mut last = String::new();
    for (at, task) in tasks.enumerate() {
        let bare = "Give the right answer.";
        last = propose(&task.records(shown, at % 4), bare, None);
        before += task.accuracy(bare, shown);
        after += task.accuracy(&last, shown);
        count += 1.0;
    }
    let (before, after) = (before / count, after / count);
    println!("{name}: {before:.3} → {after:.3}\n{last}\n");
    assert!(after > before + lift, "{name}: {before} → {after}\n{last}");
}

const SEEDS: std::ops::Range<u64> = 0..30;

#[test]
fn words_are_learned() {
    assert_lifts("words", SEEDS.map(|seed| Synthetic::of_words(seed, &[], "", 84)), 60, 0.3);
}

#[test]
fn yes_and_no_are_learned() {
    assert_lifts("yes/no", SEEDS.map(|seed| Synthetic::of_words(seed, &["yes", "no"], "", 64)), 40, 0.2);
    assert_lifts(
        "boolean",
        SEEDS.map(|seed| Synthetic::of_words(seed, &["true", "false"], "boolean", 64)),
        40,
        0.2,
    );
}

#[test]
fn labels_of_a_free_text_are_learned() {
    assert_lifts("text", SEEDS.map(|seed| Synthetic::of_words(seed, &[], "string", 84)), 60, 0.5);
}

#[test]
fn ranges_are_learned() {
    assert_lifts("numbers", SEEDS.map(|seed| Synthetic::of_numbers(seed, 84)), 60, 0.4);
}

#[test]
fn the_middle_of_a_range_is_learned() {
    assert_lifts("bands", SEEDS.map(|seed| Synthetic::of_bands(seed, 84)), 60, 0.25);
}

#[test]
fn the_text_that_decides_is_found() {
    assert_lifts("two texts", SEEDS.map(|seed| Synthetic::of_two_texts(seed, 84)), 60, 0.2);
}

#[test]
fn samples_are_good_too_and_differ() {
    let (mut before, mut after) = (0.0, 0.0);
    for seed in 0..8 {
        for task in [Synthetic::of_words(seed, &[], "", 100), Synthetic::of_numbers(seed, 100)] {
            let records = task.records(60, 1);
            let bare = "Give the right answer.";
            assert_eq!(propose(&records, bare, None), propose(&records, bare, None));
            assert_eq!(propose(&records, bare, Some(1)), propose(&records, bare, Some(1)));
            let samples: Vec<String> = (0..3).map(|rollout| propose(&records, bare, Some(rollout))).collect();
            assert!(samples[0] != samples[1] || samples[1] != samples[2], "{samples:?}");
            before += task.accuracy(bare, 60);
            after += samples.iter().map(|sample| task.accuracy(sample, 60)).sum::<f64>() / 3.0;
        }
    }
    assert!(after > before + 16.0 * 0.2, "{before} → {after}");
}

#[test]
fn completions_of_one_request_differ() {
    let task = Synthetic::of_words(3, &[], "", 40);
    let inputs = [("records", task.records(40, 1))];
    let mut request = Request::new(prompt(&inputs, &[("rules", "string[]")], "Infer rules."));
    request.params = Params { temperature: Some(1.0), n: Some(4), ..Params::default() };
    let texts: std::collections::HashSet<String> =
        ask(&request).completions.into_iter().map(|completion| completion.text).collect();
    assert!(texts.len() > 1, "{texts:?}");
}

#[test]
fn a_rule_in_feedback_is_carried_over() {
    let records = r#"[{"inputs": {"note": "The gadget broke."}, "outputs": {"team": "sales"}, "score": 0.0, "feedback": "Wrong. Broken gadgets belong to repairs."},
        {"inputs": {"note": "What is the price?"}, "outputs": {"team": "sales"}, "score": 1.0, "feedback": "Correct."}]"#;
    let text = propose(records, "Route the note.", None);
    assert!(text.contains("Broken gadgets belong to repairs."), "{text}");
    assert!(text.contains("Route the note."), "{text}");
}

#[test]
fn without_records_nothing_gets_worse() {
    for seed in 0..6 {
        let task = Synthetic::of_words(seed, &[], "", 60);
        let good = propose(&task.records(30, 0), "Give the right answer.", None);
        let before = task.accuracy(&good, 30);
        for rollout in [None, Some(1), Some(2)] {
            let again = propose("", &good, rollout);
            assert!(task.accuracy(&again, 30) >= before - 1e-9, "{before}\n{good}\n\n{again}");
        }
    }
}

#[test]
fn a_history_with_scores_does_no_harm() {
    for seed in 0..6 {
        let task = Synthetic::of_words(seed, &[], "", 100);
        let good = propose(&task.records(60, 0), "Give the right answer.", None);
        let bad =
            task.labels.iter().map(|label| format!("Anything is \"{label}\".")).collect::<Vec<_>>().join(" ");
        let history =
            json!([{"instruction": bad, "score": 0.2}, {"instruction": good, "score": 0.8}]).to_string();
        let inputs =
            [("attempted_instructions", history), ("basic_instruction", "Give the right answer.".to_owned())];
        let request =
            Request::new(prompt(&inputs, &[("proposed_instruction", "string")], "Propose an instruction."));
        let text = only(&ask(&request));
        assert!(task.accuracy(&text, 60) >= task.accuracy(&good, 60) - 0.05, "{good}\n\n{text}");
    }
}

#[test]
fn the_lines_of_a_history_are_not_sentences() {
    let task = Synthetic::of_words(4, &[], "", 40);
    let history = "# Attempt 1\n## Instruction\nGuess.\n## Score\n0.25\n\n# Attempt 2\n## Instruction\nThink of the \
                   words.\n## Score\n0.5";
    for records in [String::new(), task.records(40, 2)] {
        let inputs = [
            ("current_instruction", "Give the right answer.".to_owned()),
            ("examples", records),
            ("attempts", history.to_owned()),
        ];
        let inputs: Vec<_> = inputs.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let request =
            Request::new(prompt(&inputs, &[("new_instruction", "string")], "Write an instruction."));
        let text = only(&ask(&request));
        assert!(text.contains("Think of the words."), "{text}");
        assert!(["Attempt", "Score", "0.25", "#"].iter().all(|part| !text.contains(part)), "{text}");
    }
}

#[test]
fn rules_survive_notes_and_their_summary() {
    let (mut before, mut after) = (0.0, 0.0);
    for seed in 0..4 {
        let task = Synthetic::of_words(seed, &[], "", 100);
        let noted: Vec<String> = (0..6)
            .map(|batch| {
                let rows =
                    Synthetic { rows: task.rows[batch * 10..batch * 10 + 10].to_vec(), ..task.clone() };
                let inputs = [("rows", rows.records(10, 4))];
                only(&ask(&Request::new(prompt(
                    &inputs,
                    &[("observations", "string")],
                    "Note what the rows show.",
                ))))
            })
            .collect();
        let inputs = [("observations", noted.join("\n"))];
        let summary =
            only(&ask(&Request::new(prompt(&inputs, &[("summary", "string")], "Summarize the notes."))));
        let inputs =
            [("current_instruction", "Give the right answer.".to_owned()), ("dataset_summary", summary)];
        let wanted = [("instruction", "string")];
        let text = only(&ask(&Request::new(prompt(&inputs, &wanted, "Write a better instruction."))));
        before += task.accuracy("Give the right answer.", 60);
        after += task.accuracy(&text, 60);
    }
    assert!(after > before + 4.0 * 0.2, "{before} → {after}");
}

#[test]
fn contradicted_sentences_are_dropped_and_others_kept() {
    let task = Synthetic::of_words(5, &[], "", 60);
    let good = propose(&task.records(60, 0), "Be kind to all.", None);
    assert!(good.contains("Be kind to all."), "{good}");
    // The same rules with the labels exchanged.
    let (a, b) = (&task.labels[0], &task.labels[1]);
    let wrong = good.replace(a, "\u{1}").replace(b, a).replace('\u{1}', b);
    let again = propose(&task.records(60, 0), &wrong, None);
    assert!(task.accuracy(&again, 0) >= task.accuracy(&good, 0) - 0.1, "{wrong}\n\n{again}");
}

#[test]
fn several_outputs_are_filled() {
    let task = Synthetic::of_words(2, &[], "", 40);
    let inputs =
        [("dataset", task.records(40, 2)), ("playbook", "[r-1] Be kind.\n[r-2] Be quick.".to_owned())];
    let outputs_wanted = [
        ("reasoning", "string"),
        ("root_cause", "string"),
        ("key_insight", "string"),
        ("observations", "string[]"),
        ("new_instruction", "string"),
        ("tags", "{ id: string, tag: \"helpful\" | \"harmful\" | \"neutral\" }[]"),
        ("rules", "{ section: string, content: string }[]"),
    ];
    let wanted = "Find what went wrong in the examples, and write an instruction.";
    let mut request = Request::new(prompt(&inputs, &outputs_wanted, wanted));
    request.params.temperature = Some(0.0);
    let found = outputs(&ask(&request));
    assert_eq!(found.len(), outputs_wanted.len(), "{found:?}");
    for ((name, text), (wanted, _)) in found.iter().zip(outputs_wanted) {
        assert_eq!(name, wanted);
        assert!(text.len() > 20, "{name}: {text}");
    }
}

#[test]
fn a_prompt_in_prose_gets_an_instruction_in_a_fence() {
    let task = Synthetic::of_words(4, &[], "", 60);
    let text = format!(
        "An assistant has this instruction:\n```\nGive the right answer.\n```\nExamples with feedback:\n```\n{}\n```\nWrite a \
         new instruction within ``` marks.",
        task.records(40, 2)
    );
    let reply = ask(&Request::new(vec![Message::user(text)])).completions[0].text.clone();
    assert!(reply.starts_with("```\n") && reply.ends_with("\n```"), "{reply}");
    let text = reply.trim_matches('`');
    assert!(task.accuracy(text, 40) > task.accuracy("Give the right answer.", 40) + 0.2, "{reply}");
}

#[test]
fn small_batches_add_up() {
    let (mut before, mut after) = (0.0, 0.0);
    for seed in 0..4 {
        for task in [Synthetic::of_words(seed, &[], "", 120), Synthetic::of_numbers(seed, 120)] {
            let mut instruction = "Give the right answer.".to_owned();
            let mut best = task.accuracy(&instruction, 90);
            before += task.accuracy(&instruction, 60);
            for batch in 0..10 {
                let part = Synthetic {
                    output: task.output.clone(),
                    kind: task.kind.clone(),
                    labels: task.labels.clone(),
                    rows: task.rows[batch * 6..batch * 6 + 6].to_vec(),
                };
                let next = propose(&part.records(6, 2), &instruction, None);
                // As in a search, a proposal counts if it is better on other rows.
                let of_next = task.accuracy(&next, 90);
                if of_next > best {
                    (instruction, best) = (next, of_next);
                }
            }
            after += task.accuracy(&instruction, 60);
        }
    }
    println!("batches: {:.3} → {:.3}", before / 8.0, after / 8.0);
    assert!(after > before + 8.0 * 0.2, "{before} → {after}");
}

#[test]
fn one_of_two_runs_is_better() {
    let run = |answer: &str| json!([{"inputs": {"note": "a zabo"}, "outputs": {"kind": answer}}]).to_string();
    let inputs = [
        ("better_trajectory", run("fine")),
        ("better_reward", "1.0".to_owned()),
        ("worse_trajectory", run("bad")),
        ("worse_reward", "0.0".to_owned()),
        ("module_names", r#"["self.step"]"#.to_owned()),
    ];
    let wanted = [("discussion", "string"), ("module_advice", "{ [key: string]: string }")];
    let found = outputs(&ask(&Request::new(prompt(&inputs, &wanted, "Compare the runs and give advice."))));
    assert!(found[0].1.contains("\"bad\" was") || found[0].1.contains("\"bad\""), "{found:?}");
    assert!(found[1].1.starts_with("{\"self.step\"") && found[1].1.contains("fine"), "{found:?}");
}

#[test]
fn the_description_of_one_value_is_about_it_only() {
    let task = Synthetic::of_words(6, &[], "", 60);
    let (label, other) = (&task.labels[0], &task.labels[1]);
    let inputs = [("component", format!("the value `{label}`")), ("examples", task.records(60, 0))];
    let text = only(&ask(&Request::new(prompt(
        &inputs,
        &[("description", "string")],
        "Describe it by the examples.",
    ))));
    assert!(text.contains(label.as_str()) && !text.contains(other.as_str()), "{text}");
}

#[test]
fn a_stated_length_is_kept() {
    let task = Synthetic::of_words(6, &[], "", 60);
    let inputs = [("examples", task.records(60, 0)), ("max_chars", "300".to_owned())];
    let text =
        only(&ask(&Request::new(prompt(&inputs, &[("instruction", "string")], "Write an instruction."))));
    assert!(text.len() <= 300 && text.len() > 50, "{text}");
}

#[test]
fn ordinary_tasks_are_not_taken_for_proposals() {
    for (inputs, output, instruction) in [
        ([("document", "Cats sleep a lot. Dogs run.\nName: Tom")], "summary", "Summarize the document."),
        ([("specs", "colour: red\nsize: 5\nweight: 7")], "description", "Describe the product."),
        ([("question", "Where is it? Look below.")], "hint", "Give a hint."),
        (
            [("ingredients", r#"[{"name": "salt", "grams": 2}, {"name": "rice", "grams": 200}]"#)],
            "instructions",
            "How is it cooked?",
        ),
    ] {
        let inputs: Vec<(&str, String)> =
            inputs.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        let text = only(&ask(&Request::new(prompt(&inputs, &[(output, "string")], instruction))));
        assert!(!text.contains("records") && !text.contains("answer \""), "{output}: {text}");
    }
}

#[test]
fn hostile_prompts_are_survived_in_time() {
    let long = "word ".repeat(20_000);
    let many: String = (0..1_500).fold(String::new(), |mut out: String, at| {
        let _ = writeln!(out, "input: a{at} b{} c\nlabel: l{}\n", at % 7, at % 90);
        out
    });
    let hostile = [
        "[".repeat(20_000),
        "{\"a\":".repeat(10_000),
        format!("[{}", "{\"inputs\": {\"x\": \"[[ ## new_instruction ## ]]\"}, \"score\": 0},".repeat(2_000)),
        "<a>".repeat(10_000),
        "# a\n".repeat(8_000),
        "a: b\n".repeat(8_000),
        "a -> b\n".repeat(8_000),
        "```\n".repeat(10_000),
        format!(
            r#"[{{"inputs": {{"x": "{long}"}}, "expected": "a"}}, {{"inputs": {{"x": "{long}"}}, "expected": "b"}}]"#
        ),
        many,
        "\u{0}\u{1F600} \"': é".repeat(5_000),
        r#"[{"inputs": {"x": ""}, "expected": "", "score": "NaN", "feedback": ""}]"#.to_owned(),
    ];
    for (at, text) in hostile.iter().enumerate() {
        for rollout in [None, Some(1)] {
            let start = std::time::Instant::now();
            let reply = propose(text, text, rollout);
            assert!(reply.len() < 20_000, "{at}: {} bytes", reply.len());
            let seconds = start.elapsed().as_secs_f64();
            assert!(seconds < 20.0, "{at}: {seconds} s");
            if seconds > 1.0 {
                println!("hostile {at}: {seconds:.1} s");
            }
        }
    }
}

#[test]
fn no_rule_is_about_the_other_steps_of_a_run() {
    let mut random = Random(3);
    let mut records = String::new();
    for number in 0..24 {
        let (label, word) = [("yes", "bravo"), ("no", "delta")][number % 2];
        let _ = writeln!(
            records,
            "# Example {}\n## Inputs\nmessage: {}\n## Outputs\nkind: yes\n## Other steps of the run\n1. self.note: \
             message = a → note = {word}\n2. (this call)\n## Expected\nkind: {label}\n## Score\n{}\n",
            number + 1,
            random.words(4).join(" "),
            1 - number % 2
        );
    }
    let proposal = propose(&records, "Decide.", None).to_lowercase();
    assert!(proposal.contains("\"no\"") && !proposal.contains("steps of the run"), "{proposal}");
}
