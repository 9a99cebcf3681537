//! The marker `[[ ## field ## ]]`: writing it, keeping it out of values, finding it in replies.

use std::borrow::Cow;

/// Ends a reply.
pub(super) const COMPLETED: &str = "completed";

/// Appends the marker of `field`.
pub(super) fn push(out: &mut String, field: &str) {
    out.push_str("[[ ## ");
    out.push_str(field);
    out.push_str(" ## ]]");
}

/// How many characters of decoration may stand before a marker that starts its line.
const LONGEST_LEAD: usize = 32;
/// Names longer than this are not names.
const LONGEST_NAME: usize = 128;

/// How many spaces may stand between the brackets and the number signs.
const LONGEST_GAP: usize = 32;
/// How many bytes of decoration may close behind a marker.
const LONGEST_TRAIL: usize = 8;

/// A marker found in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker<'a> {
    /// What stands between the number signs.
    pub(super) name: &'a str,
    /// Where the text before it ends: before the decoration of its line, such as bold stars.
    pub(super) before: usize,
    /// Where the text after it starts.
    pub(super) after: usize,
    /// Whether nothing but decoration stands before it on its line.
    pub(super) starts_line: bool,
}

/// The markers of a text, in order: with one to six number signs, any spacing, bold, quoted or in mid-line.
pub(super) fn find(text: &str) -> impl Iterator<Item = Marker<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (marker, _) = next(text, at)?;
        at = marker.after;
        Some(marker)
    })
}

/// The first marker at or after `from`, and where its brackets open.
pub(super) fn next(text: &str, from: usize) -> Option<(Marker<'_>, usize)> {
    let mut at = from;
    while let Some(open) = text[at..].find("[[").map(|offset| at + offset) {
        if let Some(marker) = read(text, open) {
            return Some((marker, open));
        }
        at = open + 1;
    }
    None
}

/// Where something starts, at or after `from`, that may still become a marker when more text arrives; the length of
/// the text if nothing does.
pub(super) fn undecided(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = text[at..].find('[').map(|offset| at + offset) {
        if may_become_marker(&text[open..]) {
            return open;
        }
        at = open + 1;
    }
    text.len()
}

fn may_become_marker(text: &str) -> bool {
    if text == "[" {
        return true;
    }
    let Some(rest) = text.strip_prefix("[[") else { return false };
    let spaced = rest.trim_start_matches([' ', '\t']);
    if rest.len() - spaced.len() > LONGEST_GAP {
        return false;
    }
    let bare = spaced.trim_start_matches('\\');
    if bare.is_empty() {
        return true;
    }
    let named = bare.trim_start_matches('#');
    let signs = bare.len() - named.len();
    if signs == 0 {
        return false;
    }
    // A number sign behind backslashes is a guarded one: that much is certain now.
    let mut name = named.chars();
    let window: String = name.by_ref().take(LONGEST_NAME).collect();
    let open = match window.split_once("]]") {
        Some((_, rest)) => name.next().is_none() && may_go_on(rest),
        None => name.next().is_none() && !window.contains('\n'),
    };
    bare.len() == spaced.len() && signs <= 6 && open
}

/// Whether the decoration that closes behind a marker, or its colon, may still be on its way after `rest`.
pub(super) fn may_go_on(rest: &str) -> bool {
    rest.len() < LONGEST_TRAIL && rest.chars().all(|c| matches!(c, '*' | '_' | '`'))
}

/// How far the text from `from` on is certain, whatever arrives: up to what may become a marker, and without the
/// space, guards and decoration that would belong to it.
pub(super) fn settled(text: &str, from: usize) -> usize {
    let end = undecided(text, from);
    let decoration = |c: char| c.is_whitespace() || "*_`#>-\\[".contains(c);
    from + text[from..end].trim_end_matches(decoration).len()
}

fn read(text: &str, open: usize) -> Option<Marker<'_>> {
    let inner = &text[open + 2..];
    let rest = inner.trim_start_matches([' ', '\t']);
    if inner.len() - rest.len() > LONGEST_GAP {
        return None;
    }
    let named = rest.trim_start_matches('#');
    let signs = rest.len() - named.len();
    if !(1..=6).contains(&signs) {
        return None;
    }
    let window = named.char_indices().nth(LONGEST_NAME).map_or(named, |(end, _)| &named[..end]);
    let close = window.find("]]")?;
    let name = window[..close].trim_end_matches([' ', '\t', '#']).trim();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.' | '*' | '`');
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    // Decoration is short; looking back further would cost a long line its length for every marker on it.
    let window = text[..open].char_indices().rev().take(LONGEST_LEAD).last().map_or(open, |(at, _)| at);
    let newline = text[window..open].rfind('\n').map(|newline| window + newline + 1);
    let line = newline.unwrap_or(window);
    let lead = &text[line..open];
    let starts_line = (newline.is_some() || line == 0)
        && lead.chars().all(|c| matches!(c, '*' | '_' | '`' | '#' | '>' | '-' | ' ' | '\t' | '\r'));
    // The stars or backticks that open right before the marker close right after it.
    let wrapping = &lead[lead.trim_end_matches(['*', '_', '`']).len()..];
    let mut after = text.len() - named.len() + close + 2;
    if !wrapping.is_empty() && text[after..].starts_with(wrapping) {
        after += wrapping.len();
    }
    if text[after..].starts_with(':') {
        after += 1;
    }
    let before = if starts_line { line } else { open - wrapping.len() };
    Some(Marker { name: name.trim_matches(['*', '`']), before, after, starts_line })
}

