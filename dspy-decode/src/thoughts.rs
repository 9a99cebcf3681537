//! The reasoning that models write before their answer: `<think>…</think>` and similar tags.
//!
//! All readers of replies use the same rule: the text up to the end of a reasoning block at the start of a
//! reply is not part of the answer, and after an unclosed block there is no answer. Blocks of one kind may be
//! nested, and several may follow one another. A tag between backticks is a mention.

/// The names of elements that hold reasoning.
const NAMES: [&str; 8] =
    ["think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "seed:think"];

/// The tags of reasoning blocks that are not elements.
const PAIRS: [(&str, &str); 4] = [
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
];

/// The maximum length of an opening tag with attributes, in bytes.
const LONGEST_TAG: usize = 256;

/// The kind of a tag: a block is closed by a tag of its own kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThoughtKind(usize);

/// The tag at the start of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// An opening tag of this length.
    Open(ThoughtKind, usize),
    /// A closing tag of this length.
    Close(ThoughtKind, usize),
    /// An empty block of this length.
    Empty(usize),
    /// Other text.
    Other,
    /// A prefix of a possible tag; only if more text may follow.
    Undecided,
}

/// Reads the tag that `text` starts with. `whole` is set if no text follows.
pub fn tag(text: &str, whole: bool) -> Tag {
    let undecided = if whole { Tag::Other } else { Tag::Undecided };
    let mut begun = false;
    for (index, (open, close)) in PAIRS.iter().enumerate() {
        let kind = ThoughtKind(NAMES.len() + index);
        if has_prefix(text, open) {
            return Tag::Open(kind, open.len());
        }
        if has_prefix(text, close) {
            return Tag::Close(kind, close.len());
        }
        begun |= has_prefix(open, text) || has_prefix(close, text);
    }
    if begun {
        return undecided;
    }
    let Some(inner) = text.strip_prefix('<') else { return Tag::Other };
    let named = inner.strip_prefix('/').unwrap_or(inner);
    let length = named.bytes().take_while(|b| b.is_ascii_alphabetic() || *b == b':').count();
    let (name, rest) = named.split_at(length);
    if rest.is_empty() && NAMES.iter().any(|known| has_prefix(known, name)) {
        return undecided;
    }
    let Some(index) = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)) else {
        return Tag::Other;
    };
    let closes = named.len() < inner.len();
    let spaced = rest.starts_with(|c: char| c.is_ascii_whitespace());
    if !rest.starts_with(['>', '/']) && !spaced {
        return Tag::Other;
    }
    let end = rest.bytes().take(LONGEST_TAG).position(|b| matches!(b, b'>' | b'<'));
    let Some(end) = end else {
        return if rest.len() < LONGEST_TAG { undecided } else { Tag::Other };
    };
    if rest.as_bytes()[end] == b'<' || closes && !rest[..end].trim().is_empty() {
        return Tag::Other;
    }
    let length = text.len() - rest.len() + end + 1;
    if closes {
        Tag::Close(ThoughtKind(index), length)
    } else if rest[..end].ends_with('/') {
        Tag::Empty(length)
    } else {
        Tag::Open(ThoughtKind(index), length)
    }
}

/// Returns whether `text` starts with `prefix`, ignoring the case of ASCII letters.
fn has_prefix(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Returns whether the text continues with the inside of a closing tag: `/think>`.
pub fn is_closing(text: &str) -> bool {
    let Some(named) = text.strip_prefix('/') else { return false };
    let length = named.bytes().take_while(|b| b.is_ascii_alphabetic() || *b == b':').count();
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(&named[..length]))
        && named[length..].trim_start().starts_with(['>', '▷'])
}

/// Returns whether text that may continue could become a closing tag with guards in it, such as `<\/think>`.
pub fn may_close(text: &str) -> bool {
    let Some(inner) = text.strip_prefix(['<', '◁']) else { return false };
    let bare = inner.trim_start_matches('\\');
    let Some(named) = bare.strip_prefix('/') else { return bare.is_empty() };
    let name = named.trim_end();
    NAMES.iter().any(|known| has_prefix(known, name)) && named.len() < LONGEST_TAG
}

