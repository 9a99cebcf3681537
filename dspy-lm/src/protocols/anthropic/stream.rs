//! The events of a streamed reply.

use serde_json::{Map, Value, json};

use super::response::message_of;
use crate::json::number;
use crate::network::transport::{Answer, Failure};
use crate::protocols::wire::{Pieces, finish_reason};
use crate::{Delta, LmErrorKind, Response};

/// The maximum number of blocks in a reply.
const MOST_BLOCKS: usize = 4_096;

/// The blocks so far, and the members that concern the whole message.
#[derive(Debug, Default)]
pub(crate) struct MessageStream {
    message: Map<String, Value>,
    blocks: Vec<Block>,
    usage: Map<String, Value>,
    ended: bool,
}

/// A block and its deltas so far.
#[derive(Debug, Default)]
struct Block {
    index: Option<u64>,
    start: Map<String, Value>,
    text: String,
    signature: String,
    input: String,
}

impl MessageStream {
    /// Adds a block. Some servers send the same number for all blocks, or none.
    fn begin(&mut self, event: &Value) -> Result<&mut Block, Failure> {
        let index = number(event.get("index"));
        if self.blocks.len() >= MOST_BLOCKS || index.is_some_and(|index| index >= MOST_BLOCKS as u64) {
            return Err(Failure::new(LmErrorKind::Decode, "the index of a block is out of range"));
        }
        let at = self.blocks.len();
        self.blocks.push(Block { index, ..Block::default() });
        Ok(&mut self.blocks[at])
    }

    /// Returns the block that an event continues: the latest with its number, or the latest of all.
    fn block(&mut self, event: &Value) -> Result<&mut Block, Failure> {
        let index = number(event.get("index"));
        let at = match index {
            Some(_) => self.blocks.iter().rposition(|block| block.index == index || block.index.is_none()),
            None => self.blocks.len().checked_sub(1),
        };
        match at {
            Some(at) => Ok(&mut self.blocks[at]),
            None => self.begin(event),
        }
    }

    /// Updates the counts; later ones are cumulative.
    fn count(&mut self, usage: Option<&Value>) {
        let counts = usage.and_then(Value::as_object).into_iter().flatten();
        let counts = counts.filter(|(_, count)| !count.is_null());
        self.usage.extend(counts.map(|(name, count)| (name.clone(), count.clone())));
    }
}

/// Returns the type of an event.
fn kind(event: &Value) -> &str {
    event.get("type").and_then(Value::as_str).unwrap_or_default()
}

impl Pieces for MessageStream {
    fn knows(event: &Value) -> bool {
        ["message_", "content_block_", "ping"].iter().any(|start| kind(event).starts_with(start))
    }

    fn add(&mut self, mut event: Value, deltas: &mut Vec<Delta>) -> Result<bool, Failure> {
        let kind = kind(&event).to_owned();
        match kind.as_str() {
            "message_start" => {
                self.count(event.pointer("/message/usage"));
                if let Some(Value::Object(message)) = event.get_mut("message").map(Value::take) {
                    self.message = message;
                }
            }
            "content_block_start" => {
                let start = event.get_mut("content_block").map(Value::take).unwrap_or_default();
                let block = self.begin(&event)?;
                let text = |name: &str| start.get(name).and_then(Value::as_str).unwrap_or_default();
                block.text = format!("{}{}", text("text"), text("thinking"));
                text("signature").clone_into(&mut block.signature);
                let begun = std::mem::take(&mut block.text);
                let thinks = text("type") == "thinking";
                if let Value::Object(start) = start {
                    block.start = start;
                }
                block.say(&begun, thinks, deltas);
            }
            "content_block_delta" => {
                let delta = event.get_mut("delta").map(Value::take).unwrap_or_default();
                let block = self.block(&event)?;
                let text = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
                match text("type") {
                    "text_delta" => block.say(text("text"), false, deltas),
                    "thinking_delta" => block.say(text("thinking"), true, deltas),
                    "signature_delta" => block.signature.push_str(text("signature")),
                    "input_json_delta" => block.input.push_str(text("partial_json")),
                    _ => {}
                }
            }
            "message_delta" => {
                self.count(event.get("usage"));
                if let Some(Value::Object(delta)) = event.get_mut("delta").map(Value::take) {
                    self.message.extend(delta.into_iter().filter(|(_, value)| !value.is_null()));
                }
            }
            "message_stop" => {
                self.ended = true;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn is_complete(&self) -> Result<bool, Failure> {
        Ok(self.ended || finish_reason(self.message.get("stop_reason"))?.is_some())
    }

    fn finish(self, name: &str, answer: &Answer) -> Result<Response, Failure> {
        let MessageStream { mut message, blocks, usage, .. } = self;
        message.insert("content".into(), blocks.into_iter().map(Block::finish).collect());
        message.insert("usage".into(), usage.into());
        message_of(message.into(), answer, name)
    }
}

impl Block {
    fn say(&mut self, more: &str, thinks: bool, deltas: &mut Vec<Delta>) {
        if more.is_empty() {
            return;
        }
        self.text.push_str(more);
        deltas.push(if thinks { Delta::Reasoning(more.into()) } else { Delta::Text(more.into()) });
    }

    fn finish(self) -> Value {
        let Block { start: mut block, text, signature, input, .. } = self;
        let kind = block.get("type").and_then(Value::as_str).unwrap_or("text").to_owned();
        match kind.as_str() {
            "text" => drop(block.insert("text".into(), text.into())),
            "thinking" => {
                block.insert("thinking".into(), text.into());
                block.insert("signature".into(), signature.into());
            }
            "tool_use" if !input.is_empty() => {
                let input = serde_json::from_str(&input).unwrap_or(Value::String(input));
                block.insert("input".into(), input);
            }
            _ => {}
        }
        block.entry("type").or_insert_with(|| json!(kind));
        block.into()
    }
}
