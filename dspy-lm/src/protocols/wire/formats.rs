//! Which reply format to ask for, and what to do when an endpoint refuses it.
//!
//! Capabilities are what documentation says; endpoints know better. A refused format is followed by the next weaker
//! one, and what was found out is remembered for the model's handle, so that it is paid for once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Value, json};

use super::schema;
use crate::protocols::dialect::Dialect;
use crate::{LmError, LmErrorKind, ResponseFormat};
use dspy_base::locks::MutexExt as _;

/// How a reply is held to its format, strongest first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Format {
    /// To a schema in OpenAI's strict dialect.
    Strict(Arc<str>, Value),
    /// To a schema.
    Schema(Arc<str>, Value),
    /// To be a JSON object.
    Object,
    /// Not at all.
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

/// The formats for one schema that are worth trying, the strongest first, the last one always text.
#[derive(Debug)]
pub(crate) struct Ladder {
    formats: Vec<Format>,
    /// The first that was not refused.
    start: AtomicUsize,
}

/// The longest name that OpenAI takes for a schema.
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

    /// The format at a place; text beyond the last.
    pub(crate) fn format(&self, at: usize) -> &Format {
        self.formats.get(at).unwrap_or(&Format::Text)
    }

    /// The place to go on from when the format `at` met with `error`, if that was the format's fault.
    pub(crate) fn weaker(&self, at: usize, error: &LmError) -> Option<usize> {
        (at + 1 < self.formats.len() && FormatRefusal::of(error).is_some()).then_some(at + 1)
    }
}

/// How many schemas are remembered for one model.
const REMEMBERED: usize = 64;

/// The ladder of free text, the same for all models: nothing is weaker.
static TEXT: LazyLock<Arc<Ladder>> =
    LazyLock::new(|| Arc::new(Ladder { formats: vec![Format::Text], start: AtomicUsize::new(0) }));

/// The ladders of one model.
#[derive(Debug, Default)]
pub(crate) struct Formats {
    known: Mutex<VecDeque<(Arc<Value>, Arc<Ladder>)>>,
    /// The lowest rank that the endpoint has not refused altogether.
    floor: AtomicUsize,
}

impl Formats {
    /// The ladder for a format, and where on it to start.
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
        // The same allocation is the same schema; it is kept here, so its place in memory is not used again.
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

    /// Remembers that the format `at` was taken after those before it were refused, the last time with `refusal`.
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

/// What an endpoint objected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormatRefusal {
    /// The kind of format, whatever the schema.
    Endpoint,
    /// This schema.
    Schema,
    /// What the model wrote; another reply may pass.
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
        // "Invalid schema for function 'search'" is about a tool.
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
