//! How replies end: only a normal end makes a reply a whole one.

use dspy_core::Error;
use dspy_core::adapter::ParseErrorKind;
use dspy_core::lm::{
    Completion, Delta, Fallback, FinishReason, Lm, LmError, LmErrorKind, Protocol, Reply, ScriptedLm,
};
use dspy_core::predict::DynPredict;
use dspy_core::program::{Module as _, Recovery, Settings};
use dspy_core::signature::Values;
use serde_json::{Value, json};

use dspy_test_server::protocols::{ALL, begun, both, end, events, heard, reading, speaking, whole};
use dspy_test_server::{Act, Server, chunks, reply};

const CUT: &str = "[[ ## answer ## ]]\nTake the pills with";

/// What a predictor makes of a reply, and of how many requests. It would ask again if that could help.
async fn predicted(lm: Lm) -> Result<Values, Error> {
    predicted_by(lm, false).await
}

async fn predicted_by(lm: Lm, streamed: bool) -> Result<Values, Error> {
    let mut recovery = Recovery::default();
    recovery.retry_max_tokens = None;
    let predict = DynPredict::new("question -> answer".parse().unwrap());
    let inputs = Values::from_iter([("question".to_owned(), json!("With what?"))]);
    let call =
        async { if streamed { predict.stream(inputs).finish().await } else { predict.call(inputs).await } };
    Ok((*Settings::new().lm(lm).recovery(recovery).scope(call).await?).clone())
}

fn lm_error(error: Error) -> LmError {
    match error {
        Error::Lm(error) => *error,
        other => unreachable!("{other}"),
    }
}

fn reasons(
    protocol: Protocol,
) -> (&'static [&'static str], &'static [&'static str], &'static [&'static str]) {
    let filtered: &[&str] = match protocol {
        Protocol::Anthropic => &["refusal"],
        Protocol::Gemini => &["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII"],
        _ => &["content_filter", "CONTENT_FILTER", "safety"],
    };
    let length: &[&str] = match protocol {
        Protocol::Responses => &["max_output_tokens"],
        Protocol::Anthropic => &["max_tokens", "model_context_window_exceeded"],
        Protocol::Gemini => &["MAX_TOKENS"],
        _ => &["length", "max_tokens"],
    };
    let other: &[&str] = match protocol {
        Protocol::Anthropic => &["pause_turn", "something_new"],
        Protocol::Gemini => &["OTHER", "MALFORMED_FUNCTION_CALL", "LANGUAGE"],
        _ => &["something_new"],
    };
    (filtered, length, other)
}

#[tokio::test]
async fn what_a_filter_stops_is_a_content_filter_error_with_what_there_is_of_it() {
    for protocol in ALL {
        for reason in reasons(protocol).0 {
            for (at, act) in both(protocol, CUT, &json!(reason)).into_iter().enumerate() {
                let server = Server::script(vec![act]).await;
                let lm = speaking(&server, protocol).model("m").unwrap();
                let error = lm_error(predicted_by(lm, at == 1).await.unwrap_err());
                assert_eq!(error.kind, LmErrorKind::ContentFilter, "{protocol:?} {reason}");
                assert!(error.message.contains("Take the pills with"), "{error}");
                assert!(error.body.unwrap().contains("Take the pills with"));
                assert_eq!(server.seen().len(), 1, "{protocol:?} {reason}: nobody argues with it");
            }
        }
    }
}

#[tokio::test]
async fn what_the_limit_or_nobody_knows_what_cuts_off_is_truncated() {
    for protocol in ALL {
        let (_, length, other) = reasons(protocol);
        for reason in length.iter().chain(other) {
            for (at, act) in both(protocol, CUT, &json!(reason)).into_iter().enumerate() {
                let server = Server::script(vec![act]).await;
                let lm = speaking(&server, protocol).model("m").unwrap();
                let Error::Parse(error) = predicted_by(lm, at == 1).await.unwrap_err() else {
                    panic!("{protocol:?} {reason}")
                };
                assert_eq!(error.kind, ParseErrorKind::Truncated, "{protocol:?} {reason}");
                assert_eq!(server.seen().len(), 1, "{protocol:?} {reason}: the same would come again");
            }
        }
    }
}

