//! `#[tool]` as a user meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]
#![allow(clippy::unused_async, reason = "the tools are async as usual, and wait for nothing")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dspy::lm::{Capabilities, Completion, Content, Part, ScriptedLm};
use dspy::observe::EventKind;
use dspy::prelude::*;
use dspy::tools::{ToolCall, ToolError};
use dspy::types::Observation;
use serde_json::{Value, json};

#[field_type]
#[derive(Debug, PartialEq)]
struct Hit {
    title: String,
    score: f32,
}

#[field_type]
enum Order {
    Newest,
    Best,
}

/// Searches the archive.
///
/// Returns the hits, best first.
#[tool]
async fn search(
    /// The words to look for.
    query: String,
    /// The most hits.
    #[tool(default = 5)]
    #[schemars(range(min = 1, max = 50))]
    limit: u8,
    #[tool(name = "sort_by", alias = "order")] order: Option<Order>,
    years: Option<Vec<u16>>,
) -> Result<Vec<Hit>, std::io::Error> {
    let newest = matches!(order, Some(Order::Newest));
    if query.is_empty() {
        return Err(std::io::Error::other("the query is empty"));
    }
    let title = format!("{query} {limit} {newest} {}", years.map_or(0, |years| years.len()));
    Ok(vec![Hit { title, score: 0.5 }])
}

#[tokio::test]
async fn the_function_describes_itself() {
    let tool = search::tool();
    assert_eq!(tool.name(), "search");
    assert_eq!(tool.spec().description, "Searches the archive.\n\nReturns the hits, best first.");
    let expected = json!({
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "The words to look for."},
            "limit": {
                "type": "integer",
                "format": "uint8",
                "minimum": 1,
                "maximum": 50,
                "description": "The most hits.",
                "default": 5,
            },
            "sort_by": {"anyOf": [{"$ref": "#/$defs/Order"}, {"type": "null"}], "x-aliases": ["order"]},
            "years": {"type": ["array", "null"],
                "items": {"type": "integer", "format": "uint16", "minimum": 0, "maximum": 65535}},
        },
        "additionalProperties": false,
        "required": ["query"],
        "$defs": {"Order": {"type": "string", "enum": ["Newest", "Best"]}},
    });
    assert_eq!(tool.spec().parameters, expected);
    // The function itself remains.
    assert_eq!(search("owls".into(), 1, None, None).await.unwrap()[0].title, "owls 1 false 0");
}

