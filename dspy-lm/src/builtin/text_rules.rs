//! Statements of an instruction about free text: the answers that are possible.

use serde_json::Value;

use super::prompt::Field;
use super::tokens::{Token, lex};
use super::words::{sentences, words};

/// The maximum number of words of a possible answer, and of possible answers.
pub(super) const LABEL_WORDS: usize = 6;
const MOST_LABELS: usize = 200;

/// Returns the answers that an instruction or a description lists: "Answer with one of: a, b or c." A description that
/// is nothing but words with "or" between them is such a list, too.
pub(super) fn stated_labels(field: &Field, instruction: &str) -> Vec<Value> {
    let about_another = |sentence: &&str| {
        let named = sentence.trim_start().to_lowercase();
        named
            .strip_prefix("for `")
            .is_some_and(|rest| !rest.starts_with(&format!("{}`", field.name.to_lowercase())))
    };
    let listed = sentences(instruction).into_iter().filter(|sentence| !about_another(sentence));
    let listed = listed.chain(sentences(&field.description)).find_map(|sentence| {
        let at = sentence.to_lowercase().find("one of")?;
        let rest = sentence.get(at + "one of".len()..)?;
        let rest = rest.split_once(':').map_or(rest, |(_, rest)| rest);
        let found = items(rest.trim_end_matches('.'));
        (found.len() > 1).then_some(found)
    });
    let found = listed.or_else(|| {
        let text = field.description.trim().trim_end_matches('.');
        let found = items(text);
        let single = found.iter().all(|label| words(label).len() == 1);
        (found.len() > 1 && single && text.contains(" or ")).then_some(found)
    });
    found.unwrap_or_default().into_iter().take(MOST_LABELS).map(Value::from).collect()
}

/// Splits a list such as `a, b or "c d"`. If anything is in quotes, only that counts.
fn items(text: &str) -> Vec<String> {
    let quoted: Vec<String> = lex(text)
        .iter()
        .filter_map(|token| if let Token::Quoted(text) = token.token { Some(text.to_owned()) } else { None })
        .collect();
    if quoted.len() > 1 {
        return quoted;
    }
    let text = text.replace(" or ", ", ").replace(['/', '|'], ", ");
    let found: Vec<String> =
        text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
    let fair = |item: &String| (1..=LABEL_WORDS).contains(&item.split_whitespace().count());
    if found.iter().all(fair) { found } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn possible_answers_are_read() {
        let labels = |instruction: &str, description: &str| {
            stated_labels(&Field { description: description.into(), ..Field::default() }, instruction)
        };
        for instruction in [
            "Think. Answer with one of: red, dark blue or green.",
            "Answer with exactly one of these: \"red\", \"dark blue\", \"green\".",
            "One of `red`, `dark blue`, `green`",
        ] {
            assert_eq!(
                labels(instruction, ""),
                [json!("red"), json!("dark blue"), json!("green")],
                "{instruction}"
            );
        }
        assert_eq!(labels("", "yes or no"), [json!("yes"), json!("no")]);
        assert_eq!(
            labels("", "setosa, versicolor or virginica"),
            [json!("setosa"), json!("versicolor"), json!("virginica")]
        );
        assert!(
            labels(
                "This is one of the tasks that matter. Do it well, or not.",
                "The answer, or nothing at all."
            )
            .is_empty()
        );
    }
}
