//! Replies and errors in shapes that nobody has specified.

use std::time::Duration;

use dspy_lm::{Completion, LmErrorKind, Message, Protocol, Request, Response, ToolCall, track_usage};
use serde_json::{Value, json};

use dspy_test_server::protocols::{ALL, begun, end, events, heard, speaking, whole};
use dspy_test_server::{Act, Server, chunks, reply};

async fn read(protocol: Protocol, act: Act) -> Result<Response, dspy_lm::LmError> {
    let server = Server::script(vec![act]).await;
    let lm = speaking(&server, protocol).retries(0).model("m").unwrap();
    lm.complete(Request::new(vec![Message::user("Hi")])).await
}

async fn read_stream(protocol: Protocol, events: &str) -> Result<Response, dspy_lm::LmError> {
    let lm = |server: &Server| speaking(server, protocol).retries(0).model("m").unwrap();
    heard(vec![chunks(&[events.as_bytes()], true)], lm).await.1
}

#[tokio::test]
async fn an_error_that_comes_as_a_success_has_its_own_kind() {
    use LmErrorKind::{Auth, Billing, ContextWindow, InvalidRequest, NotFound, Other, RateLimit, Server};
    for protocol in ALL {
        for (body, kind) in [
            (
                r#"{"object":"error","message":"This model's maximum context length is 8 tokens","type":"BadRequestError"}"#,
                ContextWindow,
            ),
            (r#"{"message":"slow down","code":429}"#, RateLimit),
            (r#"{"message":"slow down","code":"429"}"#, RateLimit),
            (r#"{"detail":"Not authenticated"}"#, Auth),
            (r#"{"detail":[{"loc":["body","messages"],"msg":"field required"}]}"#, InvalidRequest),
            (r#"{"error":"insufficient_quota"}"#, Billing),
            (r#"{"error":"something"}"#, Other),
            (r#"{"errors":[{"message":"model not found"}]}"#, NotFound),
            (r#"{"errors":["Internal server error"]}"#, Server),
            (r#"[{"error":{"code":503,"message":"no"}}]"#, Server),
            (
                r#"{"error":{"code":503,"message":"no"},"choices":[],"content":[],"output":[],"candidates":[]}"#,
                Server,
            ),
            (r#"{"base_resp":{"status_code":1002,"status_msg":"rate limit"},"choices":null}"#, RateLimit),
            (r#"{"success":false,"message":"Unauthorized"}"#, Auth),
            (r#"{"hello":"world"}"#, LmErrorKind::Decode),
        ] {
            let error = read(protocol, reply(200, &[], body)).await.unwrap_err();
            assert_eq!((error.kind, error.status), (kind, Some(200)), "{protocol:?} {body} {error}");
        }
    }
}

#[tokio::test]
async fn the_wait_that_a_body_asks_for_is_kept() {
    let retry_info = |delay: &str| {
        json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]}})
    };
    for protocol in ALL {
        let body = retry_info("58s").to_string();
        let error = read(protocol, reply(429, &[], &body)).await.unwrap_err();
        assert_eq!((error.kind, error.retry_after), (LmErrorKind::RateLimit, Some(Duration::from_secs(58))));
        let error = read(protocol, reply(200, &[], &body)).await.unwrap_err();
        assert_eq!((error.kind, error.retry_after), (LmErrorKind::RateLimit, Some(Duration::from_secs(58))));
        let error = read(protocol, reply(429, &[("retry-after", "7")], &body)).await.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)), "the header comes first");
    }
    let exhausted = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "1m2.5s")];
    let error = read(Protocol::Chat, reply(429, &exhausted, "{}")).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_millis(62_500)));
    // A wait beyond the deadline is not begun.
    let server = Server::script(vec![reply(429, &[], &retry_info("58s").to_string())]).await;
    let lm = speaking(&server, Protocol::Gemini).api_key("wait").deadline(Duration::from_secs(30));
    let error = lm.model("m").unwrap().ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, server.seen().len()), (LmErrorKind::RateLimit, 1));
    // A short one is.
    let server = Server::script(vec![
        reply(429, &[], &retry_info("0.01s").to_string()),
        reply(200, &[], &whole(Protocol::Gemini, "hi", &Value::Null).to_string()),
    ])
    .await;
    let lm = speaking(&server, Protocol::Gemini).model("m").unwrap();
    assert_eq!(lm.ask("Hi").await.unwrap(), "hi");
}

