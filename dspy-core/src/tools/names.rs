//! The names of tools.

/// The maximum length of a name, for endpoints that limit it.
const LONGEST: usize = 64;

/// The reason why tools cannot be offered to a model together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolNameError {
    /// The name is empty, too long, or has characters that endpoints refuse.
    #[error(
        "`{}` cannot be the name of a tool; write up to 64 letters from a to z, digits, `_` and `-`",
        .name.escape_debug()
    )]
    Invalid {
        /// The name.
        name: String,
    },
    /// Two tools have the same name.
    #[error("two tools are named `{name}`; rename one")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The names of two tools differ only in case, so that a model confuses them.
    #[error("the names of the tools `{first}` and `{second}` differ only in case; rename one")]
    OnlyCase {
        /// The name of the first tool.
        first: String,
        /// The name of the second tool.
        second: String,
    },
    /// The name has a meaning of its own where the tool is used.
    #[error(
        "no tool can be named `{name}` here, because a call of `{reserved}` has a meaning of its own; rename it, with \
         `#[tool(name = \"…\")]` on a function"
    )]
    Reserved {
        /// The name of the tool.
        name: String,
        /// The name that it would be taken for.
        reserved: String,
    },
}

/// Checks the names of tools that a model is offered together: they have 1 to 64 letters, digits, `_` and `-`, and differ
/// in more than case from each other and from the `reserved` names.
///
/// ```
/// use dspy_core::tools::{ToolNameError, check_names};
/// assert_eq!(check_names(["look", "look_up"], &["finish"]), Ok(()));
/// assert!(matches!(check_names(["Finish"], &["finish"]), Err(ToolNameError::Reserved { .. })));
/// assert!(matches!(check_names(["look up"], &[]), Err(ToolNameError::Invalid { .. })));
/// ```
///
/// # Errors
/// If a name breaks a rule; see [`ToolNameError`].
pub fn check_names<'n>(
    names: impl IntoIterator<Item = &'n str>,
    reserved: &[&str],
) -> Result<(), ToolNameError> {
    let mut known: std::collections::HashMap<String, &str> = std::collections::HashMap::new();
    for name in names {
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(valid) {
            return Err(ToolNameError::Invalid { name: name.chars().take(LONGEST).collect() });
        }
        if let Some(taken) = reserved.iter().find(|taken| taken.eq_ignore_ascii_case(name)) {
            return Err(ToolNameError::Reserved { name: name.to_owned(), reserved: (*taken).to_owned() });
        }
        match known.insert(name.to_ascii_lowercase(), name) {
            Some(first) if first == name => return Err(ToolNameError::Duplicate { name: name.to_owned() }),
            Some(first) => {
                return Err(ToolNameError::OnlyCase { first: first.to_owned(), second: name.to_owned() });
            }
            None => {}
        }
    }
    Ok(())
}
