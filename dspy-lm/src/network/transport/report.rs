//! Parsing of the bodies of failed requests, in the formats of the providers.

use std::time::Duration;

use serde_json::Value;

use super::Failure;
use super::retry_after;
use crate::LmErrorKind;
use crate::json::parse;

/// The content of an error body, in whichever format.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The provider's message.
    pub(super) message: String,
    /// The machine-readable parts, for matching.
    tags: String,
    /// A status in the body.
    status: Option<u16>,
    /// The wait that the body requests.
    pub(super) retry_after: Option<Duration>,
}

/// Words in error codes and messages that are more specific than the status. Statuses vary between providers: bad
/// keys, overlong prompts and spent credit are all reported as 400 by some. The first matching row applies.
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

/// Words that imply the kind if there is no status: class names and phrases that are too weak to overrule one.
const WEAK_SIGNS: &[(LmErrorKind, &[&str])] = &[
    (LmErrorKind::ContextWindow, &["maximum context", "context_window", "too many tokens"]),
    (
        LmErrorKind::Billing,
        &["insufficient quota", "insufficient funds", "out of credits", "payment required"],
    ),
    (LmErrorKind::RateLimit, &["rate limit", "ratelimit", "throttl", "quota", "try again later"]),
    (
        LmErrorKind::Auth,
        &[
            "authenticationerror",
            "authentication",
            "unauthorized",
            "unauthenticated",
            "not authenticated",
            "forbidden",
            "permission",
            "api key",
            "api_key",
            "invalid token",
            "login fail",
        ],
    ),
    (LmErrorKind::NotFound, &["notfounderror", "not found", "does not exist", "no such model"]),
    (
        LmErrorKind::InvalidRequest,
        &[
            "invalid_request",
            "invalidrequest",
            "badrequest",
            "bad request",
            "validation",
            "invalid_argument",
            "field required",
        ],
    ),
    (
        LmErrorKind::Server,
        &[
            "internal server error",
            "internalserver",
            "server error",
            "bad gateway",
            "upstream",
            "out of memory",
            "no healthy",
            "capacity",
            "busy",
        ],
    ),
];

/// The number of [`SIGNS`] that overrule a status: those of requests that will never succeed.
const FINAL_SIGNS: usize = 5;

impl Report {
    /// Parses an error body, which may also be plain text.
    pub(super) fn of_body(body: &[u8]) -> Self {
        match parse(body) {
            Ok(Value::String(message)) => Report { message, ..Report::default() },
            Ok(json) => Report::of(&json),
            Err(_) => Report { message: plain(body), ..Report::default() },
        }
    }

    /// Parses an error: `{"error": …}`, `{"errors": […]}`, a list with one of these, or the members themselves.
    pub(super) fn of(json: &Value) -> Self {
        let json = first(json);
        let inner = ["error", "errors", "base_resp"].into_iter().find_map(|name| said(json, name));
        let Some(inner) = inner else { return Report::of_member(json) };
        let (mut report, outer) = (Report::of_member(first(inner)), Report::of_member(json));
        // `{"error": "Unauthorized", "message": "the reason", "statusCode": 401}`
        if inner.is_string() && !outer.is_silent() {
            report.message = format!("{}: {}", report.message, outer.message);
        }
        report.tags = format!("{} {}", report.tags, outer.tags);
        report.status = report.status.or(outer.status);
        report.retry_after = report.retry_after.or(outer.retry_after);
        report
    }

    /// Parses a reply without any of the expected members as an error, if it resembles one.
    pub(super) fn of_stray(json: &Value) -> Option<Self> {
        let json = first(json);
        let message = MESSAGES.iter().any(|name| said(json, name).is_some_and(Value::is_string));
        (is_error(json) || message).then(|| Report::of(json))
    }

    /// Returns whether the reply is certainly an error, by its shape or its content.
    pub(super) fn is_certain(&self, json: &Value) -> bool {
        is_error(first(json)) || self.kind_in_success() != LmErrorKind::Other
    }

    /// Parses the value of an `error` member.
    pub(super) fn of_member(error: &Value) -> Self {
        if let Some(message) = error.as_str() {
            return Report { message: message.to_owned(), ..Report::default() };
        }
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
            Value::Null => None,
            other => Some(other.to_string()),
        };
        let at = |pointer: &str| error.pointer(pointer).and_then(text);
        let mut message =
            MESSAGES.iter().find_map(|name| error.get(*name).and_then(text)).unwrap_or_default();
        // Routers include the error of the server behind them.
        if let Some(raw) = at("/metadata/raw") {
            message = format!("{message}: {raw}");
        }
        if message.is_empty() {
            message.push_str(SILENT);
        }
        let tags = ["/code", "/type", "/__type", "/status", "/innererror/code"].into_iter().filter_map(at);
        let code = |name: &str| match error.get(name)? {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        };
        let codes = ["code", "status", "status_code", "statusCode"].into_iter().filter_map(code);
        Report {
            message,
            tags: tags.collect::<Vec<_>>().join(" "),
            status: codes.filter_map(|code| u16::try_from(code).ok()).find(|code| (400..600).contains(code)),
            retry_after: retry_after::in_body(error),
        }
    }

    fn is_silent(&self) -> bool {
        self.message == SILENT
    }

    /// Returns the failure of an error that was sent with a success status.
    pub(super) fn failure(self) -> Failure {
        Failure { kind: self.kind_in_success(), message: self.message, retry_after: self.retry_after }
    }

    fn sign(&self, signs: &[(LmErrorKind, &[&str])]) -> Option<LmErrorKind> {
        let text = format!("{} {}", self.tags, self.message).to_lowercase();
        signs.iter().find(|(_, signs)| signs.iter().any(|sign| text.contains(sign))).map(|(kind, _)| *kind)
    }

    /// Returns the kind of an error with this status.
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
            // Some local servers report overlong prompts as a server error; a retry would not help.
            (409 | 425 | 500.., Some(ContextWindow)) => ContextWindow,
            (409 | 425 | 500.., _) => Server,
            (_, sign) => sign.unwrap_or(InvalidRequest),
        }
    }

    /// Returns the kind of an error that was sent with a success status.
    pub(super) fn kind_in_success(&self) -> LmErrorKind {
        match self.status {
            Some(status) => self.kind(status),
            None => self.sign(SIGNS).or_else(|| self.sign(WEAK_SIGNS)).unwrap_or(LmErrorKind::Other),
        }
    }
}

