//! Tools, reasoning and two steps as a user meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;

use dspy::adapter::TwoStepAdapter;
use dspy::lm::{Capabilities, Completion, ScriptedLm};
use dspy::prelude::*;
use dspy::tools::ToolCall;
use serde_json::json;

/// Answer the question, or call the tools that help.
#[signature]
struct Assist {
    #[input]
    question: String,
    /// What may be called.
    #[input]
    tools: Vec<ToolSpec>,
    #[output]
    reasoning: Reasoning,
    #[output]
    answer: Option<String>,
    #[output]
    calls: ToolCalls,
}

#[dspy::field_type]
struct Search {
    /// What to look for.
    query: String,
}

fn tools() -> Vec<Tool> {
    vec![Tool::new("search", "Searches the archive.", |Search { query }: Search| async move {
        format!("nothing about {query}")
    })]
}

#[tokio::test]
async fn an_able_model_calls_and_thinks_natively() {
    let call = ToolCall::new("search", json!({"query": "owls"})).with_id("c1");
    let reply = Completion::new("").calling([call]).with_reasoning("I must look it up.");
    let script = ScriptedLm::new([reply]).with_capabilities(Capabilities::NONE.tools(true).reasoning(true));
    let assist = Predict::<Assist>::new().with_lm(Lm::custom(script));
    let tools = tools();
    let answer = assist.call(("Owls?".to_owned(), Tool::specs(&tools))).await.unwrap();
    assert_eq!(answer.reasoning, "I must look it up.");
    assert_eq!(answer.answer, None);
    let results = answer.calls.run(&tools).await;
    assert_eq!(results[0].text(), "nothing about owls");
}

#[tokio::test]
async fn another_model_writes_it_all_down() {
    let reply = "[[ ## reasoning ## ]]\nLet me look.\n\n[[ ## answer ## ]]\nnull\n\n[[ ## calls ## ]]\n\
                 [{\"name\": \"search\", \"arguments\": {\"query\": \"owls\"}}]\n\n[[ ## completed ## ]]";
    let assist = Predict::<Assist>::new().with_lm(Lm::scripted([reply]));
    let tools = tools();
    let answer = assist.call(("Owls?".to_owned(), Tool::specs(&tools))).await.unwrap();
    assert!(answer.output().reasoning.starts_with("Let me"));
    assert_eq!(answer.calls[0].arguments, json!({"query": "owls"}));
}

#[tokio::test]
async fn prose_first_fields_second() {
    let extractor = Arc::new(ScriptedLm::new(["[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]"]));
    let adapter = TwoStepAdapter::new(Lm::shared(extractor.clone()));
    let add =
        predict!("question -> answer: int").with_adapter(adapter).with_lm(Lm::scripted(["It is four."]));
    assert_eq!(add.call("2 + 2?").await.unwrap().answer, 4);
    assert!(extractor.requests()[0].messages[1].text().contains("It is four."));
}
