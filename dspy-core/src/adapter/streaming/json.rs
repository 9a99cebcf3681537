//! Incremental reading of one JSON object.

use std::sync::Arc;

use serde_json::Value;

use super::{ReplyReader, Shown, nothing_shown, worth_reading};
use crate::decode::thoughts::{Head, Thoughts};
use crate::signature::{FieldChange, SignatureSpec};

#[derive(Debug)]
pub(crate) struct JsonReader {
    spec: Arc<SignatureSpec>,
    reply: String,
    thoughts: Thoughts,
    read: usize,
    shown: Vec<Shown>,
}

impl JsonReader {
    pub(crate) fn new(spec: &Arc<SignatureSpec>) -> Self {
        JsonReader {
            spec: spec.clone(),
            reply: String::new(),
            thoughts: Thoughts::default(),
            read: 0,
            shown: nothing_shown(spec),
        }
    }
}

impl ReplyReader for JsonReader {
    fn push(&mut self, text: &str, changes: &mut Vec<FieldChange>) {
        self.reply.push_str(text);
        let Head::Answer(start) = self.thoughts.read(&self.reply, false, |_| false) else { return };
        let begun = worth_reading(&self.reply[start..]);
        if begun.len() <= self.read {
            return;
        }
        self.read = begun.len();
        let Ok(plan) = self.spec.reply_plan() else { return };
        let partial = plan.decode_partial(begun);
        let Some(Value::Object(mut values)) = partial.value else { return };
        for (field, shown) in self.spec.outputs().zip(&mut self.shown).filter(|(_, shown)| !shown.done) {
            let Some(value) = values.get_mut(field.name()).map(Value::take) else { continue };
            if partial.open.as_deref() == Some(field.name()) {
                shown.so_far(field, value, changes);
            } else {
                shown.complete(field, value, changes);
            }
        }
    }
}
