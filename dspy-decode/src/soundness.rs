//! Checks of whether a lenient reading can be trusted: it may normalize the notation, but must not hide
//! damage.

use std::collections::HashSet;

use super::report::RepairKind as R;
use super::tree::{Note, Shape, Span, Tree};

/// Returns whether no part of the tree indicates a missing, duplicate or misplaced structural character.
pub(super) fn is_sound(text: &str, tree: &Tree<'_>) -> bool {
    check(text, tree, None)
}

/// Returns whether the tree is sound, for text that no single edit repairs. In contrast to [`is_sound`], a
/// style that is consistent throughout a list or an object, such as omitted commas, is not damage either.
pub(super) fn is_plausible(text: &str, tree: &Tree<'_>, keys: &HashSet<String>) -> bool {
    check(text, tree, Some(keys))
}

/// Returns whether the text has a style that no edit of a mark turns into JSON: comments, Python's literals,
/// other quotes.
pub(super) fn is_styled(tree: &Tree<'_>) -> bool {
    let own =
        tree.notes.as_slice().iter().any(|n| matches!(n.kind, R::Comment | R::ForeignSyntax | R::QuoteStyle));
    own || match &tree.shape {
        Shape::List(items) => items.iter().any(is_styled),
        Shape::Object(entries) => entries.iter().any(|e| is_styled(&e.value)),
        _ => false,
    }
}

fn check(text: &str, tree: &Tree<'_>, keys: Option<&HashSet<String>>) -> bool {
    let habits = keys.is_some();
    let mut walk = Walk { text, habits, keys, quoted_keys: false, bare_keys: false };
    // For a truncated object, lost members are detected where its type is known.
    let open = habits && tree.cut && tree.flaw.is_none() && matches!(tree.shape, Shape::Object(_));
    let sound = if open { walk.inside(tree) } else { walk.sound(tree) };
    sound && (habits || !(walk.quoted_keys && walk.bare_keys))
}

struct Walk<'t> {
    text: &'t str,
    habits: bool,
    keys: Option<&'t HashSet<String>>,
    quoted_keys: bool,
    bare_keys: bool,
}

