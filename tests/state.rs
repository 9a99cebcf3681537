//! Saved programs: our format, Python DSPy's format, and files that do not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy::prelude::*;
use dspy::signature::Demo;
use dspy::state::{ProgramState, StateError};
use serde_json::{Value, json};

/// Take notes.
#[signature]
struct Notes {
    #[input]
    question: String,
    #[output]
    notes: Vec<String>,
}

#[field_type]
#[derive(Debug, Clone, PartialEq)]
struct Source {
    title: String,
    page: Option<u32>,
}

#[field_type]
#[derive(Debug, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Label {
    Yes,
    No,
}

#[signature]
#[allow(clippy::struct_field_names, reason = "the file under test has these names")]
struct Answer {
    #[input]
    question: String,
    #[input]
    notes: Vec<String>,
    #[output]
    answer: String,
    #[output]
    label: Label,
    #[output]
    sources: Vec<Source>,
}

#[module]
struct Program {
    notes: ChainOfThought<Notes>,
    answer: Predict<Answer>,
}

fn program() -> Program {
    Program { notes: ChainOfThought::new(), answer: Predict::new() }
}

/// A file as Python DSPy 3.4.1 writes it for the program above.
fn python_file() -> String {
    let field =
        |name: &str, description: &str| json!({"prefix": format!("{name}:"), "description": description});
    json!({
        "notes.predict": {
            "traces": [], "train": [],
            "demos": [{"augmented": true, "question": "Q1", "reasoning": "R1", "notes": ["n1", "n2"]}],
            "signature": {
                "instructions": "Given the fields `question`, produce the fields `notes`.",
                "fields": [field("Question", "${question}"), field("Reasoning", "${reasoning}"), field("Notes", "${notes}")]
            },
            "lm": null
        },
        "answer": {
            "traces": [], "train": [],
            "demos": [
                {"question": "Q1", "notes": ["n1"], "answer": "A1", "label": "yes", "sources": [{"title": "T", "page": 3}]},
                {"question": "Q2", "notes": [], "answer": "A2", "label": "no", "sources": [{"title": "U", "page": null}]}
            ],
            "signature": {
                "instructions": "Optimised instruction text.",
                "fields": [
                    field("Question", "${question}"), field("Notes", "facts, most relevant first"),
                    field("Answer", "short answer"), field("Label", "${label}"), field("Sources", "${sources}")
                ]
            },
            "lm": {
                "_dspy_lm_class": "dspy.clients.lm.LM", "model": "openai/gpt-4o-mini", "model_type": "chat",
                "cache": true, "num_retries": 3, "temperature": 0.0, "max_tokens": 500, "api_base": "http://127.0.0.1:9"
            }
        },
        "metadata": {"dependency_versions": {"python": "3.11", "dspy": "3.4.1", "cloudpickle": "3.1"}}
    })
    .to_string()
}

fn temporary(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("dspy-state-{}-{name}", std::process::id()))
}

