//! Repair of damaged JSON: a structural character that is missing, duplicate, misplaced or replaced by
//! another.
//!
//! The text is assumed to be JSON of its type except for one edit of a structural character or quotation
//! mark, and all such edits are tried. One reading is the answer, two different ones are an error
//! (error-correcting parsing as in Aho and Peterson, "A Minimum Distance Error-Correcting Parser for
//! Context-Free Languages", 1972, with the type in place of a bare grammar). No text between the first and
//! the last bracket is omitted.

mod doubt;
mod edits;
mod inner;
mod input;
mod recognizer;
mod repeats;

pub(super) use doubt::Ending;
pub(super) use inner::{beside_comma, speaks};

use serde_json::Value;

use super::plan::Schema;
use super::report::RepairKind;
use super::tree::{Note, Span};
use doubt::Doubt;

/// The result of repairing the text.
#[derive(Debug)]
pub(super) enum Mended {
    One {
        value: Value,
        notes: Vec<Note>,
    },
    Several(Value, Value),
    /// The edit may hide missing content; with a description, in words.
    Doubtful(&'static str),
    /// No edit results in valid JSON, or the text is truncated.
    None,
    /// The structure needs no repair.
    Whole,
}

/// Reads the text with one edit, or with quotation marks in strings taken as text.
///
/// `ending` describes the text after it in the reply.
pub(super) fn read(schema: &Schema, text: &str, ending: Ending) -> Mended {
    let mut found = edits::search(schema, text, ending);
    if found.whole {
        return Mended::Whole;
    }
    prefer_plain(&mut found.readings);
    // An item that is repeated on separate lines without commas is not a duplicate piece.
    let on_lines = |r: &edits::Reading| {
        let before = &text[..r.patch.at];
        r.doubt.is_none() && r.patch.put() == b"," && before[before.trim_end().len()..].contains('\n')
    };
    if !text.contains(',') && found.readings.iter().any(on_lines) {
        found.readings.retain(|r| r.patch.skip < 2 || !r.patch.put().is_empty());
    }
    if found.readings.len() > 1 {
        let second = found.readings.swap_remove(1).value;
        return Mended::Several(found.readings.swap_remove(0).value, second);
    }
    if found.spent {
        return Mended::Doubtful("more than one thing is wrong");
    }
    if let Some(one) = found.readings.pop() {
        if one.looks.odd {
            return Mended::Doubtful("a string would begin or end with a mark");
        }
        return match one.doubt {
            None => Mended::One { value: one.value, notes: vec![note(&one.patch)] },
            Some(Doubt::End) => Mended::None,
            Some(Doubt::Item) => Mended::Doubtful("an item of a list may be missing"),
            Some(Doubt::Member) => Mended::Doubtful("a member may be missing"),
        };
    }
    match inner::search(schema, text) {
        inner::Inner::One(value, marks) => {
            let note = |at: usize| Note { kind: RepairKind::InnerQuote, span: Span::new(at, at + 1) };
            Mended::One { value, notes: marks.into_iter().map(note).collect() }
        }
        inner::Inner::Several(a, b) => Mended::Several(a, b),
        inner::Inner::None => Mended::None,
    }
}

/// Removes other readings if only one leaves no unusual string, unless the mark that the others keep may well
/// be text.
fn prefer_plain(readings: &mut Vec<edits::Reading>) {
    let mut plain = readings.iter().filter(|r| !r.looks.odd);
    if let (Some(only), None) = (plain.next(), plain.next())
        && !only.looks.empty
        && !readings.iter().any(|r| r.looks.balanced)
    {
        readings.retain(|r| !r.looks.odd);
    }
}

fn note(patch: &input::Patch) -> Note {
    let kind = match (patch.skip, patch.put()) {
        (0, b",") => RepairKind::MissingComma,
        (0, b"}" | b"]") => RepairKind::MissingClose,
        (1, b"") => RepairKind::StrayMark,
        (_, b"") => RepairKind::Repetition,
        _ => RepairKind::WrongMark,
    };
    Note { kind, span: Span::new(patch.at, patch.at + patch.skip) }
}
