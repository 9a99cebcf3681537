//! Servers that lie, stall, flood and die: typed errors in bounded time, and nothing is called twice.

use std::time::{Duration, Instant};

use super::common::{Calls, answer, client, forever, raw, say, tool};
use dspy::prelude::*;
use dspy_mcp::{McpClient, McpError};
use serde_json::{Value, json};

/// Serves in one of the roles below.
pub(super) fn serve(role: &str) {
    let listed = |tools: Value| move |request: &Value| answer(request, json!({"tools": tools}));
    let one = listed(json!([tool("t")]));
    let fine = |request: &Value| answer(request, json!({"content": [{"type": "text", "text": "fine"}]}));
    match role {
        "dies at the start" => {
            eprintln!("no configuration found");
            std::process::exit(3);
        }
        "never answers" => forever(),
        "prints prose" => loop {
            println!("Loading model, please wait ...");
        },
        "one endless line" => loop {
            print!("{}", "x".repeat(10_000));
        },
        "dies in a call" => raw(one, |_| {
            eprintln!("out of memory");
            std::process::exit(9)
        }),
        "closes its output in a call" => raw(one, |_| std::process::abort()),
        "stalls in a call" => raw(one, |_| {}),
        "is deaf in a call" => raw(one, |_| forever()),
        "floods with notifications" => raw(one, |_| {
            loop {
                let params = json!({"level": "info", "data": "x".repeat(1000)});
                say(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}));
            }
        }),
        "floods with requests" => raw(one, |_| {
            for id in 0.. {
                say(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
            }
        }),
        "floods with answers" => raw(one, |_| {
            for id in 1_000_000.. {
                say(&json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}));
            }
        }),
        "answers with nonsense" => raw(one, |request| answer(request, json!(5))),
        "answers with another shape" => raw(one, |request| answer(request, json!({"tools": []}))),
        "answers after noise" => raw(one, move |request| {
            say(&json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "parse error"}}));
            println!("[warn] a line of a log\n\n{{\"jsonrpc\": 3}}");
            say(&json!({"jsonrpc": "2.0", "id": 99, "method": "ping"}));
            fine(request);
        }),
        "answers twice" => raw(one, move |request| {
            fine(request);
            fine(request);
        }),
        "returns media" => raw(one, |request| {
            let content = json!([
                {"type": "text", "text": "see"},
                {"type": "image", "data": "QUJDREVG", "mimeType": "image/png"},
                {"type": "text", "text": "hear"},
                {"type": "audio", "data": "QUJD", "mimeType": "audio/wav"},
                {"type": "resource", "resource": {"uri": "file:///a.pdf", "mimeType": "application/pdf", "blob": "QUJD"}},
                {"type": "image", "data": "QUJDREVG", "mimeType": "text/html"},
            ]);
            answer(request, json!({"content": content}));
        }),
        "bad tools" => raw(
            listed(json!([
                tool("good"),
                {"name": "text", "inputSchema": "an object"},
                {"name": "list", "inputSchema": {"type": "array"}},
                {"name": "dangling", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}},
                {"name": "huge", "inputSchema": {"type": "object", "description": "x".repeat(100_000)}},
                {"name": "loop", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}},
                {"name": "n".repeat(200), "inputSchema": {"type": "object"}},
                {"name": "bare"},
                {"name": "dir/read.file"},
                5,
            ])),
            fine,
        ),
        "duplicates" => raw(listed(json!([tool("t"), tool("t")])), fine),
        "no list" => raw(|request| answer(request, json!({"tools": "none"})), fine),
        "endless pages" => {
            raw(|request| answer(request, json!({"tools": [tool("t")], "nextCursor": "again"})), fine);
        }
        "many tools" => raw(listed((0..600).map(|n| tool(&format!("t{n}"))).collect()), fine),
        "answers beyond JSON" => raw(one, |request| {
            let deep = "[".repeat(5_000) + &"]".repeat(5_000);
            let values: [&[u8]; 5] = [deep.as_bytes(), br#""\ud800""#, b"\"\xff\"", b"1e999", b"[1,"];
            let at = request["params"]["arguments"]["n"].as_u64().unwrap() as usize;
            let id = request["id"].to_string();
            let line = match values.get(at) {
                Some(value) => {
                    [b"{\"jsonrpc\":\"2.0\",\"id\":", id.as_bytes(), b",\"result\":", value, b"}\n"].concat()
                }
                // Before its id, it breaks off.
                None => b"{\"jsonrpc\":\"2.0\",\"result\":{\"content\":[\n".to_vec(),
            };
            let mut output = std::io::stdout().lock();
            std::io::Write::write_all(&mut output, &line).unwrap();
            std::io::Write::flush(&mut output).unwrap();
        }),
        "answers with result and error" => raw(one, |request| {
            let error = json!({"code": 1, "message": "no"});
            say(&json!({"jsonrpc": "2.0", "id": request["id"], "result": {"content": []}, "error": error}));
        }),
        "answers in a batch" => raw(one, |request| {
            let result = json!({"content": [{"type": "text", "text": "fine"}]});
            let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}});
            say(&json!([note, {"jsonrpc": "2.0", "id": request["id"], "result": result}]));
        }),
        "returns unknown content" => raw(one, |request| {
            let content = json!([
                {"type": "text", "text": "useful"},
                {"type": "hologram", "data": [1, 2]},
                {"data": "no type"},
                {"type": "text"},
                {"type": "text", "text": "too"},
            ]);
            answer(request, json!({"content": content}));
        }),
        "breaks its output schema" => raw(
            listed(json!([{
                "name": "t", "inputSchema": {"type": "object", "properties": {"n": {}}},
                "outputSchema": {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]},
            }])),
            |request| {
                let content = json!([{"type": "text", "text": "see"}]);
                let structured = request["params"]["arguments"]["n"].clone();
                answer(request, json!({"content": content, "structuredContent": structured}));
            },
        ),
        "changes its tools" => raw(one, move |request| {
            say(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
            fine(request);
        }),
        other => panic!("{other}"),
    }
}

