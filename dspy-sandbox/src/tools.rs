//! Tools as functions of the interpreter.

use std::panic::AssertUnwindSafe;

use dspy_core::lm::BoxFuture;
use dspy_core::tools::{Tool, ToolError};
use dspy_strategies::InterpreterError;
use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};

use crate::pending::Reply;
use crate::strict;

/// The tools of a session, and how often and with how much they may be called.
#[derive(Debug)]
pub(crate) struct Tools {
    all: Vec<Tool>,
    calls: usize,
    max_calls: usize,
    max_bytes: usize,
    /// Whether a call was refused since the last run began.
    pub(crate) refused: bool,
}

impl Tools {
    /// Checks that the tools can be called from Python.
    pub(crate) fn new(
        tools: Vec<Tool>,
        max_calls: usize,
        max_bytes: usize,
    ) -> Result<Self, InterpreterError> {
        for (at, tool) in tools.iter().enumerate() {
            let name = tool.name();
            if !is_name(name) {
                return Err(InterpreterError::new(format!(
                    "the tool `{name}` has a name that Python cannot call; rename it to letters, digits and `_`"
                )));
            }
            if is_special(name) {
                return Err(InterpreterError::new(format!(
                    "the tool `{name}` has a name that belongs to Python; rename it"
                )));
            }
            if tools[..at].iter().any(|other| other.name() == name) {
                return Err(InterpreterError::new(format!("duplicate tool `{name}`; rename one of them")));
            }
        }
        Ok(Tools { all: tools, calls: 0, max_calls, max_bytes, refused: false })
    }

    pub(crate) fn none() -> Self {
        Tools { all: Vec::new(), calls: 0, max_calls: 0, max_bytes: 0, refused: false }
    }

    pub(crate) fn begin(&mut self) {
        self.calls = 0;
        self.refused = false;
    }

    pub(crate) fn limit_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Describes the tools to the interpreter.
    pub(crate) fn described(&self) -> Value {
        let described = self.all.iter().map(|tool| {
            let spec = tool.spec();
            json!({"name": spec.name, "doc": spec.description, "parameters": parameters(tool)})
        });
        described.collect()
    }

    /// Calls a tool: its name, the arguments by position and those by name. Returns the future of its reply, as JSON.
    ///
    /// # Errors
    /// The reply to a call that is refused.
    pub(crate) fn call(&mut self, call: &Value) -> Result<BoxFuture<'static, Reply>, Reply> {
        let (tool, arguments) = self.checked(call).map_err(|reply| reply.to_string().into_bytes())?;
        let max_bytes = self.max_bytes;
        Ok(Box::pin(async move {
            match result(&tool, &arguments, max_bytes).await {
                Ok(value) => [b"{\"value\":", value.as_slice(), b"}"].concat(),
                Err(reply) => reply.to_string().into_bytes(),
            }
        }))
    }

    fn checked(&mut self, call: &Value) -> Result<(Tool, Value), Value> {
        let (Some(name), Some(positional), Some(named)) =
            (call[0].as_str(), call[1].as_array(), call[2].as_object())
        else {
            return Err(json!({"error": "no call"}));
        };
        let Some(tool) = self.all.iter().find(|tool| tool.name() == name) else {
            return Err(json!({"error": format!("there is no tool `{name}`")}));
        };
        if self.calls >= self.max_calls {
            self.refused = true;
            return Err(json!({"stop": "calls"}));
        }
        self.calls += 1;
        let arguments = arguments(tool, positional, named);
        let arguments =
            arguments.map(Value::Object).map_err(|message| json!({"error": message, "type": true}))?;
        if tool.needs_approval(&arguments) {
            return Err(json!({"error": format!("{name}() needs an approval, which code cannot wait for")}));
        }
        Ok((tool.clone(), arguments))
    }
}

async fn result(tool: &Tool, arguments: &Value, max_bytes: usize) -> Result<Vec<u8>, Value> {
    let name = tool.name();
    match AssertUnwindSafe(tool.call(arguments)).catch_unwind().await {
        Ok(Ok(value)) => {
            let written = strict::write(&value, max_bytes);
            strict::drop_deep(value);
            written.map_err(
                |problem| json!({"error": format!("the result of {name}() is too large: {problem}")}),
            )
        }
        Ok(Err(error)) => {
            let message = error.to_string();
            let is_type = matches!(error, ToolError::Arguments { .. });
            Err(json!({"error": &message[..message.floor_char_boundary(10_000)], "type": is_type}))
        }
        Err(_) => Err(json!({"error": format!("{name}() panicked")})),
    }
}

/// Returns the names of the parameters in the order of the schema.
fn parameters(tool: &Tool) -> Vec<&str> {
    let properties = tool.spec().parameters.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(Map::keys).map(String::as_str).collect()
}

fn arguments(
    tool: &Tool,
    positional: &[Value],
    named: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let (name, parameters) = (tool.name(), parameters(tool));
    if positional.len() > parameters.len() {
        let (most, given) = (parameters.len(), positional.len());
        return Err(format!("{name}() takes {most} arguments but {given} were given"));
    }
    let mut arguments = named.clone();
    for (parameter, value) in parameters.iter().zip(positional) {
        if arguments.insert((*parameter).to_owned(), value.clone()).is_some() {
            return Err(format!("{name}() got multiple values for argument '{parameter}'"));
        }
    }
    Ok(arguments)
}

/// Returns whether Python takes it as a name.
pub(crate) fn is_name(name: &str) -> bool {
    const KEYWORDS: [&str; 35] = [
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
        "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in",
        "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    ];
    let first = |c: char| c == '_' || c.is_alphabetic();
    name.starts_with(first)
        && name.chars().all(|c| first(c) || c.is_numeric())
        && name.len() <= 200
        && !KEYWORDS.contains(&name)
}

/// Returns whether the name is one that Python uses itself, such as `__builtins__`.
pub(crate) fn is_special(name: &str) -> bool {
    name.starts_with("__") && name.ends_with("__")
}
