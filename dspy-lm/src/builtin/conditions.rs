//! Conditions on input fields in prose: "petal_length is above 2.45", "the colour is red or blue".

use std::ops::Range;

use super::features::{hash, number, whole_value};
use super::input::Input;
use super::prompt::Field;
use super::tokens::{Lexed, Token, lex};
use super::words::words;

/// The maximum number of words of a value without quotes.
const LONGEST_VALUE: usize = 4;
/// Words between the name of a field and what is said about it.
const FILLERS: &[&str] =
    &["the", "a", "an", "value", "values", "be", "being", "with", "has", "have", "that", "which"];
/// Words that say that a field has a value.
const EQUALS: &[&str] = &["is", "are", "was", "of", "equals", "equal", "=", ":"];
/// Words that end a value without quotes, or the words that a string is said to mention.
const ENDS: &[&str] = &[
    ",",
    ";",
    ":",
    "then",
    "means",
    "mean",
    "answer",
    "and",
    "or",
    "->",
    "=>",
    "→",
    "say",
    "choose",
    "return",
    "output",
    "indicates",
    "suggests",
    "go",
    "goes",
    "point",
    "points",
    "label",
    "often",
    "usually",
    "always",
    "belong",
    "belongs",
];
/// Verbs after which the words that a string contains are listed.
const MENTIONS: &[&str] = &["mention", "mentions", "contain", "contains", "include", "includes"];

/// A condition in a clause, and its position there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    test: Test,
    negated: bool,
    /// Whether it is an alternative to the condition before it.
    pub(super) alternative: bool,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// A numeric field lies in a range.
    Within { field: u64, low: f64, high: f64, open: bool },
    /// A field has one of these values, each given by its feature and its number.
    Values { field: u64, values: Vec<(u64, Option<f64>)> },
    /// The inputs contain one of these stems.
    Mentions(Vec<String>),
}

/// The conditions of a clause.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) list: Vec<Condition>,
    /// Whether the clause may be prose that only resembles a condition: a value has no quotes, or a comparison
    /// names no field.
    pub(super) vague: bool,
}

impl Condition {
    /// Returns whether an input meets the condition.
    pub(super) fn holds(&self, input: &Input) -> bool {
        let of =
            |field: u64| input.bag.numbers.iter().find(|(name, _)| *name == field).map(|(_, value)| *value);
        let met = match &self.test {
            Test::Within { field, low, high, open } => {
                // A missing number meets no condition, not even a negated one.
                let Some(value) = of(*field) else { return false };
                if *open { value > *low && value < *high } else { value >= *low && value <= *high }
            }
            Test::Values { field, values } => values.iter().any(|(feature, number)| {
                input.bag.words.binary_search_by_key(feature, |(known, _)| *known).is_ok()
                    || number.is_some_and(|number| of(*field) == Some(number))
            }),
            Test::Mentions(stems) => stems.iter().any(|stem| input.stems.contains(stem)),
        };
        met != self.negated
    }
}

/// Finds the conditions on `fields` in a clause. `last` is the field that was last named in the sentence: a comparison
/// without a name is about it, or about the only field.
pub(super) fn read(clause: &str, fields: &[Field], last: &mut Option<usize>) -> Conditions {
    let tokens = lex(clause);
    let names: Vec<(usize, Vec<String>)> =
        fields.iter().enumerate().map(|(at, field)| (at, name_words(&field.name))).collect();
    let mut found = Conditions::default();
    let only = (fields.len() == 1).then_some(0);
    let mut alternative = false;
    let mut at = 0;
    while at < tokens.len() {
        let name = named_at(&tokens, at, &names);
        let (field, after) = match name {
            Some((field, length)) => (Some(field), at + length),
            None => (last.or(only), at),
        };
        if let Some(field) = field
            && let Some((test, negated, end, vague)) =
                predicate(&tokens, after, &fields[field].name, name.is_some())
        {
            found.vague |= vague || (name.is_none() && last.is_none());
            let span = tokens[at].start..tokens[end - 1].end;
            found.list.push(Condition { test, negated, alternative, span });
            alternative = false;
            *last = last.filter(|_| name.is_none()).or(name.map(|(field, _)| field));
            at = end;
            continue;
        }
        if let Some((field, _)) = name {
            *last = Some(field);
        }
        alternative |= tokens[at].is("or");
        at = after.max(at + 1);
    }
    if !found.list.is_empty()
        && let Some(condition) = mentioned(&tokens)
    {
        found.list.push(condition);
    }
    found
}

/// Returns the words of a field's name in lower case.
fn name_words(name: &str) -> Vec<String> {
    super::choice_names::split_case(name).split_whitespace().map(str::to_lowercase).collect()
}

