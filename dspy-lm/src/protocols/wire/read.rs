//! Helpers to read and write loosely typed JSON.

use serde_json::{Map, Value, json};

use crate::network::transport::{Failure, looks_like_html};
use crate::{Completion, FinishReason, LmErrorKind};

/// The separator between texts that an endpoint returns one by one.
pub(crate) const BREAK: &str = "\n\n";

/// Returns the failure for a body that is not the expected JSON.
pub(crate) fn garbage(body: &[u8], error: &serde_json::Error) -> Failure {
    let message = if looks_like_html(body) {
        "an HTML page came instead of JSON; is the base URL right?".to_owned()
    } else if body.is_empty() {
        "the reply is empty".to_owned()
    } else {
        format!("the reply cannot be read: {error}")
    };
    Failure::new(LmErrorKind::Decode, message)
}

/// Creates a completion from the parts of a reply or of its events.
pub(crate) fn completion_of(
    mut text: String,
    reasoning: Option<String>,
    refusal: Option<String>,
    mut finish: FinishReason,
) -> Completion {
    if let Some(refusal) = refusal.filter(|refusal| !refusal.trim().is_empty()) {
        // Text before the refusal is kept.
        text = if text.trim().is_empty() { refusal } else { format!("{text}{BREAK}{refusal}") };
        finish = FinishReason::ContentFilter;
    }
    let reasoning = reasoning.filter(|reasoning| !reasoning.is_empty());
    Completion { text, finish, reasoning, ..Completion::default() }
}

/// Reads the arguments of a call; a string that is not JSON stays a string, which the decoder may be able to repair.
pub(crate) fn read_arguments(arguments: Value) -> Value {
    match arguments {
        Value::String(text) if text.trim().is_empty() => json!({}),
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Value::Null => json!({}),
        value => value,
    }
}

/// Returns the arguments of a call for endpoints that accept only objects.
pub(crate) fn arguments_object(arguments: &Value) -> Value {
    match arguments {
        Value::Object(_) => arguments.clone(),
        Value::Null => json!({}),
        other => json!({ "arguments": other }),
    }
}

/// Merges the members of `extra` into the body, where they replace those of the library. If both values are objects,
/// their members are merged one by one.
pub(crate) fn merge(body: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (name, value) in extra {
        match (body.get_mut(name), value) {
            (Some(Value::Object(own)), Value::Object(more)) => {
                own.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            _ => drop(body.insert(name.clone(), value.clone())),
        }
    }
}

/// The protocol and model that created opaque items, which can be sent back only to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) protocol: &'static str,
    pub(crate) model: &'a str,
}

impl Source<'_> {
    /// Labels items with this source.
    pub(crate) fn mark(self, items: Vec<Value>) -> Value {
        json!({"protocol": self.protocol, "model": self.model, "items": items})
    }

    /// Returns the items if they are from this source.
    pub(crate) fn own(self, opaque: Option<&Value>) -> Option<&[Value]> {
        let opaque = opaque?;
        let is = |member: &str, text: &str| opaque.get(member).is_some_and(|value| value == text);
        let items = opaque.get("items")?.as_array()?;
        (is("protocol", self.protocol) && is("model", self.model)).then_some(items.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_no_json_stay_as_written() {
        for (written, read) in [
            (json!(r#"{"a": 1}"#), json!({"a": 1})),
            (json!("{a: 1"), json!("{a: 1")),
            (json!(" "), json!({})),
            (Value::Null, json!({})),
            (json!({"a": 1}), json!({"a": 1})),
        ] {
            assert_eq!(read_arguments(written), read);
        }
    }

    #[test]
    fn members_of_objects_are_replaced_one_by_one() {
        let mut body = json!({"a": {"x": 1, "y": 2}, "b": 3});
        let extra = json!({"a": {"y": 4}, "b": {"z": 5}, "c": [6]});
        merge(body.as_object_mut().unwrap(), extra.as_object().unwrap());
        assert_eq!(body, json!({"a": {"x": 1, "y": 4}, "b": {"z": 5}, "c": [6]}));
    }

    #[test]
    fn opaque_items_go_back_only_to_where_they_came_from() {
        let source = Source { protocol: "p", model: "m" };
        let marked = source.mark(vec![json!(1)]);
        assert_eq!(source.own(Some(&marked)), Some([json!(1)].as_slice()));
        assert_eq!(Source { model: "n", ..source }.own(Some(&marked)), None);
        assert_eq!(Source { protocol: "q", ..source }.own(Some(&marked)), None);
        assert_eq!(source.own(None), None);
    }
}
