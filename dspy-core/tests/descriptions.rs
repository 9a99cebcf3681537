//! Descriptions of choices and tools, which optimizers may change: in prompts, in the replies that are read, in saved
//! programs.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::BTreeMap;

use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _};
use dspy_core::signature::Values;
use dspy_core::state::ProgramState;
use serde_json::json;

fn values(value: serde_json::Value) -> Values {
    serde_json::from_value(value).unwrap()
}

fn classifier() -> DynPredict {
    DynPredict::new("text -> mood: Literal['good', 'bad']".parse().unwrap())
}

fn prompt(program: &DynPredict, inputs: serde_json::Value) -> String {
    let messages = program.predictor().render(&values(inputs)).unwrap();
    messages.iter().map(|message| message.text().into_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_choice_has_its_description_in_the_prompt_and_in_the_saved_program() {
    let mut program = classifier();
    let plain = ProgramState::of(&program);
    assert!(!plain.to_json().contains("choices"));
    program.predictor_mut().set_choice_description("mood", "good", "");
    assert_eq!(program.predictor().spec(), program.predictor().declared(), "as it was");
    program.predictor_mut().set_choice_description("mood", "bad", "Rain counts, too.");
    program.predictor_mut().set_choice_description("mood", "other", "There is no such choice.");
    let shown = prompt(&program, json!({"text": "x"}));
    assert!(shown.contains("bad\": Rain counts, too.") && !shown.contains("no such choice"), "{shown}");

    let state = ProgramState::from_json(&ProgramState::of(&program).to_json()).unwrap();
    assert_eq!(state.predictors["self"].fields[1].choices.len(), 1);
    let mut loaded = classifier();
    state.apply(&mut loaded).unwrap();
    assert_eq!(ProgramState::of(&loaded), state);
    assert_eq!(prompt(&loaded, json!({"text": "x"})), shown);
    // A state without it is that of the declaration.
    plain.apply(&mut loaded).unwrap();
    assert_eq!(ProgramState::of(&loaded), plain);
    ProgramState::from_json(&state.to_python_json()).unwrap();
}

#[tokio::test]
async fn the_description_of_a_tool_replaces_that_of_the_call() {
    let mut program = DynPredict::new("question, tools: list[Tool] -> calls: ToolCalls".parse().unwrap());
    let tool =
        |name: &str| json!({"name": name, "description": "Old words.", "parameters": {"type": "object"}});
    let inputs = json!({"question": "Who?", "tools": [tool("find"), tool("count")]});
    let before = prompt(&program, inputs.clone());
    assert_eq!(before.matches("Old words.").count(), 2, "{before}");

    let names = BTreeMap::from([("find".to_owned(), "Finds people.".to_owned())]);
    program.predictor_mut().set_tool_descriptions(names.clone());
    let after = prompt(&program, inputs.clone());
    assert_eq!((after.matches("Old words.").count(), after.matches("Finds people.").count()), (1, 1));

    let state = ProgramState::from_json(&ProgramState::of(&program).to_json()).unwrap();
    assert_eq!(state.predictors["self"].tools, names);
    let mut loaded = DynPredict::new("question, tools: list[Tool] -> calls: ToolCalls".parse().unwrap());
    state.apply(&mut loaded).unwrap();
    assert_eq!(prompt(&loaded, inputs.clone()), after);
    loaded.set_lm(Lm::scripted(["[[ ## calls ## ]]\n[]\n\n[[ ## completed ## ]]"]));
    let (_, trace) = dspy_core::program::trace(loaded.call(values(inputs))).await;
    assert_eq!(trace.steps[0].inputs["tools"][0]["description"], "Finds people.");
}
