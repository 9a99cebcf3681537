//! Splitting of text into the items of a list, by bullets, numbers, lines or commas.

use super::super::text::corrects;

/// Returns whether commas both separate items and group digits: "1,000, 2,000".
pub(super) fn mixes_grouping(text: &str) -> bool {
    let b = text.as_bytes();
    let digit = |i: usize| b.get(i).is_some_and(u8::is_ascii_digit);
    let commas = || b.iter().enumerate().filter(|(_, c)| **c == b',').map(|(i, _)| i);
    let groups = commas().any(|i| i > 0 && digit(i - 1) && (1..=3).all(|n| digit(i + n)) && !digit(i + 4));
    let separates = commas().any(|i| b.get(i + 1) == Some(&b' '));
    // "1,05": decimals, or a list with a number that starts with a zero?
    let padded = commas().any(|i| i > 0 && digit(i - 1) && b.get(i + 1) == Some(&b'0') && digit(i + 2));
    let thousands = commas().all(|i| (1..=3).all(|n| digit(i + n)) && !digit(i + 4));
    // "1,5, 2,5": decimals separated by commas.
    let glued = commas().any(|i| i > 0 && digit(i - 1) && digit(i + 1));
    let decimals = glued && separates;
    padded && !thousands || decimals || groups && (separates || text.contains(['$', '€', '£', '¥', '%']))
}

/// Returns the trimmed pieces with their offsets. A trailing separator does not create an empty piece.
pub(super) fn pieces<'t>(text: &'t str, separators: &[char]) -> Vec<(usize, &'t str)> {
    let mut out = Vec::new();
    let mut at = 0;
    for piece in text.split(separators) {
        let trimmed = piece.trim();
        out.push((at + (piece.len() - piece.trim_start().len()), trimmed));
        at += piece.len() + 1;
    }
    out.retain(|(_, p)| !p.is_empty() || separators != ['\n']);
    while out.last().is_some_and(|(_, p)| p.is_empty()) {
        out.pop();
    }
    out
}

/// Removes the "and" of the last of three or more pieces: "apples, pears, and plums".
pub(super) fn without_and(mut pieces: Vec<(usize, &str)>) -> Vec<(usize, &str)> {
    let others = pieces.len().saturating_sub(1);
    let joined =
        pieces.iter().take(others).any(|(_, piece)| piece.contains(" and ") || piece.contains(" or "));
    if let [_, _, .., (at, last)] = pieces.as_mut_slice()
        && !joined
        && let Some(rest) = last.strip_prefix("and ")
        && !rest.contains(" and ")
    {
        *at += last.len() - rest.len();
        *last = rest;
    }
    pieces
}

/// Returns whether text on one line holds several items with marks or numbers between them: `(1) red (2)
/// green`, `"a" "b"`.
pub(super) fn lists_inline(text: &str) -> bool {
    let numbered = ["(1) ", "1) ", "1. "].iter().any(|first| text.starts_with(first))
        && ["(2) ", " 2) ", " 2. "].iter().any(|second| text.contains(second));
    let short = |part: &str| (1..=2).contains(&part.split_whitespace().count());
    let dashed =
        text.strip_prefix("- ").is_some_and(|rest| rest.contains(" - ") && rest.split(" - ").all(short));
    let quoted = text.starts_with('"') && text.ends_with('"') && text.contains("\" \"");
    numbered || dashed || quoted
}

/// Returns two or more plain numbers that are separated by commas, semicolons and one "and".
pub(super) fn numbers(text: &str) -> Option<Vec<(usize, &str)>> {
    let (all_but_last, last) = text.rsplit_once(" and ").or_else(|| text.rsplit_once(" & "))?;
    let mut found = pieces(all_but_last.trim_end().trim_end_matches(','), &[',', ';']);
    let at = text.len() - last.trim_start().len();
    found.push((at, last.trim()));
    found.iter().all(|(_, piece)| super::super::tree::is_json_number(piece)).then_some(found)
}

/// Returns the content of a piece that is one string in quotes.
pub(super) fn quoted_whole(text: &str) -> Option<&str> {
    [('"', '"'), ('\'', '\''), ('“', '”'), ('`', '`')].into_iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        (!inner.contains([open, close, '\\'])).then_some(inner)
    })
}