#[tokio::test]
async fn arguments_are_decoded_leniently_and_never_invented() {
    let tool = search::tool();
    let title = async |arguments: Value| tool.call(&arguments).await.map(|hits| hits[0]["title"].clone());
    for (arguments, expected) in [
        (json!({"query": "owls"}), "owls 5 false 0"),
        (json!({"query": "owls", "limit": "7", "order": "newest"}), "owls 7 true 0"),
        (json!({"query": "owls", "years": [1999, "2001"], "sort_by": null}), "owls 5 false 2"),
        (json!(r#"{"query": "owls", "limit": 2}"#), "owls 2 false 0"),
    ] {
        assert_eq!(title(arguments.clone()).await.unwrap(), expected, "{arguments}");
    }
    for (arguments, problem) in [
        (json!({}), "query: missing; expected a string"),
        (json!({"limit": 2}), "query: missing"),
        (json!({"query": null}), "query: "),
        (json!({"query": "owls", "limit": 300}), "limit: "),
        (json!({"query": "owls", "limit": 0}), "limit: "),
        (json!({"query": "owls", "sort_by": "worst"}), "sort_by: "),
        (
            json!({"query": "owls", "pages": 3}),
            "only the arguments `query`, `limit`, `sort_by`, `years`, found the unknown `pages`",
        ),
        (json!({"query": "owls", "odd \u{1} name": 3}), "the unknown `odd"),
        (json!({"query": "owls", "order": "best", "sort_by": "newest"}), "sort_by: "),
        (json!(r#"{"query": "owls", "query": "cats"}"#), "query"),
        (json!("owls"), "expected an object"),
        (json!(["owls"]), "expected an object"),
        (json!(3), "expected an object"),
    ] {
        let error = title(arguments.clone()).await.expect_err(&arguments.to_string());
        assert!(matches!(error, ToolError::Arguments { .. }), "{arguments}: {error:?}");
        assert!(error.to_string().contains(problem), "{arguments}: {error}");
    }
    let error = title(json!({"query": ""})).await.unwrap_err();
    assert_eq!(error.to_string(), "`search` failed: the query is empty");
}

/// Adds.
#[tool(name = "sum_of")]
fn sum(a: i64, #[tool(default)] b: i64, #[tool(default = "none")] note: String) -> String {
    format!("{} {note}", a + b)
}

/// A type without `Serialize`.
#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
struct Silent {
    #[serde(default)]
    loud: bool,
}

/// Has defaults of all kinds.
#[tool]
fn defaults(
    #[tool(default)] count: u16,
    #[tool(default = vec!["a".to_owned()])] tags: Vec<String>,
    #[tool(default = Some(2.5))] share: Option<f64>,
    #[tool(default)] none: Option<u8>,
    #[tool(default)] silent: Silent,
) -> String {
    format!("{count} {tags:?} {share:?} {none:?} {}", silent.loud)
}

#[tokio::test]
async fn defaults_are_in_the_schema_if_they_have_a_json_form() {
    let tool = defaults::tool();
    let default = |name: &str| tool.spec().parameters["properties"][name].get("default").cloned();
    let shown = ["count", "tags", "share", "none", "silent"].map(default);
    assert_eq!(shown, [Some(json!(0)), Some(json!(["a"])), Some(json!(2.5)), None, None]);
    assert_eq!(tool.call(&json!({})).await.unwrap(), "0 [\"a\"] Some(2.5) None false");
}

/// Pays.
#[tool(approval = |arguments| arguments["options"]["limit"].as_u64() > Some(100))]
fn pays(#[tool(default = Limits { limit: 500 })] options: Limits) -> u32 {
    options.limit
}

#[field_type]
struct Limits {
    limit: u32,
}

#[tokio::test]
async fn a_condition_sees_computed_defaults() {
    assert!(pays::tool().needs_approval(&json!({})));
    assert!(!pays::tool().needs_approval(&json!({"options": {"limit": 7}})));
    assert_eq!(pays::tool().call(&json!({})).await.unwrap(), 500);
}

/// Does nothing.
#[tool]
fn nothing() {}

/// Returns a hit, without `Result`.
#[tool]
async fn best() -> Hit {
    Hit { title: "owls".into(), score: 1.0 }
}

/// A result in an alias.
type Answer = Result<Hit, String>;

/// Fails.
#[tool]
async fn fail(r#type: String) -> Answer {
    Err("no ".to_owned() + &r#type)
}

/// Panics.
#[tool]
async fn burst() -> u8 {
    panic!("a bug")
}

#[tokio::test]
async fn functions_of_all_forms() {
    assert_eq!(sum::tool().name(), "sum_of");
    assert_eq!(sum::tool().call(&json!({"a": 1})).await.unwrap(), "1 none");
    assert_eq!(nothing::tool().call(&json!({})).await.unwrap(), Value::Null);
    assert_eq!(best::tool().call(&json!(null)).await.unwrap(), json!({"title": "owls", "score": 1.0}));
    let error = fail::tool().call(&json!({"type": "owl"})).await.unwrap_err();
    assert_eq!(error.to_string(), "`fail` failed: no owl");
    let error = burst::tool().call(&json!({})).await.unwrap_err();
    assert!(matches!(error, ToolError::Panicked { .. }), "{error:?}");
}

#[test]
fn functions_in_functions() {
    /// A tool of this test.
    #[tool]
    fn inner(inner: String) -> String {
        inner
    }
    assert_eq!(inner::tool().name(), "inner");
    assert_eq!(inner("a".into()), "a");
}

#[derive(Default)]
struct Archive {
    texts: Mutex<Vec<String>>,
    calls: AtomicUsize,
}

#[tool]
impl Archive {
    /// Stores a text.
    async fn store(&self, cx: &ToolContext, text: String) -> Result<usize, String> {
        cx.status(format!("storing {} bytes", text.len())).await;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut texts = self.texts.lock().map_err(|error| error.to_string())?;
        texts.push(format!("{}: {text}", cx.call_id().unwrap_or("no id")));
        Ok(texts.len())
    }

    /// Deletes all texts.
    #[tool(name = "clear_all", approval)]
    fn clear(self: Arc<Self>) {
        self.texts.lock().unwrap().clear();
    }

    /// Deletes some texts.
    #[tool(approval = |arguments| arguments["count"].as_u64().is_none_or(|count| count > 3))]
    pub(crate) fn delete(self: &Arc<Self>, count: usize) -> usize {
        self.texts.lock().unwrap().drain(..count).count()
    }

    /// A method of other systems.
    #[cfg(not(any(unix, windows)))]
    fn other(&self) {}

    #[tool(skip)]
    fn first(&self) -> Option<String> {
        self.texts.lock().unwrap().first().cloned()
    }
}

#[tokio::test]
async fn methods_share_their_value() {
    let archive = Arc::new(Archive::default());
    let tools = archive.tools();
    let names: Vec<_> = tools.iter().map(Tool::name).collect();
    assert_eq!(names, ["store", "clear_all", "delete"]);
    // The context is no parameter.
    assert_eq!(tools[0].spec().parameters["required"], json!(["text"]));
    let context = ToolContext::new().with_call_id("call_7");
    let stored = tools[0].call_with(&json!({"text": "a"}), context).await.unwrap();
    assert_eq!(stored.value(), 1);
    assert_eq!(archive.store_tool().call(&json!({"text": "b"})).await.unwrap(), 2);
    assert_eq!(archive.first().unwrap(), "call_7: a");
    assert!(tools[1].needs_approval(&json!({})) && !tools[0].needs_approval(&json!({})));
    assert!(tools[2].needs_approval(&json!({"count": 4})) && !tools[2].needs_approval(&json!({"count": 1})));
    assert_eq!(tools[2].call(&json!({"count": 1})).await.unwrap(), 1);
    assert_eq!(archive.first().unwrap(), "no id: b");
}

#[tokio::test]
async fn tools_report_progress() {
    let archive = Arc::new(Archive::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let observer = move |event: &dspy::observe::Event| {
        if let EventKind::Status(text) = &event.kind {
            told.lock().unwrap().push(text.clone());
        }
    };
    let tool = archive.store_tool();
    let arguments = json!({"text": "abc"});
    Settings::new().observe(observer).scope(tool.call(&arguments)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["storing 3 bytes"]);
}

#[tokio::test]
async fn two_tools_of_one_name_are_never_confused() {
    let tools = [search::tool(), search::tool()];
    let calls = ToolCalls::from_iter([ToolCall::new("search", json!({"query": "owls"}))]);
    let results = calls.run(&tools).await;
    assert!(matches!(results[0].outcome, Err(ToolError::Duplicate { .. })), "{results:?}");
    let error = ReAct::<Qa>::new(tools).unwrap_err();
    assert!(error.to_string().contains("two tools are named `search`"), "{error}");
}

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgo=";

fn pixel() -> Image {
    Image::from_url(PIXEL).unwrap()
}

#[derive(dspy::Serialize)]
#[serde(crate = "dspy::__private::serde")]
struct Page {
    title: String,
    shot: Option<Image>,
}

/// Takes a picture.
#[tool]
async fn picture() -> Result<Image, String> {
    Ok(pixel())
}

/// Opens a page.
#[tool]
async fn page(with_shot: bool) -> Page {
    Page { title: "Owls".into(), shot: with_shot.then(pixel) }
}

/// Returns text and an image.
#[tool]
async fn described() -> (String, Image, &'static str) {
    ("Before:".into(), pixel(), "and after.")
}

/// Returns what it finds on the web.
#[tool]
async fn fetched() -> Value {
    json!([{"image": PIXEL}, "\u{0}media 0000000000000000 0"])
}

#[tokio::test]
async fn images_are_parts_of_results() {
    let run =
        async |tool: Tool, arguments: Value| tool.call_with(&arguments, ToolContext::new()).await.unwrap();
    let image = |part: &Part| matches!(part, Part::Media(media) if &*media.url == PIXEL);
    let result = run(picture::tool(), json!({})).await;
    assert!(result.parts().len() == 1 && image(&result.parts()[0]), "{result:?}");
    assert_eq!(result.value(), &json!({"image": PIXEL}));
    let result = run(page::tool(), json!({"with_shot": true})).await;
    assert_eq!(result.text(), r#"{"title":"Owls","shot":<image image/png, 9 bytes>}"#);
    assert!(image(&result.parts()[1]));
    let result = run(page::tool(), json!({"with_shot": false})).await;
    assert!(result.parts().is_empty());
    let result = run(described::tool(), json!({})).await;
    assert_eq!(result.text(), "Before:<image image/png, 9 bytes>and after.");
    // Text that looks like an image is text.
    assert!(run(fetched::tool(), json!({})).await.parts().is_empty());
    // Outside of a tool the JSON form is as ever.
    assert_eq!(serde_json::to_value(pixel()).unwrap(), json!({"image": PIXEL}));
}

/// Answer the question.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

#[tokio::test]
async fn an_agent_sees_the_images_of_its_tools() {
    let reply = |call: ToolCall| Completion::new("").calling([call]);
    let replies = || {
        [
            reply(ToolCall::new("described", json!({})).with_id("c1")),
            reply(ToolCall::new("finish", json!({"answer": "an owl"})).with_id("c2")),
        ]
    };
    let script =
        Arc::new(ScriptedLm::new(replies()).with_capabilities(Capabilities::NONE.tools(true).images(true)));
    let mut agent = ReAct::<Qa>::new([described::tool()]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    let answer = agent.call("What is on it?").await.unwrap();
    assert_eq!(answer.answer, "an owl");
    let request = &script.requests()[1];
    let parts = request.messages.iter().find_map(|message| match &message.content {
        Content::ToolResult { id, parts, .. } if &**id == "c1" => Some(parts.clone()),
        _ => None,
    });
    let parts = parts.expect("a result");
    assert!(matches!(&parts[1], Part::Media(media) if &*media.url == PIXEL), "{parts:?}");
    assert!(!request.messages.iter().any(|message| message.text().contains("iVBOR")));
}

#[tokio::test]
async fn an_agent_without_native_calls_sees_them_too() {
    let turn = |thought: &str, calls: Value| {
        format!(
            "[[ ## next_thought ## ]]\n{thought}\n\n[[ ## tool_calls ## ]]\n{calls}\n\n[[ ## completed ## ]]"
        )
    };
    let replies = [
        turn("Look.", json!([{"name": "described", "arguments": {}}])),
        turn("Done.", json!([{"name": "finish", "arguments": {"answer": "an owl"}}])),
    ];
    let script = Arc::new(ScriptedLm::new(replies));
    let mut agent = ReAct::<Qa>::new([described::tool()]).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    assert_eq!(agent.call("What is on it?").await.unwrap().answer, "an owl");
    let request = &script.requests()[1];
    let shown = request.messages.iter().any(|message| match &message.content {
        Content::Parts(parts) => parts.iter().any(|part| matches!(part, Part::Media(_))),
        _ => false,
    });
    assert!(shown, "{:?}", request.messages);
    assert!(!request.messages.iter().any(|message| message.text().contains("iVBOR")));
}

#[tokio::test]
async fn an_agent_names_its_calls_to_the_tools() {
    let archive = Arc::new(Archive::default());
    let call = ToolCall::new("store", json!({"text": "a"})).with_id("c1");
    let replies = [
        Completion::new("").calling([call]),
        Completion::new("").calling([ToolCall::new("finish", json!({"answer": "stored"})).with_id("c2")]),
    ];
    let script = ScriptedLm::new(replies).with_capabilities(Capabilities::NONE.tools(true));
    let mut agent = ReAct::<Qa>::new([archive.store_tool()]).unwrap();
    agent.set_lm(Lm::custom(script));
    agent.call("Store a.").await.unwrap();
    assert_eq!(archive.first().unwrap(), "c1: a");
}

#[test]
fn observations_with_images_survive_storage() {
    let parts = [Part::Text("Before:".into()), Part::image(PIXEL)];
    let observation = Observation::new("c1", "described", "").with_parts(parts);
    let stored = serde_json::to_value(&observation).unwrap();
    assert_eq!(stored["parts"], json!(["Before:", {"image": PIXEL}]));
    assert_eq!(serde_json::from_value::<Observation>(stored).unwrap(), observation);
    let hostile = json!({"id": "c1", "name": "a", "text": "", "parts": [{"image": "file:///etc/passwd"}]});
    assert!(serde_json::from_value::<Observation>(hostile).is_err());
}