/// Bodies that hold the text "Pa" and something odd.
fn odd_bodies(protocol: Protocol) -> Vec<String> {
    let plain = whole(protocol, "Pa", &Value::Null);
    let with = |name: &str, value: Value| {
        let mut body = plain.clone();
        body[name] = value;
        body.to_string()
    };
    let mut bodies = vec![
        format!("\u{feff}{plain}"),
        format!("\r\n {plain} \n"),
        with("error", Value::Null),
        with("error", json!({})),
        with("error", json!("")),
        with("error", json!(false)),
        with("error", json!({"message": null, "code": null, "type": ""})),
        with("id", json!(7)),
        with("model", json!({"name": "x"})),
        with("modelVersion", json!([])),
        with("created", json!("yesterday")),
        with("odd", json!("\u{fffd}")).replace('\u{fffd}', "\\ud83d"),
        plain.to_string().replacen('{', "{\"odd\": NaN, \"large\": 1e999, ", 1),
    ];
    for usage in [
        json!(null),
        json!("none"),
        json!([]),
        json!({"prompt_tokens": null, "completion_tokens": "many", "prompt_tokens_details": 7}),
        json!({"prompt_tokens": -5, "input_tokens": {}, "promptTokenCount": [1]}),
        json!({"completion_tokens": true, "cost": "free", "cost_details": null}),
    ] {
        bodies.push(with("usage", usage.clone()));
        bodies.push(with("usageMetadata", usage));
    }
    if protocol == Protocol::Chat {
        for index in ["null", "\"0\"", "0.0", "-1", "[]"] {
            bodies.push(plain.to_string().replace("\"index\":0", &format!("\"index\":{index}")));
        }
        for (name, value) in [
            ("tool_calls", json!("none")),
            ("refusal", json!(null)),
            ("refusal", json!({})),
            ("function_call", json!(null)),
            ("reasoning", json!({})),
            ("reasoning_details", json!("none")),
            ("role", json!(7)),
            ("annotations", json!({"x": []})),
        ] {
            let mut body = plain.clone();
            body["choices"][0]["message"][name] = value.clone();
            bodies.push(body.to_string());
            let mut body = plain.clone();
            body["choices"][0][name] = value;
            body["choices"][0]["logprobs"] = json!("none");
            bodies.push(body.to_string());
        }
    }
    bodies
}

#[tokio::test]
async fn one_odd_member_does_not_make_a_reply_unreadable() {
    for protocol in ALL {
        for body in odd_bodies(protocol) {
            let response = read(protocol, reply(200, &[], &body)).await;
            let response = response.unwrap_or_else(|error| panic!("{protocol:?} {body}: {error}"));
            assert_eq!(response.completions[0].text, "Pa", "{protocol:?} {body}");
            assert_eq!(response.usage.total_tokens(), 0, "{protocol:?} {body}");
        }
        let body = whole(protocol, "P?a", &Value::Null).to_string().replace('?', "\\ud83d");
        let response = read(protocol, reply(200, &[], &body)).await.unwrap();
        assert_eq!(response.completions[0].text, "P\u{fffd}a", "{protocol:?}");
    }
}