/// Returns whether the part of `text` from `start` to `end` is between backticks; `None` if that depends on
/// the text that follows.
pub fn is_mention(text: &str, start: usize, end: usize, whole: bool) -> Option<bool> {
    if !text[..start].ends_with('`') {
        return Some(false);
    }
    match text[end..].chars().next() {
        None if !whole => None,
        next => Some(next == Some('`')),
    }
}

/// The location of the answer in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// The answer starts here, after all reasoning blocks; it includes the white space after them.
    Answer(usize),
    /// A block is not finished; in a whole reply, it is never closed.
    Thinking,
    /// It is not known yet whether the reply starts with a block. Impossible in a whole reply.
    Undecided,
}

/// A reader of the reasoning blocks at the start of a reply, for whole replies and for those that are still
/// arriving. The total time for reading a growing reply is linear in its length.
#[derive(Debug, Clone, Default)]
pub struct Thoughts {
    /// The end of the last block, or the position up to which the open one has been read.
    at: usize,
    /// The position up to which only white space follows the last block.
    blank: usize,
    open: Option<(ThoughtKind, usize)>,
    found: Option<usize>,
}

impl Thoughts {
    /// Creates a reader of the blocks from `at` on.
    pub fn from(at: usize) -> Self {
        Thoughts { at, blank: at, ..Self::default() }
    }

    /// Continues reading. `text` is the reply so far, and `whole` is set if it is complete. Elements whose
    /// name is a `field` are not reasoning blocks.
    pub fn read(&mut self, text: &str, whole: bool, field: impl Fn(&str) -> bool) -> Head {
        if let Some(at) = self.found {
            return Head::Answer(at);
        }
        loop {
            if let Some((kind, depth)) = self.open {
                match self.inside(text, whole, kind, depth) {
                    Some(0) => self.open = None,
                    Some(depth) => self.open = Some((kind, depth)),
                    None => return Head::Thinking,
                }
                continue;
            }
            let rest = &text[self.blank..];
            self.blank += rest.len() - rest.trim_start_matches(is_blank).len();
            let rest = &text[self.blank..];
            if rest.is_empty() && !whole {
                return Head::Undecided;
            }
            match tag(rest, whole) {
                Tag::Open(kind, length) if !kind.name().is_some_and(&field) => {
                    self.open = Some((kind, 1));
                    self.at = self.blank + length;
                }
                Tag::Empty(length) => {
                    self.at = self.blank + length;
                    self.blank = self.at;
                }
                Tag::Undecided => return Head::Undecided,
                _ => {
                    self.found = Some(self.at);
                    return Head::Answer(self.at);
                }
            }
        }
    }

    /// Returns the nesting depth after the next tag inside the open block.
    fn inside(&mut self, text: &str, whole: bool, kind: ThoughtKind, depth: usize) -> Option<usize> {
        while let Some(at) = text[self.at..].find(['<', '◁', '[']).map(|offset| self.at + offset) {
            self.at = at;
            let (length, deeper) = match tag(&text[at..], whole) {
                Tag::Undecided => return None,
                Tag::Open(found, length) if found == kind => (length, true),
                Tag::Close(found, length) if found == kind => (length, false),
                _ => {
                    self.at += text[at..].chars().next().map_or(1, char::len_utf8);
                    continue;
                }
            };
            let mention = is_mention(text, at, at + length, whole)?;
            self.at = at + length;
            if !mention {
                self.blank = self.at;
                return Some(if deeper { depth + 1 } else { depth - 1 });
            }
        }
        self.at = text.len();
        None
    }
}

impl ThoughtKind {
    /// Returns the name of the element, if it is one.
    fn name(self) -> Option<&'static str> {
        NAMES.get(self.0).copied()
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')
}