/// Returns whether a quotation mark in unquoted text has no partner, or a pair has nothing between and is
/// followed by a word: the quoted part cannot be determined. A mark after a digit means inches, and an
/// apostrophe is part of a word.
pub(super) fn has_lone_quote(text: &str) -> bool {
    let count = |mark: char| text.matches(mark).count();
    let mut before = None;
    let mut straight = 0;
    for c in text.chars() {
        let inches = straight % 2 == 0 && before.is_some_and(|c: char| c.is_ascii_digit());
        straight += usize::from(c == '"' && !inches);
        before = Some(c);
    }
    let opens = |mark: char| {
        let behind = text.trim_start().strip_prefix(mark);
        behind.is_some_and(|t| !t.starts_with(|c: char| c.is_ascii_digit()) && !t.contains(mark))
    };
    let glued = |(at, _)| {
        let behind: Option<char> = text[at + 2..].chars().next();
        let ahead = text[..at].chars().next_back();
        ahead != Some('"') && behind.is_some_and(char::is_alphanumeric)
    };
    straight % 2 == 1
        || count('“') != count('”') && !text.contains('„')
        || count('«') != count('»')
        || count('`') % 2 == 1
        || opens('\'')
        || text.match_indices("\"\"").any(glued)
}

/// Returns the marker of a list item: its number, if it has one, and the byte offset of the item.
pub(super) fn marker(line: &str) -> Option<(Option<u32>, usize)> {
    for bullet in ["- ", "* ", "+ ", "• ", "– ", "— ", "‣ ", "◦ ", "▪ "] {
        if let Some(rest) = line.strip_prefix(bullet) {
            let boxed =
                ["[ ] ", "[x] ", "[X] "].iter().find(|b| rest.starts_with(**b)).map_or(0, |b| b.len());
            let offset = bullet.len() + boxed;
            return Some((None, offset + (line[offset..].len() - line[offset..].trim_start().len())));
        }
    }
    if let Some(rest) = line.strip_prefix('•') {
        return Some((None, line.len() - rest.trim_start().len()));
    }
    let (open, digits) = match line.strip_prefix('(') {
        Some(rest) => (1, rest),
        None => (0, line),
    };
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let number = digits[..count].parse().ok()?;
    let rest = &digits[count..];
    let mark = rest.chars().next().filter(|c| matches!(c, '.' | ')' | ':'))?;
    let behind = &rest[mark.len_utf8()..];
    if !behind.starts_with([' ', '\t']) || (open == 1 && mark != ')') || mark == ':' {
        return None;
    }
    Some((Some(number), open + count + 1 + (behind.len() - behind.trim_start().len())))
}

/// Returns the items of a bulleted or numbered list, without an introduction before and a closing remark
/// after it. `Some(Err)` if there is such a list but its items cannot be delimited.
pub(super) fn bullets(text: &str) -> Option<Result<Vec<(usize, &str)>, ()>> {
    let mut items: Vec<(usize, usize)> = Vec::new();
    let mut numbers: Vec<Option<u32>> = Vec::new();
    let mut indent = 0;
    let (mut at, mut blank, mut ended, mut unclear) = (0, false, false, false);
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let content = line.trim();
        if content.is_empty() {
            blank = true;
            continue;
        }
        let lead = line.len() - line.trim_start().len();
        match marker(content) {
            Some((number, offset)) => {
                // Sub-items, or a second list after other words.
                unclear |= ended || (!items.is_empty() && lead > indent + 1);
                if items.is_empty() {
                    indent = lead;
                }
                items.push((start + lead + offset, start + lead + content.len()));
                numbers.push(number);
            }
            None if items.is_empty() => {}
            None if ended || blank && lead <= indent => {
                ended = true;
                unclear |= corrects(content);
            }
            None if lead > indent => {
                if let Some(last) = items.last_mut() {
                    last.1 = start + lead + content.len();
                }
            }
            // A line right after an item, not indented: a continuation of the item, or the end of the list?
            None => unclear = true,
        }
        blank = false;
    }
    if items.is_empty() {
        return None;
    }
    // "1. a 2. b": a list on one line.
    if let [(from, to)] = items.as_slice() {
        let item = text.get(*from..*to).unwrap_or("");
        let more = match numbers[0] {
            Some(n) => {
                let next = n.saturating_add(1);
                [". ", ") "]
                    .iter()
                    .any(|m| item.contains(&format!(" {next}{m}")) || item.contains(&format!("({next}{m}")))
            }
            None => item.contains(" • ") || item.contains(" * ") || lists_inline(text.trim()),
        };
        unclear |= more;
    }
    let numbered = numbers.iter().filter(|n| n.is_some()).count();
    if numbered > 0 {
        let counts = numbers.windows(2).all(|w| matches!((w[0], w[1]), (Some(a), Some(b)) if b == a + 1));
        let same = numbers.iter().all(|n| *n == Some(1));
        let starts = matches!(numbers[0], Some(0 | 1));
        if numbered != numbers.len() || !starts || !(counts || same) {
            return if numbered == 1 && numbers.len() == 1 { None } else { Some(Err(())) };
        }
    }
    if unclear {
        return Some(Err(()));
    }
    Some(Ok(items.into_iter().map(|(from, to)| (from, text.get(from..to).unwrap_or(""))).collect()))
}
