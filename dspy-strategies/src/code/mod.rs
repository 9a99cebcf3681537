//! Strategies that let models write code, and the interface to what runs it.

mod code_act;
mod interpreter;
mod program_of_thought;
mod repl;
mod rlm;

use dspy_core::signature::{FieldError, FieldSpec, Role, SignatureSpec};
use dspy_core::tools::Tool;

pub use code_act::CodeAct;
pub use interpreter::{CodeError, Execution, Interpreter, InterpreterError, Session};
pub use program_of_thought::ProgramOfThought;
pub use repl::CodeTurn;
pub use rlm::Rlm;

/// Describes tools as functions of the code.
fn described(tools: &[Tool]) -> String {
    if tools.is_empty() {
        return String::new();
    }
    let mut text = "The code can call these functions, with arguments by name:\n".to_owned();
    for tool in tools {
        let spec = tool.spec();
        let field = FieldSpec::new(Role::Input, "arguments", "", spec.parameters.clone());
        let notation = SignatureSpec::new("", "", [field.clone()]);
        let shown =
            notation.field("arguments").map(|field| field.type_text().notation.clone()).unwrap_or_default();
        text.push_str(&format!(
            "- {}: {}\n  arguments: {}\n",
            spec.name,
            spec.description.replace('\n', "\n  "),
            shown.replace('\n', "\n  ")
        ));
    }
    text
}

/// The words that cannot be names in Python.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Checks that the names of the fields are left for them, and can be names of variables and arguments.
fn check_fields(spec: &SignatureSpec, reserved: &[&str]) -> Result<(), FieldError> {
    for field in spec.inputs().chain(spec.outputs()) {
        let name = field.name();
        if reserved.contains(&name) {
            let message = "the strategy needs this name for a field of its own; rename the field";
            return Err(FieldError::new(name, message));
        }
        if KEYWORDS.contains(&name) {
            let message = "the name is a keyword of Python, so that code cannot use it; rename the field";
            return Err(FieldError::new(name, message));
        }
    }
    Ok(())
}