impl Walk<'_> {
    fn sound(&mut self, tree: &Tree<'_>) -> bool {
        !tree.cut && tree.flaw.is_none() && self.inside(tree)
    }

    fn inside(&mut self, tree: &Tree<'_>) -> bool {
        let notes = tree.notes.as_slice();
        if !notes.iter().all(|note| self.is_style(tree, note)) {
            return false;
        }
        match &tree.shape {
            Shape::List(items) => items.iter().all(|item| !self.joins_items(item) && self.sound(item)),
            Shape::Object(entries) => entries.iter().all(|entry| {
                if entry.quoted && entry.key.contains('\n') && self.spans_lines(entry.span) {
                    return false;
                }
                self.quoted_keys |= entry.quoted;
                self.bare_keys |= !entry.quoted;
                self.sound(&entry.value)
            }),
            Shape::Text { text: words, quoted: false } => self.is_bare_word(words),
            _ => true,
        }
    }

    fn spans_lines(&self, span: Span) -> bool {
        self.text.get(span.range()).is_some_and(|source| source.contains('\n'))
    }

    /// Returns whether a string of a list may be two strings: it continues in a line that begins at its own
    /// column, as the next item would, or it contains a quotation mark next to a comma.
    fn joins_items(&self, item: &Tree<'_>) -> bool {
        let noted = |kind| item.notes.as_slice().iter().any(|note| note.kind == kind);
        let (inner, raw) = (noted(R::InnerQuote), noted(R::RawControl));
        if !(inner || raw) || !matches!(item.shape, Shape::Text { quoted: true, .. }) {
            return false;
        }
        let (Some(head), Some(source)) = (self.text.get(..item.span.start), self.text.get(item.span.range()))
        else {
            return false;
        };
        let beside = |at| super::repair::beside_comma(self.text, at);
        if inner && source.starts_with('"') && self.inner_marks(item).any(beside) {
            return true;
        }
        let indent = &head[head.rfind('\n').map_or(0, |i| i + 1)..];
        let begins = |line: &str| {
            line.strip_prefix(indent).is_some_and(|rest| rest.starts_with(|c: char| !c.is_whitespace()))
        };
        let blank = !indent.is_empty() && indent.bytes().all(|b| matches!(b, b' ' | b'\t'));
        raw && blank && source.lines().skip(1).any(begins)
    }

    /// Returns the unescaped quotation marks inside a string.
    fn inner_marks(&self, string: &Tree<'_>) -> impl Iterator<Item = usize> {
        let bytes = self.text.as_bytes();
        let (start, end) = (string.span.start, string.span.end);
        (start + 1..end.saturating_sub(1)).filter(|&i| bytes[i] == b'"' && bytes[i - 1] != b'\\')
    }

    /// Returns whether unquoted text is a matter of style and not of damage.
    fn is_bare_word(&self, words: &str) -> bool {
        let marks = words.contains(['"', '{', '}', '[', ']', '`'])
            || words.starts_with('\'')
            || words.ends_with('\'')
            || !words.contains(char::is_alphanumeric);
        // In text that has quotes, unquoted values are single words.
        let quotes = self.text.contains('"');
        let several = quotes && words.contains(|c: char| c.is_whitespace() || matches!(c, ',' | ':'));
        let number = is_torn_number(words);
        let literal = words.split_whitespace().any(|word| {
            ["null", "true", "false"].iter().any(|l| {
                word != *l && (word.len() > 1 || quotes || self.text.contains(l)) && is_mangled(l, word)
            })
        });
        !marks && !several && !number && !literal
    }

    /// Returns whether the comma before a closing bracket is a matter of style: the bracket is where it would
    /// be without one.
    fn closes_in_style(&self, tree: &Tree<'_>, close: usize) -> bool {
        let (Some(head), Some(inside)) =
            (self.text.get(..tree.span.start), self.text.get(tree.span.start + 1..close))
        else {
            return false;
        };
        let tail = &inside[inside.trim_end().len()..];
        let lead = &inside[..inside.len() - inside.trim_start().len()];
        if !tail.contains('\n') {
            return tail == lead || tail == " ";
        }
        let line = head.rfind('\n').map_or(head, |i| &head[i + 1..]);
        let indent = &line[..line.len() - line.trim_start().len()];
        tail.matches('\n').count() == 1 && tail.rsplit('\n').next() == Some(indent)
    }

    fn is_style(&self, tree: &Tree<'_>, note: &Note) -> bool {
        let bytes = self.text.as_bytes();
        let at = note.span.start;
        match note.kind {
            R::InnerQuote => {
                // An apostrophe is between letters.
                let letter = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_alphanumeric);
                bytes.get(at) == Some(&b'\'') && at > 0 && letter(at - 1) && letter(at + 1)
                    || self.keys.is_some_and(|keys| self.quotes_by_habit(tree, keys))
            }
            R::MissingComma => {
                self.habits
                    && match &tree.shape {
                        Shape::Object(_) => true,
                        Shape::List(items) => {
                            let missing =
                                tree.notes.as_slice().iter().filter(|n| n.kind == R::MissingComma).count();
                            let apart = at > 0 && bytes[at - 1].is_ascii_whitespace();
                            apart && missing + 1 == items.len()
                        }
                        _ => false,
                    }
            }
            R::MissingClose => self.habits && matches!(tree.shape, Shape::Object(_)),
            R::TrailingComma => {
                matches!(bytes.get(at), Some(b'}' | b']' | b')')) && self.closes_in_style(tree, at)
            }
            R::RawControl => !Self::ends_in_break(tree),
            R::BadEscape => self.is_markup(tree, at),
            _ => true,
        }
    }

    /// Returns whether the quotation marks inside a string look intended.
    fn quotes_by_habit(&self, tree: &Tree<'_>, keys: &HashSet<String>) -> bool {
        let double = self.text.as_bytes().get(tree.span.start) == Some(&b'"');
        matches!(tree.shape, Shape::Text { .. })
            && double
            && super::repair::speaks(keys, self.text, &self.inner_marks(tree).collect::<Vec<_>>())
    }

    /// Returns whether a backslash that JSON does not define belongs to a path, a pattern or a formula.
    fn is_markup(&self, tree: &Tree<'_>, at: usize) -> bool {
        if !matches!(tree.shape, Shape::Text { .. }) {
            return false;
        }
        let source = self.text.get(tree.span.range()).unwrap_or("");
        let Some(next) = self.text.get(at + 1..).and_then(|rest| rest.chars().next()) else { return false };
        let count = |mark: &str| source.matches(mark).count();
        // If one command of a formula is not escaped, `\beta` and `\frac` are not JSON escapes either.
        let commands = source
            .as_bytes()
            .windows(3)
            .any(|w| w[0] == b'\\' && matches!(w[1], b'b' | b'f') && w[2].is_ascii_alphabetic());
        if count("\\\"") % 2 == 1 || commands {
            return false;
        }
        if next.is_alphanumeric() {
            return true;
        }
        let paired =
            [("\\(", "\\)"), ("\\[", "\\]"), ("\\{", "\\}")].iter().all(|(a, b)| count(a) == count(b));
        let bytes = source.as_bytes();
        let formula = bytes
            .windows(2)
            .any(|w| w[0] == b'\\' && w[1].is_ascii_alphabetic() && !b"nrtbfu".contains(&w[1]));
        match next {
            '(' | ')' | '[' | ']' | '{' | '}' => paired,
            ' ' | ',' | ':' => formula,
            _ => true,
        }
    }

    /// Returns whether the only line break of a string is before its closing mark.
    fn ends_in_break(tree: &Tree<'_>) -> bool {
        match &tree.shape {
            Shape::Text { text, quoted: true } => {
                let body = text.trim_end();
                text[body.len()..].contains('\n') && !body.contains('\n')
                    || text.starts_with('\n') && !text.trim().contains('\n')
            }
            _ => false,
        }
    }
}

