//! Nested maps and lists that are delimited by indentation, as in YAML.
//!
//! Most lines of a reply are read individually, guided by the names of the type. This reader is for nested
//! structures: it accepts text only if every line of it is part of the structure, and leaves all other text
//! to the other readers.

use std::collections::HashSet;

use super::block::{self, Block};
use super::loose::Loose;
use super::report::RepairKind as R;
use super::soundness;
use super::tree::{Entry, Note, Shape, Span, Tree};

/// The maximum nesting of lines; deeper text is not read.
const MAX_LEVELS: usize = 32;

/// A line that is neither blank nor a comment.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Start of its text, after the white space and the dashes that were already read.
    start: usize,
    end: usize,
    /// The column in which its text starts.
    column: usize,
    /// Start of the next line.
    next: usize,
}

/// Reads the text in a span, if all of it is nested YAML.
pub(super) fn read<'t>(text: &'t str, keys: &HashSet<String>, span: Span) -> Option<Tree<'t>> {
    let lines = lines(text, span)?;
    let mut reader = Reader { text, keys, end: span.end, lines, at: 0, nests: false };
    let mut first = reader.line()?;
    if introduces(reader.content(first)) {
        reader.at = 1;
        first = reader.line()?;
    }
    let mut tree = reader.block(first.column, MAX_LEVELS)?;
    // Flat text is read line by line, by other rules.
    if reader.at < reader.lines.len() || !reader.nests {
        return None;
    }
    tree.notes.push(Note { kind: R::MissingBraces, span: tree.span });
    Some(tree)
}

/// Returns whether a line announces the text below it in more words than a key has.
fn introduces(line: &str) -> bool {
    let quiet = !line.contains(['{', '[', '"', '`', '|']) && dash(line).is_none();
    quiet && line.ends_with(':') && !line[..line.len() - 1].contains(':') && key_of(line).is_none()
}

/// Returns the lines with content. A tab before one has no defined width.
fn lines(text: &str, span: Span) -> Option<Vec<Line>> {
    let mut out = Vec::new();
    let mut at = span.start;
    // The first line may be indented like the others.
    let head = &text[..span.start];
    let before = &head[head.rfind('\n').map_or(0, |i| i + 1)..];
    let mut more = if before.trim().is_empty() { before.len() } else { 0 };
    for line in text.get(span.range())?.split_inclusive('\n') {
        let content = line.trim();
        let lead = line.len() - line.trim_start().len();
        let start = at + lead;
        at += line.len();
        let column = lead + std::mem::take(&mut more);
        // It is unclear whether a commented-out member is intended.
        if content.starts_with('#') && content.contains(':') {
            return None;
        }
        if content.is_empty() || content.starts_with("# ") || out.is_empty() && content == "---" {
            continue;
        }
        if line[..lead].contains('\t') || !line[..lead].is_ascii() {
            return None;
        }
        out.push(Line { start, end: start + content.len(), column, next: at });
    }
    Some(out)
}

struct Reader<'t, 'k> {
    text: &'t str,
    keys: &'k HashSet<String>,
    end: usize,
    lines: Vec<Line>,
    at: usize,
    /// Whether a value was found that spans more than the rest of a line, or is in brackets.
    nests: bool,
}