#[tokio::test]
async fn a_reply_that_the_endpoint_broke_off_is_asked_for_again() {
    for protocol in ALL {
        for reason in ["error", "abort", "cancelled"] {
            let normal = if protocol == Protocol::Gemini { json!("STOP") } else { Value::Null };
            let good = both(protocol, "[[ ## answer ## ]]\nwater", &normal);
            for (at, broken) in both(protocol, CUT, &json!(reason)).into_iter().enumerate() {
                let server = Server::script(vec![broken.clone(), good[at].clone()]).await;
                let lm = speaking(&server, protocol).model("m").unwrap();
                let answer = predicted_by(lm, at == 1).await.unwrap();
                assert_eq!(answer["answer"], "water", "{protocol:?} {reason}");
                if at == 0 {
                    continue;
                }
                let (_, response, _server) =
                    heard(vec![broken], |server| speaking(server, protocol).retries(0).model("m").unwrap())
                        .await;
                let error = response.unwrap_err();
                assert_eq!(error.kind, LmErrorKind::Server, "{protocol:?} {reason}");
                assert!(error.message.contains(reason), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_end_is_asked_for_again() {
    for protocol in ALL {
        let text = "water";
        let done = if protocol == Protocol::Gemini { json!("STOP") } else { Value::Null };
        let finished = begun(protocol, text, &done) + &end(protocol, text, &Value::Null);
        let reasons = [json!(""), Value::Null, json!(" ")];
        for reason in &reasons {
            // Closed in the middle, and closed properly but without an end.
            for clean in [false, true] {
                let cut = chunks(&[begun(protocol, "wat", reason).as_bytes()], clean);
                let lm = |server: &Server| speaking(server, protocol).model("m").unwrap();
                let acts = vec![cut.clone(), chunks(&[finished.as_bytes()], true)];
                let (deltas, response, server) = heard(acts, lm).await;
                assert_eq!(response.unwrap().completions[0].text, "water", "{protocol:?} {reason}");
                assert_eq!(reading(&deltas).0, "water");
                assert!(deltas.contains(&Delta::Restart));
                assert_eq!(server.seen().len(), 2);
                let lm = |server: &Server| speaking(server, protocol).retries(0).model("m").unwrap();
                let (_, response, _server) = heard(vec![cut], lm).await;
                assert_eq!(response.unwrap_err().kind, LmErrorKind::Transport, "{protocol:?} {reason}");
            }
        }
        // Nothing has come at all.
        for nothing in ["", ": hello\n\n"] {
            let lm = |server: &Server| speaking(server, protocol).retries(0).model("m").unwrap();
            let (_, response, _server) = heard(vec![chunks(&[nothing.as_bytes()], true)], lm).await;
            assert_eq!(response.unwrap_err().kind, LmErrorKind::Transport, "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn a_reason_or_an_end_mark_is_an_end() {
    for protocol in [Protocol::Chat, Protocol::Anthropic] {
        let stop = if protocol == Protocol::Chat { "stop" } else { "end_turn" };
        for stream in [
            begun(protocol, "water", &json!(stop)),
            begun(protocol, "water", &Value::Null) + &end(protocol, "", &Value::Null),
            begun(protocol, "water", &json!("")) + &end(protocol, "", &Value::Null),
        ] {
            let lm = |server: &Server| speaking(server, protocol).retries(0).model("m").unwrap();
            let (_, response, _server) = heard(vec![chunks(&[stream.as_bytes()], true)], lm).await;
            let completion = response.unwrap().completions.remove(0);
            assert_eq!((completion.text.as_str(), completion.finish), ("water", FinishReason::Stop));
        }
    }
}

#[tokio::test]
async fn an_error_in_mid_stream_is_the_servers_error_whatever_its_shape() {
    for protocol in ALL {
        for (event, kind, message) in [
            (
                "event: error\ndata: {\"message\": \"rate limit reached\"}\n\n",
                LmErrorKind::RateLimit,
                "rate limit",
            ),
            ("event: error\ndata: {\"detail\": \"overloaded\"}\n\n", LmErrorKind::Server, "overloaded"),
            ("event: error\ndata: the server is overloaded\n\n", LmErrorKind::Server, "overloaded"),
            ("event: error\ndata: \"overloaded\"\n\n", LmErrorKind::Server, "overloaded"),
            ("event: error\n\n", LmErrorKind::Other, ""),
            (
                "event: error\ndata: {\"error\": {\"message\": \"no\", \"code\": 503}}\n\n",
                LmErrorKind::Server,
                "no",
            ),
            ("data: {\"error\": {\"message\": \"no\", \"code\": 429}}\n\n", LmErrorKind::RateLimit, "no"),
            ("data: {\"error\": \"overloaded\"}\n\n", LmErrorKind::Server, "overloaded"),
            ("data: {\"message\": \"slow down\", \"code\": 429}\n\n", LmErrorKind::RateLimit, "slow down"),
            (
                "data: {\"object\": \"error\", \"message\": \"no\", \"code\": 500}\n\n",
                LmErrorKind::Server,
                "no",
            ),
            ("data: {\"detail\": \"Internal server error\"}\n\n", LmErrorKind::Server, "Internal"),
            ("data: {\"errors\": [{\"message\": \"overloaded\"}]}\n\n", LmErrorKind::Server, "overloaded"),
            (
                "data: {\"type\": \"error\", \"message\": \"overloaded\"}\n\n",
                LmErrorKind::Server,
                "overloaded",
            ),
        ] {
            let done = "data: [DONE]\n\n";
            let stream = begun(protocol, "Take", &Value::Null) + event + done;
            let lm = |server: &Server| speaking(server, protocol).retries(0).model("m").unwrap();
            let (_, response, _server) = heard(vec![chunks(&[stream.as_bytes()], true)], lm).await;
            let error = response.unwrap_err();
            assert_eq!(error.kind, kind, "{protocol:?} {event} {error}");
            assert!(error.message.contains(message), "{error}");
            assert!(error.body.is_some(), "the start of the stream is kept");
        }
    }
}

#[tokio::test]
async fn what_may_be_an_error_or_news_is_one_if_the_reply_does_not_end() {
    for protocol in ALL {
        let news = "data: {\"message\": \"something odd\"}\n\n";
        let done = if protocol == Protocol::Gemini { json!("STOP") } else { Value::Null };
        let reason = if protocol == Protocol::Chat { json!("stop") } else { done };
        let whole =
            format!("{news}{}{}", begun(protocol, "water", &reason), end(protocol, "water", &Value::Null));
        let cut = format!("{}{news}data: [DONE]\n\n", begun(protocol, "wat", &Value::Null));
        let lm = |server: &Server| speaking(server, protocol).retries(0).model("m").unwrap();
        let (_, response, _server) = heard(vec![chunks(&[whole.as_bytes()], true)], lm).await;
        assert_eq!(response.unwrap().completions[0].text, "water", "{protocol:?}");
        let (_, response, _server) = heard(vec![chunks(&[cut.as_bytes()], true)], lm).await;
        let error = response.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (LmErrorKind::Other, "something odd"),
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn what_is_called_a_stream_may_be_a_plain_reply() {
    for protocol in ALL {
        let plain = |body: &str| chunks(&[body.as_bytes()], true);
        let lm = |server: &Server| speaking(server, protocol).retries(0).model("m").unwrap();
        let (_, response, _server) =
            heard(vec![plain(&whole(protocol, "water", &Value::Null).to_string())], lm).await;
        assert_eq!(response.unwrap().completions[0].text, "water", "{protocol:?}");
        let (_, response, _server) = heard(vec![plain(r#"{"detail": "rate limit reached"}"#)], lm).await;
        assert_eq!(response.unwrap_err().kind, LmErrorKind::RateLimit, "{protocol:?}");
    }
}

/// A refusal in each way of the protocol, whole and streamed where it can be.
fn refusals(protocol: Protocol) -> Vec<(Act, &'static str)> {
    const TEXT: &str = "I will not help with that.";
    let whole = |body: Value| reply(200, &[], &body.to_string());
    let streamed = |data: &[Value], end: &str| chunks(&[(events(data) + end).as_bytes()], true);
    match protocol {
        Protocol::Responses => {
            let output = json!([{"type": "message", "content": [{"type": "refusal", "refusal": TEXT}]}]);
            let body = json!({"status": "completed", "output": output});
            vec![
                (whole(body.clone()), TEXT),
                (
                    streamed(
                        &[
                            json!({"type": "response.refusal.delta", "delta": TEXT}),
                            json!({"type": "response.completed", "response": body}),
                        ],
                        "",
                    ),
                    TEXT,
                ),
            ]
        }
        Protocol::Anthropic => vec![
            (whole(json!({"content": [{"type": "text", "text": TEXT}], "stop_reason": "refusal"})), TEXT),
            (whole(json!({"content": [], "stop_reason": "refusal"})), ""),
            (
                whole(
                    json!({"content": null, "stop_reason": "refusal", "stop_details": {"explanation": TEXT}}),
                ),
                TEXT,
            ),
            (
                streamed(
                    &[
                        json!({"type": "message_start", "message": {}}),
                        json!({"type": "message_delta", "delta": {"stop_reason": "refusal"}}),
                        json!({"type": "message_stop"}),
                    ],
                    "",
                ),
                "",
            ),
        ],
        Protocol::Gemini => vec![
            (whole(json!({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": TEXT}})), TEXT),
            (whole(json!({"promptFeedback": {"blockReason": "OTHER"}})), "OTHER"),
            (whole(json!({"candidates": [{"finishReason": "SAFETY"}]})), ""),
            (whole(json!({"candidates": [{"finishReason": "SAFETY", "finishMessage": TEXT}]})), TEXT),
            (streamed(&[json!({"promptFeedback": {"blockReason": "SAFETY"}})], ""), "SAFETY"),
            (streamed(&[json!({"candidates": [{"finishReason": "SAFETY", "index": 0}]})], ""), ""),
        ],
        _ => {
            let said =
                |message: Value| whole(json!({"choices": [{"message": message, "finish_reason": "stop"}]}));
            let delta = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
            vec![
                (said(json!({"content": null, "refusal": TEXT})), TEXT),
                (said(json!({"content": "", "refusal": TEXT})), TEXT),
                (said(json!({"content": "Sure. ", "refusal": TEXT})), TEXT),
                (
                    streamed(
                        &[
                            delta(json!({"refusal": "I will not "})),
                            delta(json!({"refusal": "help with that."})),
                        ],
                        "data: [DONE]\n\n",
                    ),
                    TEXT,
                ),
            ]
        }
    }
}

#[tokio::test]
async fn a_refusal_is_one_request_and_an_error_with_its_text() {
    for protocol in ALL {
        for (act, text) in refusals(protocol) {
            let server = Server::script(vec![act.clone()]).await;
            let lm = speaking(&server, protocol).model("m").unwrap();
            let is_stream =
                matches!(&act, Act::Send(bytes) if bytes.windows(12).any(|w| w == b"event-stream"));
            if is_stream {
                let (_, response, server) =
                    heard(vec![act], |server| speaking(server, protocol).model("m").unwrap()).await;
                match response {
                    Ok(response) => {
                        let completion = &response.completions[0];
                        assert_eq!(completion.finish, FinishReason::ContentFilter, "{protocol:?}");
                        assert!(completion.text.contains(text), "{protocol:?} {completion:?}");
                    }
                    Err(error) => {
                        assert!(error.kind == LmErrorKind::ContentFilter && error.message.contains(text));
                    }
                }
                assert_eq!(server.seen().len(), 1);
                continue;
            }
            let error = lm_error(predicted(lm.clone()).await.unwrap_err());
            assert_eq!(error.kind, LmErrorKind::ContentFilter, "{protocol:?} {text}");
            assert!(error.message.contains(text), "{error}");
            assert_eq!(server.seen().len(), 1, "{protocol:?} {text}");
            let error = lm.ask("With what?").await.unwrap_err();
            assert_eq!(error.kind, LmErrorKind::ContentFilter, "{protocol:?} {text}");
        }
    }
}

#[tokio::test]
async fn one_refusal_of_several_replies_hides_none_of_the_others() {
    let good = "[[ ## answer ## ]]\nwater";
    let body = json!({"choices": [
        {"index": 0, "message": {"content": null, "refusal": "No."}, "finish_reason": "stop"},
        {"index": 1, "message": {"content": good}, "finish_reason": "stop"},
    ]});
    let server = Server::script(vec![reply(200, &[], &body.to_string())]).await;
    assert_eq!(predicted(crate::lm(&server)).await.unwrap()["answer"], "water");
}

#[tokio::test]
async fn a_model_of_any_make_is_held_to_it() {
    let filtered = || Reply::from(Completion::new(CUT).finished(FinishReason::ContentFilter));
    let model = std::sync::Arc::new(ScriptedLm::new([filtered(), filtered(), filtered()]));
    let error = lm_error(predicted(Lm::shared(model.clone())).await.unwrap_err());
    assert_eq!((error.kind, model.requests().len()), (LmErrorKind::ContentFilter, 1));
    // A fallback stops there, unless it is told otherwise.
    let others = || [Lm::scripted([filtered()]), Lm::scripted(["[[ ## answer ## ]]\nwater"])];
    assert_eq!(
        lm_error(predicted(Lm::fallback(others())).await.unwrap_err()).kind,
        LmErrorKind::ContentFilter
    );
    let goes_on = Fallback::new(others()).when(|error| error.kind == LmErrorKind::ContentFilter);
    assert_eq!(predicted(Lm::custom(goes_on)).await.unwrap()["answer"], "water");
}
