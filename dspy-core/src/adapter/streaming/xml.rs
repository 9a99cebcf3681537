//! Incremental reading of elements.

use std::sync::Arc;

use super::super::elements::Elements;
use super::super::markup::{LONGEST_ENTITY, unescape};
use super::super::xml::read_element;
use super::{ReplyReader, Shown, change, nothing_shown};
use crate::decode::ParseReport;
use crate::signature::{FieldChange, FieldUpdate, SignatureSpec};

#[derive(Debug)]
pub(crate) struct XmlReader {
    spec: Arc<SignatureSpec>,
    reply: String,
    elements: Elements,
    /// The number of closed elements that have been reported.
    closed: usize,
    /// The start of the open element, and the offset up to which its text has been reported.
    handed: (usize, usize),
    shown: Vec<Shown>,
}

impl XmlReader {
    pub(crate) fn new(spec: &Arc<SignatureSpec>) -> Self {
        XmlReader {
            spec: spec.clone(),
            reply: String::new(),
            elements: Elements::new(),
            closed: 0,
            handed: (0, 0),
            shown: nothing_shown(spec),
        }
    }

    /// Reports the elements that have closed.
    fn close(&mut self, changes: &mut Vec<FieldChange>) {
        for element in &self.elements.closed[self.closed..] {
            let Some(field) = self.spec.outputs().nth(element.index) else { continue };
            let shown = &mut self.shown[element.index];
            if !shown.done {
                let text = self.reply[element.content.clone()].trim();
                shown.end(field, read_element(field, text, 0, &mut ParseReport::default()), changes);
            }
        }
        self.closed = self.elements.closed.len();
    }

    /// Reports the certain part of the open element.
    fn show(&mut self, changes: &mut Vec<FieldChange>) {
        let Some((index, content)) = self.elements.open() else { return };
        let Some(field) = self.spec.outputs().nth(index) else { return };
        let shown = &mut self.shown[index];
        if shown.done {
            return;
        }
        if self.handed.0 != content.start {
            self.handed = (content.start, content.start);
        }
        let handed = self.handed.1;
        if field.is_text() {
            let end = certain(&self.reply, handed, content.end.max(handed));
            let mut more = &self.reply[handed..end];
            if shown.text == 0 {
                more = more.trim_start();
            }
            if !more.is_empty() {
                self.handed.1 = end;
                shown.text += more.len();
                changes.push(change(field, FieldUpdate::More(unescape(more).into_owned())));
            }
        } else if let Ok(plan) = field.plan()
            && let Some(due) = shown.due(&self.reply[content])
        {
            let text = due[..certain(due, 0, due.len())].trim();
            // The meaning of nested elements is known when they are complete.
            if !text.starts_with('<') {
                shown.begin(field, plan, &unescape(text), changes);
            }
        }
    }
}

/// Returns the offset up to which the text of an element is certain, given that the text from `from` to `end`
/// has arrived: up to a comment, CDATA or a possible entity, and without trailing space.
fn certain(text: &str, from: usize, end: usize) -> usize {
    let mut end = text[from..end].find("<!").map_or(end, |at| from + at);
    if let Some(entity) = text[from..end].rfind('&').map(|at| from + at).filter(|at| {
        let begun = &text[*at..end];
        begun.len() < LONGEST_ENTITY && !begun.contains(';')
    }) {
        end = entity;
    }
    from + text[from..end].trim_end().len()
}

impl ReplyReader for XmlReader {
    fn push(&mut self, text: &str, changes: &mut Vec<FieldChange>) {
        self.reply.push_str(text);
        self.elements.advance(&self.spec, &self.reply, false);
        self.close(changes);
        self.show(changes);
    }
}
