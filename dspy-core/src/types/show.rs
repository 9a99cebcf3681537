//! Types for people.

use std::fmt;

use super::TypeText;

/// The notation with its constraints, described choices and the types that it mentions by name, as prompts show them.
///
/// ```
/// use dspy_core::signature::SignatureSpec;
/// let spec: SignatureSpec = "question -> scores: list[float]".parse()?;
/// assert_eq!(spec.field("scores").unwrap().type_text().to_string(), "number[]");
/// # Ok::<(), dspy_core::signature::GrammarError>(())
/// ```
impl fmt::Display for TypeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.notation)?;
        if !self.constraints.is_empty() {
            write!(f, " ({})", self.constraints.join("; "))?;
        }
        for (choice, description) in &self.choices {
            write!(f, "\n- {choice}: {description}")?;
        }
        for (name, text) in &self.definitions {
            write!(f, "\n{name} = {text}")?;
        }
        Ok(())
    }
}