#[tokio::test]
async fn one_odd_member_does_not_make_a_stream_unreadable() {
    for protocol in ALL {
        let done = if protocol == Protocol::Gemini { json!("STOP") } else { Value::Null };
        let plain = begun(protocol, "Pa", &done) + &end(protocol, "Pa", &Value::Null);
        let mut streams = vec![
            format!("\u{feff}{plain}"),
            plain.replace("\"index\":0", "\"index\":null"),
            plain.replace("\"index\":0", "\"index\":\"0\""),
            plain.replace("\"index\":0,", ""),
            plain.replace("data: {", "data: {\"error\":{},"),
            plain.replace("data: {", "data: {\"error\":null,\"usage\":[1],\"usageMetadata\":\"x\","),
            plain.replace("data: {", "data: {\"odd\":\"\\ud83d\",\"large\":1e999,"),
            format!(": hello\n\nevent: ping\ndata: {{\"type\":\"ping\"}}\n\nid: 7\n\nretry: 5\n\n{plain}"),
        ];
        if protocol == Protocol::Chat {
            streams.push(
                plain.replace("\"delta\":{", "\"delta\":{\"tool_calls\":null,\"reasoning_content\":7,"),
            );
            streams.push(format!("data: {{\"choices\":null,\"usage\":null}}\n\n{plain}"));
            streams.push(format!("data: {{\"choices\":[{{\"index\":0,\"delta\":null}}]}}\n\n{plain}"));
        }
        for stream in streams {
            let response = read_stream(protocol, &stream).await;
            let response = response.unwrap_or_else(|error| panic!("{protocol:?} {stream}: {error}"));
            assert_eq!(response.completions[0].text, "Pa", "{protocol:?} {stream}");
        }
        let stream =
            (begun(protocol, "P?a", &done) + &end(protocol, "P?a", &Value::Null)).replace('?', "\\udc00");
        assert_eq!(
            read_stream(protocol, &stream).await.unwrap().completions[0].text,
            "P\u{fffd}a",
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn counts_are_read_in_every_form_and_their_sums_end_at_the_top() {
    let usage = |protocol: Protocol, sent: Value, generated: Value| {
        let mut body = whole(protocol, "hi", &Value::Null);
        let details = json!({"cached_tokens": sent, "reasoning_tokens": generated});
        body["usage"] = json!({"prompt_tokens": sent, "completion_tokens": generated, "input_tokens": sent,
            "output_tokens": generated, "prompt_tokens_details": details, "input_tokens_details": details,
            "output_tokens_details": details, "completion_tokens_details": details});
        if protocol == Protocol::Anthropic {
            body["usage"]["cache_read_input_tokens"] = sent.clone();
            body["usage"]["cache_creation_input_tokens"] = sent.clone();
        }
        body["usageMetadata"] = json!({"promptTokenCount": sent, "toolUsePromptTokenCount": sent,
            "candidatesTokenCount": generated, "thoughtsTokenCount": generated});
        reply(200, &[], &body.to_string())
    };
    for protocol in ALL {
        for form in [json!(7), json!(7.0), json!("7")] {
            let read = read(protocol, usage(protocol, form.clone(), form)).await.unwrap().usage;
            assert_eq!(read.prompt_tokens % 7 + read.completion_tokens % 7, 0, "{protocol:?}");
            assert!(read.prompt_tokens >= 7 && read.completion_tokens >= 7, "{protocol:?} {read:?}");
        }
        for most in [json!(u64::MAX), json!(1e30), json!(u64::MAX - 1)] {
            let server = Server::script(vec![usage(protocol, most.clone(), most)]).await;
            let lm = speaking(&server, protocol).model("m").unwrap();
            let (answers, report) = track_usage(async { [lm.ask("Hi").await, lm.ask("Hi").await] }).await;
            assert!(answers.iter().all(Result::is_ok));
            assert_eq!(report.total.total_tokens(), u64::MAX, "{protocol:?}");
        }
    }
}

fn call(id: &str, name: &str, arguments: Value) -> ToolCall {
    ToolCall::new(name, arguments).with_id(id)
}

#[tokio::test]
async fn parallel_calls_that_are_all_numbered_alike_stay_two() {
    let expected = [call("a", "f", json!({"x": 1})), call("b", "f", json!({"x": 2}))];
    let chat = |index: Value, id: Value, name: Value, arguments: &str| {
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]}}]})
    };
    let (f, none) = (json!("f"), Value::Null);
    for index in [json!(0), Value::Null, json!("0")] {
        let stream = events(&[
            chat(index.clone(), json!("a"), f.clone(), ""),
            chat(index.clone(), none.clone(), none.clone(), "{\"x\""),
            chat(index.clone(), json!("a"), f.clone(), ": 1}"),
            chat(index.clone(), json!("b"), f.clone(), "{\"x\": 2"),
            chat(index, none.clone(), none.clone(), "}"),
        ]) + "data: [DONE]\n\n";
        let response = read_stream(Protocol::Chat, &stream).await.unwrap();
        assert_eq!(response.completions[0].tool_calls, expected);
    }
    let begin = |index: Value, id: &str| {
        json!({"type": "content_block_start", "index": index,
            "content_block": {"type": "tool_use", "id": id, "name": "f", "input": {}}})
    };
    let more = |index: Value, json: &str| {
        json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "input_json_delta", "partial_json": json}})
    };
    for index in [json!(0), Value::Null] {
        let stream = events(&[
            json!({"type": "message_start", "message": {}}),
            begin(index.clone(), "a"),
            more(index.clone(), "{\"x\": "),
            more(index.clone(), "1}"),
            begin(index.clone(), "b"),
            more(index, "{\"x\": 2}"),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
            json!({"type": "message_stop"}),
        ]);
        let response = read_stream(Protocol::Anthropic, &stream).await.unwrap();
        assert_eq!(response.completions[0].tool_calls, expected);
    }
    let item = |id: &str, arguments: &str| {
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "function_call",
            "id": format!("fc_{id}"), "call_id": id, "name": "f", "arguments": arguments}})
    };
    let stream = events(&[
        item("a", "{\"x\": 1}"),
        item("b", "{\"x\": 2}"),
        json!({"type": "response.completed", "response": {"status": "completed", "output": []}}),
    ]);
    let response = read_stream(Protocol::Responses, &stream).await.unwrap();
    assert_eq!(response.completions[0].tool_calls, expected);
    let part = |id: &str, x: u8| json!({"candidates": [{"content": {"parts": [{"functionCall": {"id": id, "name": "f", "args": {"x": x}}}]}}]});
    let mut last = part("b", 2);
    last["candidates"][0]["finishReason"] = "STOP".into();
    let response = read_stream(Protocol::Gemini, &events(&[part("a", 1), last])).await.unwrap();
    assert_eq!(response.completions[0].tool_calls, expected);
}

