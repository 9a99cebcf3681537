//! Selection of the reply format, with fallback to weaker formats.
//!
//! Capabilities are based on documentation, and endpoints may differ. If a format is refused, the next weaker one is
//! tried, and the result is remembered for the model's handle, so that the extra request is sent only once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Value, json};

use super::schema;
use crate::protocols::dialect::Dialect;
use crate::{LmError, LmErrorKind, ResponseFormat};
use dspy_base::locks::MutexExt as _;

/// The enforcement of a reply format, strongest first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Format {
    /// A schema in OpenAI's strict dialect.
    Strict(Arc<str>, Value),
    /// A schema.
    Schema(Arc<str>, Value),
    /// Any JSON object.
    Object,
    /// No enforcement.
    Text,
}

impl Format {
    const fn rank(&self) -> usize {
        match self {
            Format::Strict(..) => 0,
            Format::Schema(..) => 1,
            Format::Object => 2,
            Format::Text => 3,
        }
    }
}

/// The formats to try for one schema, the strongest first; the last is always text.
#[derive(Debug)]
pub(crate) struct Ladder {
    formats: Vec<Format>,
    /// The first format that was not refused.
    start: AtomicUsize,
}

/// The maximum length of a schema's name for OpenAI.
const NAME_LIMIT: usize = 64;

impl Ladder {
    fn new(asked: &ResponseFormat, dialect: Dialect) -> Self {
        let able = dialect.capabilities;
        let mut formats = Vec::new();
        match asked {
            ResponseFormat::JsonObject if !able.json_object && able.json_schema && dialect.schema.open => {
                formats.push(Format::Schema("object".into(), json!({"type": "object"})));
            }
            ResponseFormat::Text | ResponseFormat::JsonObject => {}
            ResponseFormat::JsonSchema { name, schema } => {
                let name: Arc<str> = name.chars().take(NAME_LIMIT).collect::<String>().into();
                let strict = (able.json_schema && able.strict)
                    .then(|| schema::strict(schema, dialect.schema))
                    .flatten();
                let lax = able.json_schema.then(|| schema::lax(schema, dialect.schema)).flatten();
                formats.extend(strict.map(|schema| Format::Strict(name.clone(), schema)));
                formats.extend(lax.map(|schema| Format::Schema(name, schema)));
            }
        }
        let wants_object = match asked {
            ResponseFormat::Text => false,
            ResponseFormat::JsonObject => true,
            ResponseFormat::JsonSchema { schema, .. } => {
                schema.get("type").is_some_and(|kind| kind == "object")
            }
        };
        if able.json_object && wants_object {
            formats.push(Format::Object);
        }
        formats.push(Format::Text);
        Ladder { formats, start: AtomicUsize::new(0) }
    }

    /// Returns the format at a position; text beyond the last.
    pub(crate) fn format(&self, at: usize) -> &Format {
        self.formats.get(at).unwrap_or(&Format::Text)
    }

    /// Returns the position to continue from if the format `at` failed with `error` and the format was the cause.
    pub(crate) fn weaker(&self, at: usize, error: &LmError) -> Option<usize> {
        (at + 1 < self.formats.len() && FormatRefusal::of(error).is_some()).then_some(at + 1)
    }
}

/// The maximum number of schemas remembered for one model.
const REMEMBERED: usize = 64;

/// The ladder of free text, shared by all models; there is no weaker format.
static TEXT: LazyLock<Arc<Ladder>> =
    LazyLock::new(|| Arc::new(Ladder { formats: vec![Format::Text], start: AtomicUsize::new(0) }));

/// The ladders of one model.
#[derive(Debug, Default)]
pub(crate) struct Formats {
    known: Mutex<VecDeque<(Arc<Value>, Arc<Ladder>)>>,
    /// The lowest rank that the endpoint has not refused for all schemas.
    floor: AtomicUsize,
}

impl Formats {
    /// Returns the ladder for a format, and the position to start at.
    pub(crate) fn ladder(&self, asked: &ResponseFormat, dialect: Dialect) -> (Arc<Ladder>, usize) {
        let ladder = match asked {
            ResponseFormat::JsonSchema { schema, .. } => self.remembered(schema, asked, dialect),
            ResponseFormat::Text => TEXT.clone(),
            ResponseFormat::JsonObject => Arc::new(Ladder::new(asked, dialect)),
        };
        let floor = self.floor.load(Ordering::Relaxed);
        let start = ladder.start.load(Ordering::Relaxed);
        let start = (start..ladder.formats.len()).find(|at| ladder.format(*at).rank() >= floor);
        let start = start.unwrap_or(ladder.formats.len() - 1);
        (ladder, start)
    }

