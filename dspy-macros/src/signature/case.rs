//! The values of `rename_all`, with serde's meaning.

/// All cases that serde supports, by name.
pub(crate) const CASES: [&str; 8] = [
    "lowercase",
    "UPPERCASE",
    "PascalCase",
    "camelCase",
    "snake_case",
    "SCREAMING_SNAKE_CASE",
    "kebab-case",
    "SCREAMING-KEBAB-CASE",
];

/// Converts `field` from snake case to the case of that name; `None` if there is no such case.
pub(crate) fn rename(field: &str, case: &str) -> Option<String> {
    Some(match case {
        "lowercase" | "snake_case" => field.to_owned(),
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => field.to_ascii_uppercase(),
        "PascalCase" => pascal(field),
        "camelCase" => {
            let pascal = pascal(field);
            let mut rest = pascal.chars();
            rest.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(rest).collect()
        }
        "kebab-case" => field.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => field.to_ascii_uppercase().replace('_', "-"),
        _ => return None,
    })
}

/// Converts `variant` from Pascal case to the case of that name; `None` if there is no such case.
pub(crate) fn rename_variant(variant: &str, case: &str) -> Option<String> {
    let snake = || {
        let mut name = String::with_capacity(variant.len() + 4);
        for (at, c) in variant.char_indices() {
            if at > 0 && c.is_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    };
    Some(match case {
        "lowercase" => variant.to_ascii_lowercase(),
        "UPPERCASE" => variant.to_ascii_uppercase(),
        "PascalCase" => variant.to_owned(),
        "camelCase" => {
            let mut rest = variant.chars();
            rest.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(rest).collect()
        }
        "snake_case" => snake(),
        "SCREAMING_SNAKE_CASE" => snake().to_ascii_uppercase(),
        "kebab-case" => snake().replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => snake().to_ascii_uppercase().replace('_', "-"),
        _ => return None,
    })
}

fn pascal(field: &str) -> String {
    let mut name = String::with_capacity(field.len());
    for word in field.split('_') {
        let mut rest = word.chars();
        name.extend(rest.next().map(|first| first.to_ascii_uppercase()));
        name.extend(rest);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case() {
        let names: Vec<String> = CASES.iter().filter_map(|case| rename("final_answer", case)).collect();
        let expected = [
            "final_answer",
            "FINAL_ANSWER",
            "FinalAnswer",
            "finalAnswer",
            "final_answer",
            "FINAL_ANSWER",
            "final-answer",
            "FINAL-ANSWER",
        ];
        assert_eq!(names, expected);
        let names: Vec<String> =
            CASES.iter().filter_map(|case| rename_variant("FinalAnswer", case)).collect();
        let expected = [
            "finalanswer",
            "FINALANSWER",
            "FinalAnswer",
            "finalAnswer",
            "final_answer",
            "FINAL_ANSWER",
            "final-answer",
            "FINAL-ANSWER",
        ];
        assert_eq!(names, expected);
    }
}