async fn message(message: Value) -> Completion {
    let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
    read(Protocol::Chat, reply(200, &[], &body.to_string())).await.unwrap().completions.remove(0)
}

#[tokio::test]
async fn thoughts_are_found_where_they_are() {
    for (written, reasoning) in [
        (json!({"content": "x", "reasoning_content": "", "reasoning": "Hm."}), Some("Hm.")),
        (json!({"content": "x", "reasoning_content": "Hm.", "reasoning": "Other."}), Some("Hm.")),
        (
            json!({"content": "x", "reasoning": null, "reasoning_details": [
            {"type": "reasoning.summary", "summary": "Hm"}, {"type": "reasoning.text", "text": "."},
            {"type": "reasoning.encrypted", "data": "gAAA"}]}),
            Some("Hm."),
        ),
        (
            json!({"content": [{"type": "thinking", "thinking": "Hm."}, {"text": "x"}], "reasoning_content": ""}),
            Some("Hm."),
        ),
        (json!({"content": "x", "reasoning": "", "reasoning_content": ""}), None),
    ] {
        let completion = message(written.clone()).await;
        assert_eq!(
            (completion.text.as_str(), completion.reasoning.as_deref()),
            ("x", reasoning),
            "{written}"
        );
        let delta = events(&[json!({"choices": [{"delta": written}]})]) + "data: [DONE]\n\n";
        let streamed = read_stream(Protocol::Chat, &delta).await.unwrap().completions.remove(0);
        assert_eq!((streamed.text.as_str(), streamed.reasoning.as_deref()), ("x", reasoning));
    }
}

