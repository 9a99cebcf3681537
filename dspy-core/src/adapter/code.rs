//! Code in fences of backticks, so that it reads back exactly.

use serde_json::Value;

use crate::signature::FieldSpec;

/// The fewest backticks that make a fence.
const SHORTEST: usize = 3;

/// `code` in a fence that nothing in it can close.
pub(super) fn fenced(field: &FieldSpec, code: &str) -> String {
    let mut runs = code.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.by_ref().max().map_or(SHORTEST, |longest| SHORTEST.max(longest + 1)));
    let language = field.schema().get("x-language").and_then(Value::as_str).unwrap_or_default();
    let is_word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_');
    let language: String = language.to_ascii_lowercase().chars().take_while(is_word).collect();
    format!("{fence}{language}\n{code}\n{fence}")
}

/// As [`fenced`], where a bare text would do too: only if the text itself would lose a fence when read.
pub(super) fn fenced_if_needed(field: &FieldSpec, code: &str) -> String {
    if whole_fence(code).is_some() { fenced(field, code) } else { code.to_owned() }
}

/// The code in a reply: the content of the only fence, or else the text as it stands.
///
/// # Errors
/// If there are several fences with different contents, or one that is never closed.
pub(super) fn read(text: &str) -> Result<&str, &'static str> {
    let mut found: Option<&str> = None;
    let mut rest = text;
    while let Some(fence) = Fence::find(rest) {
        let (content, after) = fence.close().ok_or("the fence around the code is never closed; close it")?;
        if found.is_some_and(|first| first != content) {
            return Err("there are several code fences; put all of the code into one");
        }
        found = Some(content);
        rest = after;
    }
    Ok(found.unwrap_or(text))
}

/// The code so far in a reply that is still arriving: what certainly stands inside of its first fence.
pub(super) fn begun(text: &str) -> Option<&str> {
    let fence = Fence::find(text)?;
    if !text[..text.len() - fence.rest.len()].ends_with('\n') {
        return None;
    }
    if let Some((content, _)) = fence.close() {
        return Some(content);
    }
    // The last line may be the start of the closing one, and the line break before that is not part of the code.
    let last = fence.rest.rfind('\n').map_or(0, |newline| newline + 1);
    let closing = fence.rest[last..].chars().all(|c| c == '`' || c.is_whitespace());
    let content = if closing { &fence.rest[..last] } else { fence.rest };
    Some(content.trim_end_matches(['\n', '\r']))
}

/// Whether anything in a text opens a fence.
pub(super) fn has_fence(text: &str) -> bool {
    Fence::find(text).is_some()
}

/// The content of a text that is one fence and nothing else.
pub(super) fn whole_fence(text: &str) -> Option<&str> {
    let text = text.trim();
    let fence = Fence::find(text).filter(|fence| fence.start == 0)?;
    fence.close().filter(|(_, after)| after.trim().is_empty()).map(|(content, _)| content)
}

/// A line that opens a fence.
struct Fence<'t> {
    start: usize,
    length: usize,
    /// Whether its line ends in a carriage return, as then the line before the closing one does.
    carriage_return: bool,
    /// What follows its line.
    rest: &'t str,
}

impl<'t> Fence<'t> {
    fn find(text: &'t str) -> Option<Self> {
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let bare = line.trim();
            let length = bare.len() - bare.trim_start_matches('`').len();
            if length >= SHORTEST && !bare[length..].contains('`') {
                let rest = &text[start + line.len()..];
                return Some(Fence { start, length, carriage_return: line.ends_with("\r\n"), rest });
            }
            start += line.len();
        }
        None
    }

    /// The content, and what follows the closing line.
    fn close(&self) -> Option<(&'t str, &'t str)> {
        let mut at = 0;
        for line in self.rest.split_inclusive('\n') {
            let bare = line.trim();
            if bare.len() >= self.length && bare.bytes().all(|byte| byte == b'`') {
                let content = &self.rest[..at];
                let content = content.strip_suffix('\n').unwrap_or(content);
                let content = if self.carriage_return {
                    content.strip_suffix('\r').unwrap_or(content)
                } else {
                    content
                };
                return Some((content, &self.rest[at + line.len()..]));
            }
            at += line.len();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::signature::Role;

    fn field() -> FieldSpec {
        FieldSpec::new(
            Role::Output,
            "program",
            "",
            json!({"type": "string", "x-code": true, "x-language": "C++"}),
        )
    }

    #[test]
    fn replies_in_the_wild() {
        for (reply, code) in [
            ("x = 1", "x = 1"),
            ("```python\nx = 1\n```", "x = 1"),
            ("Sure:\n```\nx = 1\ny\n```\nThis sets x.", "x = 1\ny"),
            ("```\r\na\r\nb\r\n```", "a\r\nb"),
            ("  ```py\n  a\n  ```", "  a"),
            ("````md\n```\ninner\n```\n````", "```\ninner\n```"),
            ("```\nsame\n```\nor\n```\nsame\n```", "same"),
            ("```\n```", ""),
            ("a `b` c", "a `b` c"),
        ] {
            assert_eq!(read(reply), Ok(code), "{reply}");
        }
        assert!(read("```\na\n```\n```\nb\n```").unwrap_err().contains("several"));
        assert!(read("```\na").unwrap_err().contains("never closed"));
        assert_eq!(fenced(&field(), "a"), "```c++\na\n```");
    }

    #[test]
    fn what_is_shown_of_code_stays() {
        for reply in
            ["Sure:\n```python\nx = 1\n\n`y`\n```\nDone.", "```\r\na\r\n```", "````\n```\nx\n```\n````"]
        {
            let whole = read(reply).unwrap();
            let mut shown = "";
            for (end, _) in reply.char_indices() {
                let Some(now) = begun(&reply[..end]) else { continue };
                assert!(now.starts_with(shown) && whole.starts_with(now), "{now:?} of {whole:?}");
                shown = now;
            }
            assert_eq!(shown, whole);
        }
    }

    proptest! {
        #[test]
        fn what_is_fenced_reads_back(code in "[`a \r\n~]{0,24}") {
            let text = fenced(&field(), &code);
            prop_assert_eq!(read(&text), Ok(code.as_str()));
            let text = fenced_if_needed(&field(), &code);
            prop_assert_eq!(whole_fence(&text).unwrap_or(&text), code.as_str());
        }
    }
}