/// Returns the place where the answer of a whole reply starts; `None` if the reply is an unclosed reasoning
/// block.
pub fn answer(text: &str) -> Option<usize> {
    match Thoughts::default().read(text, true, |_| false) {
        Head::Answer(at) => Some(at),
        Head::Thinking | Head::Undecided => None,
    }
}

/// Returns the start and end of the first unmatched closing tag from `from` on that ends its line or is
/// followed by an answer's bracket. Models whose prompt ends in `<think>` write such replies.
pub fn stray_end(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut depth = 0usize;
    let mut at = from;
    while let Some(start) = text[at..].find(['<', '◁']).map(|offset| at + offset) {
        at = start + text[start..].chars().next().map_or(1, char::len_utf8);
        let (length, opens) = match tag(&text[start..], true) {
            Tag::Open(_, length) => (length, true),
            Tag::Close(_, length) => (length, false),
            _ => continue,
        };
        let end = start + length;
        if is_mention(text, start, end, true) == Some(true) {
            continue;
        }
        at = end;
        if opens {
            depth += 1;
        } else if depth > 0 {
            depth -= 1;
        } else if ends_thought(&text[end..], true) == Some(true) {
            return Some((start, end));
        }
    }
    None
}

/// Returns whether a closing tag before `rest` ends the text before it, and is not part of a sentence.
pub fn ends_thought(rest: &str, whole: bool) -> Option<bool> {
    match rest.trim_start_matches([' ', '\t', '\r']).chars().next() {
        None if !whole => None,
        next => Some(next.is_none_or(|c| matches!(c, '\n' | '[' | '{' | '<' | '`' | '*'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_starts_behind_the_thoughts() {
        for (text, rest) in [
            ("Paris", "Paris"),
            ("  <think>a</think> Paris", " Paris"),
            ("<THINK>a</Think>\nParis", "\nParis"),
            ("<thinking effort=\"high\">a</thinking>Paris", "Paris"),
            ("<think>a <think>b</think> c</think>Paris", "Paris"),
            ("<think>write `</think>`, then</think>Paris", "Paris"),
            ("<think/><reasoning>a</reasoning>\n<think>b</think>Paris", "Paris"),
            ("\u{feff}◁think▷a◁/think▷Paris", "Paris"),
            ("[THINK]a[/THINK]Paris", "Paris"),
            ("<thinker>a</thinker>", "<thinker>a</thinker>"),
            ("Use <think>a</think>", "Use <think>a</think>"),
        ] {
            assert_eq!(answer(text).map(|at| &text[at..]), Some(rest), "{text}");
        }
        for text in ["<think>", "<think>Paris", "<think>a<think>b</think> Paris", "<think>a</thinking>Paris"]
        {
            assert_eq!(answer(text), None, "{text}");
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        let text = " <Think a='b'>x ◁think▷ `</think>` <think>y</think></think>\n <think >z</think>\n Paris";
        let whole = answer(text);
        let mut reader = Thoughts::default();
        let mut heads = Vec::new();
        for (at, c) in text.char_indices() {
            heads.push(reader.read(&text[..at + c.len_utf8()], false, |_| false));
        }
        let first = heads.iter().position(|head| matches!(head, Head::Answer(_))).unwrap();
        assert!(heads[first..].iter().all(|head| *head == Head::Answer(whole.unwrap())));
        assert_eq!(&text[whole.unwrap()..], "\n Paris");
    }

    #[test]
    fn elements_that_are_fields_are_no_thoughts() {
        let text = "<reasoning>a</reasoning>";
        let field = |name: &str| name == "reasoning";
        assert_eq!(Thoughts::default().read(text, true, field), Head::Answer(0));
    }

    #[test]
    fn ends_that_nothing_opened() {
        for (text, end) in [
            ("a</think>\nb", Some(9)),
            ("a <think>b</think>\n", None),
            ("say </think> then", None),
            ("a</think>{\"x\": 1}", Some(9)),
            ("`</think>`\n", None),
        ] {
            assert_eq!(stray_end(text, 0).map(|(_, end)| end), end, "{text}");
        }
    }
}