/// Returns the field that is named at a token, and the number of tokens of its name. The longest name wins.
fn named_at(tokens: &[Lexed<'_>], at: usize, names: &[(usize, Vec<String>)]) -> Option<(usize, usize)> {
    let length_of = |name: &[String]| {
        if let Token::Quoted(text) = tokens[at].token {
            return (name_words(text) == name).then_some(1);
        }
        let written = tokens.get(at..at + name.len())?;
        let same = |(token, word): (&Lexed<'_>, &String)| token.is(word);
        if !name.is_empty() && written.iter().zip(name).all(same) {
            return Some(name.len());
        }
        (name.len() > 1 && tokens[at].is(&name.concat())).then_some(1)
    };
    let found = names.iter().filter_map(|(field, name)| Some((*field, length_of(name)?, name.len())));
    found.max_by_key(|(_, _, words)| *words).map(|(field, length, _)| (field, length))
}

/// Parses what is said about a field: the test, whether it is negated, the token after it, and whether it is vague.
fn predicate(
    tokens: &[Lexed<'_>],
    start: usize,
    name: &str,
    named: bool,
) -> Option<(Test, bool, usize, bool)> {
    let mut at = start;
    let (mut equals, mut negated) = (false, false);
    while let Some(token) = tokens.get(at).filter(|_| at < start + 4) {
        if EQUALS.iter().any(|word| token.is(word)) {
            equals = true;
        } else if token.is("not") {
            negated = true;
        } else if !FILLERS.iter().any(|word| token.is(word)) {
            break;
        }
        at += 1;
    }
    let field = hash(name);
    if let Some((low, high, open, end)) = range(tokens, at) {
        return Some((Test::Within { field, low, high, open }, negated, end, false));
    }
    if !named || !equals {
        return None;
    }
    let mut values: Vec<(u64, Option<f64>)> = Vec::new();
    let mut vague = false;
    loop {
        let (text, next) = value(tokens, at)?;
        vague |= !matches!(tokens[at].token, Token::Quoted(_) | Token::Number(_));
        let found = words(&text);
        values.push((whole_value(name, &found), number(&text)));
        at = next;
        // More values follow after "or" or a comma, if they are in quotes.
        let separator = tokens.get(at).filter(|token| token.is("or") || token.is(","));
        let skip = 1 + usize::from(tokens.get(at + 1).is_some_and(|token| token.is("or")));
        match (separator, tokens.get(at + skip).map(|token| token.token)) {
            (Some(_), Some(Token::Quoted(_))) => at += skip,
            (Some(separator), Some(Token::Word(_) | Token::Number(_))) if vague && separator.is("or") => {
                at += skip;
            }
            _ => break,
        }
    }
    Some((Test::Values { field, values }, negated, at, vague))
}

/// Returns the text of a value and the token after it.
fn value(tokens: &[Lexed<'_>], at: usize) -> Option<(String, usize)> {
    match tokens.get(at)?.token {
        Token::Quoted(text) => return Some((text.to_owned(), at + 1)),
        Token::Number(value) => return Some((value.to_string(), at + 1)),
        _ => {}
    }
    let ends = |token: &Lexed<'_>| ENDS.iter().any(|word| token.is(word));
    let length = tokens[at..].iter().take_while(|token| !ends(token) && !token.is_quoted()).count();
    if length == 0 || length > LONGEST_VALUE {
        return None;
    }
    let words: Vec<String> = tokens[at..at + length].iter().map(|token| token.token.to_string()).collect();
    Some((words.join(" "), at + length))
}

/// Parses a comparison: the bounds, whether they are excluded, and the token after it.
fn range(tokens: &[Lexed<'_>], at: usize) -> Option<(f64, f64, bool, usize)> {
    const ABOVE: &[&[&str]] = &[
        &["above"],
        &["over"],
        &["more", "than"],
        &["greater", "than"],
        &["higher", "than"],
        &["larger", "than"],
        &["exceeds"],
        &["exceeding"],
        &["exceed"],
        &[">"],
    ];
    const BELOW: &[&[&str]] = &[
        &["below"],
        &["under"],
        &["less", "than"],
        &["lower", "than"],
        &["smaller", "than"],
        &["fewer", "than"],
        &["<"],
    ];
    const FROM: &[&[&str]] = &[&["at", "least"], &["no", "less", "than"], &[">", "="], &["≥"]];
    const TO: &[&[&str]] = &[&["at", "most"], &["up", "to"], &["no", "more", "than"], &["<", "="], &["≤"]];
    let matched = |forms: &[&[&str]], at: usize| {
        forms.iter().find_map(|form| {
            let same = form
                .iter()
                .enumerate()
                .all(|(i, word)| tokens.get(at + i).is_some_and(|token| token.is(word)));
            same.then_some(at + form.len())
        })
    };
    let number_at = |at: usize| match tokens.get(at)?.token {
        Token::Number(value) => Some(value),
        _ => None,
    };
    let (least, most) = (f64::NEG_INFINITY, f64::INFINITY);
    if let (Some(low), Some(high)) = (number_at(at + 1), number_at(at + 3))
        && (tokens[at].is("between") || tokens[at].is("from"))
        && (tokens[at + 2].is("and") || tokens[at + 2].is("to"))
    {
        return Some((low, high, false, at + 4));
    }
    // The inclusive forms come first, because `>` is also the start of `>=`.
    for (forms, below, open) in
        [(FROM, false, false), (TO, true, false), (ABOVE, false, true), (BELOW, true, true)]
    {
        let Some(next) = matched(forms, at) else { continue };
        let equal = matched(&[&["or", "equal", "to"]], next);
        let next = equal.unwrap_or(next);
        let value = number_at(next)?;
        let open = open && equal.is_none();
        return Some(if below { (least, value, open, next + 1) } else { (value, most, open, next + 1) });
    }
    let value = number_at(at)?;
    let or = |words: [&str; 4]| {
        tokens.get(at + 1).is_some_and(|token| token.is("or"))
            && tokens.get(at + 2).is_some_and(|token| words.iter().any(|word| token.is(word)))
    };
    if or(["more", "higher", "above", "greater"]) {
        return Some((value, most, false, at + 3));
    }
    or(["less", "lower", "below", "fewer"]).then_some((least, value, false, at + 3))
}

/// Returns the condition that the inputs mention some words, if a clause states one.
fn mentioned(tokens: &[Lexed<'_>]) -> Option<Condition> {
    let verb = |token: &Lexed<'_>| MENTIONS.iter().any(|verb| token.is(verb));
    let at = tokens.iter().position(verb)?;
    let ends = |token: &&Lexed<'_>| {
        let separates = token.is(",") || token.is("or");
        !separates && ENDS.iter().any(|word| token.is(word))
    };
    let listed: Vec<&Lexed<'_>> = tokens[at + 1..].iter().take_while(|token| !ends(token)).collect();
    let end = listed.last()?.end;
    let text: Vec<String> = listed.iter().map(|token| token.token.to_string()).collect();
    let stems: Vec<String> =
        words(&text.join(" ")).into_iter().filter(|word| !word.stop).map(|word| word.stem).collect();
    let span = tokens[at].start..end;
    (!stems.is_empty()).then_some(Condition {
        test: Test::Mentions(stems),
        negated: false,
        alternative: false,
        span,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(clause: &str, values: &[(&str, &str)]) -> bool {
        let names = ["petal_length", "petalWidth", "colour"];
        let fields: Vec<Field> =
            names.iter().map(|name| Field { name: (*name).into(), ..Field::default() }).collect();
        let found = read(clause, &fields, &mut None);
        assert!(!found.list.is_empty(), "{clause}");
        found.list.iter().all(|condition| condition.holds(&Input::new(values)))
    }

    #[test]
    fn comparisons_are_read() {
        for (clause, low, high) in [
            ("A petal_length below 2.45 means x", true, false),
            ("a petal length of at most 2.45 means x", true, false),
            ("if `petal_length` is above 2.45, answer x", false, true),
            ("petal_length >= 2.45 -> x", false, true),
            ("petal_length < 2.45 → x", true, false),
            ("a petal length of 3 or more", false, true),
            ("the petal_length is between -1 and 2", true, false),
            ("petal_length is less than or equal to 2", true, false),
            ("petal_length is above 1 and at most 3", true, false),
            ("petal_length is not above 3", true, false),
        ] {
            assert_eq!(met(clause, &[("petal_length", "1.4")]), low, "{clause}");
            assert_eq!(met(clause, &[("petal_length", "5")]), high, "{clause}");
        }
        assert!(!met("petal_length is not above 3", &[("petalWidth", "1")]));
        assert!(met(
            "petalWidth is above 1 and petal length is below 2",
            &[("petalWidth", "2"), ("petal_length", "1")]
        ));
        assert!(!met(
            "petal width is above 1 and petal length is below 2",
            &[("petalWidth", "2"), ("petal_length", "3")]
        ));
    }

    #[test]
    fn values_are_read() {
        for clause in [
            "If colour is \"dark red\", answer x",
            "a colour of dark red means x",
            "colour is \"blue\" or \"dark red\"",
        ] {
            assert!(met(clause, &[("colour", "Dark red")]), "{clause}");
            assert!(!met(clause, &[("colour", "green")]), "{clause}");
        }
        assert!(met("colour is not \"blue\"", &[("colour", "green")]));
        assert!(met("petal_length is 3", &[("petal_length", "3.0")]));
    }
}
