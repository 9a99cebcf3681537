//! Suggestions for unknown words: "Did you mean …?"

use dspy_grammar::nearest;

/// The largest length of a word in bytes that may be a typo; longer ones come from data.
const LONGEST: usize = 200;

/// Returns the end of the message about an unknown word: the candidate that was likely meant, otherwise all
/// candidates.
pub(crate) fn remedy<'a>(word: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = if word.len() > LONGEST { None } else { nearest(word, candidates.clone()) };
    if let Some(near) = near {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<_> = candidates.map(|name| format!("`{name}`")).collect();
    if all.is_empty() { "there are none".into() } else { format!("there are {}", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_strangers() {
        let names = ["question", "context"];
        assert_eq!(remedy("qestion", names.into_iter()), "did you mean `question`?");
        assert_eq!(remedy("zebra", names.into_iter()), "there are `question`, `context`");
        assert_eq!(remedy("zebra", [].into_iter()), "there are none");
    }
}
