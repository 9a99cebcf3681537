//! What providers write into the bodies of failed requests.

use serde_json::Value;

use crate::lm::LmErrorKind;

/// What an error body says, whichever way it says it.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// What happened, in the provider's words.
    pub(super) message: String,
    /// The machine-readable parts, for matching.
    tags: String,
    /// A status in the body.
    status: Option<u16>,
}

/// Words in error codes and messages that tell more than the status. Providers agree on few statuses: bad keys,
/// overlong prompts and spent credit all come as 400 somewhere. The first row that fits decides.
const SIGNS: &[(LmErrorKind, &[&str])] = &[
    (
        LmErrorKind::Billing,
        &[
            "insufficient_quota",
            "insufficient_balance",
            "insufficient balance",
            "insufficient credits",
            "billing_hard_limit_reached",
            "billing_not_active",
            "credit balance is too low",
            "requires more credits",
            "payment_required",
        ],
    ),
    (
        LmErrorKind::ContextWindow,
        &[
            "context_length_exceeded",
            "exceed_context_size",
            "context length",
            "context window",
            "context size",
            "prompt is too long",
            "input is too long",
            "input token count",
        ],
    ),
    (
        LmErrorKind::ContentFilter,
        &[
            "content_filter",
            "content_policy",
            "content management policy",
            "responsibleaipolicyviolation",
            "requires moderation",
            "was flagged",
        ],
    ),
    (
        LmErrorKind::Auth,
        &[
            "invalid_api_key",
            "authentication_error",
            "api key not valid",
            "incorrect api key",
            "invalid api key",
        ],
    ),
    (
        LmErrorKind::NotFound,
        &["model_not_found", "model_decommissioned", "model not found", "not_found_error"],
    ),
    (LmErrorKind::RateLimit, &["rate_limit", "resource_exhausted", "too many requests", "too_many_requests"]),
    (LmErrorKind::Timeout, &["timeout", "timed out"]),
    (LmErrorKind::Server, &["overloaded", "server_error", "internal_error", "api_error", "unavailable"]),
];

/// How many of the [`SIGNS`] may overrule a status: those that say that the request will never succeed.
const FINAL_SIGNS: usize = 5;

impl Report {
    /// The report of an error body: `{"error": …}`, a list with one of these, the members themselves, or text.
    pub(super) fn of_body(body: &[u8]) -> Self {
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            return Report { message: plain(body), ..Report::default() };
        };
        let json = json.as_array().and_then(|list| list.first()).unwrap_or(&json);
        Report::of_member(json.get("error").filter(|error| !error.is_null()).unwrap_or(json))
    }

    /// The report that stands in an `error` member.
    pub(super) fn of_member(error: &Value) -> Self {
        if let Some(message) = error.as_str() {
            return Report { message: message.to_owned(), ..Report::default() };
        }
        let text = |pointer: &str| match error.pointer(pointer) {
            Some(Value::String(text)) => Some(text.clone()),
            None | Some(Value::Null) => None,
            Some(other) => Some(other.to_string()),
        };
        let mut message = ["/message", "/detail", "/msg"].into_iter().find_map(text).unwrap_or_default();
        // Routers pass on what the server behind them said.
        if let Some(raw) = text("/metadata/raw") {
            message = format!("{message}: {raw}");
        }
        if message.is_empty() {
            message.push_str("no reason given");
        }
        let tags = ["/code", "/type", "/status", "/innererror/code"].into_iter().filter_map(text);
        let status = error.get("code").or_else(|| error.get("status")).and_then(Value::as_u64);
        Report {
            message,
            tags: tags.collect::<Vec<_>>().join(" "),
            status: status.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code)),
        }
    }

    fn sign(&self, signs: &[(LmErrorKind, &[&str])]) -> Option<LmErrorKind> {
        let text = format!("{} {}", self.tags, self.message).to_lowercase();
        signs.iter().find(|(_, signs)| signs.iter().any(|sign| text.contains(sign))).map(|(kind, _)| *kind)
    }

    /// The kind of an error with this status.
    pub(super) fn kind(&self, status: u16) -> LmErrorKind {
        use LmErrorKind::{
            Auth, Billing, ContentFilter, ContextWindow, InvalidRequest, NotFound, RateLimit, Server, Timeout,
        };
        let sign = self.sign(&SIGNS[..FINAL_SIGNS]);
        match (status, sign) {
            (403, Some(kind @ (Billing | ContentFilter))) => kind,
            (401 | 403, _) => Auth,
            (402, _) | (429, Some(Billing)) => Billing,
            (404 | 405 | 410, _) => NotFound,
            (408, _) => Timeout,
            (429, _) => RateLimit,
            // Some local servers fail on overlong prompts; trying again would not help.
            (409 | 425 | 500.., Some(ContextWindow)) => ContextWindow,
            (409 | 425 | 500.., _) => Server,
            (_, sign) => sign.unwrap_or(InvalidRequest),
        }
    }

    /// The kind of an error that came as a success.
    pub(super) fn kind_in_success(&self) -> LmErrorKind {
        match self.status {
            Some(status) => self.kind(status),
            None => self.sign(SIGNS).unwrap_or(LmErrorKind::Other),
        }
    }
}