fn server(role: &str) -> (McpClient, Calls) {
    let calls = Calls::new(&role.replace(' ', "-"));
    let client = client(role, &calls).connect_timeout(Duration::from_secs(20));
    (client.call_timeout(Duration::from_secs(20)), calls)
}

/// Calls the tool of a server once, and expects an error.
async fn call_fails(role: &str, limit: Duration) -> McpError {
    let (server, calls) = server(role);
    let tools = server.call_timeout(limit).tools().await.unwrap();
    let started = Instant::now();
    let error = tools[0].call(&json!({})).await.unwrap_err();
    assert!(started.elapsed() < limit + Duration::from_secs(15), "{role}: {:?}", started.elapsed());
    assert_eq!(calls.count(), 1, "{role}");
    let dspy_core::tools::ToolError::Failed { source, .. } = error else { panic!("{error}") };
    source.downcast_ref::<McpError>().unwrap().clone()
}

#[tokio::test]
async fn servers_that_do_not_start() {
    let (server, _calls) = server("dies at the start");
    let error = server.tools().await.unwrap_err();
    assert!(matches!(error, McpError::Connect { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("exit status: 3") && text.contains("no configuration found"), "{text}");

    for role in ["never answers", "prints prose", "one endless line"] {
        let (server, _calls) = self::server(role);
        let started = Instant::now();
        let limit = if role == "never answers" { 2 } else { 60 };
        let error = server.connect_timeout(Duration::from_secs(limit)).tools().await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(30), "{role}");
        match role {
            "never answers" => assert!(matches!(error, McpError::Timeout { .. }), "{role}: {error}"),
            _ => assert!(matches!(error, McpError::Limit { .. }), "{role}: {error}"),
        }
    }
}

#[tokio::test]
async fn servers_that_die_in_a_call() {
    let error = call_fails("dies in a call", Duration::from_secs(20)).await;
    assert!(matches!(error, McpError::Closed { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("exit status: 9") && text.contains("out of memory"), "{text}");
    assert!(text.contains("not repeated"), "{text}");
    let error = call_fails("closes its output in a call", Duration::from_secs(20)).await;
    assert!(matches!(error, McpError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn the_next_call_starts_a_dead_server_again() {
    let (server, calls) = server("dies in a call");
    for started in 1..=3 {
        assert!(matches!(server.call("t", json!({})).await, Err(McpError::Closed { .. })));
        assert_eq!((calls.starts(), calls.count()), (started, started));
    }
}

#[tokio::test]
async fn servers_that_stall() {
    for role in ["stalls in a call", "is deaf in a call"] {
        let error = call_fails(role, Duration::from_millis(300)).await;
        assert!(matches!(error, McpError::Timeout { .. }), "{role}: {error}");
    }
    // A pipe that is full does not hold up the caller either.
    let (server, _calls) = server("is deaf in a call");
    let server = server.call_timeout(Duration::from_millis(300));
    for _ in 0..3 {
        let error = server.call("t", json!({"text": "x".repeat(200_000)})).await.unwrap_err();
        assert!(matches!(error, McpError::Timeout { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_process_that_does_not_read_is_given_up() {
    let (server, calls) = server("is deaf in a call");
    let server = server.connect_timeout(Duration::from_secs(2));
    server.tools().await.unwrap();
    // The first call makes it deaf, the others fill its input.
    let arguments = json!({"text": "x".repeat(200_000)});
    let three = [(); 3].map(|()| server.call("t", arguments.clone()));
    for result in futures_util::future::join_all(three).await {
        let error = result.unwrap_err();
        assert!(matches!(error, McpError::Closed { .. }), "{error}");
    }
    assert_eq!((calls.starts(), calls.count()), (1, 1));
    let error = server.call_timeout(Duration::from_millis(500)).call("t", json!({})).await.unwrap_err();
    assert!(matches!(error, McpError::Timeout { .. }), "{error}");
    assert_eq!((calls.starts(), calls.count()), (2, 2));
}

sig!(Answer: "question -> answer");

#[tokio::test]
async fn an_agent_reads_the_death_of_a_server_and_goes_on() {
    let (server, calls) = server("dies in a call");
    let lm = Lm::scripted([
        "[[ ## next_thought ## ]]\nI call it.\n\n[[ ## tool_calls ## ]]\n[{\"name\": \"x_t\", \"arguments\": {}}]",
        "[[ ## next_thought ## ]]\nIt died.\n\n[[ ## tool_calls ## ]]\n[{\"name\": \"finish\", \"arguments\": {\"answer\": \"unknown\"}}]",
    ]);
    let agent = ReAct::<Answer>::new(server.prefix("x_").tools().await.unwrap()).unwrap();
    let output = Settings::from(lm).scope(agent.call("What?")).await.unwrap();
    let trajectory = output.added_as::<dspy::types::Trajectory>("trajectory").unwrap().to_string();
    assert_eq!(output.answer, "unknown");
    assert!(trajectory.contains("exit status: 9") && trajectory.contains("is not repeated"), "{trajectory}");
    assert_eq!((calls.starts(), calls.count()), (1, 1));
}

#[tokio::test]
async fn servers_that_flood() {
    for role in ["floods with notifications", "floods with requests", "floods with answers"] {
        let error = call_fails(role, Duration::from_mins(1)).await;
        assert!(matches!(error, McpError::Limit { .. }), "{role}: {error}");
        assert!(error.to_string().contains("answered no request"), "{role}: {error}");
    }
}

#[tokio::test]
async fn answers_of_the_wrong_shape() {
    for role in ["answers with nonsense", "answers with another shape"] {
        let error = call_fails(role, Duration::from_secs(2)).await;
        assert!(matches!(error, McpError::Protocol { .. } | McpError::Timeout { .. }), "{role}: {error}");
    }
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_errors_at_once() {
    let (server, calls) = server("answers beyond JSON");
    let server = server.call_timeout(Duration::from_mins(5));
    let reasons = ["recursion limit", "hex escape", "unicode", "out of range", "expected", "EOF"];
    let started = Instant::now();
    for (at, why) in reasons.into_iter().enumerate() {
        let error = server.call("t", json!({ "n": at })).await.unwrap_err();
        let McpError::Protocol { message, .. } = &error else { panic!("{at}: {error}") };
        assert!(message.contains("cannot be read") && message.contains(why), "{at}: {message}");
        assert!(message.len() < 600, "{message}");
        // The session goes on, unless it is unknown which request was answered.
        assert_eq!((calls.starts(), calls.count()), (1, at + 1));
    }
    server.call("t", json!({"n": 0})).await.unwrap_err();
    assert_eq!((calls.starts(), calls.count()), (2, reasons.len() + 1));
    let (server, _calls) = self::server("answers with result and error");
    let error = server.call_timeout(Duration::from_mins(5)).call("t", json!({})).await.unwrap_err();
    assert!(matches!(error, McpError::Protocol { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_batch_is_read() {
    let (server, _calls) = server("answers in a batch");
    for _ in 0..3 {
        assert_eq!(server.call("t", json!({})).await.unwrap(), "fine");
    }
}

#[tokio::test]
async fn content_of_unknown_types_is_shown_beside_the_known() {
    let (server, _calls) = server("returns unknown content");
    let text = server.call("t", json!({})).await.unwrap();
    let text = text.as_str().unwrap();
    assert!(text.starts_with("useful\n[content of the unknown type `hologram`] {"), "{text}");
    assert!(text.contains("no type") && text.ends_with("\ntoo"), "{text}");
}

#[tokio::test]
async fn structured_content_that_breaks_its_schema_is_an_error_that_names_the_place() {
    let (server, calls) = server("breaks its output schema");
    let tools = server.tools().await.unwrap();
    assert_eq!(tools[0].call(&json!({"n": {"sum": 5}})).await.unwrap(), json!({"sum": 5}));
    for wrong in [json!({"sum": "5"}), json!({}), json!([5]), json!({"sum": null})] {
        let error = server.call("t", json!({"n": wrong})).await.unwrap_err();
        let McpError::Protocol { message, .. } = &error else { panic!("{error}") };
        assert!(message.contains("output schema") && message.contains(&wrong.to_string()), "{message}");
    }
    assert_eq!(calls.count(), 5);
}

#[tokio::test]
async fn noise_does_not_matter() {
    for role in ["answers after noise", "answers twice"] {
        let (server, calls) = server(role);
        for _ in 0..3 {
            assert_eq!(server.call("t", json!({})).await.unwrap(), "fine", "{role}");
        }
        assert_eq!((calls.starts(), calls.count()), (1, 3), "{role}");
    }
}

#[tokio::test]
async fn tools_that_cannot_be_used_are_named() {
    let (server, _calls) = server("bad tools");
    let long = "n".repeat(200);
    let bad = [
        ("text", "no object"),
        ("list", "not that of an object"),
        ("dangling", "invalid"),
        ("huge", "max_tool_bytes"),
        ("loop", "invalid"),
        (&long, "64 characters"),
        ("", "name"),
    ];
    for (name, problem) in bad {
        let error = server.clone().only([name]).tools().await.unwrap_err();
        assert!(matches!(&error, McpError::BadTool { tool, .. } if tool == name), "{name}: {error}");
        assert!(error.to_string().contains(problem), "{name}: {error}");
    }
    assert!(matches!(server.tools().await, Err(McpError::BadTool { .. })));
    // The others can be used.
    let tools = server.prefix("x.").only(["good", "bare", "dir/read.file"]).tools().await.unwrap();
    assert_eq!(tools.iter().map(Tool::name).collect::<Vec<_>>(), ["x_good", "x_bare", "x_dir_read_file"]);
    assert_eq!(tools[2].call(&json!({})).await.unwrap(), "fine");
}

#[tokio::test]
async fn lists_that_cannot_be_used() {
    for role in ["duplicates", "no list", "endless pages", "many tools"] {
        let error = server(role).0.tools().await.unwrap_err();
        match role {
            "duplicates" => assert!(matches!(error, McpError::Duplicate { .. }), "{error}"),
            "no list" => assert!(matches!(error, McpError::Protocol { .. }), "{error}"),
            _ => assert!(matches!(error, McpError::Limit { .. }), "{error}"),
        }
    }
    assert_eq!(server("many tools").0.max_tools(600).tools().await.unwrap().len(), 600);
}

#[tokio::test]
async fn the_list_is_kept_until_it_changes() {
    let (server, calls) = server("changes its tools");
    for _ in 0..3 {
        server.tools().await.unwrap();
    }
    assert_eq!(calls.lists(), 1);
    server.call("t", json!({})).await.unwrap();
    for _ in 0..3 {
        server.tools().await.unwrap();
    }
    assert_eq!(calls.lists(), 2);
    server.refresh().await.unwrap();
    assert_eq!(calls.lists(), 3);
}

#[tokio::test]
async fn media_of_results_are_media_in_their_places() {
    use dspy::lm::{MediaKind, Part};
    use dspy::tools::ToolContext;

    let (server, _calls) = server("returns media");
    let tools = server.tools().await.unwrap();
    let value = tools[0].call_with(&json!({}), ToolContext::new()).await.unwrap();
    let shown = |part: &Part| match part {
        Part::Text(text) => text.to_string(),
        Part::Media(media) => format!("{:?}", media.kind),
        other => panic!("{other:?}"),
    };
    let kind = |kind: MediaKind| format!("{kind:?}");
    let parts: Vec<String> = value.parts().iter().map(shown).collect();
    let [see, image, hear, audio, line, file, wrong] = &*parts else { panic!("{parts:?}") };
    assert_eq!((see.as_str(), hear.as_str(), line.as_str()), ("see\n", "\nhear\n", "\n"));
    let kinds = [MediaKind::Image, MediaKind::Audio, MediaKind::File].map(kind);
    assert_eq!([image, audio, file].map(String::as_str), kinds.each_ref().map(String::as_str));
    assert!(wrong.contains("[image of type text/html, 6 bytes, not shown"), "{wrong}");
    assert_eq!(value.value()[1], json!({"image": "data:image/png;base64,QUJDREVG"}));

    let small = server.max_media_bytes(5).tools().await.unwrap();
    let value = small[0].call_with(&json!({}), ToolContext::new()).await.unwrap();
    let text = value.text();
    assert!(
        text.contains("[image of type image/png, 6 bytes, not shown: more than `max_media_bytes`]"),
        "{text}"
    );
}
