//! Cleaning of the replies of a proposer.

/// Returns a proposed text without what models put around it: code fences, quotes, a label such as
/// `Instruction:`, adapter markers. `None` if nothing is left, or more than `most` characters.
///
/// ```
/// use dspy_optimizers::proposer::clean;
/// assert_eq!(clean("Instruction: \"Answer yes or no.\"", 100).as_deref(), Some("Answer yes or no."));
/// assert_eq!(clean("```text\nAnswer.\n```", 100).as_deref(), Some("Answer."));
/// assert_eq!(clean("  ", 100), None);
/// ```
pub fn clean(text: &str, most: usize) -> Option<String> {
    // First, as a label or a fence may follow a marker.
    let lines = text.lines().filter(|line| !is_marker(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut text = text.trim();
    loop {
        let before = text;
        text = unfenced(text);
        text = unlabelled(text);
        text = unquoted(text);
        if text == before {
            break;
        }
    }
    (!text.is_empty() && text.chars().nth(most).is_none()).then(|| text.to_owned())
}

/// Returns the content of text that is one fenced block.
fn unfenced(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("```") else { return text };
    let Some(inner) = rest.strip_suffix("```") else { return text };
    // The first line may name a language.
    let inner = inner
        .split_once('\n')
        .map_or(inner, |(language, inner)| if language.trim().contains(' ') { rest } else { inner });
    inner.trim()
}

/// Removes a label that says that an instruction follows, such as `New instruction:`.
fn unlabelled(text: &str) -> &str {
    const NOUNS: [&str; 5] = ["instruction", "instructions", "prompt", "text", "description"];
    const BEFORE: [&str; 9] =
        ["the", "a", "new", "proposed", "improved", "revised", "updated", "final", "better"];
    let Some((label, rest)) = text.split_once(':') else { return text };
    let label = label.trim_matches(|c: char| c == '*' || c == '#' || c.is_whitespace()).to_lowercase();
    let mut words = label.split_whitespace();
    let noun = words.next_back().is_some_and(|last| NOUNS.contains(&last));
    if noun && words.all(|word| BEFORE.contains(&word)) { rest.trim_start_matches('*').trim() } else { text }
}

/// Removes quotation marks around the whole text.
fn unquoted(text: &str) -> &str {
    for (open, close) in [('"', '"'), ('“', '”'), ('\'', '\'')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close))
            && !inner.contains([open, close])
        {
            return inner.trim();
        }
    }
    text
}

/// Returns whether a line is a marker of the chat format, which no text may contain.
fn is_marker(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("[[ ##") && line.ends_with("## ]]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_put_around_a_text_is_removed() {
        for text in [
            "Answer yes.",
            "\"Answer yes.\"",
            "“Answer yes.”",
            "**New instruction:** Answer yes.",
            "```\nAnswer yes.\n```",
            "Proposed Instruction: ```markdown\nAnswer yes.\n```",
            "[[ ## instruction ## ]]\nAnswer yes.\n[[ ## completed ## ]]",
            "[[ ## instruction ## ]]\nInstruction: \"Answer yes.\"\n\n[[ ## completed ## ]]",
        ] {
            assert_eq!(clean(text, 100).as_deref(), Some("Answer yes."), "{text}");
        }
    }

    #[test]
    fn what_belongs_to_a_text_is_kept() {
        for text in [
            "Given the text: answer \"yes\" or \"no\".",
            "\"Yes\" or \"no\"",
            "Use `x`.\n```\ncode\n```\nand no more.",
            "Rules: be brief.",
        ] {
            assert_eq!(clean(text, 100).as_deref(), Some(text), "{text}");
        }
    }

    #[test]
    fn empty_and_endless_texts_are_none() {
        assert_eq!(clean("", 10), None);
        assert_eq!(clean("\"\"", 10), None);
        assert_eq!(clean("[[ ## completed ## ]]", 10), None);
        assert_eq!(clean(&"é".repeat(11), 10), None);
        assert_eq!(clean(&"é".repeat(10), 10), Some("é".repeat(10)));
    }
}
