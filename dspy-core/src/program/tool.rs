//! Programs as tools.

use std::sync::Arc;

use serde_json::Value;

use super::Module;
use crate::error::Error;
use crate::signature::Fields;
use crate::tools::{Tool, ToolSpec};

impl Tool {
    /// Creates a tool that runs a program, such as an agent with tools and limits of its own. The inputs of the program
    /// are the parameters; its outputs are the result.
    ///
    /// Calls inside an agent that need approval wait for it if the tool belongs to an agent, too, and the program is the
    /// agent itself; see the
    /// [guide](https://docs.rs/dspy/latest/dspy/guide/agents/index.html).
    ///
    /// ```
    /// # use dspy_core as dspy;
    /// use dspy::predict::ChainOfThought;
    /// use dspy::signature::Signature;
    /// use dspy::tools::Tool;
    ///
    /// fn expert<S: Signature>() -> Tool {
    ///     Tool::of_program("expert", "Answers questions about taxes.", ChainOfThought::<S>::new())
    /// }
    /// ```
    pub fn of_program<M>(name: impl Into<String>, description: impl Into<String>, program: M) -> Self
    where
        M: Module<Input: Fields, Output: Fields> + 'static,
    {
        let spec = ToolSpec::new(name, description, M::Input::signature().input_schema());
        let pauses = program.pauses();
        let program = Arc::new(program);
        let tool = Self::from_spec(spec, move |arguments| {
            let program = program.clone();
            async move {
                let arguments = arguments.as_object().cloned().unwrap_or_default();
                let input = M::Input::from_values(arguments.into_iter().collect())?;
                let output = program.call(input).await.map_err(Error::into_box)?;
                Ok(Value::Object(output.to_values()?.into_iter().collect()))
            }
        });
        tool.pausing(pauses)
    }
}
