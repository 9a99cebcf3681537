//! Messages as a server writes them: in a line of its output, or in an event of a stream.

use std::borrow::Cow;
use std::fmt;

use rmcp::RoleClient;
use rmcp::model::{ErrorCode, ErrorData, JsonRpcMessage, RequestId};
use rmcp::service::RxJsonRpcMessage;
use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The number of bytes of a message that an error shows.
const SHOWN: usize = 200;

/// A message of a server.
pub(crate) type Received = RxJsonRpcMessage<RoleClient>;

/// A reading of the bytes that a server wrote.
#[derive(Debug)]
pub(crate) enum Written {
    /// Messages: one, or those of a batch.
    Messages(Vec<Received>),
    /// Neither a message nor a part of one, such as a line of a log.
    Noise,
    /// A message from which it cannot be read which request it answers, if any.
    Broken(String),
}

/// Reads what a server wrote. An answer that cannot be read is an error of its request, with `mark` as its data.
pub(crate) fn read(text: &[u8], mark: &str) -> Written {
    let text = text.trim_ascii();
    if let Ok(message) = serde_json::from_slice(text) {
        return Written::Messages(vec![message]);
    }
    match text.first() {
        Some(b'{') => one(text, mark),
        Some(b'[') => batch(text, mark),
        _ => Written::Noise,
    }
}

fn one(text: &[u8], mark: &str) -> Written {
    let mut head = Head::default();
    let mut json = serde_json::Deserializer::from_slice(text);
    let whole = json.deserialize_map(&mut head).and_then(|()| json.end());
    let problem = || {
        let why = match serde_json::from_slice::<Value>(text) {
            Err(error) => error.to_string(),
            Ok(_) if head.answers > 1 => "it has a result and an error".to_owned(),
            Ok(_) => "it is not an answer of JSON-RPC 2.0".to_owned(),
        };
        let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
        let more = if text.len() > SHOWN { " …" } else { "" };
        format!("its answer cannot be read: {why}: {shown}{more}")
    };
    let answers = head.answers > 0 || whole.is_err();
    match &head.id {
        _ if head.has_method => Written::Noise,
        Some(id) if answers => Written::Messages(vec![unreadable(id.clone(), problem(), mark)]),
        None if whole.is_err() && head.is_message => Written::Broken(problem()),
        _ => Written::Noise,
    }
}

/// Reads a batch, as the protocol had them in one version.
fn batch(text: &[u8], mark: &str) -> Written {
    let Ok(items) = serde_json::from_slice::<Vec<Value>>(text) else { return Written::Noise };
    let mut messages = Vec::with_capacity(items.len());
    for item in items {
        match Received::deserialize(&item) {
            Ok(message) => messages.push(message),
            Err(_) => match one(item.to_string().as_bytes(), mark) {
                Written::Messages(of_item) => messages.extend(of_item),
                Written::Noise => {}
                broken @ Written::Broken(_) => return broken,
            },
        }
    }
    if messages.is_empty() { Written::Noise } else { Written::Messages(messages) }
}

fn unreadable(id: RequestId, problem: String, mark: &str) -> Received {
    let data = Some(Value::String(mark.to_owned()));
    JsonRpcMessage::error(ErrorData::new(ErrorCode::PARSE_ERROR, problem, data), Some(id))
}

/// The members of a message that say what it is. They are read as far as the text goes, whatever is wrong with the others.
#[derive(Debug, Default)]
struct Head {
    id: Option<RequestId>,
    is_message: bool,
    has_method: bool,
    /// The number of members `result` and `error`.
    answers: usize,
}

impl<'de> Visitor<'de> for &mut Head {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            match &*name {
                "id" => {
                    let id = members.next_value::<Value>()?;
                    self.id = RequestId::deserialize(id).map(Some).map_err(A::Error::custom)?;
                    continue;
                }
                "jsonrpc" => self.is_message = true,
                "method" => self.has_method = true,
                "result" | "error" => self.answers += 1,
                _ => {}
            }
            members.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the id and the message of the error that an answer became.
    fn error_of(text: &[u8]) -> (RequestId, String) {
        match read(text, "mark") {
            Written::Messages(messages) => match &*messages {
                [JsonRpcMessage::Error(error)] => {
                    assert_eq!(error.error.data, Some("mark".into()));
                    (error.id.clone().unwrap(), error.error.message.to_string())
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}: {}", String::from_utf8_lossy(text)),
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_an_error_of_its_request_wherever_the_id_is() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let wrong: [(&[u8], &str); 6] = [
            (deep.as_bytes(), "recursion limit"),
            (br#""\ud800""#, "hex escape"),
            (b"\"\xff\xfe\"", "unicode"),
            (b"1e999", "out of range"),
            (b"nul", ""),
            (b"\"a\nb\"", "control character"),
        ];
        for (value, why) in wrong {
            for id in ["7", "\"x\""] {
                let first =
                    [b"{\"jsonrpc\":\"2.0\",\"id\":", id.as_bytes(), b",\"result\":{\"a\":", value, b"}}"]
                        .concat();
                let (read, message) = error_of(&first);
                assert_eq!(serde_json::to_string(&read).unwrap(), id);
                assert!(message.contains(why) && message.len() < 400, "{message}");
                if why.is_empty() || why.starts_with("control") {
                    // What follows cannot be read.
                    continue;
                }
                let last =
                    [b"{\"result\":{\"a\":", value, b"},\"jsonrpc\":\"2.0\",\"id\":", id.as_bytes(), b"}"]
                        .concat();
                assert_eq!(error_of(&last).0, read);
            }
        }
        let (_, message) =
            error_of(br#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#);
        assert!(message.contains("a result and an error"), "{message}");
        let (_, message) = error_of(br#"{"id":1,"result":{}}"#);
        assert!(message.contains("JSON-RPC 2.0"), "{message}");
    }

    #[test]
    fn what_answers_nothing_is_noise() {
        for text in [
            "",
            "loading …",
            "[warn] a line",
            "{\"jsonrpc\": 3}",
            "{}",
            "{a: 1}",
            "5",
            "null",
            "[]",
            "[1, 2]",
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"\ud800"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1e999}}"#,
        ] {
            assert!(matches!(read(text.as_bytes(), "mark"), Written::Noise), "{text}");
        }
    }

    #[test]
    fn a_message_that_breaks_off_before_its_id_is_broken() {
        for text in [r#"{"jsonrpc":"2.0","result":{"a":"#, r#"{"result":{},"jsonrpc":"2.0","i"#] {
            assert!(matches!(read(text.as_bytes(), "mark"), Written::Broken(_)), "{text}");
        }
    }

    #[test]
    fn a_batch_is_its_messages() {
        let text =
            br#"[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":2,"result":{},"error":{}},5]"#;
        let Written::Messages(messages) = read(text, "mark") else { panic!("no messages") };
        assert!(
            matches!(&*messages, [JsonRpcMessage::Response(_), JsonRpcMessage::Error(_)]),
            "{messages:?}"
        );
    }
}