#[tokio::test]
async fn the_old_form_of_a_call_is_read() {
    let expected = [ToolCall::new("f", json!({"x": 1}))];
    let old = json!({"content": null, "function_call": {"name": "f", "arguments": "{\"x\": 1}"}});
    assert_eq!(message(old).await.tool_calls, expected);
    let delta = |call: Value| json!({"choices": [{"index": 0, "delta": {"function_call": call}}]});
    let stream = events(&[
        delta(json!({"name": "f", "arguments": ""})),
        delta(json!({"arguments": "{\"x\""})),
        delta(json!({"arguments": ": 1}"})),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "function_call"}]}),
    ]);
    assert_eq!(read_stream(Protocol::Chat, &stream).await.unwrap().completions[0].tool_calls, expected);
    let both = json!({"function_call": {"name": "f", "arguments": "{}"},
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]});
    assert_eq!(message(both).await.tool_calls, [call("a", "f", json!({}))], "the same call in both forms");
}

#[tokio::test]
async fn reasoning_details_go_back_with_the_calls_that_followed_from_them() {
    let details = json!([{"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0},
        {"type": "reasoning.encrypted", "data": "gAAA", "index": 1}]);
    let calls =
        json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let body = json!({"choices": [{"message": {"content": null, "tool_calls": calls, "reasoning_details": details}}]});
    let delta = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
    let stream = events(&[
        delta(json!({"reasoning_details": [{"type": "reasoning.text", "text": "H", "index": 0}]})),
        delta(
            json!({"reasoning_details": [{"type": "reasoning.text", "text": "m.", "signature": "s", "index": 0}]}),
        ),
        delta(json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "gAAA", "index": 1}]})),
        delta(json!({"tool_calls": calls})),
    ]) + "data: [DONE]\n\n";
    for act in [reply(200, &[], &body.to_string()), chunks(&[stream.as_bytes()], true)] {
        let (_, response, server) = heard(vec![act], crate::lm).await;
        let completion = response.unwrap().completions.remove(0);
        assert_eq!(completion.reasoning.as_deref(), Some("Hm."));
        for (model, expected) in [("m", Some(&details)), ("n", None)] {
            let lm = crate::endpoint(&server.url()).retries(0).model(model).unwrap();
            let request =
                Request::new(vec![Message::user("Hi"), (&completion).into(), Message::tool_result("a", "1")]);
            let _ = lm.complete(request).await;
            let sent = server.seen().pop().unwrap().json();
            assert_eq!(
                sent["messages"][1].get("reasoning_details"),
                expected,
                "another model gets none of it"
            );
        }
    }
}

#[tokio::test]
async fn messages_of_one_response_do_not_run_together() {
    let text = |text: &str| json!({"type": "message", "content": [{"type": "output_text", "text": text}]});
    let output = json!([text("Let me search."), {"type": "web_search_call"}, text("It is Paris."), text("")]);
    let body = json!({"status": "completed", "output": output});
    let expected = "Let me search.\n\nIt is Paris.";
    let response = read(Protocol::Responses, reply(200, &[], &body.to_string())).await.unwrap();
    assert_eq!(response.completions[0].text, expected);
    let delta = |index: u8, text: &str| json!({"type": "response.output_text.delta", "output_index": index, "item_id": format!("m{index}"), "delta": text});
    let stream = events(&[
        delta(0, "Let me "),
        delta(0, "search."),
        delta(2, "It is Paris."),
        json!({"type": "response.completed", "response": body}),
    ]);
    let lm = |server: &Server| speaking(server, Protocol::Responses).model("m").unwrap();
    let (deltas, response, _server) = heard(vec![chunks(&[stream.as_bytes()], true)], lm).await;
    assert_eq!(response.unwrap().completions[0].text, expected);
    assert_eq!(dspy_test_server::protocols::reading(&deltas).0, expected, "what was shown is what came");
}
