//! Code in backtick fences, so that it reads back exactly. The decoder reads it.

use serde_json::Value;

use crate::signature::FieldSpec;
use dspy_base::keyword;

/// The smallest number of backticks in a fence.
const SHORTEST: usize = 3;

/// Returns `code` in a fence that nothing in it can close.
pub(super) fn fenced(field: &FieldSpec, code: &str) -> String {
    let mut runs = code.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.by_ref().max().map_or(SHORTEST, |longest| SHORTEST.max(longest + 1)));
    let language = field.schema().get(keyword::LANGUAGE).and_then(Value::as_str).unwrap_or_default();
    let is_word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_');
    let language: String = language.to_ascii_lowercase().chars().take_while(is_word).collect();
    format!("{fence}{language}\n{code}\n{fence}")
}

/// Returns `code` in a fence only if it would be read differently without one, for fields that accept both.
pub(super) fn fenced_if_needed(field: &FieldSpec, code: &str) -> String {
    let read = field.plan().ok().and_then(|plan| plan.coerce(code.into()).ok());
    if read.is_none_or(|read| read.value == code) { code.to_owned() } else { fenced(field, code) }
}

/// Returns whether `text` may contain a fence.
pub(super) fn has_fence(text: &str) -> bool {
    text.contains("```") || text.contains("~~~")
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

    proptest! {
        #[test]
        fn what_is_fenced_reads_back(code in "[`a \r\n~]{0,24}") {
            let (field, value) = (field(), Value::from(code.as_str()));
            let plan = field.plan().unwrap();
            prop_assert_eq!(&plan.decode(&fenced(&field, &code)).unwrap().value, &value);
            prop_assert_eq!(&plan.coerce(fenced_if_needed(&field, &code).into()).unwrap().value, &value);
        }
    }

    #[test]
    fn the_language_is_named() {
        assert_eq!(fenced(&field(), "a"), "```c++\na\n```");
    }
}
