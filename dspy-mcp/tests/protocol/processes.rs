//! Clients and server processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::common::{Calls, client};
use dspy::prelude::*;
use dspy_core::lm::{Content, MediaKind, Part, ScriptedLm};
use dspy_core::tools::{Json, Tool, ToolCall, ToolCalls, ToolContext, ToolError};
use dspy_core::types::{Audio, File, Image};
use dspy_mcp::{McpClient, McpError, McpServer};
use serde_json::json;
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Pair {
    /// The first number.
    a: i64,
    b: i64,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
pub(super) struct Nothing {}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Size {
    bytes: usize,
}

sig!(Shout: "text -> shouted");

pub(super) fn chart() -> Image {
    Image::from_bytes(b"\x89PNG", "image/png").unwrap()
}

#[derive(serde::Serialize)]
struct Chart {
    title: &'static str,
    image: Image,
}

/// Serves tools by this crate.
pub(super) fn serve() {
    block_on(dspy_mcp::serve_stdio(tools())).unwrap();
    std::process::exit(0);
}

pub(super) fn block_on<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    dspy::configure(Lm::scripted(["[[ ## shouted ## ]]\nHEY\n\n[[ ## completed ## ]]"]));
    runtime.block_on(work)
}

pub(super) fn tools() -> Vec<Tool> {
    let counter = Arc::new(AtomicUsize::new(0));
    vec![
        Tool::new("add", "Adds two numbers.", |Pair { a, b }: Pair| async move { a + b }),
        Tool::new("pair", "Returns an object.", |Pair { a, b }: Pair| async move { json!({"a": a, "b": b}) }),
        Tool::new("fail", "Fails.", |_: Nothing| async { Err::<(), _>("no disk in drive a") }),
        Tool::new("panic", "Panics.", |Size { bytes }: Size| async move { assert_eq!(bytes, 0, "a bug") }),
        Tool::new("slow", "Waits.", |_: Nothing| async { tokio::time::sleep(Duration::from_secs(30)).await }),
        Tool::new("large", "Returns much.", |Size { bytes }: Size| async move { "x".repeat(bytes) }),
        Tool::new("count", "Counts its calls.", move |_: Nothing| {
            let counter = counter.clone();
            async move { counter.fetch_add(1, Ordering::SeqCst) + 1 }
        }),
        Tool::new("pay", "Pays.", |_: Nothing| async { "paid" }).with_approval(),
        Tool::of_program("shout", "Shouts.", Predict::<Shout>::new()),
        Tool::new("chart", "Draws.", |_: Nothing| async { chart() }),
        Tool::new("page", "Shows a page.", |_: Nothing| async {
            let voice = Audio::from_bytes(b"RIFF", "audio/wav").unwrap();
            let report = File::from_bytes(b"%PDF", "application/pdf").unwrap().with_name("rain.pdf");
            Json((("Rainfall", chart()), json!({"mm": 12}), voice, report))
        }),
    ]
}

fn good() -> (McpClient, Calls) {
    let calls = Calls::new("good");
    (client("good", &calls), calls)
}

fn names(tools: &[Tool]) -> Vec<&str> {
    tools.iter().map(Tool::name).collect()
}

fn failure(error: &ToolError) -> &McpError {
    let ToolError::Failed { source, .. } = error else { panic!("{error}") };
    source.downcast_ref().unwrap_or_else(|| panic!("{error}"))
}

