//! Parameters that an endpoint refuses although most support them.
//!
//! Documentation and model names are not sufficient: a deployment may be any model, and models drop parameters over
//! time. If a refusal names a parameter that does not change the kind of reply, the request is sent again without it,
//! and the model's handle remembers this, so that the extra request is sent only once. Parameters that change the
//! meaning of a request, and members of `extra`, are never dropped.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Map, Value};

use crate::protocols::dialect::{Dialect, TokenLimit};
use crate::{LmError, LmErrorKind, Protocol, Request, json};

/// A parameter that a request is possible without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    Temperature,
    TopP,
    Stop,
    Seed,
    Logprobs,
    Effort,
    /// Summaries of reasoning.
    Summary,
    /// Encrypted reasoning for later turns.
    Encrypted,
    CacheKey,
    /// Usage at the end of a stream.
    StreamUsage,
    /// Streaming itself.
    Stream,
    /// Several completions per request.
    Count,
    /// The token limit under the name that was sent; there is an alternative name.
    TokenLimit,
}

struct Row {
    parameter: Parameter,
    /// The names used in refusals, in lower case.
    names: &'static [&'static str],
    /// The JSON pointers to the parameter in bodies.
    places: &'static [&'static str],
}

const ROWS: &[Row] = &[
    // Before the temperature: models that support only one of the two name both, and this one is less important.
    Row {
        parameter: Parameter::TopP,
        names: &["top_p", "topp"],
        places: &["/top_p", "/generationConfig/topP"],
    },
    Row {
        parameter: Parameter::Temperature,
        names: &["temperature"],
        places: &["/temperature", "/generationConfig/temperature"],
    },
    Row {
        parameter: Parameter::Stop,
        names: &["stop", "stop_sequences", "stopsequences", "stop sequences"],
        places: &["/stop", "/stop_sequences", "/generationConfig/stopSequences"],
    },
    Row {
        parameter: Parameter::Seed,
        names: &["seed", "random_seed"],
        places: &["/seed", "/random_seed", "/generationConfig/seed"],
    },
    Row {
        parameter: Parameter::Logprobs,
        names: &[
            "logprobs",
            "top_logprobs",
            "responselogprobs",
            "response_logprobs",
            "message.output_text.logprobs",
        ],
        places: &["/logprobs", "/top_logprobs", "/generationConfig/responseLogprobs"],
    },
    Row {
        parameter: Parameter::Summary,
        names: &["reasoning.summary", "reasoning summaries"],
        places: &["/reasoning/summary"],
    },
    Row {
        parameter: Parameter::Encrypted,
        names: &["reasoning.encrypted_content", "encrypted content", "include"],
        places: &["/include"],
    },
    Row {
        parameter: Parameter::Effort,
        names: &[
            "reasoning_effort",
            "reasoning.effort",
            "reasoning effort",
            "output_config.effort",
            "effort",
            "thinkingconfig",
            "thinking_config",
            "thinkinglevel",
            "thinking_level",
            "thinkingbudget",
            "thinking_budget",
            "thinking level",
            "thinking budget",
            "thinking",
            "reasoning",
        ],
        places: &[
            "/reasoning_effort",
            "/reasoning/effort",
            "/thinking",
            "/output_config/effort",
            "/generationConfig/thinkingConfig",
        ],
    },
    Row { parameter: Parameter::CacheKey, names: &["prompt_cache_key"], places: &["/prompt_cache_key"] },
    Row {
        parameter: Parameter::StreamUsage,
        names: &["stream_options", "include_usage"],
        places: &["/stream_options"],
    },
    Row { parameter: Parameter::Stream, names: &["stream", "streaming"], places: &["/stream"] },
    Row {
        parameter: Parameter::Count,
        names: &["n", "candidatecount", "candidate_count", "multiple candidates", "only one candidate"],
        places: &["/n", "/generationConfig/candidateCount"],
    },
    Row {
        parameter: Parameter::TokenLimit,
        names: &["max_tokens", "max_completion_tokens"],
        places: &["/max_tokens", "/max_completion_tokens"],
    },
];

/// Names that are also English words: in prose they count only if quoted or called a parameter.
const COMMON: &[&str] =
    &["stop", "seed", "n", "effort", "reasoning", "thinking", "include", "stream", "streaming"];

/// Phrases that mean that a parameter is not supported at all, rather than that its value is out of range.
const UNTAKEN: &[&str] = &[
    "unsupported",
    "not support",
    "n't support",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "not available",
    "not accept",
    "not enabled",
    "not a valid parameter",
    "no longer",
    "deprecated",
    "extra_forbidden",
    "cannot be specified",
    "cannot both be specified",
    "cannot be used",
    "cannot find field",
    "only the default",
    "only 1 is allowed",
    "must be verified",
    "only one candidate",
];

