//! Sections below markers, as they arrive.

use std::sync::Arc;

use super::super::chat::{field_index, read_field};
use super::super::{markers, value};
use super::{ReplyReader, Shown, change, nothing_shown};
use crate::decode::ParseReport;
use crate::signature::{FieldChange, FieldSpec, FieldUpdate, SignatureSpec};

#[derive(Debug)]
pub(crate) struct ChatReader {
    spec: Arc<SignatureSpec>,
    reply: String,
    /// Up to here there are no more markers.
    scanned: usize,
    open: Option<Section>,
    shown: Vec<Shown>,
    ended: bool,
}

/// The section that is arriving.
#[derive(Debug, Clone, Copy)]
struct Section {
    index: usize,
    start: usize,
    /// How far its text has been handed on.
    handed: usize,
}

impl ChatReader {
    pub(crate) fn new(spec: &Arc<SignatureSpec>) -> Self {
        ChatReader {
            spec: spec.clone(),
            reply: String::new(),
            scanned: 0,
            open: None,
            shown: nothing_shown(spec),
            ended: false,
        }
    }

    /// Closes and opens sections at the markers that have arrived in full.
    fn read_markers(&mut self, changes: &mut Vec<FieldChange>) {
        while let Some((marker, at)) = markers::next(&self.reply, self.scanned) {
            if markers::may_go_on(&self.reply[marker.after..]) {
                self.scanned = at;
                return;
            }
            let index = field_index(&self.spec, marker.name);
            let completed = index.is_none() && marker.name.eq_ignore_ascii_case(markers::COMPLETED);
            let (before, after, starts_line) = (marker.before, marker.after, marker.starts_line);
            self.scanned = after;
            if index.is_none() && !completed && !starts_line {
                continue;
            }
            self.close(before, changes);
            if completed {
                self.ended = true;
                return;
            }
            self.open = index.map(|index| Section { index, start: after, handed: after });
        }
        self.scanned = self.scanned.max(markers::undecided(&self.reply, self.scanned));
    }

    fn close(&mut self, end: usize, changes: &mut Vec<FieldChange>) {
        let Some(Section { index, start, .. }) = self.open.take() else { return };
        let Some(field) = self.spec.outputs().nth(index) else { return };
        let section = self.reply[start..end.max(start)].trim();
        let read = read_field(field, section, 0, &mut ParseReport::default());
        self.shown[index].end(field, read, changes);
    }

    /// Hands on what is certain of the open section.
    fn show(&mut self, changes: &mut Vec<FieldChange>) {
        let Some(section) = &mut self.open else { return };
        let Some(field) = self.spec.outputs().nth(section.index) else { return };
        let shown = &mut self.shown[section.index];
        if shown.done {
            return;
        }
        if field.is_text() {
            show_text(field, section, &self.reply, shown, changes);
        } else if let Ok(plan) = field.plan()
            && let Some(text) = shown.due(&self.reply[section.start..])
        {
            let text = text[..markers::settled(text, 0)].trim();
            let text = if field.is_code() { markers::unescape(text) } else { text.into() };
            shown.begin(field, plan, &text, changes);
        }
    }
}

fn show_text(
    field: &FieldSpec,
    section: &mut Section,
    reply: &str,
    shown: &mut Shown,
    changes: &mut Vec<FieldChange>,
) {
    let settled = markers::settled(reply, section.handed);
    let mut text = &reply[section.handed..settled];
    if shown.text == 0 {
        text = value::without_lead(text);
    }
    if text.is_empty() {
        return;
    }
    section.handed = settled;
    shown.text += text.len();
    changes.push(change(field, FieldUpdate::More(markers::unescape(text).into_owned())));
}

impl ReplyReader for ChatReader {
    fn push(&mut self, text: &str, changes: &mut Vec<FieldChange>) {
        if self.ended {
            return;
        }
        self.reply.push_str(text);
        self.read_markers(changes);
        self.show(changes);
    }
}
