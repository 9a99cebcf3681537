//! Laws of replies that arrive in pieces.

use std::collections::BTreeMap;
use std::sync::Arc;

use dspy_core::adapter::{Adapter, ReplyReader};
use dspy_core::lm::Completion;
use dspy_core::signature::{FieldChange, FieldUpdate, SignatureSpec};
use proptest::prelude::*;
use serde_json::Value;

use super::{ADAPTERS, Outputs, outputs, spec, text, values, work};

/// What a watcher knows of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Known {
    SoFar(Value),
    Complete(Value),
    Refused,
}

pub(super) type State = BTreeMap<String, Known>;

/// Takes in changes, each of which must go beyond what was known; returns what did not.
fn learn(state: &mut State, changes: Vec<FieldChange>) -> Option<String> {
    let mut lapse = None;
    for FieldChange { field, update, .. } in changes {
        let before = match state.get(&*field) {
            Some(Known::SoFar(value)) => Some(value.clone()),
            Some(_) => {
                lapse = Some(format!("{field} goes on after its end"));
                None
            }
            None => None,
        };
        let now = match update {
            FieldUpdate::More(more) => {
                assert!(!more.is_empty());
                let text = before.as_ref().map_or("", |value| value.as_str().unwrap());
                Known::SoFar(Value::String(format!("{text}{more}")))
            }
            FieldUpdate::SoFar(value) => Known::SoFar(value),
            FieldUpdate::Complete(value) => Known::Complete(value),
            _ => Known::Refused,
        };
        if let (Some(before), Known::SoFar(value) | Known::Complete(value)) = (&before, &now)
            && !is_beginning(before, value)
        {
            lapse = Some(format!("{field}: {before} went, {value} came"));
        }
        state.insert(field.to_string(), now);
    }
    lapse
}

/// Whether `value` is what `begun` may grow into.
pub(super) fn is_beginning(begun: &Value, value: &Value) -> bool {
    match (begun, value) {
        (Value::String(begun), Value::String(text)) => text.starts_with(begun.as_str()),
        (Value::Array(begun), Value::Array(items)) => {
            begun.len() <= items.len() && begun.iter().zip(items).all(|(a, b)| is_beginning(a, b))
        }
        (Value::Object(begun), Value::Object(members)) => {
            begun.iter().all(|(key, a)| members.get(key).is_some_and(|b| is_beginning(a, b)))
        }
        _ => begun == value,
    }
}

struct Watcher {
    reader: Box<dyn ReplyReader>,
    state: State,
    lapse: Option<String>,
}

impl Watcher {
    fn new(adapter: &dyn Adapter, spec: &Arc<SignatureSpec>) -> Self {
        Watcher { reader: adapter.reader(spec).unwrap(), state: State::new(), lapse: None }
    }

    fn push(&mut self, text: &str) {
        let mut changes = Vec::new();
        self.reader.push(text, &mut changes);
        let lapse = learn(&mut self.state, changes);
        self.lapse = self.lapse.take().or(lapse);
    }
}

/// Watches a reply by the character and in the given pieces: both must know the same at the end of each piece.
pub(super) fn watch(
    adapter: &dyn Adapter,
    spec: &Arc<SignatureSpec>,
    reply: &str,
    sizes: &[usize],
) -> Result<State, String> {
    let mut single = Watcher::new(adapter, spec);
    let mut pieces = Watcher::new(adapter, spec);
    let mut differ = None;
    let mut characters = reply.chars();
    for size in sizes.iter().cycle() {
        let piece: String = characters.by_ref().take(*size).collect();
        if piece.is_empty() {
            break;
        }
        for character in piece.chars() {
            single.push(character.encode_utf8(&mut [0; 4]));
        }
        pieces.push(&piece);
        if single.state != pieces.state {
            differ = Some(format!("by the character {:?}, in pieces {:?}", single.state, pieces.state));
        }
    }
    match single.lapse.or(pieces.lapse).or(differ) {
        Some(lapse) => Err(format!("{}: {lapse}\n{reply}", adapter.name())),
        None => Ok(pieces.state),
    }
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..40usize, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn a_rendered_reply_arrives_whole_and_only_grows(outputs in outputs(), sizes in sizes()) {
        let (spec, values) = (Arc::new(spec()), values(&outputs));
        for adapter in ADAPTERS {
            let reply = adapter.reply(&spec, &values);
            let state = watch(adapter, &spec, &reply, &sizes).unwrap();
            let complete = state.into_iter().filter_map(|(field, known)| match known {
                Known::Complete(value) => Some((field, value)),
                _ => None,
            });
            let shown: Outputs = serde_json::from_value(Value::Object(complete.collect())).unwrap();
            prop_assert_eq!(&shown, &outputs, "{}: {}", adapter.name(), reply);
        }
    }

    #[test]
    fn what_is_shown_of_any_reply_was_right(
        reply in prop_oneof![
            text(),
            "\\PC{0,200}",
            "(\\[\\[ ## (text|list|yes) ## \\]\\]|<(text|list|yes)>|</(text|list|yes)>|\\*\\*|[\\[\\]{}\",:\n#\\\\&;]|[a-z0-9 ]{1,4}){0,60}",
        ],
        sizes in sizes(),
    ) {
        let spec = "q -> text, list: list[str], yes: bool".parse::<SignatureSpec>().unwrap();
        let mut fields = spec.outputs().cloned().map(dspy_core::signature::FieldSpec::defaulted);
        let spec = Arc::new(SignatureSpec::new("Loose", "", fields.by_ref().collect::<Vec<_>>()));
        for adapter in ADAPTERS {
            let state = watch(adapter, &spec, &reply, &sizes);
            let Ok(parsed) = adapter.parse(&spec, &Completion::new(reply.as_str())) else { continue };
            for (field, known) in state.unwrap() {
                let value = parsed.values.get(&field);
                let right = match &known {
                    Known::SoFar(begun) => value.is_some_and(|value| is_beginning(begun, value)),
                    Known::Complete(shown) => value == Some(shown),
                    Known::Refused => false,
                };
                prop_assert!(right, "{}: {known:?} was shown of {value:?} in {reply:?}", adapter.name());
            }
        }
    }
}

#[test]
fn long_replies_are_read_in_linear_time() {
    let items =
        |size| (0..size).map(|n| format!("item number {n} [[ ## of ** many")).collect::<Vec<String>>().into();
    let long = |size| "a word and [[ another ** ".repeat(size).into();
    let values: [(_, &dyn Fn(usize) -> Value); 2] = [("q -> out: list[str]", &items), ("q -> out", &long)];
    for (signature, value) in values {
        let spec: Arc<SignatureSpec> = Arc::new(signature.parse().unwrap());
        for adapter in ADAPTERS {
            work::assert_linear(&format!("{} {signature}", adapter.name()), 1_000, |size| {
                let values = [("out".to_owned(), value(size))].into_iter().collect();
                let reply = adapter.reply(&spec, &values);
                let mut watcher = adapter.reader(&spec).unwrap();
                let mut changes = Vec::new();
                for at in (0..reply.len()).step_by(5) {
                    watcher.push(&reply[at..(at + 5).min(reply.len())], &mut changes);
                }
                // A long object is read at its milestones; its end is that of the whole reply.
                if adapter.name() != "json" {
                    let complete = changes.last().map(|change| &change.update);
                    let whole = FieldUpdate::Complete(values["out"].clone());
                    assert_eq!(complete, Some(&whole), "{}", adapter.name());
                }
            });
        }
    }
}
