//! Replies that are code: the content of the only fence, or the whole text.

use std::borrow::Cow;

/// A code fence.
struct Fence<'t> {
    code: Cow<'t, str>,
    /// From the opening mark to the end of the closing one.
    start: usize,
    end: usize,
    closed: bool,
}

/// The result of reading text as code.
#[derive(Debug, PartialEq)]
pub(super) enum Code<'t> {
    /// The text itself, without blank lines around it.
    Whole(&'t str),
    /// The content of a fence, and whether the text is only the fence.
    Fenced { code: Cow<'t, str>, alone: bool },
    /// Several fences with different contents.
    Several,
    /// An unclosed fence.
    Cut,
}

/// Reads the text as code.
pub(super) fn read(text: &str) -> Code<'_> {
    let mut fences = fences(text);
    let alone = match fences.as_slice() {
        [one] => text[..one.start].trim().is_empty() && text[one.end..].trim().is_empty(),
        _ => false,
    };
    let differ = fences.windows(2).any(|pair| pair[0].code != pair[1].code);
    match fences.pop() {
        None => Code::Whole(without_blank_lines(text)),
        Some(_) if differ => Code::Several,
        Some(Fence { closed: false, .. }) => Code::Cut,
        Some(Fence { code, .. }) => Code::Fenced { code, alone },
    }
}

/// Returns the code that is certain at the beginning of a reply: the content of its first fence so far.
pub(super) fn beginning(text: &str) -> Option<String> {
    let first = fences(text).into_iter().next()?;
    if first.closed {
        return Some(first.code.into_owned());
    }
    // The last line may become the closing mark.
    let mut code = first.code.into_owned();
    let last = code.rfind('\n').map_or(0, |i| i + 1);
    if code[last..].trim_start().is_empty() || code[last..].trim_start().starts_with(['`', '~']) {
        code.truncate(last.saturating_sub(1));
    }
    // It is also unknown whether a carriage return belongs to the line break before that.
    code.truncate(code.trim_end_matches('\r').len());
    Some(code)
}

/// Returns the text without blank lines before and after it; the indentation of its first line is kept.
pub(super) fn without_blank_lines(text: &str) -> &str {
    let end = text.trim_end().len();
    let lead = end.min(text.len() - text.trim_start().len());
    let start = text[..lead].rfind('\n').map_or(0, |i| i + 1);
    &text[start..end]
}

/// Returns whether the words after an opening fence describe its content and are not part of it: a language,
/// with any attributes that renderers accept after it (`python app.py`, `rust,ignore`, `{.js #id}`).
pub(super) fn is_info_string(line: &str) -> bool {
    const LANGUAGES: [&str; 44] = [
        "bash",
        "c",
        "clojure",
        "console",
        "cpp",
        "cs",
        "csharp",
        "css",
        "dart",
        "diff",
        "dockerfile",
        "elixir",
        "go",
        "graphql",
        "haskell",
        "html",
        "ini",
        "java",
        "javascript",
        "js",
        "json",
        "jsx",
        "julia",
        "kotlin",
        "lua",
        "markdown",
        "md",
        "perl",
        "php",
        "plaintext",
        "py",
        "python",
        "r",
        "ruby",
        "rust",
        "scala",
        "sh",
        "sql",
        "swift",
        "text",
        "toml",
        "ts",
        "tsx",
        "typescript",
    ];
    let line = line.trim();
    let word = line.split(|c: char| c.is_whitespace() || matches!(c, ',' | '{' | ':')).next().unwrap_or("");
    let known = LANGUAGES.iter().any(|l| word.eq_ignore_ascii_case(l));
    let attributes = line.starts_with('{') && line.ends_with('}');
    known || attributes || line.chars().all(|c| c.is_ascii_alphanumeric() || "+-_#.".contains(c))
}

fn fences(text: &str) -> Vec<Fence<'_>> {
    let mut out: Vec<Fence<'_>> = Vec::new();
    // The open fence: its start, the start of its code, its mark, width and indentation.
    let mut open: Option<(usize, usize, char, usize, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let indent = line.len() - line.trim_start().len();
        let body = line.trim();
        let Some(mark) = body.chars().next().filter(|c| matches!(c, '`' | '~')) else { continue };
        let width = body.chars().take_while(|c| *c == mark).count();
        if width < 3 {
            continue;
        }
        let rest = &body[width..];
        match open {
            Some((from, code, m, w, depth)) if m == mark && width >= w && rest.is_empty() => {
                out.push(fence(text, from, code, start, at, depth, true));
                open = None;
            }
            Some(_) => {}
            // "```x = 1```" on one line.
            None if rest.len() > width && rest.ends_with(&body[..width]) => {
                let code = rest[..rest.len() - width].trim();
                if !code.contains(mark) {
                    out.push(Fence { code: Cow::Borrowed(code), start, end: at, closed: true });
                }
            }
            None if rest.contains(mark) || !line.ends_with('\n') => {}
            None => open = Some((start, at, mark, width, indent)),
        }
    }
    if let Some((from, code, _, _, depth)) = open {
        out.push(fence(text, from, code, text.len(), text.len(), depth, false));
    }
    out
}

fn fence(
    text: &str,
    start: usize,
    code: usize,
    stop: usize,
    end: usize,
    indent: usize,
    closed: bool,
) -> Fence<'_> {
    // If the opening line ends in a carriage return, so does the line before the closing mark.
    let carriage_return = text[..code].ends_with("\r\n");
    let mut code = text.get(code..stop).unwrap_or("");
    if closed {
        code = code.strip_suffix('\n').unwrap_or(code);
        code = code.strip_suffix('\r').filter(|_| carriage_return).unwrap_or(code);
    }
    let code = if indent == 0 {
        Cow::Borrowed(code)
    } else {
        // The indentation of the fence is not part of the code.
        let strip = |line: &'_ str| {
            let own = line.len() - line.trim_start_matches([' ', '\t']).len();
            line[own.min(indent)..].to_owned()
        };
        Cow::Owned(code.split('\n').map(strip).collect::<Vec<_>>().join("\n"))
    };
    Fence { code, start, end, closed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_the_only_fence_holds() {
        for (text, code) in [
            ("```python\nprint(1)\n```", "print(1)"),
            ("Here:\n\n```\na\n\n  b\n```\nThat is all.", "a\n\n  b"),
            ("~~~rust\nfn main() {}\n~~~", "fn main() {}"),
            ("````md\n```\nx\n```\n````", "```\nx\n```"),
            ("1. So:\n   ```py\n   if a:\n       b\n   ```", "if a:\n    b"),
            ("```x = 1```", "x = 1"),
            ("```\nx\n```\nagain\n```\nx\n```", "x"),
        ] {
            assert!(
                matches!(read(text), Code::Fenced { code: c, .. } if c == code),
                "{text}: {:?}",
                read(text)
            );
        }
        assert_eq!(read("\n\n    x = 1\n    y\n\n"), Code::Whole("    x = 1\n    y"));
        assert_eq!(read("```\na\n```\n```\nb\n```"), Code::Several);
        assert_eq!(read("```\na\n"), Code::Cut);
    }

    #[test]
    fn a_beginning_only_grows() {
        let text = "So:\n```py\na = `1`\n\n~b\n```\nDone.\n";
        let mut last = String::new();
        for end in 0..=text.len() {
            if let Some(code) = beginning(&text[..end]) {
                assert!(code.starts_with(&last), "{code:?} after {last:?}");
                last = code;
            }
        }
        assert_eq!(last, "a = `1`\n\n~b");
    }
}