/// Returns whether the braces of an object are doubled, as in templates.
pub(super) fn has_doubled_braces(text: &str, outer: Span) -> bool {
    text[..outer.start].trim_end().ends_with('{')
        && text[outer.end..].trim_start().starts_with('}')
        && text[..outer.start].matches('{').count() == text[outer.end..].matches('}').count()
}

/// Returns whether an omitted part consists of words and cannot contain a piece of the value.
pub(super) fn is_prose(text: &str, from: usize, to: usize) -> bool {
    let gap = text.get(from..to).unwrap_or("");
    if gap.trim().is_empty() {
        return true;
    }
    let bytes = text.as_bytes();
    // A sign or a letter that touches an opening bracket belongs to it.
    let touches = |c: char| c.is_alphanumeric() || matches!(c, '-' | '+' | '"' | ',' | ':');
    let last = gap.rsplit('\n').next().unwrap_or(gap);
    if matches!(bytes.get(to), Some(b'{' | b'['))
        && last.ends_with(touches)
        && last.trim().chars().count() <= 2
    {
        return false;
    }
    if !gap.contains(char::is_alphabetic)
        && gap.contains(char::is_numeric)
        && from > 0
        && matches!(bytes[from - 1], b'}' | b']')
    {
        return false;
    }
    // Digits before a comma are an item.
    if !gap.contains(char::is_alphabetic) && gap.contains(char::is_numeric) && gap.trim_end().ends_with(',') {
        return false;
    }
    let glued =
        |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || b"{}[],:\"".contains(b));
    if from > 0 && matches!(bytes[from - 1], b'}' | b']') && glued(from) {
        return false;
    }
    let mut open = None;
    for c in gap.chars() {
        match (c, open) {
            ('{', None) => open = Some('}'),
            ('[', None) => open = Some(']'),
            (_, Some(close)) if c == close => open = None,
            ('{' | '[' | '}' | ']', _) | ('"' | ':', Some(_)) => return false,
            _ => {}
        }
    }
    let lead = gap.trim_start();
    open.is_none() && !gap.contains("\":") && !gap.contains("\" :") && !lead.starts_with([',', ':'])
}

/// Returns whether the quotation marks of text without brackets are in pairs around words.
pub(super) fn quotes_words(text: &str) -> bool {
    let mut parts = text.split('"');
    let Some(mut before) = parts.next() else { return true };
    loop {
        let Some(inside) = parts.next() else { return true };
        let Some(behind) = parts.next() else { return false };
        let apart = !before.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric);
        if !apart || inside.trim().is_empty() {
            return false;
        }
        before = behind;
    }
}

/// Returns whether one name is the other with a piece removed or inserted.
pub(super) fn is_mangled(name: &str, key: &str) -> bool {
    let (long, short) = if name.len() >= key.len() { (name, key) } else { (key, name) };
    let before = long.bytes().zip(short.bytes()).take_while(|(a, b)| a == b).count();
    let behind = long.bytes().rev().zip(short.bytes().rev()).take_while(|(a, b)| a == b).count();
    before + behind >= short.len() && long.len() - short.len() <= 20
}

/// Returns whether these are digits in a notation that JSON does not have, `.5`, `1,965`, `07`, `7-`, `3
/// 258`, or digits next to the end of a literal: a piece may be missing.
fn is_torn_number(words: &str) -> bool {
    let digits = words.strip_prefix(['-', '+']).unwrap_or(words);
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
    let torn = ["null", "true", "false"].iter().any(|literal| !rest.is_empty() && literal.ends_with(rest));
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    let spaced =
        rest.starts_with(' ') && rest.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '.' | ','));
    let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    begins && (rest.is_empty() && !plain || rest == "-" || spaced || torn)
}
