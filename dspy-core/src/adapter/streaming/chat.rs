//! Incremental reading of sections below markers.

use std::sync::Arc;

use super::super::chat::read_field;
use super::super::sections::{Section, Sections};
use super::super::{markers, value};
use super::{ReplyReader, Shown, change, nothing_shown};
use crate::decode::ParseReport;
use crate::signature::{FieldChange, FieldUpdate, SignatureSpec};

#[derive(Debug)]
pub(crate) struct ChatReader {
    spec: Arc<SignatureSpec>,
    reply: String,
    sections: Sections,
    /// The number of closed sections that have been reported.
    closed: usize,
    /// The start of the open section, and the offset up to which its text has been reported.
    handed: (usize, usize),
    shown: Vec<Shown>,
}

impl ChatReader {
    pub(crate) fn new(spec: &Arc<SignatureSpec>) -> Self {
        ChatReader {
            spec: spec.clone(),
            reply: String::new(),
            sections: Sections::new(spec),
            closed: 0,
            handed: (0, 0),
            shown: nothing_shown(spec),
        }
    }

    /// Reports the sections that have closed.
    fn close(&mut self, changes: &mut Vec<FieldChange>) {
        for section in &self.sections.closed[self.closed..] {
            let Some(field) = self.spec.outputs().nth(section.index) else { continue };
            let shown = &mut self.shown[section.index];
            if !shown.done {
                let text = markers::without_loose_fence(self.reply[section.text.clone()].trim());
                shown.end(field, read_field(field, text, 0, &mut ParseReport::default()), changes);
            }
        }
        self.closed = self.sections.closed.len();
    }

    /// Reports the certain part of the open section.
    fn show(&mut self, changes: &mut Vec<FieldChange>) {
        let Some(Section { index, text, .. }) = self.sections.open() else { return };
        let Some(field) = self.spec.outputs().nth(index) else { return };
        let shown = &mut self.shown[index];
        if shown.done {
            return;
        }
        if self.handed.0 != text.start {
            self.handed = (text.start, text.start);
        }
        let (start, handed) = self.handed;
        if field.is_text() {
            let end = markers::certain(&self.reply, start, handed, text.end.max(handed));
            let mut more = &self.reply[handed..end];
            if shown.text == 0 {
                more = value::without_lead(more);
            }
            if !more.is_empty() {
                self.handed.1 = end;
                shown.text += more.len();
                changes.push(change(field, FieldUpdate::More(markers::unescape(more).into_owned())));
            }
        } else if let Ok(plan) = field.plan()
            && let Some(due) = shown.due(&self.reply[text])
        {
            let text = due[..markers::certain(due, 0, 0, due.len())].trim();
            let text = match field {
                field if field.is_optional_text() => match value::optional_beginning(text) {
                    Some(text) => text,
                    None => return,
                },
                field if field.is_code() => markers::unescape(text),
                _ => text.into(),
            };
            shown.begin(field, plan, &text, changes);
        }
    }
}

impl ReplyReader for ChatReader {
    fn push(&mut self, text: &str, changes: &mut Vec<FieldChange>) {
        self.reply.push_str(text);
        self.sections.advance(&self.spec, &self.reply, false);
        self.close(changes);
        self.show(changes);
    }
}
