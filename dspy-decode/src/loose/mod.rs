//! The lenient scanner: it converts text to a [`Tree`] in one pass, in any notation.
//!
//! It never fails and never guesses a value: unclear parts are marked as truncated or flawed, and the
//! coercion of the tree determines the consequences for the type.

mod bare;
mod escape;
mod list;
mod object;
pub(super) mod quoted;

use std::cell::Cell;
use std::collections::HashSet;

use super::MAX_DEPTH;
use super::report::RepairKind as R;
use super::tree::{Note, Notes, Shape, Span, Tree};
pub(super) use quoted::Quote;
use quoted::opening;

/// The surroundings of a value, which determine where unquoted text and strings with stray quotes end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Key,
    Member,
    Item,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts about one text, not a state machine")]
#[derive(Debug)]
pub(super) struct Loose<'t, 'k> {
    pub(super) text: &'t str,
    pub(super) bytes: &'t [u8],
    pub(super) pos: usize,
    pub(super) end: usize,
    /// Whether the text is known to be complete (a fence closes there), so that a value at its end is not
    /// truncated.
    pub(super) closed_end: bool,
    /// Whether the text is a beginning that continues; decisions must then be final.
    pub(super) growing: bool,
    pub(super) keys: &'k HashSet<String>,
    /// Whether the nesting exceeded the limit.
    pub(super) too_deep: bool,
    /// The first place after which more text might change the reading: a decision there looked ahead and
    /// reached the end. The reading before it is final.
    doubt: Cell<usize>,
    /// Whether a look-ahead reached the end.
    met_end: Cell<bool>,
    /// Number of open brackets, including those around the text.
    pub(super) depth: usize,
    /// Positions of parentheses that turned out to be words.
    no_tuples: HashSet<usize>,
    /// Whether keys are bare numbers: `{1: "a", 2: "b"}`.
    number_keys: bool,
    /// Whether members are written with `=`.
    equals: bool,
    /// Whether brackets in unquoted text are unbalanced and therefore have no meaning.
    unpaired_brackets: bool,
}

