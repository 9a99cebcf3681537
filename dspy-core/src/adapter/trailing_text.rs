//! Text after the values of an answer: pleasantries, or a change of a value.
//!
//! There is no list of pleasantries. Such text matters only if it assigns a value to an output or corrects
//! something.

use serde_json::Value;

use crate::signature::{FieldSpec, SignatureSpec, Values};
use dspy_base::fold::words;

/// A word, or a sign that assigns a value.
#[derive(Debug, PartialEq)]
enum Token {
    /// A word in lower case.
    Word(String, Looks),
    /// `:`, `=`, `->`
    Gives,
}

/// The appearance of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    Plain,
    /// A word with a capital letter that does not start a sentence.
    Name,
    /// A number, a constant, or a word in quotation marks.
    Value,
}

/// Words allowed between a name and its value.
const LINKS: [&str; 31] = [
    "is",
    "are",
    "was",
    "were",
    "be",
    "been",
    "should",
    "must",
    "would",
    "will",
    "to",
    "of",
    "now",
    "at",
    "about",
    "equals",
    "becomes",
    "the",
    "a",
    "an",
    "actually",
    "instead",
    "rather",
    "really",
    "may",
    "might",
    "could",
    "come",
    "comes",
    "around",
    "approximately",
];
/// Words allowed between a value and its name: `500 is the budget`.
const LINKS_BACK: [&str; 12] = ["is", "for", "as", "the", "a", "an", "its", "your", "my", "in", "be", "new"];
const ARTICLES: [&str; 6] = ["the", "a", "an", "its", "your", "my"];
const CONSTANTS: [&str; 7] = ["true", "false", "yes", "no", "none", "null", NOT];
const NOT: &str = "not";
/// The largest number of such words between a name and its value.
const MOST_LINKS: usize = 5;
/// The largest number of words in a value; longer text is about the output.
const MOST_WORDS: usize = 4;

/// Phrases that retract an earlier statement.
const CORRECTIONS: [&str; 17] = [
    "correction",
    "corrected",
    "oops",
    "scratch that",
    "i meant",
    "instead",
    "should have been",
    "should read",
    "my mistake",
    "a mistake",
    "was wrong",
    "is wrong",
    "are wrong",
    "on second thought",
    "typo",
    "no longer",
    "disregard",
];

/// Words that retract an earlier statement at the beginning of a sentence.
const OPENINGS: [&str; 4] = ["actually", "wait", "update", "edit"];

/// Phrases of an offer, in which a word such as "instead" corrects nothing.
const OFFERS: [&str; 13] = [
    "let me know",
    "feel free",
    "if you",
    "if there",
    "should you",
    "would you",
    "tell me",
    "happy to",
    "glad to",
    "hesitate",
    "may be wrong",
    "might be wrong",
    "can make",
];

/// Returns the part of `text` that changes, or adds to, one of the outputs in `of`. Text that only repeats
/// one of the `values` changes nothing.
pub(super) fn change<'t>(
    spec: &SignatureSpec,
    text: &'t str,
    values: &Values,
    of: impl Fn(usize) -> bool,
) -> Option<&'t str> {
    if !text.contains(char::is_alphanumeric) {
        return None;
    }
    let names: Vec<(Vec<String>, Option<&Value>)> = spec
        .outputs()
        .enumerate()
        .filter(|(index, _)| of(*index))
        .flat_map(|(_, field)| names(field, values))
        .collect();
    sentences(text).find(|sentence| {
        let tokens = tokens(sentence);
        gives(&tokens, &names) || corrects(sentence, &tokens)
    })
}

/// Returns the part of `text` that assigns a value to one of the outputs in `of`.
pub(super) fn assignment<'t>(
    spec: &SignatureSpec,
    text: &'t str,
    of: impl Fn(usize) -> bool,
) -> Option<&'t str> {
    let fields = spec.outputs().enumerate().filter(|(index, _)| of(*index));
    let names: Vec<(Vec<String>, Option<&Value>)> =
        fields.map(|(_, field)| (words(field.name()).collect(), None)).collect();
    if names.is_empty() {
        return None;
    }
    sentences(text).find(|sentence| gives(&tokens(sentence), &names))
}

