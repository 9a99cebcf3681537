//! The forgiving scanner: bytes to a [`Tree`], one pass, whatever the notation.
//!
//! It never fails and never guesses a value: what it cannot make out is marked as cut or flawed, and whoever coerces
//! the tree decides what that means for the type.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;

use super::MAX_DEPTH;
use super::quoted::{Quote, opening};
use super::report::RepairKind as R;
use super::text::fold;
use super::tree::{Entry, Flaw, Note, Notes, Shape, Span, Tree, is_json_number};

/// What surrounds a value; it decides where unquoted text and strings with stray quotes end.
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
    /// The end is known to be the end (a fence closes there), so what touches it is not cut.
    pub(super) closed_end: bool,
    pub(super) keys: &'k HashSet<String>,
    /// Nesting went past the limit.
    pub(super) too_deep: bool,
    /// The first place from which on more text might change the reading: a decision there looked ahead and met the
    /// end. What lies before it stays.
    doubt: Cell<usize>,
    /// A look ahead met the end.
    met_end: Cell<bool>,
    depth: usize,
    /// Round brackets that turned out to be words.
    no_tuples: HashSet<usize>,
    /// Keys are bare numbers: `{1: "a", 2: "b"}`.
    number_keys: bool,
    /// Members are written with `=`.
    equals: bool,
    /// Brackets in unquoted text do not pair up, so they mean nothing.
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

    /// The first place from which on more text might change the reading.
    pub(super) fn doubt(&self) -> usize {
        self.doubt.get()
    }

    /// More text might change what is read from here on.
    pub(super) fn doubts(&self, at: usize) {
        if !self.closed_end && at < self.doubt.get() {
            self.doubt.set(at);
        }
    }

    /// Decides something about the place `at`, and remembers whether the end of the text had a say in it.
    pub(super) fn decide<T>(&self, at: usize, decision: impl FnOnce() -> T) -> T {
        let before = self.met_end.replace(false);
        let decided = decision();
        if self.met_end.get() {
            self.doubts(at);
        }
        self.met_end.set(before);
        decided
    }

    /// Where a look ahead from `start` must stop; meeting the end there counts.
    pub(super) fn horizon(&self, start: usize, distance: usize) -> usize {
        (start + distance).min(self.end)
    }

    /// Tells that a look ahead went as far as `horizon` without an answer.
    pub(super) fn saw_nothing_until(&self, horizon: usize) {
        if horizon >= self.end {
            self.met_end.set(true);
        }
    }

    /// The structure that starts here.
    pub(super) fn structure(&mut self) -> Tree<'t> {
        match self.byte(self.pos) {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(b']'),
            Some(b'(') => self.list(b')'),
            _ => self.value(Place::Item),
        }
    }

    /// The members of an object whose braces were left out.
    pub(super) fn members(&mut self) -> Tree<'t> {
        let start = self.pos;
        let mut tree = self.object_body(start, true);
        tree.notes.push(Note { kind: R::MissingBraces, span: tree.span });
        tree
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
                // "(approximately) 5": words, not a tuple. Remembered, because brackets in brackets would otherwise be
                // tried again at every level.
                self.no_tuples.insert(start);
                self.pos = start;
                self.depth = depth;
                self.bare(place)
            }
            Some(first) => {
                let marks = self.end - start <= 3 && self.bytes[start..self.end].iter().all(|b| *b == first);
                if marks && matches!(first, b'"' | b'\'' | b'`') {
                    // One mark or three?
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

    /// "(5)": one value in brackets without a comma is no tuple.
    pub(super) fn is_aside(&self, tuple: &Tree<'_>) -> bool {
        let inside = self.text.get(tuple.span.start..tuple.span.end.saturating_sub(1)).unwrap_or("");
        matches!(&tuple.shape, Shape::List(items) if items.len() == 1) && !inside.trim_end().ends_with(',')
    }

    fn enter(&mut self) -> bool {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.too_deep = true;
            self.pos = self.end;
        }
        !self.too_deep
    }

    fn object(&mut self) -> Tree<'t> {
        let start = self.pos;
        self.pos += 1;
        if !self.enter() {
            return self.cut_short(start);
        }
        let tree = self.object_body(start, false);
        self.depth -= 1;
        tree
    }

    fn cut_short(&self, start: usize) -> Tree<'t> {
        let mut tree = Tree::new(Shape::Object(Vec::new()), Span::new(start, self.pos));
        tree.cut = true;
        tree
    }

    fn object_body(&mut self, start: usize, braceless: bool) -> Tree<'t> {
        let mut entries: Vec<Entry<'t>> = Vec::new();
        let mut notes = Notes::None;
        let (mut cut, mut flaw) = (false, None);
        let mut comma = true;
        loop {
            self.skip_space(&mut notes);
            if self.too_deep {
                cut = true;
                break;
            }
            let at = self.pos;
            match self.byte(at) {
                None => {
                    let inside = entries.last().is_some_and(|e| e.value.cut);
                    if !braceless || inside {
                        self.unclosed(inside, &mut notes, &mut cut);
                    }
                    break;
                }
                Some(b'}') => {
                    if comma && !entries.is_empty() {
                        notes.push(Note { kind: R::TrailingComma, span: Span::new(at, at + 1) });
                    }
                    self.pos += 1;
                    break;
                }
                Some(b',') => {
                    self.pos += 1;
                    if comma {
                        notes.push(Note { kind: R::TrailingComma, span: Span::new(at, at + 1) });
                    }
                    comma = true;
                    continue;
                }
                Some(b';') if !comma => {
                    self.pos += 1;
                    notes.push(Note { kind: R::ForeignSyntax, span: Span::new(at, at + 1) });
                    comma = true;
                    continue;
                }
                // The list around this object ends, so the object ended before it.
                Some(b']' | b')') if self.depth > 1 => {
                    notes.push(Note { kind: R::MissingClose, span: Span::new(at, at) });
                    break;
                }
                Some(_) => {}
            }
            if !comma && !braceless {
                notes.push(Note { kind: R::MissingComma, span: Span::new(at, at) });
            }
            let Some((key, quoted)) = self.key(&mut notes, &mut cut) else {
                if !cut {
                    flaw = Some(Flaw::NotAStructure);
                }
                break;
            };
            let key_span = Span::new(at, self.pos);
            self.skip_space(&mut notes);
            match self.byte(self.pos) {
                Some(b':') => self.pos += 1,
                Some(b'=') => {
                    let arrow = self.byte(self.pos + 1) == Some(b'>');
                    self.equals |= !arrow;
                    notes.push(Note { kind: R::ForeignSyntax, span: Span::new(self.pos, self.pos + 1) });
                    self.pos += 1 + usize::from(arrow);
                }
                None => {
                    cut = true;
                    break;
                }
                Some(_) => {
                    flaw = Some(Flaw::NotAStructure);
                    break;
                }
            }
            self.skip_space_before_value(&mut notes);
            let value = match self.byte(self.pos) {
                Some(b',' | b'}') => Tree::new(Shape::Absent, Span::new(self.pos, self.pos)),
                _ => self.value(Place::Member),
            };
            // A flaw inside spoils the member, not its siblings; the end of a string that cannot be told spoils all.
            if value.flaw == Some(Flaw::UnclearEnd) {
                flaw = value.flaw;
            }
            comma = false;
            entries.push(Entry { key, quoted, span: key_span, value });
        }
        let mut tree = Tree::new(Shape::Object(entries), Span::new(start, self.pos));
        (tree.cut, tree.flaw, tree.notes) = (cut, flaw, notes);
        tree
    }

    /// The text ends before the bracket closes; `inside` tells whether it ends inside a member too.
    fn unclosed(&self, inside: bool, notes: &mut Notes, cut: &mut bool) {
        if self.closed_end && !inside {
            notes.push(Note { kind: R::MissingClose, span: Span::new(self.pos, self.pos) });
        } else {
            *cut = true;
        }
    }

    /// A key, quoted or not; `None` when there is none here (`cut` tells whether the text just ended).
    fn key(&mut self, notes: &mut Notes, cut: &mut bool) -> Option<(Cow<'t, str>, bool)> {
        let start = self.pos;
        if let Some(quote) = opening(self.bytes, start, self.end) {
            let tree = self.quoted(quote, Place::Key);
            notes.extend(&tree.notes);
            *cut |= tree.cut;
            return match tree.shape {
                Shape::Text { text, .. } if !tree.cut => Some((text, true)),
                _ => None,
            };
        }
        let mut i = start;
        loop {
            match self.byte(i) {
                None => {
                    *cut = true;
                    return None;
                }
                Some(b':' | b'=') => break,
                Some(b',' | b'}' | b'{' | b'[' | b']' | b'\n' | b'"') => return None,
                Some(_) => i += 1,
            }
        }
        let key = self.text.get(start..i)?.trim().trim_matches('*');
        if key.is_empty() || key.len() > 200 {
            return None;
        }
        self.pos = i;
        self.number_keys |= key.bytes().all(|b| b.is_ascii_digit());
        notes.push(Note { kind: R::UnquotedKey, span: Span::new(start, i) });
        Some((Cow::Borrowed(key.trim()), false))
    }

    fn list(&mut self, close: u8) -> Tree<'t> {
        let start = self.pos;
        self.pos += 1;
        if !self.enter() {
            return self.cut_short(start);
        }
        let mut items: Vec<Tree<'t>> = Vec::new();
        let mut notes = Notes::None;
        let (mut cut, mut flaw) = (false, None);
        let mut comma = true;
        if close == b')' {
            notes.push(Note { kind: R::ForeignSyntax, span: Span::new(start, start + 1) });
        }
        loop {
            self.skip_space(&mut notes);
            if self.too_deep {
                cut = true;
                break;
            }
            let at = self.pos;
            match self.byte(at) {
                None => {
                    self.unclosed(items.last().is_some_and(|i| i.cut), &mut notes, &mut cut);
                    break;
                }
                Some(b) if b == close => {
                    self.pos += 1;
                    if comma && !items.is_empty() && close == b']' {
                        notes.push(Note { kind: R::TrailingComma, span: Span::new(at, at + 1) });
                    }
                    break;
                }
                Some(b'}' | b']' | b')') => {
                    if self.depth > 1 {
                        notes.push(Note { kind: R::MissingClose, span: Span::new(at, at) });
                    } else {
                        flaw = Some(Flaw::NotAStructure);
                    }
                    break;
                }
                Some(b',') => {
                    self.pos += 1;
                    if comma {
                        notes.push(Note { kind: R::TrailingComma, span: Span::new(at, at + 1) });
                        // `[1,,2]`: was something left out in the middle?
                        let next = self.byte(self.skip_blank(self.pos));
                        if !items.is_empty() && !matches!(next, Some(b']' | b')') | None) {
                            flaw = Some(Flaw::Elided);
                        }
                    }
                    comma = true;
                    continue;
                }
                Some(_) => {}
            }
            if !comma {
                notes.push(Note { kind: R::MissingComma, span: Span::new(at, at) });
            }
            let item = self.value(Place::Item);
            if matches!(&item.shape, Shape::Text { text, quoted: false } if matches!(text.as_ref(), "..." | "…" | "etc" | "etc."))
            {
                flaw = Some(Flaw::Elided);
            }
            if item.flaw == Some(Flaw::UnclearEnd) || self.splits_group(at, items.last()) {
                flaw = Some(Flaw::UnclearEnd);
            }
            comma = false;
            if self.pos == at {
                // Nothing was read; a stray byte must not hold us here.
                flaw = Some(Flaw::NotAStructure);
                break;
            }
            items.push(item);
        }
        self.depth -= 1;
        let mut tree = Tree::new(Shape::List(items), Span::new(start, self.pos));
        (tree.cut, tree.flaw, tree.notes) = (cut, flaw, notes);
        tree
    }

    /// Whether the item at `at` is the rest of a grouped number: `[$1,000]`.
    fn splits_group(&self, at: usize, before: Option<&Tree<'t>>) -> bool {
        let digits = self.bytes[at..self.end.min(at + 4)].iter().take_while(|b| b.is_ascii_digit()).count();
        let glued =
            digits == 3 && self.bytes[at - 1] == b',' && at > 1 && self.bytes[at - 2].is_ascii_digit();
        let worded = matches!(before, Some(Tree { shape: Shape::Text { quoted: false, .. }, .. }));
        glued && (worded || self.bytes[at] == b'0')
    }

    /// Unquoted text up to where the surroundings go on.
    fn bare(&mut self, place: Place) -> Tree<'t> {
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
        // Letters and digits never end a text.
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
                    // Past all the white space at once: a run of line breaks must not be scanned once per break.
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
            "None" | "nil" | "undefined" => (Shape::Null, note(R::ForeignSyntax)),
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
        if text.ends_with("...") || text.ends_with('…') {
            tree.flaw = Some(Flaw::Elided);
        } else if (prefixed && text.ends_with(char::from(text.as_bytes()[1])))
            || (text.ends_with('"') && !text.matches('"').count().is_multiple_of(2))
        {
            // A Python literal with a prefix, a string whose first quote is missing, or a stray one behind a number.
            tree.flaw = Some(Flaw::UnclearEnd);
        }
        tree
    }

    /// Whether another member of an object starts here, after a comma or a line break.
    ///
    /// `stray` is the number of stray quotes met in the string that would end before it: with an odd one open, a bare
    /// word and a colon prove nothing unless the schema knows the word. It is `None` behind unquoted text.
    pub(super) fn member_follows(&self, at: usize, stray: Option<usize>) -> bool {
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
            // Either a very long key or the end of the text; both speak for a key.
            self.saw_nothing_until(limit);
            return true;
        }
        let mut i = start;
        while i < limit {
            match self.bytes[i] {
                b':' => break,
                b'=' if self.equals || self.byte(i + 1) == Some(b'>') => break,
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
        // "https://…" is no key.
        if self.bytes[i] == b':' && self.byte(i + 1) == Some(b'/') && self.byte(i + 2) == Some(b'/') {
            return false;
        }
        let word = key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '.' | '*'))
            // Behind a string a number can be a key; behind unquoted text it may be a time, "10:30".
            && (stray.is_some()
                || !key.starts_with(|c: char| c.is_ascii_digit())
                || self.number_keys && !self.byte(i + 1).is_some_and(|b| b.is_ascii_digit()));
        (word && stray.unwrap_or(0).is_multiple_of(2)) || self.keys.contains(&fold(key))
    }

    /// The first byte at or after `at` that is not white space.
    pub(super) fn skip_blank(&self, at: usize) -> usize {
        let mut i = at;
        while i < self.end {
            match self.bytes[i] {
                b' ' | b'\t' | b'\n' | b'\r' => i += 1,
                0xC2 if self.byte(i + 1) == Some(0xA0) => i += 2,
                0xEF if self.byte(i + 1) == Some(0xBB) && self.byte(i + 2) == Some(0xBF) => i += 3,
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

    /// As [`skip_space`](Self::skip_space), but `#fff` after a colon is a value.
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
        super::quoted::read(self, quote, place)
    }
}