/// The parameters that an endpoint has refused for one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused(u16);

impl Refused {
    pub(crate) fn has(self, parameter: Parameter) -> bool {
        self.0 & (1 << (parameter as u16)) != 0
    }

    #[must_use]
    pub(super) fn with(self, parameter: Parameter) -> Self {
        Refused(self.0 | (1 << (parameter as u16)))
    }

    /// Returns the request without the refused parameters.
    pub(super) fn apply(self, request: &Request) -> Cow<'_, Request> {
        if self == Refused::default() {
            return Cow::Borrowed(request);
        }
        let mut request = request.clone();
        let params = &mut request.params;
        if self.has(Parameter::Temperature) {
            params.temperature = None;
        }
        if self.has(Parameter::TopP) {
            params.top_p = None;
        }
        if self.has(Parameter::Stop) {
            params.stop.clear();
        }
        if self.has(Parameter::Seed) {
            params.seed = None;
        }
        if self.has(Parameter::Logprobs) {
            (params.logprobs, params.top_logprobs) = (None, None);
        }
        if self.has(Parameter::Effort) {
            params.reasoning_effort = None;
        }
        if self.has(Parameter::CacheKey) {
            params.prompt_cache = None;
        }
        Cow::Owned(request)
    }

    /// Returns the dialect adjusted to the refused parameters.
    pub(crate) fn dialect(self, mut dialect: Dialect) -> Dialect {
        if self.has(Parameter::TokenLimit) {
            dialect.token_limit = match dialect.token_limit {
                TokenLimit::MaxTokens => TokenLimit::MaxCompletionTokens,
                TokenLimit::MaxCompletionTokens => TokenLimit::MaxTokens,
            };
        }
        dialect.stream_usage &= !self.has(Parameter::StreamUsage);
        dialect
    }
}

/// The shared record of the parameters refused for one model.
#[derive(Debug, Default)]
pub(super) struct Memory(AtomicU16);

impl Memory {
    pub(super) fn get(&self) -> Refused {
        Refused(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn add(&self, refused: Refused) {
        self.0.fetch_or(refused.0, Ordering::Relaxed);
    }
}

/// Returns the parameter of `body` that an endpoint refuses by `error`, if the error is about that and the request is
/// possible without it. `extra` holds the members that the user added to the body.
pub(super) fn objection(
    error: &LmError,
    body: &Value,
    extra: &Map<String, Value>,
    protocol: Protocol,
) -> Option<Parameter> {
    if error.kind != LmErrorKind::InvalidRequest {
        return None;
    }
    let reported =
        error.body.as_deref().and_then(|body| json::parse(body.as_bytes()).ok()).unwrap_or_default();
    let text = format!("{} {}", error.message, error.body.as_deref().unwrap_or_default()).to_lowercase();
    let untaken = UNTAKEN.iter().any(|sign| text.contains(sign));
    let by_hand = Value::Object(extra.clone());
    let sent = ROWS.iter().filter(|row| {
        let ours =
            row.places.iter().any(|place| body.pointer(place).is_some() && by_hand.pointer(place).is_none());
        match row.parameter {
            // Other protocols have only one name for the limit, and a reply without a limit could exceed the allowed
            // cost.
            Parameter::TokenLimit => ours && untaken && protocol == Protocol::Chat,
            // Several completions can be requested one by one, whatever the reason for the refusal.
            Parameter::Count => ours,
            _ => ours && untaken,
        }
    });
    let named = reported.pointer("/error/param").or_else(|| reported.get("param")).and_then(Value::as_str);
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        let named = named.to_lowercase();
        let mut sent = sent;
        return sent.find(|row| row.names.contains(&named.as_str())).map(|row| row.parameter);
    }
    let mentioned = |row: &Row| row.names.iter().filter_map(|name| mention(&text, name)).min();
    let first = sent.filter_map(|row| Some((mentioned(row)?, row.parameter))).min_by_key(|(at, _)| *at)?;
    let both = first.1 == Parameter::Temperature
        && body.pointer("/top_p").is_some()
        && mention(&text, "top_p").is_some();
    Some(if both { Parameter::TopP } else { first.1 })
}

/// Returns the position at which `text` names a parameter.
fn mention(text: &str, name: &str) -> Option<usize> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut from = 0;
    while let Some(at) = text[from..].find(name).map(|at| from + at) {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        from = at + name.len();
        if before.ends_with(of_name) || after.starts_with(of_name) {
            continue;
        }
        if !COMMON.contains(&name) || is_quoted(before, after) || is_called_one(before, after) {
            return Some(at);
        }
    }
    None
}

