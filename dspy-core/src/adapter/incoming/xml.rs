//! Elements, as they arrive.

use std::sync::Arc;

use super::super::xml::{field_of_tag, opening_tag, read_element, unescape};
use super::{ReplyReader, Shown, change, nothing_shown};
use crate::decode::ParseReport;
use crate::signature::{FieldChange, FieldUpdate, SignatureSpec};

#[derive(Debug)]
pub(crate) struct XmlReader {
    spec: Arc<SignatureSpec>,
    reply: String,
    scanned: usize,
    open: Option<Element>,
    shown: Vec<Shown>,
}

/// The element that is arriving.
#[derive(Debug)]
struct Element {
    index: usize,
    /// What closes it.
    close: String,
    start: usize,
    /// How far its text has been handed on.
    handed: usize,
}

/// The longest entity that is restored, `&` and `;` included.
const LONGEST_ENTITY: usize = 12;
/// The longest tag that can be an output's.
const LONGEST_TAG: usize = 256;

impl XmlReader {
    pub(crate) fn new(spec: &Arc<SignatureSpec>) -> Self {
        XmlReader {
            spec: spec.clone(),
            reply: String::new(),
            scanned: 0,
            open: None,
            shown: nothing_shown(spec),
        }
    }

    /// Opens the next element. False if it has not arrived.
    fn find_opening(&mut self) -> bool {
        while let Some(at) = self.reply[self.scanned..].find('<').map(|offset| self.scanned + offset) {
            let rest = &self.reply[at..];
            let Some((name, length)) = opening_tag(rest) else {
                let unfinished = rest.len() < LONGEST_TAG && !rest[1..].contains(['<', '>', '\n']);
                self.scanned = if unfinished { at } else { at + 1 };
                if unfinished {
                    return false;
                }
                continue;
            };
            let start = at + length;
            self.scanned = start;
            if let Some(index) = field_of_tag(&self.spec, name) {
                self.open = Some(Element { index, close: format!("</{name}>"), start, handed: start });
                return true;
            }
        }
        self.scanned = self.reply.len();
        false
    }

    /// Hands on the element that is open. False if it is not finished.
    fn read_element(&mut self, changes: &mut Vec<FieldChange>) -> bool {
        let Some(element) = &mut self.open else { return false };
        let Some(field) = self.spec.outputs().nth(element.index) else { return false };
        let shown = &mut self.shown[element.index];
        if let Some(end) = self.reply[self.scanned..].find(&element.close).map(|at| self.scanned + at) {
            let text = self.reply[element.start..end].trim();
            shown.end(field, read_element(field, text, 0, &mut ParseReport::default()), changes);
            self.scanned = end + element.close.len();
            self.open = None;
            return true;
        }
        let mut scanned = self.reply.len().saturating_sub(element.close.len()).max(self.scanned);
        while !self.reply.is_char_boundary(scanned) {
            scanned -= 1;
        }
        self.scanned = scanned;
        if shown.done {
            return false;
        }
        if field.is_text() {
            let settled = settled(&self.reply, element.handed, &element.close);
            let mut text = &self.reply[element.handed..settled];
            if shown.text == 0 {
                text = text.trim_start();
            }
            if !text.is_empty() {
                element.handed = settled;
                shown.text += text.len();
                changes.push(change(field, FieldUpdate::More(unescape(text).into_owned())));
            }
        } else if let Ok(plan) = field.plan()
            && let Some(text) = shown.due(&self.reply[element.start..])
        {
            let text = text[..settled(text, 0, &element.close)].trim();
            // What nested elements mean is known when they are complete.
            if !text.starts_with('<') {
                shown.begin(field, plan, &unescape(text), changes);
            }
        }
        false
    }
}

/// How far the text of an element is certain: up to what may become the closing tag or an entity, and without the
/// space at its end.
fn settled(text: &str, from: usize, close: &str) -> usize {
    let tail = &text[from..];
    let mut end = tail.len();
    if let Some(tag) = tail.rfind('<').filter(|at| close.starts_with(&tail[*at..])) {
        end = tag;
    }
    if let Some(entity) = tail[..end].rfind('&').filter(|at| {
        let begun = &tail[*at..end];
        begun.len() < LONGEST_ENTITY && !begun.contains(';')
    }) {
        end = entity;
    }
    from + tail[..end].trim_end().len()
}

impl ReplyReader for XmlReader {
    fn push(&mut self, text: &str, changes: &mut Vec<FieldChange>) {
        self.reply.push_str(text);
        loop {
            let on = if self.open.is_some() { self.read_element(changes) } else { self.find_opening() };
            if !on {
                return;
            }
        }
    }
}
