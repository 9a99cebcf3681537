//! Strategies that let models write code, and the interface to what runs it.

mod code_act;
mod interpreter;
mod program_of_thought;
mod repl;
mod rlm;

use dspy_core::signature::{FieldSpec, Role, SignatureSpec};
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