impl<'t, 'k> Loose<'t, 'k> {
    pub(super) fn new(text: &'t str, keys: &'k HashSet<String>, start: usize, end: usize) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            pos: start,
            end,
            closed_end: false,
            growing: false,
            keys,
            too_deep: false,
            doubt: Cell::new(usize::MAX),
            met_end: Cell::new(false),
            depth: 0,
            no_tuples: HashSet::new(),
            number_keys: false,
            equals: false,
            unpaired_brackets: false,
        }
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        if at < self.end {
            return self.bytes.get(at).copied();
        }
        self.met_end.set(true);
        None
    }

    /// Returns the first place after which more text might change the reading.
    pub(super) fn doubt(&self) -> usize {
        self.doubt.get()
    }

    /// Records that more text might change the reading after this place.
    pub(super) fn doubts(&self, at: usize) {
        if !self.closed_end && at < self.doubt.get() {
            self.doubt.set(at);
        }
    }

    /// Makes a decision about the place `at`, and records whether the end of the text affected it.
    pub(super) fn decide<T>(&self, at: usize, decision: impl FnOnce() -> T) -> T {
        let before = self.met_end.replace(false);
        let decided = decision();
        if self.met_end.get() {
            self.doubts(at);
        }
        self.met_end.set(before);
        decided
    }

    /// Returns where a look-ahead from `start` must stop: after `distance` bytes or at the end of the text.
    pub(super) fn horizon(&self, start: usize, distance: usize) -> usize {
        (start + distance).min(self.end)
    }

    /// Records that a look-ahead reached `horizon` without a result.
    pub(super) fn saw_nothing_until(&self, horizon: usize) {
        if horizon >= self.end {
            self.met_end.set(true);
        }
    }

    /// Reads the structure that starts here.
    pub(super) fn structure(&mut self) -> Tree<'t> {
        match self.byte(self.pos) {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(b']'),
            Some(b'(') => self.list(b')'),
            _ => self.value(Place::Item),
        }
    }

    fn value(&mut self, place: Place) -> Tree<'t> {
        let start = self.pos;
        match self.byte(start) {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(b']'),
            Some(b'(') if !self.no_tuples.contains(&start) => {
                let depth = self.depth;
                let tree = self.list(b')');
                let after = self.skip_blank(self.pos);
                let next = self.decide(start, || self.byte(after));
                let ends =
                    matches!(next, None | Some(b',' | b'}' | b']' | b')' | b'\n')) && !self.is_aside(&tree);
                if (ends && !tree.cut) || self.too_deep {
                    return tree;
                }
                // "(approximately) 5": words, not a tuple. The result is stored, because nested brackets
                // would otherwise be tried again at every level.
                self.no_tuples.insert(start);
                self.pos = start;
                self.depth = depth;
                self.bare(place)
            }
            Some(_) => {
                if self.is_half_mark(start) {
                    self.doubts(start);
                }
                match opening(self.bytes, start, self.end) {
                    Some(quote) => self.quoted(quote, place),
                    None => self.bare(place),
                }
            }
            None => {
                let mut tree = Tree::new(Shape::Absent, Span::new(start, start));
                tree.cut = !self.closed_end;
                tree
            }
        }
    }

    /// Returns whether only quotation marks remain here: one mark, or the beginning of three.
    pub(super) fn is_half_mark(&self, at: usize) -> bool {
        let rest = self.bytes.get(at..self.end).unwrap_or_default();
        matches!(rest.first(), Some(b'"' | b'\'' | b'`'))
            && rest.len() <= 3
            && rest.iter().all(|b| *b == rest[0])
    }

    fn enter(&mut self) -> bool {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.too_deep = true;
            self.pos = self.end;
        }
        !self.too_deep
    }

    fn cut_short(&self, start: usize) -> Tree<'t> {
        let mut tree = Tree::new(Shape::Object(Vec::new()), Span::new(start, self.pos));
        tree.cut = true;
        tree
    }

    /// Handles the end of the text before the bracket closes; `inside` is set if the text ends inside a
    /// member too.
    fn unclosed(&self, inside: bool, notes: &mut Notes, cut: &mut bool) {
        if self.closed_end && !inside {
            notes.push(Note { kind: R::MissingClose, span: Span::new(self.pos, self.pos) });
        } else {
            *cut = true;
        }
    }

    /// Returns the first byte at or after `at` that is not white space.
    pub(super) fn skip_blank(&self, at: usize) -> usize {
        let mut i = at;
        while i < self.end {
            match self.bytes[i] {
                b' ' | b'\t' | b'\n' | b'\r' => i += 1,
                // Bytes past `end` are unknown, so the white space character must be complete.
                0xC2 | 0xE1..=0xE3 | 0xEF => {
                    match self.text[i..self.end].chars().next().filter(|c| is_blank(*c)) {
                        Some(blank) => i += blank.len_utf8(),
                        None => break,
                    }
                }
                _ => break,
            }
        }
        i
    }

    /// Skips white space and comments.
    fn skip_space(&mut self, notes: &mut Notes) {
        loop {
            self.pos = self.skip_blank(self.pos);
            let start = self.pos;
            let stop = match (self.byte(start), self.byte(start + 1)) {
                (Some(b'/'), Some(b'/')) | (Some(b'#'), _) => self.find(start, b"\n").unwrap_or(self.end),
                (Some(b'/'), Some(b'*')) => self.find(start + 2, b"*/").map_or(self.end, |i| i + 2),
                (Some(b'<'), Some(b'!')) if self.bytes[start..self.end].starts_with(b"<!--") => {
                    self.find(start + 4, b"-->").map_or(self.end, |i| i + 3)
                }
                _ => return,
            };
            notes.push(Note { kind: R::Comment, span: Span::new(start, stop) });
            self.pos = stop;
        }
    }

    /// Skips white space and comments like [`skip_space`](Self::skip_space), but `#fff` after a colon is a
    /// value.
    fn skip_space_before_value(&mut self, notes: &mut Notes) {
        self.pos = self.skip_blank(self.pos);
        let colour = self.byte(self.pos) == Some(b'#')
            && self.byte(self.pos + 1).is_some_and(|b| !b.is_ascii_whitespace());
        if !colour {
            self.skip_space(notes);
        }
    }

    pub(super) fn find(&self, from: usize, needle: &[u8]) -> Option<usize> {
        let hay = self.bytes.get(from..self.end)?;
        hay.windows(needle.len()).position(|w| w == needle).map(|i| from + i)
    }

    fn quoted(&mut self, quote: Quote, place: Place) -> Tree<'t> {
        quoted::read(self, quote, place)
    }
}

/// Returns whether a character is invisible and separates, including byte order marks.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\u{180e}' | '\u{2060}')
}
