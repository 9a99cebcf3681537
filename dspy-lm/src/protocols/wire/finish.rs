//! Finish reasons, in the terms of all protocols and servers.

use serde_json::Value;

use crate::network::transport::Failure;
use crate::{FinishReason, LmErrorKind};

/// Parses a finish reason; `None` if none is given. Gateways mix the terms of the protocols, so that every protocol
/// accepts all of them.
///
/// A reason that reports a failure of the endpoint is returned as an error. An unknown one is
/// [`Other`](FinishReason::Other): the reply does not count as complete.
pub(crate) fn finish_reason(reason: Option<&Value>) -> Result<Option<FinishReason>, Failure> {
    let reason = match reason {
        // Some servers send an object instead of a string.
        Some(Value::Object(members)) => members.get("type").or_else(|| members.get("reason")),
        other => other,
    };
    reason.and_then(Value::as_str).map_or(Ok(None), finish_word)
}

/// Parses a finish reason given as a string; `None` if it is empty.
pub(crate) fn finish_word(reason: &str) -> Result<Option<FinishReason>, Failure> {
    let reason = match reason.trim() {
        "" => return Ok(None),
        // The most common reason needs no copy.
        "stop" => return Ok(Some(FinishReason::Stop)),
        reason => reason,
    };
    // `FinishReason.MAX_TOKENS` is Python's representation of the enumeration.
    let word = reason.rsplit('.').next().unwrap_or(reason).to_ascii_lowercase().replace(['-', ' '], "_");
    Ok(Some(match word.as_str() {
        "stop" | "eos" | "eos_token" | "end_turn" | "end" | "stop_sequence" | "stop_token" | "complete"
        | "completed" | "done" | "finished" | "end_of_text" | "end_of_turn" => FinishReason::Stop,
        "length"
        | "max_tokens"
        | "max_length"
        | "max_output_tokens"
        | "max_completion_tokens"
        | "model_length"
        | "token_limit"
        | "limit"
        | "model_context_window_exceeded"
        | "context_length_exceeded" => FinishReason::Length,
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => FinishReason::ToolCalls,
        "content_filter"
        | "content_filtered"
        | "safety"
        | "refusal"
        | "refused"
        | "sensitive"
        | "moderation"
        | "blocked"
        | "blocklist"
        | "recitation"
        | "prohibited_content"
        | "spii"
        | "model_armor"
        | "guardrail_intervened"
        | "image_safety"
        | "image_prohibited_content"
        | "image_recitation"
        | "error_toxic"
        | "content_policy_violation" => FinishReason::ContentFilter,
        "error"
        | "abort"
        | "aborted"
        | "cancel"
        | "cancelled"
        | "canceled"
        | "failed"
        | "interrupted"
        | "internal_error"
        | "server_error"
        | "network_error"
        | "insufficient_system_resource" => {
            let message = format!("the endpoint broke the reply off (finish reason `{reason}`)");
            return Err(Failure::new(LmErrorKind::Server, message));
        }
        _ => {
            tracing::debug!(reason, "unknown finish reason: the reply counts as incomplete");
            FinishReason::Other
        }
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_of_many_servers() {
        use FinishReason::{ContentFilter, Length, Other, Stop, ToolCalls};
        for (reason, meaning) in [
            (json!(null), None),
            (json!(""), None),
            (json!(" "), None),
            (json!(7), None),
            (json!("stop"), Some(Stop)),
            (json!("STOP"), Some(Stop)),
            (json!("eos_token"), Some(Stop)),
            (json!("FinishReason.MAX_TOKENS"), Some(Length)),
            (json!({"type": "length"}), Some(Length)),
            (json!("tool-calls"), Some(ToolCalls)),
            (json!("SAFETY"), Some(ContentFilter)),
            (json!("guardrail_intervened"), Some(ContentFilter)),
            (json!("MALFORMED_FUNCTION_CALL"), Some(Other)),
            (json!("pause_turn"), Some(Other)),
            (json!("something new"), Some(Other)),
        ] {
            assert_eq!(finish_reason(Some(&reason)), Ok(meaning), "{reason}");
        }
        assert_eq!(finish_reason(None), Ok(None));
        for reason in ["error", "abort", "Cancelled", "insufficient_system_resource"] {
            let failure = finish_reason(Some(&json!(reason))).unwrap_err();
            assert_eq!(failure.kind, LmErrorKind::Server);
            assert!(failure.message.contains(reason), "{}", failure.message);
        }
    }
}