/// Returns the names of a field and of its members, split into words, each with the value that was read.
fn names<'v>(field: &FieldSpec, values: &'v Values) -> Vec<(Vec<String>, Option<&'v Value>)> {
    let value = values.get(field.name());
    let members = field.schema().get("properties").and_then(Value::as_object);
    let members = members.into_iter().flatten().map(|(name, _)| {
        let inner = value.and_then(|value| value.get(name));
        (words(name).collect::<Vec<_>>(), inner)
    });
    std::iter::once((words(field.name()).collect(), value))
        .chain(members)
        .filter(|(words, _)| !words.is_empty())
        .collect()
}

/// Returns the sentences of `text`, trimmed. A full stop inside a number does not end a sentence.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().find(|(at, c)| match c {
            '\n' | ';' => true,
            '.' | '!' | '?' => rest[at + 1..].chars().next().is_none_or(char::is_whitespace),
            _ => false,
        });
        let end = end.map_or(rest.len(), |(at, c)| at + c.len_utf8());
        let sentence = &rest[..end];
        rest = &rest[end..];
        Some(sentence.trim())
    })
}

fn tokens(sentence: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut quoted = false;
    let mut at = 0;
    while let Some(c) = sentence[at..].chars().next() {
        let rest = &sentence[at..];
        if c.is_alphanumeric() {
            let inside = |(offset, c): (usize, char)| {
                let next = rest[offset + c.len_utf8()..].chars().next();
                let joins = matches!(c, '\'' | '’' | '.' | ',') && next.is_some_and(char::is_alphanumeric);
                !(c.is_alphanumeric()
                    || joins && (c == '\'' || c == '’' || next.is_some_and(char::is_numeric)))
            };
            let end = rest.char_indices().find(|(at, c)| inside((*at, *c))).map_or(rest.len(), |(at, _)| at);
            let word = &rest[..end];
            let lower = word.to_lowercase().replace('’', "'");
            let name = !out.is_empty() && word.starts_with(char::is_uppercase) && lower != "i";
            let number = word.contains(char::is_numeric);
            let looks = match quoted || number || CONSTANTS.contains(&lower.as_str()) {
                true => Looks::Value,
                false if name => Looks::Name,
                false => Looks::Plain,
            };
            out.push(Token::Word(lower, looks));
            at += end;
            continue;
        }
        match c {
            '"' | '“' | '”' | '`' | '«' | '»' => quoted = c != '”' && c != '»' && !quoted,
            ':' | '=' | '→' => out.push(Token::Gives),
            '-' if rest.starts_with("->") => out.push(Token::Gives),
            _ => {}
        }
        at += c.len_utf8();
    }
    out
}

/// Returns whether the words assign to one of the names a value other than its present one.
fn gives(tokens: &[Token], names: &[(Vec<String>, Option<&Value>)]) -> bool {
    names.iter().any(|(name, known)| {
        let at = |from: usize| {
            let here = tokens.get(from..from + name.len());
            here.is_some_and(|here| {
                here.iter()
                    .zip(name)
                    .all(|(token, name)| matches!(token, Token::Word(word, _) if word == name))
            })
        };
        (0..tokens.len()).filter(|from| at(*from)).any(|from| {
            let news = |word: &str| match known {
                _ if word == NOT => matches!(known, Some(Value::Bool(true))),
                known => !repeats(known.unwrap_or(&Value::Null), word),
            };
            let rest = &tokens[from + name.len()..];
            // "Steps 1 and 2" assigns nothing to a list.
            let counts = matches!(known, Some(Value::Array(_) | Value::Object(_) | Value::String(_)))
                && matches!(rest.first(), Some(Token::Word(_, Looks::Value)));
            !counts && behind(rest).is_some_and(news) || before(&tokens[..from]).is_some_and(news)
        })
    })
}

/// Returns the value that follows a name.
fn behind(tokens: &[Token]) -> Option<&str> {
    let mut linked = false;
    let mut given = false;
    for (at, token) in tokens.iter().take(MOST_LINKS + 1).enumerate() {
        match token {
            Token::Gives => given = true,
            Token::Word(word, Looks::Plain) if LINKS.contains(&word.as_str()) => linked = true,
            Token::Word(word, looks) => {
                // Long text after a colon describes the output.
                let short = given && tokens.len() - at <= MOST_WORDS;
                let says = match looks {
                    Looks::Value => at > 0 || word.contains(char::is_numeric),
                    Looks::Name => short || linked && !given,
                    Looks::Plain => short,
                };
                return says.then_some(word);
            }
        }
    }
    None
}