/// A body that is not JSON, as a message.
fn plain(body: &[u8]) -> String {
    if looks_like_html(body) {
        return "the endpoint sent an HTML page".into();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(2048)]);
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("the body is empty").to_owned()
}

/// Whether a body is a web page: a sign that the address is not that of an API.
pub(in crate::lm) fn looks_like_html(body: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&body[..body.len().min(256)]).trim_start().to_ascii_lowercase();
    start.starts_with("<!doctype") || start.starts_with("<html") || start.starts_with("<head")
}

#[cfg(test)]
mod tests {
    use super::*;
    use LmErrorKind::{
        Auth, Billing, ContentFilter, ContextWindow, InvalidRequest, NotFound, Other, RateLimit, Server,
        Timeout,
    };

    #[test]
    fn statuses_and_bodies_of_many_providers() {
        for (status, body, kind) in [
            (400, r#"{"error":{"message":"no","code":"context_length_exceeded"}}"#, ContextWindow),
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#,
                ContextWindow,
            ),
            (
                400,
                r#"{"error":{"message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
                ContextWindow,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size"}}"#,
                ContextWindow,
            ),
            (500, r#"{"error":{"message":"context size exceeded"}}"#, ContextWindow),
            (400, r#"{"object":"error","message":"max_tokens must be positive","code":400}"#, InvalidRequest),
            (
                400,
                r#"{"error":{"message":"flagged","code":"content_filter","innererror":{"code":"x"}}}"#,
                ContentFilter,
            ),
            (403, r#"{"error":{"code":403,"message":"Your input was flagged"}}"#, ContentFilter),
            (403, r#"{"error":"forbidden"}"#, Auth),
            (401, "", Auth),
            (
                400,
                r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#,
                Auth,
            ),
            (402, r#"{"error":{"message":"Insufficient Balance"}}"#, Billing),
            (429, r#"{"error":{"message":"quota","code":"insufficient_quota"}}"#, Billing),
            (400, r#"{"error":{"message":"Your credit balance is too low"}}"#, Billing),
            (429, r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#, RateLimit),
            (404, r#"{"error":"model 'x' not found"}"#, NotFound),
            (404, "404 page not found", NotFound),
            (405, "", NotFound),
            (408, "", Timeout),
            (409, "", Server),
            (413, "", InvalidRequest),
            (422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, InvalidRequest),
            (400, r#"{"error":{"message":"stop overloaded"}}"#, InvalidRequest),
            (500, "oops", Server),
            (503, "<html></html>", Server),
            (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, Server),
        ] {
            assert_eq!(Report::of_body(body.as_bytes()).kind(status), kind, "{status} {body}");
        }
    }

    #[test]
    fn errors_inside_a_success() {
        for (error, kind) in [
            (r#"{"code":429,"message":"busy"}"#, RateLimit),
            (r#"{"code":502,"message":"upstream"}"#, Server),
            (r#"{"code":"rate_limit_exceeded","message":"busy"}"#, RateLimit),
            (r#"{"type":"server_error","message":"sorry"}"#, Server),
            (r#"{"code":"invalid_api_key"}"#, Auth),
            (r#""something""#, Other),
        ] {
            assert_eq!(
                Report::of_member(&serde_json::from_str(error).unwrap()).kind_in_success(),
                kind,
                "{error}"
            );
        }
    }

    #[test]
    fn messages_are_the_providers_own() {
        let message = |body: &str| Report::of_body(body.as_bytes()).message;
        assert_eq!(message(r#"{"error":{"message":"bad `n`"}}"#), "bad `n`");
        assert_eq!(message(r#"{"error":"plain"}"#), "plain");
        assert_eq!(
            message(r#"{"error":{"message":"Provider error","metadata":{"raw":"n > 1"}}}"#),
            "Provider error: n > 1"
        );
        assert_eq!(message("\n first line \nsecond"), "first line");
        assert_eq!(message("<!DOCTYPE html><p>"), "the endpoint sent an HTML page");
        assert_eq!(message(""), "the body is empty");
        assert_eq!(message("{}"), "no reason given");
    }
}
