//! Objects with or without braces, with quoted or bare keys.

use std::borrow::Cow;

use super::super::report::RepairKind as R;
use super::super::tree::{Entry, Flaw, Note, Notes, Shape, Span, Tree};
use super::quoted::opening;
use super::{Loose, Place};

impl<'t> Loose<'t, '_> {
    /// Reads the members of an object without braces.
    pub(in super::super) fn members(&mut self) -> Tree<'t> {
        let start = self.pos;
        let mut tree = self.object_body(start, true);
        tree.notes.push(Note { kind: R::MissingBraces, span: tree.span });
        tree
    }

    pub(super) fn object(&mut self) -> Tree<'t> {
        let start = self.pos;
        self.pos += 1;
        if !self.enter() {
            return self.cut_short(start);
        }
        let tree = self.object_body(start, false);
        self.depth -= 1;
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
            // A flaw inside a member does not affect its siblings; a string with an unclear end affects all.
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

    /// Reads a key, quoted or not; `None` if there is none here. `cut` is set if the text ended here.
    fn key(&mut self, notes: &mut Notes, cut: &mut bool) -> Option<(Cow<'t, str>, bool)> {
        let start = self.pos;
        if let Some(quote) = opening(self.bytes, start, self.end) {
            if self.is_half_mark(start) {
                self.doubts(start);
            }
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
}