/// Returns the value that precedes a name.
fn before(tokens: &[Token]) -> Option<&str> {
    let mut linked = false;
    for token in tokens.iter().rev().take(MOST_LINKS) {
        match token {
            Token::Word(word, Looks::Plain) if LINKS_BACK.contains(&word.as_str()) => {
                linked |= !ARTICLES.contains(&word.as_str());
            }
            Token::Word(word, Looks::Value) if linked && word.contains(char::is_numeric) => {
                return Some(word);
            }
            _ => return None,
        }
    }
    None
}

/// Returns whether a word is part of a value, or a number that is.
fn repeats(value: &Value, word: &str) -> bool {
    let number = |word: &str| word.replace(',', "").parse::<f64>().ok();
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "null none".into(),
        Value::Bool(true) => "true yes".into(),
        Value::Bool(false) => "false no not".into(),
        value => value.to_string(),
    };
    tokens(&text).iter().any(|token| match token {
        Token::Word(known, _) => {
            known == word || number(known).is_some_and(|known| number(word) == Some(known))
        }
        Token::Gives => false,
    })
}

/// Returns whether a sentence retracts an earlier statement.
fn corrects(sentence: &str, tokens: &[Token]) -> bool {
    let plain: Vec<&str> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Word(word, _) => Some(word.as_str()),
            Token::Gives => None,
        })
        .collect();
    let said = format!(" {} ", plain.join(" "));
    let says = |phrase: &&str| said.contains(&format!(" {phrase} "));
    if sentence.ends_with('?') || OFFERS.iter().any(says) {
        return false;
    }
    let valued = tokens.iter().any(|token| matches!(token, Token::Word(_, Looks::Name | Looks::Value)));
    let opens = plain.first().is_some_and(|word| OPENINGS.contains(word));
    opens || CORRECTIONS.iter().any(says) || valued && (says(&"should be") || says(&"actually"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pleasantries_change_nothing_and_corrections_do() {
        let spec: SignatureSpec =
            "q -> title, budget: Optional[float], approved: bool, city".parse().unwrap();
        let values = json!({"title": "Move", "budget": 500.0, "approved": true, "city": "Paris"});
        let Value::Object(values) = values else { panic!() };
        let change = |text| change(&spec, text, &values, |_| true);
        for text in [
            "\n```\n",
            "Let me know if you need more.",
            "I hope this helps!",
            "Hope the title is to your liking.",
            "Would you like the plan as a table instead?",
            "If you want another budget instead, let me know.",
            "This should be all you need. Enjoy!",
            "Shall I book 3 tickets?",
            "The budget is $500, as you asked.",
            "The budget covers everything.",
            "So the city is Paris.",
            "Title: Move",
            "I gave 3 steps. Good luck with the 2 boxes, Jane.",
            "Approved: yes.",
            "I can't wait to hear from you! It is what you actually need.",
            "The title is not set in stone. Tell me if there is a mistake.",
        ] {
            assert_eq!(change(text), None, "{text}");
        }
        for text in [
            "and budget is 500.5",
            "Note: the budget should be 600.",
            "(correction: city is Rome)",
            "Actually, make it Rome.",
            "Wait, approved should be false.",
            "Oops, wrong city.",
            "Sorry, that was wrong.",
            "(It is actually Rome.)",
            "It should be \"Rome\" instead.",
            "\"budget\": 600",
            "Budget -> 600",
            "Budget 600",
            "Set the budget to $1,600.",
            "Use 600 for the budget.",
            "approved: no",
            "City: Rome",
            "I hope this helps! The title is now Stay.",
            "Approved is not true.",
        ] {
            assert!(change(text).is_some(), "{text}");
        }
        assert!(assignment(&spec, "The budget is 500.", |index| index == 1).is_some());
        assert!(assignment(&spec, "The budget is 500.", |index| index == 0).is_none());
    }
}
