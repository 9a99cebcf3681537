//! Prompts of many kinds: their outputs, limits and hostile contents.

use std::fmt::Write as _;

use serde_json::json;

use super::{Random, Synthetic, ask, only, outputs, prompt, propose};
use crate::{Message, Request};

#[test]
fn a_rule_in_feedback_is_carried_over() {
    let records = r#"[{"inputs": {"note": "The gadget broke."}, "outputs": {"team": "sales"}, "score": 0.0, "feedback": "Wrong. Broken gadgets belong to repairs."},
        {"inputs": {"note": "What is the price?"}, "outputs": {"team": "sales"}, "score": 1.0, "feedback": "Correct."}]"#;
    let text = propose(records, "Route the note.", None);
    assert!(text.contains("Broken gadgets belong to repairs."), "{text}");
    assert!(text.contains("Route the note."), "{text}");
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
