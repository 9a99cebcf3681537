//! Strategies that let models write code, and the interface to what runs it.

mod interpreter;

pub use interpreter::{CodeError, Execution, Interpreter, InterpreterError, Session};