impl<'t> Reader<'t, '_> {
    fn line(&self) -> Option<Line> {
        self.lines.get(self.at).copied()
    }

    fn content(&self, line: Line) -> &'t str {
        &self.text[line.start..line.end]
    }

    /// Reads the lines that begin in this column, from the current one on.
    fn block(&mut self, column: usize, levels: usize) -> Option<Tree<'t>> {
        let levels = levels.checked_sub(1)?;
        let line = self.line()?;
        if dash(self.content(line)).is_some() {
            self.items(column, levels)
        } else {
            self.members(column, levels)
        }
    }

    fn items(&mut self, column: usize, levels: usize) -> Option<Tree<'t>> {
        let start = self.line()?.start;
        let mut items = Vec::new();
        while let Some(line) = self.line().filter(|line| line.column >= column) {
            let content = self.content(line);
            // Another line in this column that is not an item ends a list in the column of its key.
            let Some(offset) = dash(content).filter(|_| line.column == column) else { break };
            if offset == content.len() {
                self.at += 1;
                // A dash alone is not an item.
                let deeper = self.line().filter(|next| next.column > column)?;
                self.nests = true;
                items.push(self.block(deeper.column, levels)?);
                continue;
            }
            let rest = &content[offset..];
            let behind = Line { start: line.start + offset, column: column + offset, ..line };
            if dash(rest).is_some() || key_of(rest).is_some() {
                self.lines[self.at] = behind;
                items.push(self.block(behind.column, levels)?);
                continue;
            }
            self.at += 1;
            items.push(self.scalar(behind, column)?);
        }
        let end = items.last()?.span.end;
        Some(Tree::new(Shape::List(items), Span::new(start, end)))
    }

    fn members(&mut self, column: usize, levels: usize) -> Option<Tree<'t>> {
        let start = self.line()?.start;
        let mut entries: Vec<Entry<'t>> = Vec::new();
        while let Some(line) = self.line().filter(|line| line.column >= column) {
            if line.column != column {
                return None;
            }
            let content = self.content(line);
            let (key, quoted, offset) = key_of(content)?;
            let key_span = Span::new(line.start, line.start + offset - 1);
            let rest = &content[offset..];
            let lead = rest.len() - rest.trim_start().len();
            let behind = Line { start: line.start + offset + lead, ..line };
            self.at += 1;
            let value = if behind.start < line.end {
                self.scalar(behind, column)?
            } else {
                self.below(line, column, levels)?
            };
            entries.push(Entry { key: key.into(), quoted, span: key_span, value });
        }
        let end = entries.last()?.value.span.end;
        Some(Tree::new(Shape::Object(entries), Span::new(start, end)))
    }

    /// Reads the lines below a key or a dash without a value, if there are any.
    fn below(&mut self, key: Line, column: usize, levels: usize) -> Option<Tree<'t>> {
        let absent = Tree::new(Shape::Absent, Span::new(key.end, key.end));
        let Some(next) = self.line() else { return Some(absent) };
        // The items of a list may be in the column of the key they belong to.
        let items = next.column == column && dash(self.content(next)).is_some();
        if next.column <= column && !items {
            return Some(absent);
        }
        self.nests = true;
        self.block(next.column, levels)
    }

    /// Reads the value in the rest of a line, or in the block scalar that it opens.
    fn scalar(&mut self, line: Line, column: usize) -> Option<Tree<'t>> {
        let content = self.content(line);
        let span = Span::new(line.start, line.end);
        if let Some(block) = block::read(&self.text[..self.end], content, line.next, column) {
            let Block::Text(text, end) = block else { return None };
            while self.line().is_some_and(|next| next.start < end) {
                self.at += 1;
            }
            self.nests = true;
            return Some(Tree::text(text, true, Span::new(line.start, end)));
        }
        // Text that continues in the next line, or a value with lines below it.
        if self.line().is_some_and(|next| next.column > column) {
            return None;
        }
        if content.starts_with(['{', '[', '"', '\'']) {
            self.nests |= content.starts_with(['{', '[']);
            return self.flow(span);
        }
        let reserved = content.starts_with(['&', '*', '!', '%', '@', '|', '>', '`', '“', '‘', '«', '#']);
        if reserved || content.contains(" #") {
            return None;
        }
        self.nests |= content.contains(['{', '[']);
        let shape = match content {
            "null" | "~" => Shape::Null,
            _ => Shape::Text { text: content.into(), quoted: false },
        };
        Some(Tree::new(shape, span))
    }

    /// Reads a value in brackets or quotes that fills the span.
    fn flow(&self, span: Span) -> Option<Tree<'t>> {
        let mut scanner = Loose::new(self.text, self.keys, span.start, span.end);
        scanner.closed_end = true;
        scanner.pos = span.start;
        let value = scanner.structure();
        let whole = scanner.skip_blank(scanner.pos) >= span.end;
        (whole && !scanner.too_deep && soundness::is_sound(self.text, &value)).then_some(value)
    }
}

/// Returns the place where the item after a dash starts.
fn dash(content: &str) -> Option<usize> {
    let rest = content.strip_prefix(['-', '*', '•'])?;
    let behind = rest.trim_start();
    (behind.len() < rest.len() || rest.is_empty()).then_some(content.len() - behind.len())
}

/// Returns the key that a line begins with, whether it is in quotes, and the place where the text after its
/// colon starts.
fn key_of(content: &str) -> Option<(&str, bool, usize)> {
    if let Some(inside) = content.strip_prefix('"') {
        let (key, behind) = inside.split_once('"')?;
        let rest = behind.strip_prefix(':')?;
        let ends = rest.is_empty() || rest.starts_with(' ');
        return (ends && !key.contains('\\')).then_some((key, true, content.len() - rest.len()));
    }
    let colon = content.match_indices(':').map(|(at, _)| at).find(|at| {
        let rest = &content[at + 1..];
        rest.is_empty() || rest.starts_with(' ')
    })?;
    let key = content[..colon].trim_end();
    let plain = |c: char| {
        c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '/' | '.' | '\'' | '(' | ')' | '&' | '$')
    };
    let short = key.split_whitespace().count() <= 4 && key.len() <= 200;
    let named =
        key.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') && key.chars().all(plain);
    (short && named).then_some((key, false, colon + 1))
}
