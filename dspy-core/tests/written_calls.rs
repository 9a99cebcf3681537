//! Calls of tools that a model writes into its text: the calls, or an error; never nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use dspy_core::adapter::{ChatAdapter, JsonAdapter, XmlAdapter};
use dspy_core::lm::{Capabilities, Completion, Lm, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::{Module, Recovery, Settings};
use dspy_core::signature::{FieldSpec, FieldType, Role, SignatureSpec, Values};
use dspy_core::tools::{Tool, ToolCalls, ToolSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Read {
    /// The file.
    path: String,
    #[serde(default)]
    lines: Option<u32>,
}

fn tools() -> Vec<Tool> {
    vec![Tool::new("read_file", "Reads a file.", |args: Read| async move {
        format!("{} {}", args.path, args.lines.unwrap_or(0))
    })]
}

/// `question, tools -> answer?, calls`
fn spec(optional_calls: bool) -> SignatureSpec {
    let field = |part, name: &'static str, schema: Value| FieldSpec::new(part, name, "", schema);
    let calls = field(Role::Output, "calls", ToolCalls::schema());
    SignatureSpec::new(
        "Ask",
        "Answer or call tools.",
        [
            FieldSpec::text(Role::Input, "question", ""),
            field(Role::Input, "tools", Vec::<ToolSpec>::schema()),
            FieldSpec::text(Role::Output, "answer", "").defaulted(),
            if optional_calls { calls.defaulted() } else { calls },
        ],
    )
}

/// The adapters by name.
const ADAPTERS: [&str; 3] = ["chat", "json", "xml"];

async fn ask(adapter: &str, able: bool, optional_calls: bool, reply: &str) -> Result<Value, String> {
    let able = Capabilities::NONE.tools(able);
    let model = ScriptedLm::new([Completion::new(reply)]).with_capabilities(able);
    let settings = Settings::new().lm(Lm::custom(model)).recovery(Recovery::NONE);
    let settings = match adapter {
        "json" => settings.adapter(JsonAdapter),
        "xml" => settings.adapter(XmlAdapter),
        _ => settings.adapter(ChatAdapter),
    };
    let Value::Object(inputs) = json!({"question": "a?", "tools": Tool::specs(&tools())}) else { panic!() };
    let predict = DynPredict::new(spec(optional_calls));
    let inputs: Values = inputs;
    match settings.scope(predict.call(inputs)).await {
        Ok(answer) => Ok(Value::Object(answer.output().clone())),
        Err(error) => Err(error.to_string()),
    }
}

/// The calls without their ids.
fn bare(output: &Value) -> Value {
    let calls = output["calls"].as_array().cloned().unwrap_or_default();
    calls.into_iter().map(|call| json!([call["name"], call["arguments"]])).collect()
}

#[tokio::test]
async fn written_calls_are_calls() {
    let call = r#"{"name": "read_file", "arguments": {"path": "a"}}"#;
    for (reply, count) in [
        (call.to_owned(), 1),
        (format!("```json\n{call}\n```"), 1),
        (format!("<tool_call>\n{call}\n</tool_call>"), 1),
        (format!("Let me look.\n<tool_call>\n{call}\n</tool_call>\n<tool_call>\n{call}\n</tool_call>"), 2),
        (format!("<think>I need {call}</think>\n\n<tool_call>{call}</tool_call>"), 1),
        (format!("{{\"tool_calls\": [{call}, {call}]}}"), 2),
        (format!("[{call}]"), 1),
        (r#"{"name": "read_file", "parameters": {"path": "a"}}"#.into(), 1),
        (
            r#"{"type": "function", "function": {"name": "read_file", "arguments": "{\"path\": \"a\"}"}}"#
                .into(),
            1,
        ),
        (r#"<function=read_file>{"path": "a"}</function>"#.into(), 1),
        (
            "<tool_call>\n<function=read_file>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>"
                .into(),
            1,
        ),
    ] {
        let wanted: Value = vec![json!(["read_file", {"path": "a"}]); count].into();
        for name in ADAPTERS {
            for (able, optional) in [(false, false), (false, true), (true, false), (true, true)] {
                let output = ask(name, able, optional, &reply).await;
                let output =
                    output.unwrap_or_else(|error| panic!("{name} {able} {optional}: {error}\n{reply}"));
                assert_eq!(bare(&output), wanted, "{name} {able} {optional}: {reply}");
                assert_eq!(output.get("answer"), None, "{name}: {reply}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_call_is_an_error() {
    for reply in [
        r#"{"name": "reed_file", "arguments": {"path": "a"}}"#,
        r#"{"name": "read_file", "arguments": {"pth": "a"}}"#,
        r#"{"name": "read_file", "arguments": "I should first ask the user."}"#,
        r#"{"name": "read_file", "arguments": ["a"]}"#,
        r#"{"name": "read_file", "arguments": {"path": "a"}, "args": {"path": "b"}}"#,
        "<tool_call>{\"name\": \"read_file\", \"argu</tool_call>",
        "<tool_call>",
        "<function=read_file><parameter=path>a",
    ] {
        for name in ADAPTERS {
            for (able, optional) in [(false, false), (false, true), (true, false), (true, true)] {
                let output = ask(name, able, optional, reply).await;
                assert!(output.is_err(), "{name} {able} {optional}: {reply}: {output:?}");
            }
        }
    }
}

#[tokio::test]
async fn calls_in_their_own_field_may_have_any_notation() {
    let call = r#"{"function": {"name": "read_file", "arguments": "{\"path\": \"a\"}"}}"#;
    let element = "<tool_call>{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}</tool_call>";
    let wanted = json!([["read_file", {"path": "a"}]]);
    let replies = [
        ("chat", format!("[[ ## answer ## ]]\nNow.\n\n[[ ## calls ## ]]\n[{call}]\n\n[[ ## completed ## ]]")),
        (
            "chat",
            format!("[[ ## answer ## ]]\nNow.\n\n[[ ## calls ## ]]\n{element}\n\n[[ ## completed ## ]]"),
        ),
        ("json", format!("{{\"answer\": \"Now.\", \"calls\": [{call}]}}")),
        ("xml", format!("<answer>Now.</answer><calls>[{call}]</calls>")),
    ];
    for (adapter, reply) in replies {
        let output = ask(adapter, false, false, &reply).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((bare(&output), &output["answer"]), (wanted.clone(), &json!("Now.")), "{reply}");
    }
}

#[tokio::test]
async fn calls_beside_an_answer_are_kept_apart_from_it() {
    let call = "<tool_call>{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}</tool_call>";
    let beside = format!("[[ ## answer ## ]]\nNow.\n\n[[ ## completed ## ]]\n{call}");
    let output = ask("chat", true, false, &beside).await.unwrap();
    assert_eq!((bare(&output), &output["answer"]), (json!([["read_file", {"path": "a"}]]), &json!("Now.")));
    let inside = format!("[[ ## answer ## ]]\nNow. {call}\n\n[[ ## completed ## ]]");
    for able in [false, true] {
        let error = ask("chat", able, true, &inside).await.unwrap_err();
        assert!(error.contains("in the text of another field"), "{error}");
    }
    // A call that broke off is none, and no part of an answer either.
    let broken = "[[ ## answer ## ]]\nNow. <tool_call>{\"name\": \"read_file\", \"argu</tool_call>\n\n[[ ## completed ## ]]";
    for able in [false, true] {
        ask("chat", able, true, broken).await.unwrap_err();
    }
    // What only tells of calls is text.
    let mention = "[[ ## answer ## ]]\nModels write `<tool_call>` before a call.\n\n[[ ## completed ## ]]";
    assert_eq!(
        ask("chat", true, false, mention).await.unwrap()["answer"],
        "Models write `<tool_call>` before a call."
    );
}

#[tokio::test]
async fn repairs_of_arguments_are_in_the_report() {
    let reply = r#"[[ ## calls ## ]]
[{"name": "read_file", "arguments": {"path": "a", "lines": "3"}}]"#;
    let settings = Settings::new().lm(Lm::scripted([reply])).recovery(Recovery::NONE);
    let Value::Object(inputs) = json!({"question": "a?", "tools": Tool::specs(&tools())}) else { panic!() };
    let answer = settings.scope(DynPredict::new(spec(false)).call(inputs)).await.unwrap();
    let repairs: Vec<String> = answer.report().repairs.iter().map(|repair| repair.path.to_string()).collect();
    assert!(repairs.contains(&"$.calls[0].arguments.lines".to_owned()), "{repairs:?}");
}

#[tokio::test]
async fn arguments_that_are_no_object_run_no_tool() {
    let [tool] = &tools()[..] else { panic!() };
    for arguments in
        [json!("I should first ask the user."), json!(["a"]), json!(7), json!("[\"a\"]"), json!(true)]
    {
        let error = tool.call(&arguments).await.unwrap_err().to_string();
        assert!(error.contains("expected an object with the arguments"), "{arguments}: {error}");
    }
    assert_eq!(tool.call(&json!("{\"path\": \"a\", \"lines\": 2,}")).await.unwrap(), "a 2");
    assert_eq!(tool.call(&json!({"path": "b"})).await.unwrap(), "b 0");
}