/// The members that may hold the message.
const MESSAGES: &[&str] =
    &["message", "Message", "detail", "msg", "error_message", "error_msg", "status_msg", "error_description"];

/// Returns whether a reply has the shape of an error.
fn is_error(json: &Value) -> bool {
    let is = |name: &str| json.get(name).is_some_and(|value| value == "error");
    let code = json.pointer("/base_resp/status_code").and_then(Value::as_i64);
    let tells = ["error", "errors", "detail"].iter().any(|name| said(json, name).is_some());
    is("object") || is("type") || tells || code.is_some_and(|code| code != 0)
}

/// The message for an error without a reason.
const SILENT: &str = "no reason given";

/// Returns the first element of a list, or the value itself.
fn first(json: &Value) -> &Value {
    json.as_array().and_then(|list| list.first()).unwrap_or(json)
}

fn said<'v>(json: &'v Value, name: &str) -> Option<&'v Value> {
    json.get(name).filter(|value| says_something(value))
}

/// Returns whether the value of an `error` member reports an error: `{}`, `""`, `false` and `{"code": null}` do not.
pub(super) fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(failed) => *failed,
        Value::Number(code) => code.as_f64() != Some(0.0),
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => list.iter().any(says_something),
        Value::Object(members) => members.values().any(says_something),
    }
}

/// Returns a body that is not JSON as a message.
fn plain(body: &[u8]) -> String {
    if looks_like_html(body) {
        return "the endpoint sent an HTML page".into();
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(2048)]);
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("the body is empty").to_owned()
}

/// Returns whether a body is a web page, which indicates that the address is not that of an API.
pub(crate) fn looks_like_html(body: &[u8]) -> bool {
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
            (r#"{"message":"rate limit reached"}"#, RateLimit),
            (r#"{"type":"BadRequestError","message":"no"}"#, InvalidRequest),
            (r#"{"code":"429","message":"no"}"#, RateLimit),
            (r#"{"message":"The model `x` does not exist"}"#, NotFound),
        ] {
            assert_eq!(
                Report::of_member(&serde_json::from_str(error).unwrap()).kind_in_success(),
                kind,
                "{error}"
            );
        }
    }

    #[test]
    fn errors_in_every_shape() {
        for (body, kind, message) in [
            (
                r#"{"object":"error","message":"maximum context length is 9","code":40303}"#,
                ContextWindow,
                "maximum context length is 9",
            ),
            (
                r#"{"object":"error","type":"BadRequestError","message":"no","code":400}"#,
                InvalidRequest,
                "no",
            ),
            (r#"{"message":"slow down","code":429}"#, RateLimit, "slow down"),
            (r#"{"message":"Too many connections"}"#, Other, "Too many connections"),
            (r#"{"detail":"Not authenticated"}"#, Auth, "Not authenticated"),
            (r#"{"error":"rate limit reached"}"#, RateLimit, "rate limit reached"),
            (
                r#"{"error":"Unauthorized","message":"bad key","statusCode":401}"#,
                Auth,
                "Unauthorized: bad key",
            ),
            (r#"{"error":{"message":"no"},"code":503}"#, Server, "no"),
            (r#"{"errors":[{"message":"insufficient_quota"}]}"#, Billing, "insufficient_quota"),
            (r#"{"errors":["model not found"],"success":false}"#, NotFound, "model not found"),
            (r#"[{"error":{"code":503,"message":"busy"}}]"#, Server, "busy"),
            (r#"{"type":"error","message":"overloaded"}"#, Server, "overloaded"),
            (r#"{"__type":"ThrottlingException","Message":"no"}"#, RateLimit, "no"),
            (r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#, Auth, "login fail"),
            ("\u{feff}{\"detail\":\"Not Found\"}", NotFound, "Not Found"),
        ] {
            let report = Report::of_stray(&parse(body.as_bytes()).unwrap()).unwrap();
            assert_eq!((report.kind_in_success(), report.message.as_str()), (kind, message), "{body}");
        }
        for body in [
            "{}",
            r#"{"id":"x"}"#,
            r#"{"error":null}"#,
            r#"{"error":{}}"#,
            r#"{"error":{"code":0,"message":""}}"#,
            r#"{"message":{"content":"hi"}}"#,
            r#"{"base_resp":{"status_code":0,"status_msg":"ok"}}"#,
            "[]",
            "1",
        ] {
            assert!(Report::of_stray(&parse(body.as_bytes()).unwrap()).is_none(), "{body}");
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
