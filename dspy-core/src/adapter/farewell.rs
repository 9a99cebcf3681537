//! Text after the end of an answer: a farewell, or a change of the answer.

/// The largest length of a farewell, in bytes.
const LONGEST: usize = 400;

/// Phrases of a farewell.
const FAREWELLS: [&str; 25] = [
    "hope",
    "help",
    "let me know",
    "feel free",
    "thank",
    "welcome",
    "glad to",
    "happy to",
    "good luck",
    "enjoy",
    "cheers",
    "bye",
    "done",
    "end of",
    "complete",
    "have a",
    "question",
    "assist",
    "take care",
    "regards",
    "all set",
    "that's all",
    "that is all",
    "the end",
    "great day",
];

/// Phrases that could follow any answer, so that they say nothing about this one.
const DISCLAIMERS: [&str; 6] = [
    "may be wrong",
    "might be wrong",
    "may be mistaken",
    "might be mistaken",
    "make mistakes",
    "please verify",
];

/// Words that retract an earlier statement or add to it.
const CHANGES: [&str; 30] = [
    "actually",
    "answer",
    "apologies",
    "apologize",
    "but",
    "change",
    "changed",
    "correct",
    "corrected",
    "correction",
    "edit",
    "except",
    "however",
    "instead",
    "meant",
    "mistake",
    "no",
    "not",
    "note",
    "oops",
    "or",
    "rather",
    "revised",
    "scratch",
    "should",
    "sorry",
    "update",
    "updated",
    "wait",
    "wrong",
];

/// Returns whether `text` after an answer says nothing about it: it has no words (marks of fences and tags do
/// not count), or only sentences of farewell.
pub(super) fn is_farewell(text: &str) -> bool {
    let text = without_tags(text);
    if !text.contains(char::is_alphanumeric) {
        return true;
    }
    let text = text.to_lowercase().replace('’', "'");
    let fenced = text.lines().any(|line| {
        let line = line.trim_start();
        line.starts_with("```") && line.contains(char::is_alphanumeric)
    });
    if text.len() > LONGEST || fenced || text.contains(|c: char| c.is_numeric() || "{[:".contains(c)) {
        return false;
    }
    text.split(['.', '!', '?', '\n', ';']).filter(|s| s.contains(char::is_alphanumeric)).all(|sentence| {
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| sentence.contains(phrase));
        let mut words = sentence.split(|c: char| !c.is_alphanumeric() && c != '\'');
        says(&DISCLAIMERS) || says(&FAREWELLS) && !words.any(|word| CHANGES.contains(&word))
    })
}

/// Returns `text` without anything in angle brackets: ends of reasoning blocks, and tokens that a server left
/// in.
fn without_tags(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        out.push_str(before);
        match tag.split_once('>').filter(|(name, _)| name.len() <= 32 && !name.contains(char::is_whitespace))
        {
            Some((_, behind)) => rest = behind,
            None => {
                out.push('<');
                rest = tag;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::is_farewell;

    #[test]
    fn farewells_and_corrections() {
        for text in [
            "",
            "\n\n---\n",
            "\n```\n",
            "</think>",
            "<|im_end|>",
            "I hope this helps! Let me know if you have any questions.",
            "Note that I may be wrong.",
            "Done.",
            "Thank you!\nHave a great day!",
        ] {
            assert!(is_farewell(text), "{text}");
        }
        for text in [
            "Rome",
            "5",
            "Wait, I meant Rome.",
            "Correction: it is Rome.",
            "Hope this helps! The answer is Rome.",
            "Rome. I hope this helps!",
            "{\"answer\": \"Rome\"}",
            "```json\n{}\n```",
            "Sorry, scratch that.",
        ] {
            assert!(!is_farewell(text), "{text}");
        }
    }
}
