//! Text without quotes, and the detection of its end.

use std::borrow::Cow;

use super::super::block;
use super::super::report::RepairKind as R;
use super::super::tree::{Flaw, Note, Notes, Shape, Span, Tree, is_json_number};
use super::quoted::opening;
use super::{Loose, Place};
use dspy_base::fold::fold;

impl<'t> Loose<'t, '_> {
    /// Reads unquoted text up to the delimiter of its surroundings.
    pub(super) fn bare(&mut self, place: Place) -> Tree<'t> {
        let start = self.pos;
        let before = self.met_end.replace(false);
        let tree = self.bare_from(start, place);
        if self.met_end.get() {
            self.doubts(start);
        }
        self.met_end.set(before);
        tree
    }

    fn bare_from(&mut self, start: usize, place: Place) -> Tree<'t> {
        // Letters and digits never end unquoted text.
        let behind_word = |mut i: usize| {
            while i < self.end && self.bytes[i].is_ascii_alphanumeric() {
                i += 1;
            }
            i
        };
        let mut nest = 0_usize;
        let mut i = behind_word(start);
        loop {
            let Some(b) = self.byte(i) else {
                if nest > 0 && !self.unpaired_brackets {
                    self.unpaired_brackets = true;
                    (i, nest) = (start, 0);
                    continue;
                }
                break;
            };
            let spaced = i == start || self.bytes[i - 1].is_ascii_whitespace();
            match b {
                b'(' | b'[' | b'{' if !self.unpaired_brackets => nest += 1,
                b')' | b']' | b'}' if nest > 0 => nest -= 1,
                b'}' | b']' => break,
                b')' if place == Place::Item => break,
                b',' if nest == 0 && (place == Place::Item || self.member_follows(i + 1, None)) => break,
                b'\n' if nest == 0 => {
                    let next = self.skip_blank(i);
                    let ends = matches!(self.byte(next), None | Some(b'}' | b']'));
                    if ends || place == Place::Item || self.member_follows(i + 1, None) {
                        break;
                    }
                    // Skips all white space at once: a run of line breaks must not be scanned once per break.
                    i = next;
                    continue;
                }
                b'/' if spaced && matches!(self.byte(i + 1), Some(b'/' | b'*')) => break,
                // A missing comma: the next key is in quotes.
                b'"' | b'\''
                    if spaced && i > start && place == Place::Member && self.member_follows(i, None) =>
                {
                    break;
                }
                b'#' if spaced && i > start && self.byte(i + 1).is_none_or(|b| b == b' ') => break,
                _ => {}
            }
            i = behind_word(i + 1);
        }
        self.pos = i;
        let raw = self.text.get(start..i).unwrap_or("");
        let text = raw.trim();
        let lead = raw.len() - raw.trim_start().len();
        let span = Span::new(start + lead, start + lead + text.len());
        let cut = self.byte(i).is_none() && !self.closed_end;
        let note = |kind| Notes::One(Note { kind, span });
        let (shape, notes) = match text {
            "null" => (Shape::Null, Notes::None),
            "true" => (Shape::Bool(true), Notes::None),
            "false" => (Shape::Bool(false), Notes::None),
            "None" | "nil" | "undefined" | "NULL" | "Null" | "NIL" => (Shape::Null, note(R::ForeignSyntax)),
            "True" => (Shape::Bool(true), note(R::ForeignSyntax)),
            "False" => (Shape::Bool(false), note(R::ForeignSyntax)),
            _ if is_json_number(text) => (Shape::Number(Cow::Borrowed(text)), Notes::None),
            _ => (Shape::Text { text: Cow::Borrowed(text), quoted: false }, note(R::UnquotedText)),
        };
        let mut tree = Tree::new(shape, span);
        (tree.cut, tree.notes) = (cut, notes);
        let prefixed = text.len() > 2
            && text.as_bytes()[0].is_ascii_alphabetic()
            && matches!(text.as_bytes()[1], b'"' | b'\'');
        // A YAML block scalar among members, in braces or on separate lines: its lines are not members.
        let first = text.split('\n').next().unwrap_or("");
        let behind = self.text.get(span.start + first.len()..self.end).unwrap_or("");
        let opens_block = block::is_mark(first.trim_end())
            && behind.trim_start_matches([' ', '\t', '\r']).starts_with('\n')
            && !behind.trim_start().starts_with(['}', ']']);
        if opens_block {
            tree.flaw = Some(Flaw::UnclearEnd);
        } else if text.ends_with("...") || text.ends_with('…') {
            tree.flaw = Some(Flaw::Elided);
        } else if (prefixed && text.ends_with(char::from(text.as_bytes()[1])))
            || (text.ends_with('"') && !text.matches('"').count().is_multiple_of(2))
        {
            // A Python literal with a prefix, a string without its first quote, or a stray quote after a
            // number.
            tree.flaw = Some(Flaw::UnclearEnd);
        }
        tree
    }

    /// Returns whether another member of an object starts here, after a comma or a line break.
    ///
    /// `stray` is the number of stray quotes in the string that would end before it: if an odd one is open, a
    /// bare word and a colon count only if the schema knows the word. It is `None` after unquoted text.
    pub(in super::super) fn member_follows(&self, at: usize, stray: Option<usize>) -> bool {
        const LOOK_AHEAD: usize = 160;
        let start = self.skip_blank(at);
        match self.byte(start) {
            None | Some(b'}' | b']' | b'#') => return true,
            Some(b'/') => return matches!(self.byte(start + 1), Some(b'/' | b'*')),
            Some(b'<') if self.byte(start + 1) == Some(b'!') => return true,
            Some(_) => {}
        }
        let limit = self.horizon(start, LOOK_AHEAD);
        if let Some(quote) = opening(self.bytes, start, self.end) {
            if self.is_half_mark(start) {
                self.saw_nothing_until(self.end);
            }
            let mut i = start + quote.width();
            while i < limit {
                match self.bytes[i] {
                    b'\\' => i += 1,
                    b'\n' => return false,
                    _ => {
                        if let Some(width) = quote.closes_at(self.bytes, i, self.end) {
                            let after = self.skip_blank(i + width);
                            return matches!(self.byte(after), Some(b':') | None)
                                || (self.byte(after) == Some(b'=') && self.byte(after + 1) == Some(b'>'));
                        }
                    }
                }
                i += 1;
            }
            // Either a very long key or the end of the text; both indicate a key.
            self.saw_nothing_until(limit);
            return true;
        }
        let mut i = start;
        while i < limit {
            match self.bytes[i] {
                b':' | b'=' => break,
                b',' | b'}' | b'{' | b'[' | b']' | b'\n' | b'"' | b'\'' | b'`' => return false,
                _ => i += 1,
            }
        }
        if i == limit {
            self.saw_nothing_until(limit);
        }
        let Some(key) = self.text.get(start..i).map(str::trim).filter(|k| !k.is_empty() && i < limit) else {
            return false;
        };
        // "https://…" is not a key.
        if self.bytes[i] == b':' && self.byte(i + 1) == Some(b'/') && self.byte(i + 2) == Some(b'/') {
            return false;
        }
        // A word before `=`, among members with `:`, must be a key of the type.
        if self.bytes[i] == b'=' && !self.equals && self.byte(i + 1) != Some(b'>') {
            return self.keys.contains(&fold(key)) && self.byte(i + 1) != Some(b'=');
        }
        let word = key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '.' | '*'))
            // After a string a number can be a key; after unquoted text it may be a time, "10:30".
            && (stray.is_some()
                || !key.starts_with(|c: char| c.is_ascii_digit())
                || self.number_keys && !self.byte(i + 1).is_some_and(|b| b.is_ascii_digit()));
        (word && stray.unwrap_or(0).is_multiple_of(2)) || self.keys.contains(&fold(key))
    }
}
