//! The interface to interpreters that run code written by models.

use std::fmt;

use dspy_core::lm::BoxFuture;
use dspy_core::tools::Tool;
use serde_json::Value;

/// An interpreter for code that a model writes: the only place where such code runs.
///
/// The sandbox of the crate `dspy-sandbox` implements it. An implementation decides what code can reach; the strategies
/// grant it nothing but the tools that they pass to [`open`](Self::open).
pub trait Interpreter: fmt::Debug + Send + Sync + 'static {
    /// Opens a session: a namespace of its own, in which the tools are functions.
    ///
    /// A tool is called synchronously, from any depth, with arguments by name or in the order of its parameters. Its
    /// result is the value that the function returns, its error is raised.
    ///
    /// # Errors
    /// If no session can be opened, such as for lack of memory or a missing runtime.
    fn open(&self, tools: Vec<Tool>) -> BoxFuture<'_, Result<Box<dyn Session>, InterpreterError>>;

    /// Returns what a model has to know to write code for it: the language and its version, what is missing. It becomes
    /// part of prompts, which say themselves whether variables stay: not every strategy keeps its session.
    fn guide(&self) -> &str;
}

/// A session of an [`Interpreter`]. Variables and definitions stay from one run to the next. Dropping the session, or the
/// future of a run, stops the code.
pub trait Session: Send {
    /// Sets a variable to a JSON value.
    ///
    /// # Errors
    /// If the name is not one of the language, or the value exceeds the memory of the session.
    fn set<'s>(&'s mut self, name: &'s str, value: Value) -> BoxFuture<'s, Result<(), InterpreterError>>;

    /// Runs code. Errors of the code are part of the result.
    fn run<'s>(&'s mut self, code: &'s str) -> BoxFuture<'s, Execution>;
}

/// The result of a run of code.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Execution {
    /// The text that the code printed before it ended, up to a limit of the interpreter.
    pub stdout: String,
    /// The value of the last line if it is an expression with a JSON form, otherwise null; or why the code ended early.
    pub outcome: Result<Value, CodeError>,
    /// A remark for the author of the code, such as why the value of the last line has no JSON form. Part of what a model
    /// is shown.
    pub note: Option<String>,
    /// Whether the session had to be replaced, so that variables and definitions are lost, also those that were
    /// [set](Session::set).
    pub state_lost: bool,
}

impl Execution {
    /// Creates the result of code that ran to its end.
    pub fn done(stdout: impl Into<String>, value: impl Into<Value>) -> Self {
        Execution { stdout: stdout.into(), outcome: Ok(value.into()), note: None, state_lost: false }
    }

    /// Creates the result of code that ended early.
    pub fn failed(stdout: impl Into<String>, error: CodeError) -> Self {
        Execution { stdout: stdout.into(), outcome: Err(error), note: None, state_lost: false }
    }

    /// Adds a remark for the author of the code.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Marks the session as replaced.
    #[must_use]
    pub fn losing_state(mut self) -> Self {
        self.state_lost = true;
        self
    }
}

/// The reason why code ended before its end, worded so that a model can act on it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CodeError {
    /// The code raised an error, or does not parse.
    Raised {
        /// The kind, such as `ValueError`.
        kind: String,
        /// The message.
        message: String,
        /// The line of the code, from 1, if it is known.
        line: Option<u32>,
    },
    /// The time for one run is over.
    Timeout,
    /// The memory of the session is used up.
    Memory,
    /// The code printed more than is allowed.
    Output,
    /// The code called tools more often than is allowed.
    Calls,
    /// The code nested calls too deeply, or objects, such as a chain of them that was freed.
    Recursion,
    /// The interpreter failed.
    Crashed {
        /// The reason, as far as it is known.
        reason: String,
    },
}

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodeError::Raised { kind, message, line } => {
                f.write_str(kind)?;
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                match line {
                    Some(line) => write!(f, " (line {line})"),
                    None => Ok(()),
                }
            }
            CodeError::Timeout => f.write_str("the code ran too long and was stopped"),
            CodeError::Memory => f.write_str("the code used too much memory and was stopped"),
            CodeError::Output => f.write_str("the code printed too much and was stopped"),
            CodeError::Calls => {
                f.write_str("the code called functions of the host too often and was stopped")
            }
            CodeError::Recursion => {
                f.write_str("the code nested calls or objects too deeply and was stopped")
            }
            CodeError::Crashed { reason } => write!(f, "the interpreter failed: {reason}"),
        }
    }
}

impl std::error::Error for CodeError {}

/// An interpreter that cannot do what it was asked to, which is not the fault of the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterpreterError {
    message: String,
}

impl InterpreterError {
    /// Creates an error with a message that names the remedy.
    pub fn new(message: impl Into<String>) -> Self {
        InterpreterError { message: message.into() }
    }
}

impl fmt::Display for InterpreterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InterpreterError {}

impl From<InterpreterError> for dspy_core::Error {
    fn from(error: InterpreterError) -> Self {
        dspy_core::Error::other(error)
    }
}

impl<I: Interpreter + ?Sized> Interpreter for std::sync::Arc<I> {
    fn open(&self, tools: Vec<Tool>) -> BoxFuture<'_, Result<Box<dyn Session>, InterpreterError>> {
        (**self).open(tools)
    }

    fn guide(&self) -> &str {
        (**self).guide()
    }
}