#[test]
fn what_python_saved_is_loaded_by_path_and_position() {
    let path = temporary("python.json");
    std::fs::write(&path, python_file()).unwrap();
    let program = program().load(&path).unwrap();
    let answer = program.answer.predictor();
    assert_eq!(answer.instruction(), "Optimised instruction text.");
    assert_eq!(answer.spec().field("notes").unwrap().description(), "facts, most relevant first");
    assert_eq!(answer.spec().field("label").unwrap().description(), "");
    assert_eq!(answer.demos().len(), 2);
    assert!(program.named_predictors()[0].1.demos()[0].augmented);
    let prompt = program.answer.render(("Q", vec!["n".to_string()])).unwrap();
    assert!(prompt[2].text().contains(r#"[{"title":"T","page":3}]"#), "{}", prompt[2].text());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn our_file_brings_everything_back_and_python_gets_its_own() {
    let mut before = program();
    before.for_each_predictor(|path, predictor| {
        predictor.set_instruction(format!("Do {path} well."));
        predictor.set_description("question", "what to find out");
    });
    before.answer.predictor_mut().set_demos(vec![Demo::new(
        serde_json::from_value(json!({
            "question": "Q", "notes": [], "answer": "A", "label": "no", "sources": [],
        }))
        .unwrap(),
    )]);
    let path = temporary("ours.json");
    before.save(&path).unwrap();
    let after = program().load(&path).unwrap();
    assert_eq!(ProgramState::of(&before), ProgramState::of(&after));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        ProgramState::of(&after).to_json(),
        "saving is deterministic"
    );
    std::fs::remove_file(path).unwrap();

    let python: Value = serde_json::from_str(&ProgramState::of(&before).to_python_json()).unwrap();
    assert_eq!(python["answer"]["signature"]["instructions"], "Do answer well.");
    assert_eq!(
        python["answer"]["signature"]["fields"][0],
        json!({"prefix": "Question:", "description": "what to find out"})
    );
    assert_eq!(python["answer"]["signature"]["fields"][3]["description"], "${label}");
    let mut again = program();
    ProgramState::from_json(&python.to_string()).unwrap().apply(&mut again).unwrap();
    assert_eq!(again.answer.predictor().instruction(), "Do answer well.");
}

#[test]
fn a_single_predictor_is_saved_at_the_top_for_python() {
    let python = ProgramState::of(&Predict::<Notes>::new()).to_python_json();
    let value: Value = serde_json::from_str(&python).unwrap();
    assert_eq!(value["signature"]["instructions"], "Take notes.");
    let mut program = Predict::<Notes>::new().with_instruction("other");
    ProgramState::from_json(&python).unwrap().apply(&mut program).unwrap();
    assert_eq!(program.predictor().instruction(), "Take notes.");
}

#[test]
fn files_that_do_not_fit_change_nothing_and_say_why() {
    let check = |text: &str, part: &str| {
        let mut program = program();
        let result = ProgramState::from_json(text).and_then(|state| state.apply(&mut program));
        let message = result.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
        assert_eq!(ProgramState::of(&program), ProgramState::of(&self::program()));
    };
    check("", "not a saved program");
    check("{\"format\": \"dspy-rust/9\"}", "dspy-rust/9");
    check("{\"format\": \"dspy-rust/1\", \"predictors\": 3}", "not a saved program");
    check("[1]", "expected a JSON object");
    check("{\"x\": 1}", "`x` is neither");
    check(&python_file().replace("\"answer\":{", "\"other\":{"), "`answer` is not in the saved state");
    check(&python_file().replace("\"label\":\"yes\"", "\"label\":\"perhaps\""), "`label` is not of type");

    let ours = ProgramState::of(&program()).to_json();
    check(&ours[..ours.len() / 2], "not a saved program");
    let renamed = {
        let mut state: Value = serde_json::from_str(&ours).unwrap();
        state["predictors"]["answer"]["fingerprint"] = json!("0000");
        state["predictors"]["answer"]["fields"][2]["name"] = json!("reply");
        state.to_string()
    };
    check(&renamed, "the saved signature has the output `reply` (string), the program has not");

    let missing = program().load(temporary("missing.json")).err().unwrap();
    let dspy::Error::State(error) = missing else { panic!("{missing}") };
    assert!(matches!(*error, StateError::Io { .. }));
}

/// The file with the field at `place` of `answer` as it is given.
fn python_file_with(place: usize, prefix: &str, description: &str) -> String {
    let mut file: Value = serde_json::from_str(&python_file()).unwrap();
    file["answer"]["signature"]["fields"][place] = json!({"prefix": prefix, "description": description});
    file.to_string()
}

#[test]
fn a_python_file_of_another_program_is_refused_with_a_diff() {
    let apply = |text: &str| {
        let mut program = program();
        let applied = ProgramState::from_json(text).unwrap().apply(&mut program);
        if applied.is_err() {
            assert_eq!(ProgramState::of(&program), ProgramState::of(&self::program()), "nothing was changed");
        }
        applied.map_err(|error| error.to_string())
    };
    // Whether the file tells a name or a title alone, it is that of the field.
    apply(&python_file_with(2, "Answer:", "")).unwrap();
    apply(&python_file_with(2, "Give the answer:", "${answer}")).unwrap();
    for (file, part) in [
        (
            python_file_with(2, "Verdict:", "in short"),
            "`answer`: field 3 was `Verdict`, the program has `answer` there",
        ),
        (
            python_file_with(2, "Answer:", "${verdict}"),
            "field 3 was `verdict`, the program has `answer` there",
        ),
        (
            python_file_with(1, "Sources:", "what was read"),
            "field 2 was `Sources`, the program has `notes` there",
        ),
        (python_file_with(0, "", "a question"), "field 1 was a field with neither"),
    ] {
        let message = apply(&file).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
    // All of the difference is told.
    let mut file: Value = serde_json::from_str(&python_file()).unwrap();
    let fields = file["answer"]["signature"]["fields"].as_array_mut().unwrap();
    fields.truncate(3);
    fields.swap(0, 1);
    let message = apply(&file.to_string()).unwrap_err();
    for part in [
        "3 fields were saved by position, the program has 5",
        "field 1 was `Notes`, the program has `question` there",
        "field 2 was `question`, the program has `notes` there",
        "the program has `label` as field 4",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // Its demonstrations tell, too.
    let others = python_file().replace(
        r#"{"augmented":true,"question":"Q1","reasoning":"R1","notes":["n1","n2"]}"#,
        r#"{"claim":"C","verdict":"V"}"#,
    );
    assert_ne!(others, python_file());
    let message = apply(&others).unwrap_err();
    assert!(message.contains("no field is named `claim` or `verdict`"), "{message}");
}

#[test]
fn demonstrations_of_another_type_are_refused_or_become_values_of_the_type() {
    let demo = |answer: Value, label: Value, notes: Value| {
        let mut file: Value = serde_json::from_str(&python_file()).unwrap();
        file["answer"]["demos"] =
            json!([{"question": "Q", "notes": notes, "answer": answer, "label": label, "sources": []}]);
        let mut program = program();
        ProgramState::from_json(&file.to_string())
            .unwrap()
            .apply(&mut program)
            .map(|()| program.answer.predictor().demos()[0].values.clone())
    };
    for (answer, notes) in [
        (json!(["a", "list"]), json!([])),
        (json!({"an": "object"}), json!([])),
        (json!("text"), json!([["a", "list"]])),
    ] {
        let error = demo(answer, json!("yes"), notes).unwrap_err().to_string();
        assert!(error.contains("is not of type"), "{error}");
    }
    let values = demo(json!("A"), json!("YES"), json!("one note")).unwrap();
    assert_eq!((&values["answer"], &values["label"]), (&json!("A"), &json!("yes")));
}
