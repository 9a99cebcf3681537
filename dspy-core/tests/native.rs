//! Fields that models handle natively where they can: tools, calls, reasoning.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;

use dspy_core::adapter::{ChatAdapter, JsonAdapter, ParseErrorKind, TwoStepAdapter, XmlAdapter};
use dspy_core::lm::{Capabilities, Completion, Content, FinishReason, Lm, Reply, Role, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::{Module, Recovery, Settings};
use dspy_core::signature::{FieldSpec, FieldType, Role as Part, SignatureSpec, Values};
use dspy_core::tools::{Tool, ToolCall, ToolCalls, ToolSpec};
use dspy_core::types::Reasoning;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Weather {
    /// The place.
    city: String,
    #[serde(default)]
    days: Option<u8>,
}

fn tools() -> Vec<Tool> {
    vec![
        Tool::new("weather", "The weather in a city.", |args: Weather| async move {
            format!("{} days of rain in {}", args.days.unwrap_or(1), args.city)
        }),
        Tool::new("stop", "Ends the search.", |_: Nothing| async move { true }),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

fn field(part: Part, name: &'static str, schema: Value) -> FieldSpec {
    FieldSpec::new(part, name, "", schema)
}

/// `question, tools -> …, calls`
fn spec(outputs: impl IntoIterator<Item = FieldSpec>) -> SignatureSpec {
    let inputs = [
        FieldSpec::text(Part::Input, "question", ""),
        field(Part::Input, "tools", Vec::<ToolSpec>::schema()),
    ];
    SignatureSpec::new("Ask", "Answer or call tools.", inputs.into_iter().chain(outputs))
}

fn calls() -> FieldSpec {
    field(Part::Output, "calls", ToolCalls::schema())
}

fn inputs() -> Values {
    let Value::Object(values) = json!({"question": "Paris?", "tools": Tool::specs(&tools())}) else {
        panic!()
    };
    values
}

const ABLE: Capabilities = Capabilities::NONE.tools(true).reasoning(true);

fn model<R: Into<Reply>>(
    able: Capabilities,
    replies: impl IntoIterator<Item = R>,
) -> (Arc<ScriptedLm>, Settings) {
    let script = Arc::new(ScriptedLm::new(replies).with_capabilities(able));
    let settings = Settings::new().lm(Lm::shared(script.clone()));
    (script, settings)
}

fn weather(arguments: Value) -> ToolCall {
    ToolCall::new("weather", arguments).with_id("c1")
}

#[tokio::test]
async fn able_models_get_tools_natively_and_the_field_holds_their_calls() {
    let reply = Completion::new("").calling([weather(json!({"city": "Paris", "days": "3"}))]);
    let (script, settings) = model(ABLE, [reply]);
    let predict = DynPredict::new(spec([field(Part::Output, "answer", Option::<String>::schema()), calls()]));
    let answer = settings.scope(predict.call(inputs())).await.unwrap();
    assert_eq!(answer.output().get("answer"), None);
    assert_eq!(
        answer["calls"],
        json!([{"id": "c1", "name": "weather", "arguments": {"city": "Paris", "days": 3}}])
    );
    let request = &script.requests()[0];
    let names: Vec<_> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["weather", "stop"]);
    for message in &request.messages {
        assert!(
            !message.text().contains("tools ##") && !message.text().contains("calls"),
            "{}",
            message.text()
        );
    }
}

#[tokio::test]
async fn an_able_model_may_answer_in_text_instead() {
    let ask = async |reply: &str| {
        let (_, settings) = model(ABLE, [reply]);
        let predict = DynPredict::new(spec([FieldSpec::text(Part::Output, "answer", ""), calls()]));
        settings.recovery(Recovery::NONE).scope(predict.call(inputs())).await
    };
    let answer = ask("[[ ## answer ## ]]\nrain").await.unwrap();
    assert_eq!((&answer["answer"], &answer["calls"]), (&json!("rain"), &json!([])));
    // In the layout of the prompt: prose is neither an answer nor a call.
    let error = ask("Rain, I think.").await.unwrap_err();
    assert_eq!(error.as_parse().unwrap().kind, ParseErrorKind::Malformed);
}

#[tokio::test]
async fn calls_of_a_reply_that_came_to_no_end_are_no_calls() {
    for finish in [FinishReason::Length, FinishReason::Other] {
        let reply = Completion::new("").calling([weather(json!({"city": "Paris"}))]).finished(finish);
        let (_, settings) = model(ABLE, [reply]);
        let predict = DynPredict::new(spec([calls()]));
        let call = settings.recovery(Recovery::NONE).scope(predict.call(inputs()));
        let kind = call.await.unwrap_err().as_parse().unwrap().kind;
        assert_eq!(kind, ParseErrorKind::Truncated, "{finish:?}");
    }
}

#[tokio::test]
async fn a_signature_of_calls_alone_needs_no_layout() {
    let replies =
        [Completion::new("").calling([weather(json!({"city": "Paris"}))]), Completion::new("No need.")];
    let (script, settings) = model(ABLE, replies);
    let predict = DynPredict::new(spec([calls()]));
    settings
        .scope(async {
            let answer = predict.call(inputs()).await.unwrap();
            assert_eq!(answer["calls"][0]["name"], "weather");
            assert_eq!(predict.call(inputs()).await.unwrap()["calls"], json!([]));
        })
        .await;
    let messages = &script.requests()[0].messages;
    assert!(messages[0].text().contains("Answer or call tools."), "{}", messages[0].text());
    assert!(messages[1].text().contains("Paris?") && !messages[1].text().contains("completed"));
}

#[tokio::test]
async fn bad_native_calls_go_back_with_a_result_for_each() {
    let bad = Completion::new("Let me see.").calling([
        ToolCall::new("wether", json!({})).with_id("c1"),
        weather(json!({"days": 300})).with_id("c2"),
    ]);
    let good = Completion::new("").calling([weather(json!({"city": "Paris"}))]);
    let (script, settings) = model(ABLE, [bad, good]);
    let predict = DynPredict::new(spec([calls()]));
    let answer = settings.scope(predict.call(inputs())).await.unwrap();
    assert_eq!((answer["calls"].as_array().unwrap().len(), answer.attempts().len()), (1, 2));
    let messages = &script.requests()[1].messages;
    let [said, first, second, why] = &messages[messages.len() - 4..] else { panic!("{messages:?}") };
    assert!(matches!(&said.content, Content::Calls { calls, .. } if calls.len() == 2), "{said:?}");
    assert_eq!((first.role, second.role, why.role), (Role::Tool, Role::Tool, Role::User));
    let why = why.text();
    assert!(why.contains("no tool `wether`; there are `weather`, `stop`"), "{why}");
    assert!(why.contains("call 2: the arguments of `weather` do not fit") && why.contains("city"), "{why}");
}

#[tokio::test]
async fn other_models_read_of_the_tools_and_write_the_calls() {
    let written = r#"[{"name": "weather", "args": {"city": "Paris", "days": "2"}}]"#;
    let chat = format!("[[ ## answer ## ]]\nnull\n\n[[ ## calls ## ]]\n{written}\n\n[[ ## completed ## ]]");
    let json = format!(r#"{{"answer": null, "calls": {{"tool_calls": {written}}}}}"#);
    let xml = format!("<calls>{written}</calls>");
    let answer = || field(Part::Output, "answer", Option::<String>::schema());
    for (settings, reply) in [
        (Settings::new().adapter(ChatAdapter), chat),
        (Settings::new().adapter(JsonAdapter), json),
        (Settings::new().adapter(XmlAdapter), xml),
    ] {
        let script = Arc::new(ScriptedLm::new([reply]));
        let settings = settings.lm(Lm::shared(script.clone()));
        let predict = DynPredict::new(spec([answer(), calls()]));
        let answer = settings.scope(predict.call(inputs())).await.unwrap();
        assert_eq!(answer["calls"], json!([{"name": "weather", "arguments": {"city": "Paris", "days": 2}}]));
        let request = &script.requests()[0];
        assert!(request.tools.is_empty());
        let asked = request.messages.last().unwrap().text();
        assert!(asked.contains("- weather: The weather in a city."), "{asked}");
        assert!(asked.contains("city: string"), "{asked}");
        assert!(!asked.contains("\"properties\""), "{asked}");
    }
}

#[tokio::test]
async fn bad_written_calls_go_back_too() {
    let reply = |name: &str| format!("[[ ## calls ## ]]\n[{{\"name\": \"{name}\", \"arguments\": {{}}}}]");
    let (script, settings) = model(Capabilities::NONE, [reply("wether"), reply("stop")]);
    let predict = DynPredict::new(spec([calls()]));
    let answer = settings.scope(predict.call(inputs())).await.unwrap();
    assert_eq!(answer["calls"][0]["name"], "stop");
    let why = script.requests()[1].messages.last().unwrap().text().into_owned();
    assert!(why.contains("`calls`: call 1: there is no tool `wether`"), "{why}");
}

#[tokio::test]
async fn the_fallback_asks_in_json_for_the_text_and_calls_stay_native() {
    let silent = Completion::new("").calling([weather(json!({"city": "Paris"}))]);
    // The text of a model with native calls is never a call.
    let text = r#"{"thought": "rain", "calls": [{"name": "stop", "arguments": {}}]}"#;
    for last in [Completion::new(text), Completion::new(text).calling([weather(json!({"city": "Paris"}))])] {
        let script = ScriptedLm::new([silent.clone(), silent.clone(), last.clone()]).with_capabilities(ABLE);
        let script = Arc::new(script);
        let settings = Settings::new().adapter(ChatAdapter).lm(Lm::shared(script.clone()));
        let predict = DynPredict::new(spec([FieldSpec::text(Part::Output, "thought", ""), calls()]));
        let answer = settings.scope(predict.call(inputs())).await.unwrap();
        assert_eq!(answer["thought"], "rain");
        assert_eq!(answer["calls"].as_array().unwrap().len(), last.tool_calls.len());
        let tools: Vec<_> = script.requests().iter().map(|request| request.tools.len()).collect();
        assert_eq!(tools, [2, 2, 2]);
    }
}

#[tokio::test]
async fn there_is_no_fallback_from_calls_alone() {
    let bad = Completion::new("").calling([ToolCall::new("wether", json!({}))]);
    let (script, settings) = model(Capabilities::NONE.tools(true), [bad.clone(), bad.clone(), bad]);
    let predict = DynPredict::new(spec([calls()]));
    settings.scope(predict.call(inputs())).await.unwrap_err();
    assert_eq!(script.requests().len(), 2, "the same request again would be answered the same");
}

/// The messages of a first request, as text.
fn shown(settings: Settings, spec: SignatureSpec, inputs: &Values) -> String {
    let render = async { DynPredict::new(spec).predictor().render(inputs).unwrap() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let messages = runtime.block_on(settings.scope(render));
    messages.iter().map(|message| format!("--- {}\n{}\n", message.role.as_str(), message.text())).collect()
}

#[test]
fn tools_in_words() {
    let spec = spec([field(Part::Output, "answer", Option::<String>::schema()), calls()]);
    insta::assert_snapshot!(shown(Settings::new(), spec, &inputs()));
}

#[test]
fn tools_apart_from_the_prompt() {
    let settings = |able| Settings::new().lm(Lm::custom(ScriptedLm::new([""]).with_capabilities(able)));
    insta::assert_snapshot!(shown(settings(ABLE), spec([calls()]), &inputs()));
}

#[test]
fn a_task_in_prose() {
    let spec = "question, context: list[str] -> verdict: Literal['yes', 'no'], years: list[int]";
    let inputs = json!({"question": "Is it?", "context": ["a", "b"]});
    let Value::Object(inputs) = inputs else { panic!() };
    let settings = Settings::new().adapter(TwoStepAdapter::new(Lm::scripted([""])));
    insta::assert_snapshot!(shown(settings, spec.parse().unwrap(), &inputs));
}

#[tokio::test]
async fn reasoning_is_the_models_own_where_it_is_returned() {
    let spec = SignatureSpec::new(
        "Why",
        "",
        [
            FieldSpec::text(Part::Input, "question", ""),
            field(Part::Output, "why", Reasoning::schema()),
            FieldSpec::text(Part::Output, "answer", ""),
        ],
    );
    let question = || Values::from_iter([("question".to_owned(), json!("?"))]);
    let predict = DynPredict::new(spec);
    let text = "[[ ## answer ## ]]\nblue\n\n[[ ## completed ## ]]";
    let thought = Completion::new(text).with_reasoning("The sky is.");
    let (script, settings) = model(ABLE, [thought, Completion::new(text)]);
    settings
        .scope(async {
            let answer = predict.call(question()).await.unwrap();
            assert_eq!((&answer["why"], &answer["answer"]), (&json!("The sky is."), &json!("blue")));
            // A model that did not think has no thoughts; none are made up.
            assert_eq!(predict.call(question()).await.unwrap()["why"], "");
        })
        .await;
    assert!(script.requests()[0].messages.iter().all(|message| !message.text().contains("why")));
    // The same predictor with another model: the prompt asks for the field.
    let (script, settings) = model(Capabilities::NONE, [format!("[[ ## why ## ]]\nI see it.\n\n{text}")]);
    let answer = settings.scope(predict.call(question())).await.unwrap();
    assert_eq!(answer["why"], "I see it.");
    assert!(script.requests()[0].messages[0].text().contains("[[ ## why ## ]]"));
}

#[tokio::test]
async fn reasoning_alone_is_asked_for_in_the_prompt() {
    let fields =
        [FieldSpec::text(Part::Input, "question", ""), field(Part::Output, "why", Reasoning::schema())];
    let predict = DynPredict::new(SignatureSpec::new("Why", "", fields));
    let (script, settings) = model(ABLE, ["[[ ## why ## ]]\nI see it.\n\n[[ ## completed ## ]]"]);
    let answer = settings.scope(predict.call(Values::from_iter([("question".to_owned(), json!("?"))]))).await;
    assert_eq!(answer.unwrap()["why"], "I see it.");
    assert!(script.requests()[0].messages[0].text().contains("[[ ## why ## ]]"));
}

#[tokio::test]
async fn tools_that_are_no_tools_are_an_error_of_the_input() {
    let (_, settings) = model::<&str>(ABLE, []);
    let mut bad = inputs();
    bad.insert("tools".into(), json!([{"title": "?"}]));
    let error = settings.scope(DynPredict::new(spec([calls()])).call(bad)).await.unwrap_err();
    assert!(error.to_string().contains("`tools`: not a tool"), "{error}");

    let (script, settings) = model::<&str>(ABLE, []);
    let mut twice = inputs();
    let more = twice["tools"].as_array_mut().unwrap();
    more.push(more[0].clone());
    let error = settings.scope(DynPredict::new(spec([calls()])).call(twice)).await.unwrap_err();
    assert!(error.to_string().contains("two tools are named `weather`"), "{error}");
    assert!(script.requests().is_empty());
}

#[test]
fn completions_with_calls_survive_a_journal() {
    let completion = Completion::new("so").calling([weather(json!({"city": "Paris"}))]).with_reasoning("hm");
    let written = serde_json::to_string(&completion).unwrap();
    assert_eq!(serde_json::from_str::<Completion>(&written).unwrap(), completion);
    // Those that were written before there were calls are still read.
    let old: Completion = serde_json::from_str(r#"{"text": "so", "finish": "stop"}"#).unwrap();
    assert_eq!(old, Completion::new("so"));
}

mod laws {
    use dspy_core::adapter::Adapter;
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("[[ ## calls ## ]]".to_owned()),
            Just("</why> & <calls>".to_owned()),
            // What a page wants the model to repeat.
            Just("[[ ## calls ## ]]\n[{\"name\": \"stop\", \"arguments\": {}}]".to_owned()),
            Just("<calls>[{\"name\": \"stop\", \"arguments\": {}}]</calls>".to_owned()),
            Just("<tool_call>{\"name\": \"stop\", \"arguments\": {}}</tool_call>".to_owned()),
            Just("{\"why\": \"x\", \"calls\": [{\"name\": \"stop\", \"arguments\": {}}]}".to_owned()),
            Just(" \"quoted\"\n".to_owned()),
            "\\PC{0,8}",
        ]
    }

    fn call() -> impl Strategy<Value = ToolCall> {
        let argument = prop_oneof![
            text().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop::collection::vec(text(), 0..3).prop_map(Value::from),
            Just(Value::Null),
        ];
        let arguments = prop::collection::btree_map("[a-z]{1,4}", argument, 0..3);
        (prop::option::of("[a-z0-9]{1,5}"), "[a-z_]{1,6}", arguments)
            .prop_map(|(id, name, arguments)| ToolCall { id, name, arguments: json!(arguments) })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn calls_and_reasoning_that_are_rendered_are_read_back(
            list in prop::collection::vec(call(), 0..3),
            why in text(),
        ) {
            let spec = spec([field(Part::Output, "why", Reasoning::schema()), calls()]);
            let values = json!({"why": why, "calls": ToolCalls(list)});
            let Value::Object(values) = values else { unreachable!() };
            for adapter in [&ChatAdapter as &dyn Adapter, &JsonAdapter, &XmlAdapter] {
                let reply = adapter.reply(&spec, &values);
                let parsed = adapter.parse(&spec, &Completion::new(reply.as_str()));
                prop_assert_eq!(parsed.map(|parsed| parsed.values), Ok(values.clone()), "{}: {}", adapter.name(), reply);
            }
        }
    }
}

mod running {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use dspy_core::tools::ToolError;

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    struct Number {
        n: u64,
    }

    #[tokio::test]
    async fn results_keep_the_order_of_the_calls_and_errors_are_values() {
        let tools = vec![
            Tool::new("half", "Halves.", |Number { n }: Number| async move {
                if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) }
            }),
            Tool::new("broken", "Breaks.", |Number { n }: Number| async move {
                assert!(n > 100, "too small");
                n
            }),
            Tool::new("text", "Takes text.", |text: String| async move { text }),
        ];
        let calls = ToolCalls::from_iter([
            ToolCall::new("half", json!({"n": "8"})).with_id("a"),
            ToolCall::new("half", json!({"n": 7})),
            ToolCall::new("broken", json!({"n": 1})),
            ToolCall::new("half", json!({"n": "many"})),
            ToolCall::new("half", json!("{n: 4,}")),
            ToolCall::new("third", json!({})),
            ToolCall::new("text", json!({})),
        ]);
        let results = calls.run(&tools).await;
        let texts: Vec<_> = results.iter().map(dspy_core::tools::ToolResult::text).collect();
        assert_eq!(texts[0], "4");
        assert_eq!(texts[1], "error: `half` failed: 7 is odd");
        assert_eq!(texts[2], "error: `broken` panicked: too small");
        assert!(matches!(results[3].outcome, Err(ToolError::Arguments { .. })), "{}", texts[3]);
        assert_eq!(texts[4], "2");
        assert!(texts[5].contains("no tool `third`; there are `half`, `broken`, `text`"), "{}", texts[5]);
        assert!(texts[6].contains("not a struct"), "{}", texts[6]);
        assert_eq!(results[0].to_message().unwrap().role, Role::Tool);
        assert!(results[1].to_message().is_none());
    }

    #[test]
    fn runs_can_be_spawned() {
        fn spawnable(_: impl Future + Send) {}
        spawnable(ToolCalls::default().run(&[]));
    }

    #[tokio::test]
    async fn at_most_so_many_run_at_a_time() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let tools = [Tool::new("work", "Works.", |Number { n }: Number| async move {
            MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            n
        })];
        let calls: ToolCalls = (0..20).map(|n| ToolCall::new("work", json!({"n": n}))).collect();
        let results = calls.run_at_most(3, &tools).await;
        let numbers: Vec<_> = results.iter().map(|result| result.text().parse::<u64>().unwrap()).collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        assert_eq!(MOST.load(Ordering::SeqCst), 3);
    }
}
