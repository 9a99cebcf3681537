//! Knowledge in a prompt: current and tried instructions, and notes.

use serde_json::json;

use super::{Synthetic, ask, only, prompt, propose};
use crate::Request;

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
