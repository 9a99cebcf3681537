//! Display of types.

use std::fmt;

use crate::type_text::TypeText;

/// Writes the notation with its constraints, described choices and the named types that it mentions, as in
/// prompts.
///
/// ```
/// let plan = dspy_decode::Plan::new(&serde_json::json!({"type": "array", "items": {"type": "number"}}))?;
/// assert_eq!(plan.type_text().to_string(), "number[]");
/// # Ok::<(), dspy_decode::SchemaError>(())
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
