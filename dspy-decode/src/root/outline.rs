//! Location of the value in a reply among words, bullets and fences: brackets that are part of the words,
//! objects that are the items of a list, and items beside a list.

use super::super::candidates::{Scan, Unit};
use super::super::plan::NodeKind;
use super::super::repair::Ending;
use super::super::report::RepairKind as R;
use super::super::soundness;
use super::super::tree::{Shape, Span, Tree};
use super::{ReplyReader, takes_structure, takes_text};

impl ReplyReader<'_> {
    /// Removes brackets that are part of the words, because they are not the answer.
    pub(super) fn drop_asides(&self, scan: &mut Scan<'_>, start: usize, end: usize) {
        let schema = self.schema;
        let structure = takes_structure(schema, schema.root, 4);
        let words = takes_text(schema, schema.root, 4);
        let list = matches!(schema.node(schema.root).kind, NodeKind::List(_));
        scan.units.retain(|unit| {
            let whole = unit.outer.start == start && unit.outer.end == end;
            if whole || unit.fenced || unit.tree.cut && !words {
                return true;
            }
            let trusted = || unit.exact.is_some() || soundness::is_sound(self.text, &unit.tree);
            match &unit.tree.shape {
                // "{name}" in a sentence is not an object.
                Shape::Object(entries) if !structure => entries.first().is_some_and(|e| e.quoted),
                Shape::Object(_) => !words || trusted(),
                // "see [1]", "[out of 10]", "1. Paris [France]"
                Shape::List(items) => {
                    let sentence = |t: &Tree<'_>| matches!(&t.shape, Shape::Text { text, quoted: false } if text.contains(' '));
                    let aside = items.len() == 1 && items.iter().any(sentence);
                    let part = aside || list && self.is_in_bullet(unit.outer);
                    structure && !words && !part
                }
                _ => true,
            }
        });
    }

    /// Returns whether brackets with one bare item are part of a sentence, as in a citation: `see [1]`, `I
    /// cannot [policy]`.
    pub(super) fn cites(&self, scan: &Scan<'_>) -> bool {
        let list = matches!(self.schema.node(self.schema.root).kind, NodeKind::List(_));
        let [unit] = scan.units.as_slice() else { return false };
        let Shape::List(items) = &unit.tree.shape else { return false };
        let numbers = |value: &serde_json::Value| matches!(value.as_array().map(Vec::as_slice), Some([only]) if only.is_number());
        let bare = match items.as_slice() {
            _ if unit.exact.is_some() => unit.exact.as_ref().is_some_and(numbers),
            [only] => matches!(only.shape, Shape::Text { quoted: false, .. } | Shape::Number(_)),
            _ => false,
        };
        let line = self.text[..unit.outer.start].rsplit('\n').next().unwrap_or("").trim_end();
        let announced =
            line.ends_with([':', '=', '*', '`', '>']) || line.ends_with(" is") || line.ends_with(" are");
        list && bare && !unit.fenced && line.contains(char::is_alphabetic) && !announced
    }

    /// Returns whether brackets are inside a line that starts with a bullet or a number.
    fn is_in_bullet(&self, brackets: Span) -> bool {
        let from = self.text[..brackets.start].rfind('\n').map_or(0, |i| i + 1);
        let to = self.text[brackets.end..].find('\n').map_or(self.text.len(), |i| brackets.end + i);
        let line = &self.text[from..to];
        let lead = line.len() - line.trim_start().len();
        let Some(item) = super::super::coerce::after_bullet(line.trim_start()) else { return false };
        from + lead + item < brackets.start || !self.text[brackets.end..to].trim().is_empty()
    }

    /// Joins consecutive objects (JSON lines, or with words or fences between them) into a list if the type
    /// is a list.
    pub(super) fn join_objects(&self, scan: &mut Scan<'_>) {
        let schema = self.schema;
        let root = &schema.node(schema.root).kind;
        let list = match root {
            NodeKind::List(_) => true,
            NodeKind::Union(u) => {
                u.options.len() == 1 && matches!(schema.node(u.options[0]).kind, NodeKind::List(_))
            }
            _ => false,
        };
        let objects = scan.units.len() > 1
            && scan
                .units
                .iter()
                .all(|u| matches!(u.tree.shape, Shape::Object(_)) && !u.tree.cut && u.tree.flaw.is_none());
        if !list || !objects {
            return;
        }
        let gap = |pair: &[Unit<'_>]| {
            let (from, to) = (pair[0].outer.end, pair[1].outer.start.max(pair[0].outer.end));
            let between = self.text.get(from..to).unwrap_or("");
            let lead = between.len() - between.trim_start_matches([',', ';', '.', ' ', '\n']).len();
            Span::new(from + lead, to)
        };
        let blank = |span: Span| {
            let between = self.text.get(span.range()).unwrap_or("x");
            between.chars().all(|c| c.is_whitespace() || c.is_ascii_digit() || ",;.)-*•".contains(c))
        };
        let trusted = |u: &Unit<'_>| u.exact.is_some() || soundness::is_sound(self.text, &u.tree);
        let joins = scan.units.windows(2).all(|pair| blank(gap(pair)))
            || scan.units.iter().all(trusted)
                && scan
                    .units
                    .windows(2)
                    .all(|pair| soundness::is_prose(self.text, gap(pair).start, gap(pair).end));
        if !joins {
            return;
        }
        let units = std::mem::take(&mut scan.units);
        let fenced = units.iter().all(|u| u.fenced);
        let outer = Span::new(units[0].outer.start, units[units.len() - 1].outer.end);
        let span = Span::new(units[0].tree.span.start, units[units.len() - 1].tree.span.end);
        let items = units.into_iter().map(|u| match u.exact {
            Some(value) => Tree::of_at(value, u.tree.span),
            None => u.tree,
        });
        let mut tree = Tree::new(Shape::List(items.collect()), span);
        tree.notes.push(super::super::tree::Note { kind: R::JoinedObjects, span });
        scan.units.push(Unit { fenced, outer, ..Unit::of(tree) });
    }

    /// Returns whether items are outside the brackets of the list: in bullets, after an "and", in quotes.
    pub(super) fn leaves_items(&self, scan: &Scan<'_>, start: usize, end: usize) -> bool {
        if !matches!(self.schema.node(self.schema.root).kind, NodeKind::List(_)) || scan.units.is_empty() {
            return false;
        }
        let (first, last) = (&scan.units[0], &scan.units[scan.units.len() - 1]);
        let gap = |from: usize, to: usize| self.text.get(from..to).unwrap_or("");
        let (before, behind) = (gap(start, first.outer.start), gap(last.outer.end, end));
        let bullet = |text: &str| {
            text.lines().any(|line| {
                let line = line.trim();
                super::super::coerce::after_bullet(line)
                    .is_some_and(|at| line[at..].contains(char::is_alphanumeric))
            })
        };
        let led = before.trim_end().lines().last().is_some_and(|line| {
            let line = line.trim();
            line.ends_with(',') || super::super::coerce::after_bullet(&format!("{line} x")).is_some()
        });
        let rest = behind.trim_start().trim_start_matches([',', ';']).trim_start();
        let word = rest
            .strip_prefix("and ")
            .or_else(|| rest.strip_prefix("plus "))
            .unwrap_or(rest)
            .trim_end_matches('.');
        let listed = before
            .trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.trim_end().ends_with(',') && line.split_whitespace().count() <= 3);
        // `[1, 2] and also 3`, `3 and [1, 2]`
        let same_line = behind.trim_start_matches(' ').lines().next().unwrap_or("").trim();
        let words = || same_line.trim_start_matches(['(', ',', ';', '.', ' ']).split_whitespace();
        let adds = |word: &str| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
            matches!(word.as_str(), "and" | "also" | "plus" | "then" | "add")
        };
        let opens = words().next().is_some_and(adds) || words().take(3).eq(["as", "well", "as"]);
        let added = opens && words().count() <= 8 && words().count() > 1;
        let led_on = before.trim_end().lines().last().is_some_and(|line| {
            let mut words = line.split_whitespace().rev();
            let joins = words.next().is_some_and(|word| matches!(word, "and" | "also" | "plus" | "then"));
            joins && line.split_whitespace().count() <= 6
        });
        if added || led_on {
            return true;
        }
        let more = word.starts_with('"') || !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
        let joined = rest.starts_with("and ") && word.split_whitespace().count() == 1;
        bullet(before) || bullet(behind) || led && !behind.trim().is_empty() || listed || more || joined
    }

    /// Returns the part of the text that holds the value, and the kind of text after it.
    pub(super) fn body(&self, start: usize, end: usize) -> (Span, Ending) {
        let text = &self.text[start..end];
        let opens_line = |i: usize| {
            let before = text[..i].trim_end_matches([' ', '\t']);
            before.ends_with('\n') || before.is_empty()
        };
        if let Some(open) = text.match_indices("```").map(|(i, _)| i).find(|i| opens_line(*i))
            && let Some(line) = text[open..].find('\n')
        {
            let from = open + line + 1;
            let close = text[from..].rfind("```").map(|i| from + i);
            let inside = text[from..close.unwrap_or(text.len())].trim_end().len();
            let ending = match close {
                Some(close) if opens_line(close) => ending(&text[from + inside..close]),
                _ => Ending::Nothing,
            };
            return (Span::new(start + from, start + from + inside), ending);
        }
        let bracket = text.find(['{', '[']).unwrap_or(text.len());
        let mut from = bracket;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if at < bracket && line.trim_start().starts_with('"') {
                from = at;
                break;
            }
            at += line.len();
        }
        // One or two letters that touch the bracket may be swapped with it.
        if from == bracket {
            let rest = text[..from].trim_end_matches(char::is_alphanumeric);
            if from - rest.len() <= 2 && !rest.ends_with(|c: char| !c.is_whitespace()) {
                from = rest.len();
            }
        }
        let last = text.rfind(['}', ']']).map_or(text.len(), |i| i + 1).max(from);
        let prose = soundness::is_prose(text, last, text.len());
        let to = if prose { last } else { text.len() };
        // Words in a separate paragraph follow the answer; others may be part of an unclosed string.
        let rest = &text[last.min(text.len())..];
        let gap = &rest[..rest.len() - rest.trim_start().len()];
        let ending = match gap.matches('\n').count() {
            _ if !prose || rest.trim().is_empty() => Ending::Nothing,
            0 | 1 => Ending::Nothing,
            2 => Ending::More,
            _ => Ending::EmptyLine,
        };
        (Span::new(start + from, start + to), ending)
    }
}

/// Returns the kind of text after a fence, judged by the white space between them.
fn ending(gap: &str) -> Ending {
    if gap.matches('\n').count() > 1 { Ending::EmptyLine } else { Ending::More }
}