#[tokio::test]
async fn the_tools_of_a_server_are_those_of_an_agent() {
    let (server, _calls) = good();
    let tools = server.tools().await.unwrap();
    assert_eq!(
        names(&tools),
        ["add", "pair", "fail", "panic", "slow", "large", "count", "pay", "shout", "chart", "page"]
    );
    assert_eq!(tools[0].spec().description, "Adds two numbers.");
    assert_eq!(tools[0].spec().parameters["properties"]["a"]["description"], "The first number.");
    let wanted = [
        ("add", json!({"a": "40", "b": 2}), "42"),
        ("pair", json!({"a": 1, "b": 2}), r#"{"a":1,"b":2}"#),
        ("shout", json!({"text": "hey"}), r#"{"shouted":"HEY"}"#),
        ("fail", json!({}), "error: `fail` failed: no disk in drive a"),
        ("panic", json!({"bytes": 1}), "a bug"),
        (
            "pay",
            json!({}),
            "error: `pay` failed: `pay` needs the approval of a person, which this server cannot obtain",
        ),
    ];
    let calls = wanted
        .iter()
        .map(|(name, arguments, _)| ToolCall::new(*name, arguments.clone()))
        .collect::<ToolCalls>();
    let results = calls.run(&tools).await;
    for (result, (_, _, text)) in results.iter().zip(&wanted) {
        let shown = result.text();
        assert!(shown == *text || result.name == "panic" && shown.contains(text), "{shown}");
    }
    assert!(matches!(failure(results[3].outcome.as_ref().unwrap_err()), McpError::Tool { .. }));
    // Arguments that do not fit are refused before anything is sent.
    let error = tools[0].call(&json!({"a": 1})).await.unwrap_err();
    assert!(matches!(error, ToolError::Arguments { .. }), "{error}");
}

#[tokio::test]
async fn media_pass_from_a_tool_over_the_server_to_the_model() {
    let (server, _calls) = good();
    let tools = server.tools().await.unwrap();
    let chart_tool = tools.iter().find(|tool| tool.name() == "chart").unwrap();
    let seen = chart_tool.call_with(&json!({}), ToolContext::new()).await.unwrap();
    let [Part::Media(image)] = seen.parts() else { panic!("{seen:?}") };
    assert_eq!((image.kind, &*image.url), (MediaKind::Image, chart().url()));
    let page = tools.iter().find(|tool| tool.name() == "page").unwrap();
    let seen = page.call_with(&json!({}), ToolContext::new()).await.unwrap();
    let media = seen.parts().iter().filter_map(|part| match part {
        Part::Media(media) => Some((media.kind, media.data().unwrap().0, media.name.as_deref())),
        _ => None,
    });
    let media: Vec<_> = media.collect();
    let wanted = [
        (MediaKind::Image, "image/png", None),
        (MediaKind::Audio, "audio/wav", None),
        (MediaKind::File, "application/pdf", Some("rain.pdf")),
    ];
    assert_eq!(media, wanted);
    assert!(seen.text().contains(r#"{"mm":12}"#) && seen.text().contains("Rainfall"), "{seen:?}");

    // The observation of an agent has the image itself.
    let turn = |calls: &str| format!("[[ ## next_thought ## ]]\nok\n\n[[ ## tool_calls ## ]]\n{calls}");
    let script = Arc::new(ScriptedLm::new([
        turn(r#"[{"name": "chart", "arguments": {}}]"#),
        turn(r#"[{"name": "finish", "arguments": {"shouted": "RAIN"}}]"#),
    ]));
    let mut agent = ReAct::<Shout>::new(tools).unwrap();
    agent.set_lm(Lm::shared(script.clone()));
    assert_eq!(agent.call("rain").await.unwrap().shouted, "RAIN");
    let prompt = &script.requests()[1];
    let parts = prompt.messages.iter().flat_map(|message| match &message.content {
        Content::Parts(parts) | Content::ToolResult { parts, .. } => parts.to_vec(),
        _ => Vec::new(),
    });
    let is_chart = |part: &Part| matches!(part, Part::Media(media) if *media.url == *chart().url());
    assert_eq!(parts.filter(is_chart).count(), 1);
}

#[tokio::test]
async fn media_of_a_served_tool_are_content_of_their_kind() {
    let tool = Tool::new("chart", "Draws.", |_: Nothing| async {
        Json(Chart { title: "Rainfall", image: chart() })
    });
    let (mut lines, mut write, served) = converse(McpServer::new([tool])).await;
    let client = async {
        lines.next_line().await.unwrap();
        write.write_all(request(2, "chart", &json!({})).as_bytes()).await.unwrap();
        let result: serde_json::Value =
            serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        let content = &result["result"]["content"];
        let image = content.as_array().unwrap().iter().find(|block| block["type"] == "image").unwrap();
        assert_eq!((&image["data"], &image["mimeType"]), (&json!("iVBORw=="), &json!("image/png")));
        assert!(result["result"].get("structuredContent").is_none(), "{result}");
        let texts = content.as_array().unwrap().iter().filter_map(|block| block["text"].as_str());
        assert!(texts.collect::<String>().contains("Rainfall"), "{result}");
        drop((lines, write));
    };
    tokio::join!(client, async { served.await.unwrap() });
}

#[tokio::test]
async fn clones_share_a_session_with_views_of_their_own() {
    let (server, _calls) = good();
    let files = server.clone().prefix("a_").only(["count"]).tools().await.unwrap();
    let other = server.clone().prefix("b_").only(["count", "add"]).tools().await.unwrap();
    assert_eq!((names(&files), names(&other)), (vec!["a_count"], vec!["b_add", "b_count"]));
    assert_eq!(files[0].call(&json!({})).await.unwrap(), json!("1"));
    assert_eq!(other[1].call(&json!({})).await.unwrap(), json!("2"));
    // Another connection is another process.
    let separate = server.connect_timeout(Duration::from_secs(20));
    assert_eq!(separate.call("count", json!({})).await.unwrap(), json!("1"));

    let error = separate.only(["count", "cuont"]).tools().await.unwrap_err();
    assert!(matches!(&error, McpError::UnknownTools { unknown, .. } if unknown == &["cuont"]), "{error}");
    assert!(error.to_string().contains("`add`, `pair`"), "{error}");
}

#[tokio::test]
async fn fifty_calls_at_once_are_answered_each_with_its_own() {
    let (server, _calls) = good();
    let calls = (0..50).map(|n| server.call("add", json!({"a": n, "b": 1000})));
    for (n, sum) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(sum.unwrap(), json!((n + 1000).to_string()));
    }
}

#[tokio::test]
async fn a_late_answer_is_a_timeout_and_the_session_goes_on() {
    let (server, _calls) = good();
    server.call("count", json!({})).await.unwrap();
    let started = Instant::now();
    let error =
        server.clone().call_timeout(Duration::from_millis(200)).call("slow", json!({})).await.unwrap_err();
    assert!(matches!(error, McpError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(server.call("count", json!({})).await.unwrap(), json!("2"));
}

#[tokio::test]
async fn large_results_are_bounded() {
    let (server, _calls) = good();
    let result =
        server.clone().max_result_bytes(1000).call("large", json!({"bytes": 1_000_000})).await.unwrap();
    assert!(result.as_str().unwrap().len() < 1100, "{result}");
    // A larger message than the limit ends the session; the next call opens another one.
    server.call("count", json!({})).await.unwrap();
    let error = server.call("large", json!({"bytes": 5_000_000})).await.unwrap_err();
    assert!(matches!(&error, McpError::Limit { .. }), "{error}");
    assert!(error.to_string().contains("max_message_bytes"), "{error}");
    assert_eq!(server.call("count", json!({})).await.unwrap(), json!("1"));
}

#[tokio::test]
async fn a_session_can_be_closed_and_opened_again() {
    let (server, _calls) = good();
    assert_eq!(server.call("count", json!({})).await.unwrap(), json!("1"));
    server.close().await;
    assert_eq!(server.call("count", json!({})).await.unwrap(), json!("1"));
}

#[tokio::test]
async fn programs_that_do_not_exist_and_unknown_tools_are_errors() {
    let error = McpClient::stdio(std::process::Command::new("/no/such/server")).tools().await.unwrap_err();
    assert!(matches!(error, McpError::Connect { .. }), "{error}");
    assert!(error.to_string().starts_with("cannot connect to `/no/such/server`: "), "{error}");
    let (server, _calls) = good();
    let error = server.call("none", json!({})).await.unwrap_err();
    assert!(matches!(error, McpError::Refused { code: -32602, .. }), "{error}");
    let error = server.call("add", json!([1])).await.unwrap_err();
    assert!(matches!(error, McpError::Settings { .. }), "{error}");
}

#[tokio::test]
async fn duplicate_tools_are_not_served() {
    let tool = Tool::new("add", "Adds.", |Pair { a, b }: Pair| async move { a + b });
    let (reader, writer) = tokio::io::duplex(1000);
    let served = McpServer::new([tool.clone(), tool]).serve(reader, writer).await;
    assert!(matches!(served, Err(McpError::Duplicate { .. })));
}

/// Starts a server, shakes hands, and returns the streams to talk to it.
async fn converse(
    server: McpServer,
) -> (
    Lines<BufReader<ReadHalf<DuplexStream>>>,
    WriteHalf<DuplexStream>,
    impl Future<Output = Result<(), McpError>>,
) {
    let (ours, theirs) = tokio::io::duplex(100_000);
    let (reader, writer) = tokio::io::split(theirs);
    let (read, mut write) = tokio::io::split(ours);
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    write.write_all(format!("{initialize}\n{ready}\n").as_bytes()).await.unwrap();
    (BufReader::new(read).lines(), write, server.serve(reader, writer))
}

fn request(id: u32, tool: &str, arguments: &serde_json::Value) -> String {
    let params = json!({"name": tool, "arguments": arguments});
    format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
}

#[tokio::test]
async fn a_server_runs_approved_calls_if_it_is_told_so() {
    let tool = Tool::new("pay", "Pays.", |_: Nothing| async { "paid" }).with_approval();
    let (mut lines, mut write, served) = converse(McpServer::new([tool]).approved_by_client()).await;
    let client = async {
        assert!(lines.next_line().await.unwrap().unwrap().contains("serverInfo"));
        write.write_all(request(2, "pay", &json!({})).as_bytes()).await.unwrap();
        let result = lines.next_line().await.unwrap().unwrap();
        assert!(result.contains("paid"), "{result}");
        drop((lines, write));
    };
    tokio::join!(client, async { served.await.unwrap() });
}

#[tokio::test]
async fn calls_run_with_the_model_and_the_usage_of_the_task_that_serves() {
    let lm = Lm::scripted(["[[ ## shouted ## ]]\nHEY\n\n[[ ## completed ## ]]"]);
    let tool = Tool::of_program("shout", "Shouts.", Predict::<Shout>::new());
    let (mut lines, mut write, served) = converse(McpServer::new([tool])).await;
    let client = async {
        lines.next_line().await.unwrap();
        write.write_all(request(2, "shout", &json!({"text": "hey"})).as_bytes()).await.unwrap();
        let result = lines.next_line().await.unwrap().unwrap();
        assert!(result.contains(r#""structuredContent":{"shouted":"HEY"}"#), "{result}");
        drop((lines, write));
    };
    let served = dspy::lm::track_usage(Settings::from(lm).scope(served));
    let ((), (served, usage)) = tokio::join!(client, served);
    served.unwrap();
    assert_eq!(usage.total.requests, 1);
}

#[tokio::test]
async fn a_cancelled_call_stops_its_tool() {
    struct Stopped(Arc<AtomicUsize>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let stopped = Arc::new(AtomicUsize::new(0));
    let started = Arc::new(tokio::sync::Notify::new());
    let (seen, starts) = (stopped.clone(), started.clone());
    let tool = Tool::new("slow", "Waits.", move |_: Nothing| {
        let (stopped, starts) = (Stopped(seen.clone()), starts.clone());
        async move {
            let _stopped = stopped;
            starts.notify_one();
            std::future::pending::<()>().await;
        }
    });
    // One call at a time: the second starts when the first has stopped.
    let quick = Tool::new("quick", "Does nothing.", |_: Nothing| async { "done" });
    let (mut lines, mut write, served) = converse(McpServer::new([tool, quick]).concurrency(1)).await;
    let client = async {
        lines.next_line().await.unwrap();
        write.write_all(request(2, "slow", &json!({})).as_bytes()).await.unwrap();
        started.notified().await;
        assert_eq!(stopped.load(Ordering::SeqCst), 0);
        write.write_all(request(3, "quick", &json!({})).as_bytes()).await.unwrap();
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}});
        write.write_all(format!("{cancel}\n").as_bytes()).await.unwrap();
        let result = lines.next_line().await.unwrap().unwrap();
        assert!(result.contains("done"), "{result}");
        assert_eq!(stopped.load(Ordering::SeqCst), 1);
        drop((lines, write));
    };
    tokio::join!(client, async { served.await.unwrap() });
}

#[tokio::test]
async fn clients_that_violate_the_protocol_do_no_harm() {
    let tool = || Tool::new("add", "Adds.", |Pair { a, b }: Pair| async move { a + b });
    // Before the handshake.
    for text in [
        "",
        "\n\n",
        "no json\n",
        "{}\n",
        "[[[[\n",
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\"}\n",
    ] {
        let (mut ours, theirs) = tokio::io::duplex(100_000);
        let (reader, writer) = tokio::io::split(theirs);
        let served = tokio::spawn(McpServer::new([tool()]).serve(reader, writer));
        ours.write_all(text.as_bytes()).await.unwrap();
        ours.shutdown().await.unwrap();
        let served = tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap();
        assert!(matches!(served, Ok(()) | Err(McpError::Protocol { .. })), "{text}: {served:?}");
    }
    // Afterwards.
    let (mut lines, mut write, served) = converse(McpServer::new([tool()]).max_message_bytes(10_000)).await;
    let client = async {
        lines.next_line().await.unwrap();
        for text in
            ["no json", "{", &"x".repeat(50_000), &"[".repeat(5000), "{\"jsonrpc\": \"2.0\", \"id\": 7}"]
        {
            write.write_all(format!("{text}\n").as_bytes()).await.unwrap();
        }
        write.write_all(request(2, "none", &json!({})).as_bytes()).await.unwrap();
        write.write_all(request(3, "add", &json!({"a": "x"})).as_bytes()).await.unwrap();
        write.write_all(request(4, "add", &json!({"a": 1, "b": 2})).as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !(seen.contains(r#""id":2"#) && seen.contains(r#""id":3"#) && seen.contains(r#""id":4"#)) {
            seen.push_str(&lines.next_line().await.unwrap().unwrap());
        }
        assert!(seen.contains("there is no tool `none`"), "{seen}");
        assert!(seen.contains("the arguments of `add` do not fit"), "{seen}");
        drop((lines, write));
    };
    tokio::join!(client, async { served.await.unwrap() });
}