    fn remembered(&self, schema: &Arc<Value>, asked: &ResponseFormat, dialect: Dialect) -> Arc<Ladder> {
        let mut known = self.known.lock_any();
        // The same allocation is the same schema; it is kept here, so that its address is not reused.
        if let Some((_, ladder)) = known.iter().find(|(other, _)| Arc::ptr_eq(other, schema)) {
            return ladder.clone();
        }
        let ladder = Arc::new(Ladder::new(asked, dialect));
        if known.len() >= REMEMBERED {
            known.pop_front();
        }
        known.push_back((schema.clone(), ladder.clone()));
        ladder
    }

    /// Records that the format `at` was accepted after those before it were refused, the last of them with `refusal`.
    pub(crate) fn settle(&self, ladder: &Ladder, at: usize, refusal: &LmError) {
        match FormatRefusal::of(refusal) {
            Some(FormatRefusal::Endpoint) => {
                self.floor.fetch_max(ladder.format(at).rank(), Ordering::Relaxed);
            }
            Some(FormatRefusal::Schema) => {
                ladder.start.fetch_max(at, Ordering::Relaxed);
            }
            Some(FormatRefusal::Reply) | None => {}
        }
    }
}

/// The subject of an endpoint's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormatRefusal {
    /// The kind of format, for every schema.
    Endpoint,
    /// This schema.
    Schema,
    /// The model's output; another reply may pass.
    Reply,
}

impl FormatRefusal {
    fn of(error: &LmError) -> Option<Self> {
        let unfit = error.kind == LmErrorKind::InvalidRequest || matches!(error.status, Some(405));
        if !unfit {
            return None;
        }
        let text = format!("{} {}", error.message, error.body.as_deref().unwrap_or_default()).to_lowercase();
        let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
        let names_format = says(&[
            "response_format",
            "response format",
            "json_schema",
            "json_object",
            "structured output",
            "output_config.format",
            "output_format",
            "text.format",
            "response_json_schema",
            "responsejsonschema",
            "response_schema",
            "response_mime_type",
        ]);
        // "Invalid schema for function 'search'" concerns a tool.
        if !names_format
            && (!says(&["schema", "json mode", "json mime type", "grammar"]) || says(&["function", "tool"]))
        {
            return None;
        }
        if says(&["json_validate_failed", "generated json", "failed to generate json"]) {
            return Some(FormatRefusal::Reply);
        }
        let general = names_format
            && !says(&["invalid schema", "schema is invalid", "in context", "keyword"])
            && says(&[
                "support",
                "unavailable",
                "unknown",
                "not allowed",
                "expected",
                "one of",
                "unrecognized",
            ]);
        Some(if general { FormatRefusal::Endpoint } else { FormatRefusal::Schema })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_the_words_of_many_endpoints() {
        for (message, refusal) in [
            ("This response_format type is unavailable now", Some(FormatRefusal::Endpoint)),
            (
                "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
                Some(FormatRefusal::Endpoint),
            ),
            ("json_object response format is not supported for model: x", Some(FormatRefusal::Endpoint)),
            (
                "'response_format.type' must be 'json_schema' or 'text'; unknown type",
                Some(FormatRefusal::Endpoint),
            ),
            (
                "Invalid schema for response_format 'Qa': In context=(), 'oneOf' is not permitted.",
                Some(FormatRefusal::Schema),
            ),
            (
                "The provided JSON schema contains features not supported by xgrammar.",
                Some(FormatRefusal::Schema),
            ),
            ("failed to parse grammar", Some(FormatRefusal::Schema)),
            (
                "Failed to generate JSON. code: json_validate_failed, see response_format",
                Some(FormatRefusal::Reply),
            ),
            ("Invalid schema for function 'search': 'oneOf' is not permitted.", None),
            ("temperature must be positive", None),
        ] {
            let error = LmError::new(LmErrorKind::InvalidRequest, "m", message);
            assert_eq!(FormatRefusal::of(&error), refusal, "{message}");
            assert_eq!(
                FormatRefusal::of(&LmError::new(LmErrorKind::Server, "m", message)),
                None,
                "{message}"
            );
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let formats = Formats::default();
        for number in 0..3 * REMEMBERED {
            let asked = ResponseFormat::JsonSchema {
                name: "a".into(),
                schema: Arc::new(json!({"type": "object", "properties": {"n": {"const": number}}})),
            };
            let (ladder, start) = formats.ladder(&asked, crate::protocols::dialect::PLAIN);
            assert_eq!((ladder.format(start), start), (&Format::Text, 0));
        }
        assert_eq!(formats.known.lock().unwrap().len(), REMEMBERED);
    }
}
