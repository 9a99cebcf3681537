//! Content of requests and answers for spans: in the format of the conventions, of bounded size, without
//! media.

use serde_json::{Map, Value, json};

use super::spans::finish;
use crate::secret::hide_live;
pub use crate::types::media::placeholder;
use crate::{Completion, Content, Message, Part, Role, ToolCall};

/// The most bytes of text in one attribute; longer content is truncated and marked.
const LIMIT: usize = 64 << 10;

/// The number of bytes left.
struct Room(usize);

impl Room {
    /// Returns the part of a string that fits, with the number of omitted bytes.
    fn text(&mut self, text: &str) -> Value {
        let text = &*hide_live(text);
        if text.len() <= self.0 {
            self.0 -= text.len();
            return text.into();
        }
        let end = text.floor_char_boundary(self.0);
        self.0 = 0;
        format!("{}… ({} more bytes)", &text[..end], text.len() - end).into()
    }

    /// Returns a value with its strings truncated where the room ends.
    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) if media_like(text) => format!("<{} bytes>", text.len()).into(),
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                let (kept, left) = self.fit(items.len());
                let items = items.iter().take(kept).map(|item| self.value(item));
                let mut items: Vec<_> = items.collect();
                items.extend((left > 0).then(|| format!("… ({left} more)").into()));
                items.into()
            }
            Value::Object(members) => self.members(members).into(),
            other => other.clone(),
        }
    }

    fn members(&mut self, members: &Map<String, Value>) -> Map<String, Value> {
        let (kept, left) = self.fit(members.len());
        let members = members.iter().take(kept).map(|(name, value)| (name.clone(), self.value(value)));
        let mut members: Map<_, _> = members.collect();
        members.extend((left > 0).then(|| ("…".to_owned(), format!("({left} more)").into())));
        members
    }

    /// Returns the numbers of elements to show and to omit. Each element takes room, so that many small ones
    /// do not exceed the limit.
    fn fit(&mut self, count: usize) -> (usize, usize) {
        let kept = count.min(self.0 / 8);
        self.0 -= kept * 8;
        (kept, count - kept)
    }

    fn call(&mut self, call: &ToolCall) -> Value {
        let arguments = self.value(&call.arguments);
        json!({"type": "tool_call", "id": call.id, "name": call.name, "arguments": arguments})
    }

    fn parts(&mut self, content: &Content) -> Vec<Value> {
        match content {
            Content::Text(text) => vec![self.part(text)],
            Content::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => self.part(text),
                    Part::Media(media) => self.part(&placeholder(media)),
                })
                .collect(),
            Content::Calls { text, calls, .. } => {
                let text = (!text.is_empty()).then(|| self.part(text));
                let mut parts: Vec<_> = text.into_iter().collect();
                parts.extend(calls.iter().map(|call| self.call(call)));
                parts
            }
            Content::ToolResult { id, text, .. } => {
                vec![json!({"type": "tool_call_response", "id": **id, "response": self.text(text)})]
            }
        }
    }

    fn part(&mut self, text: &str) -> Value {
        json!({"type": "text", "content": self.text(text)})
    }
}

/// Returns whether a string may be media, which is not shown. The signature would tell, but is not known
/// here.
fn media_like(text: &str) -> bool {
    text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) && text.len() > 256
}

/// Returns the system instructions and the conversation.
pub(super) fn input(messages: &[Message]) -> (Option<String>, String) {
    let room = &mut Room(LIMIT);
    // The newest messages matter most; the oldest are truncated first.
    let mut shown = Vec::with_capacity(messages.len());
    let mut system = Vec::new();
    for message in messages.iter().rev() {
        let parts = room.parts(&message.content);
        if message.role == Role::System {
            system.splice(0..0, parts);
        } else {
            shown.push(json!({"role": message.role.as_str(), "parts": parts}));
        }
    }
    shown.reverse();
    let system = (!system.is_empty()).then(|| Value::from(system).to_string());
    (system, Value::from(shown).to_string())
}

/// Returns the replies.
pub(super) fn output(completions: &[Completion]) -> String {
    let room = &mut Room(LIMIT);
    let message = |completion: &Completion| {
        let mut parts = Vec::new();
        if let Some(reasoning) = &completion.reasoning {
            parts.push(json!({"type": "reasoning", "content": room.text(reasoning)}));
        }
        if !completion.text.is_empty() {
            parts.push(room.part(&completion.text));
        }
        parts.extend(completion.tool_calls.iter().map(|call| room.call(call)));
        json!({"role": "assistant", "parts": parts, "finish_reason": finish(completion.finish)})
    };
    completions.iter().map(message).collect::<Value>().to_string()
}

/// Returns values by name.
pub fn values(values: &Map<String, Value>) -> String {
    Value::from(Room(LIMIT).members(values)).to_string()
}

/// Returns one value.
pub fn value(value: &Value) -> String {
    Room(LIMIT).value(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Media, MediaKind};

    #[test]
    fn conversations_have_the_form_of_the_conventions() {
        let call = ToolCall::new("sum", json!({"a": 1}));
        let messages = [
            Message::system("Be brief."),
            Message::user("One?"),
            Message::calls("", [call]),
            Message::tool_result("c1", "42"),
        ];
        let (system, conversation) = input(&messages);
        assert_eq!(system.unwrap(), r#"[{"type":"text","content":"Be brief."}]"#);
        let conversation: Value = serde_json::from_str(&conversation).unwrap();
        assert_eq!(conversation[0], json!({"role": "user", "parts": [{"type": "text", "content": "One?"}]}));
        assert_eq!(conversation[1]["parts"][0]["name"], "sum");
        assert_eq!(
            conversation[2]["parts"][0],
            json!({"type": "tool_call_response", "id": "c1", "response": "42"})
        );
        let said: Value = serde_json::from_str(&output(&[Completion::new("Yes.")])).unwrap();
        assert_eq!(said[0]["finish_reason"], "stop");
    }

    #[test]
    fn content_is_bounded() {
        let long = "ä".repeat(LIMIT);
        let (_, shown) = input(&[Message::user(long.as_str()), Message::user("the question")]);
        assert!(shown.len() < LIMIT + 400 && shown.contains("the question") && shown.contains("more bytes"));
        let many = Value::from(vec![1; 100_000]);
        assert!(value(&many).len() < LIMIT);
        assert!(serde_json::from_str::<Value>(&value(&many)).is_ok());
    }

    #[test]
    fn media_are_never_shown() {
        let secret = format!("data:image/png;base64,{}", "SECRET".repeat(100));
        let media = Part::Media(Media::new(MediaKind::Image, secret.as_str()).with_name("a.png"));
        let message = Message { role: Role::User, content: Content::Parts([media].into()) };
        let shown = input(&[message]).1 + &value(&json!({"picture": secret}));
        assert!(
            !shown.contains("SECRET") && shown.contains(r#"<image \"a.png\" image/png, 450 bytes>"#),
            "{shown}"
        );
        let elsewhere = Media::new(MediaKind::Image, "https://user:key@h/a.png?sig=key");
        assert!(!placeholder(&elsewhere).contains("key"));
    }
}