fn is_quoted(before: &str, after: &str) -> bool {
    let quote = ['\'', '"', '`', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}'];
    before.ends_with(quote) && after.starts_with(quote)
}

fn is_called_one(before: &str, after: &str) -> bool {
    const BEFORE: &[&str] = &[
        "parameter",
        "parameters",
        "argument",
        "arguments",
        "field",
        "supplied",
        "option",
        "support",
        "supports",
    ];
    let before = before.trim_end_matches([' ', ':', '(', '\'', '"', '`']);
    let after = after.trim_start_matches([' ', '\'', '"', '`']);
    BEFORE.iter().any(|word| before.ends_with(word))
        || [
            "parameter",
            "is not support",
            "is unsupport",
            "not support",
            "is not allowed",
            "is not available",
            "is deprecated",
            "isn't support",
            "does not support",
            ": extra inputs",
            "cannot be",
        ]
        .iter()
        .any(|word| after.starts_with(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objected(message: &str, body: &Value) -> Option<Parameter> {
        let error = LmError::new(LmErrorKind::InvalidRequest, "m", message);
        objection(&error, body, &Map::new(), Protocol::Chat)
    }

    fn full() -> Value {
        json!({"model": "m", "messages": [], "temperature": 0.5, "top_p": 0.5, "stop": ["END"], "seed": 7, "n": 2,
            "logprobs": true, "reasoning_effort": "low", "max_tokens": 9, "prompt_cache_key": "k", "stream": true,
            "stream_options": {}, "tools": [], "thinking": {}})
    }

    #[test]
    fn refusals_in_the_words_of_many_endpoints() {
        use Parameter::{
            CacheKey, Count, Effort, Logprobs, Seed, Stop, Stream, StreamUsage, Temperature, TokenLimit, TopP,
        };
        for (message, parameter) in [
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                Some(TokenLimit),
            ),
            (
                "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.",
                Some(Temperature),
            ),
            (
                "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
                Some(TopP),
            ),
            ("`temperature` is deprecated for this model.", Some(Temperature)),
            ("Unsupported parameter: 'stop' is not supported with this model.", Some(Stop)),
            ("Unrecognized request argument supplied: reasoning_effort", Some(Effort)),
            ("Unrecognized request argument supplied: seed", Some(Seed)),
            (
                r#"[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted"}]"#,
                Some(Seed),
            ),
            ("top_p: Extra inputs are not permitted", Some(TopP)),
            ("This model does not support logprobs.", Some(Logprobs)),
            ("'n' : number must be at most 1", Some(Count)),
            ("Unknown parameter: 'stream_options'.", Some(StreamUsage)),
            ("Unknown parameter: 'prompt_cache_key'.", Some(CacheKey)),
            ("Your organization must be verified to stream this model (parameter 'stream').", Some(Stream)),
            // The value of the parameter is refused, or something else is.
            ("Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3.", None),
            ("max_tokens is too large: 99999. This model supports at most 16384 completion tokens.", None),
            ("tools are not supported with this model", None),
            ("messages: unexpected role; please stop and think, seed corn is not allowed", None),
            ("Unsupported parameter: 'max_tokensx'", None),
            ("Unknown parameter: 'nonsense'", None),
        ] {
            assert_eq!(objected(message, &full()), parameter, "{message}");
            assert_eq!(
                objected(message, &json!({"model": "m"})),
                None,
                "what was not sent cannot be left out"
            );
        }
    }

    #[test]
    fn the_parameter_that_the_endpoint_names_counts() {
        let mut error =
            LmError::new(LmErrorKind::InvalidRequest, "m", "Unsupported value: temperature, stop");
        let body = |param: &str| json!({"error": {"param": param, "code": "unsupported_value"}}).to_string();
        let mut objected = |param: &str| {
            error.body = Some(body(param));
            objection(&error, &full(), &Map::new(), Protocol::Chat)
        };
        assert_eq!(objected("stop"), Some(Parameter::Stop));
        assert_eq!(
            objected("tools[0].function.name"),
            None,
            "another one is meant, whatever the message mentions"
        );
        error.kind = LmErrorKind::Server;
        assert_eq!(objection(&error, &full(), &Map::new(), Protocol::Chat), None);
    }

    #[test]
    fn what_was_written_by_hand_and_what_limits_cost_stays() {
        let error = LmError::new(LmErrorKind::InvalidRequest, "m", "Unknown parameter: 'seed', unsupported");
        let extra = json!({"seed": 7}).as_object().cloned().unwrap();
        assert_eq!(objection(&error, &full(), &extra, Protocol::Chat), None);
        let error = LmError::new(LmErrorKind::InvalidRequest, "m", "Unsupported parameter: 'max_tokens'");
        assert_eq!(objection(&error, &full(), &Map::new(), Protocol::Anthropic), None);
    }
}
