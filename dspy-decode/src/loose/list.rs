//! Lists in square brackets or parentheses.

use super::super::report::RepairKind as R;
use super::super::tree::{Flaw, Note, Notes, Shape, Span, Tree};
use super::{Loose, Place};

impl<'t> Loose<'t, '_> {
    /// Returns whether parentheses hold one value without a comma, "(5)", which is not a tuple.
    pub(in super::super) fn is_aside(&self, tuple: &Tree<'_>) -> bool {
        let inside = self.text.get(tuple.span.start..tuple.span.end.saturating_sub(1)).unwrap_or("");
        matches!(&tuple.shape, Shape::List(items) if items.len() == 1) && !inside.trim_end().ends_with(',')
    }

    pub(super) fn list(&mut self, close: u8) -> Tree<'t> {
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
                        // `[1,,2]`: was an item in the middle omitted?
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
                // No byte was read; the scanner must advance past a stray byte.
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

    /// Returns whether the item at `at` is the rest of a grouped number: `[$1,000]`.
    fn splits_group(&self, at: usize, before: Option<&Tree<'t>>) -> bool {
        let digits = self.bytes[at..self.end.min(at + 4)].iter().take_while(|b| b.is_ascii_digit()).count();
        let glued =
            digits == 3 && self.bytes[at - 1] == b',' && at > 1 && self.bytes[at - 2].is_ascii_digit();
        let worded = matches!(before, Some(Tree { shape: Shape::Text { quoted: false, .. }, .. }));
        glued && (worded || self.bytes[at] == b'0')
    }
}