/// Where the number sign of something like a marker starts, together with the backslashes that already guard it.
fn guarded_sign(text: &str, open: usize) -> Option<(usize, usize)> {
    let inner = &text[open + 2..];
    let spaced = inner.trim_start_matches([' ', '\t']);
    let bare = spaced.trim_start_matches('\\');
    bare.starts_with('#').then(|| {
        let guard = open + 2 + (inner.len() - spaced.len());
        (guard, guard + (spaced.len() - bare.len()))
    })
}

/// Guards everything in `text` that could be read as a marker with a backslash: `[[ \## answer ## ]]`.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    edit_guards(text, |out, _, _| out.push('\\'))
}

/// The inverse of [`escape`].
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    edit_guards(text, |out, guard, sign| {
        if sign > guard {
            out.pop();
        }
    })
}

/// As [`escape`] for JSON text, where a marker can only stand inside a string and reading the JSON undoes it.
pub(super) fn escape_json(text: &str) -> Cow<'_, str> {
    if !text.contains("[[") {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let (mut done, mut from) = (0, 0);
    while let Some(open) = text[from..].find("[[").map(|offset| from + offset) {
        from = open + 1;
        if let Some((guard, sign)) = guarded_sign(text, open)
            && guard == sign
            && sign >= done
        {
            out.push_str(&text[done..sign]);
            out.push_str("\\u0023");
            done = sign + 1;
            from = done;
        }
    }
    out.push_str(&text[done..]);
    out.into()
}

/// Copies `text`; before each number sign of something like a marker, `edit` may change what stands in front of it.
fn edit_guards(text: &str, edit: impl Fn(&mut String, usize, usize)) -> Cow<'_, str> {
    if !text.contains("[[") {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut done = 0;
    let mut from = 0;
    while let Some(open) = text[from..].find("[[").map(|offset| from + offset) {
        from = open + 1;
        if let Some((guard, sign)) = guarded_sign(text, open)
            && sign >= done
        {
            out.push_str(&text[done..sign]);
            edit(&mut out, guard, sign);
            done = sign;
            from = sign;
        }
    }
    out.push_str(&text[done..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_in_the_wild() {
        for (text, name, before, rest) in [
            ("[[ ## answer ## ]]\nParis", "answer", 0, "\nParis"),
            ("**[[ ## answer ## ]]** Paris", "answer", 0, " Paris"),
            ("  [[##answer##]]\nParis", "answer", 0, "\nParis"),
            ("### [[ # answer # ]]: Paris", "answer", 0, " Paris"),
            ("so [[ ## answer ## ]] Paris", "answer", 3, " Paris"),
            ("`[[ ## answer ## ]]`\nParis", "answer", 0, "\nParis"),
            ("[[ ## answer ]] Paris", "answer", 0, " Paris"),
        ] {
            let marker = find(text).next().expect(text);
            assert_eq!((marker.name, marker.before, &text[marker.after..]), (name, before, rest), "{text}");
        }
        for text in ["[[1, 2], [3]]", "[[ x ]]", "[[ ## ]]", "[[ \\## answer ## ]]", "[[ ## a\nb ## ]]"] {
            assert_eq!(find(text).next(), None, "{text}");
        }
    }

    #[test]
    fn guards_come_and_go() {
        for text in ["[[ ## a ## ]]", "[[[[ ## a ## ]]", "[[ \\\\## a", "[[#", "[[", "x"] {
            let escaped = escape(text);
            assert!(find(&escaped).next().is_none(), "{escaped}");
            assert_eq!(unescape(&escaped), text);
        }
        for text in ["[[ ## a ## ]]", "[[[ ## a ## ]]", "[[##[[##"] {
            let json = serde_json::json!([text, [["#"]]]).to_string();
            let escaped = escape_json(&json);
            assert!(find(&escaped).next().is_none(), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap().to_string(), json);
        }
    }
}
