//! `CodeAct`: an agent whose actions are code.

use std::fmt;
use std::sync::Arc;

use dspy_core::predict::{Predict, Prediction, Predictor};
use dspy_core::program::{Module, ProgramShape};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::signature::{FieldSpec, Fields as _, Role, Signature, SignatureSpec};
use dspy_core::tools::{Tool, check_names};
use dspy_core::{Error, Result};

use super::program_of_thought::set_all;
use super::repl::{self, CODE, HISTORY, REASONING, Repl, STATE, SUBMIT, Submitted, turn_fields};
use super::{Interpreter, check_fields, described};
use crate::visit::{InPredict, visits_fields};

/// A strategy that lets the model act by code, turn by turn: the tools are functions of the code, the inputs are
/// variables, and variables stay from one turn to the next.
///
/// The code ends the run by `submit` with the outputs by name, which are checked against the signature like a reply. If the
/// turns are used up first, the predictor `extractor.predict` reads the outputs from the turns.
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::program::Module;
/// use dspy::signature::Signature;
/// use dspy::tools::Tool;
/// use dspy_strategies::{CodeAct, Interpreter};
///
/// async fn act<S: Signature>(input: S::Input, tools: Vec<Tool>, python: impl Interpreter) -> dspy::Result<S::Output> {
///     Ok(CodeAct::<S>::new(tools, python)?.max_turns(5).call(input).await?.into_output())
/// }
/// ```
///
/// [`Prediction::added`] has the `trajectory`, a list of [`CodeTurn`](super::CodeTurn)s.
///
/// Source: Wang et al., "Executable Code Actions Elicit Better LLM Agents" (2024).
pub struct CodeAct<S> {
    codeact: Predictor,
    extractor: InPredict<Predict<S>>,
    tools: Arc<[Tool]>,
    interpreter: Arc<dyn Interpreter>,
    turns: usize,
    output_bytes: usize,
}

impl<S: Signature> CodeAct<S> {
    /// Creates the agent.
    ///
    /// # Errors
    /// If two tools have the same name or one is named `submit`, one needs an approval for every call, or the
    /// signature has a field named `repl_history`, `reasoning` or `code` or like a keyword of Python, or an input with the
    /// name of a tool.
    pub fn new(tools: impl IntoIterator<Item = Tool>, interpreter: impl Interpreter) -> Result<Self> {
        let tools: Arc<[Tool]> = tools.into_iter().collect();
        let interpreter: Arc<dyn Interpreter> = Arc::new(interpreter);
        let spec = S::spec();
        check_tools(&tools, &[SUBMIT], spec)?;
        check_fields(spec, &[HISTORY, REASONING, CODE])?;
        let list = |fields: &mut dyn Iterator<Item = &FieldSpec>| {
            fields.map(|field| format!("`{}`", field.name())).collect::<Vec<_>>().join(", ")
        };
        let (inputs, outputs) = (list(&mut spec.inputs()), list(&mut spec.outputs()));
        let instruction = format!(
            "{}\n\nWork on this task by Python code, turn by turn: each turn runs code and shows what it prints. The inputs \
             are variables: {inputs}. {STATE} Once everything is known, call `{SUBMIT}(…)` in the code, with {outputs} as arguments \
             by name.\n{}\n{}",
            spec.instruction(),
            described(&tools),
            interpreter.guide()
        );
        let turn = SignatureSpec::new(spec.name(), instruction, spec.inputs().cloned().chain(turn_fields()));
        let turn = turn.with_turns_of(spec);
        let extract = spec
            .as_ref()
            .clone()
            .append(FieldSpec::text(
                Role::Input,
                HISTORY,
                "The code that ran for the task, and what it printed.",
            ))
            .prepend(FieldSpec::text(Role::Output, REASONING, "The steps from the turns to the outputs."));
        Ok(CodeAct {
            codeact: Predictor::new(turn),
            extractor: InPredict { predict: Predict::over(extract)? },
            tools,
            interpreter,
            turns: 5,
            output_bytes: 10_000,
        })
    }
}

/// Checks that tools have names of their own, and that code can call them.
pub(super) fn check_tools(tools: &[Tool], reserved: &[&str], spec: &SignatureSpec) -> Result<()> {
    check_names(tools.iter().map(Tool::name), reserved).map_err(Error::other)?;
    for tool in tools {
        let name = tool.name();
        if spec.inputs().any(|input| input.name() == name) {
            return Err(Error::other(format!(
                "`{name}` is a tool and an input, but both are names in the code; rename one"
            )));
        }
        if tool.always_needs_approval() {
            return Err(Error::other(format!(
                "the tool `{name}` needs approvals, which code cannot wait for; use an agent that can, such as `ReAct`, or \
                 require an approval for some calls only"
            )));
        }
    }
    Ok(())
}

impl<S> CodeAct<S> {
    /// Sets the maximum number of turns. Default: 5.
    #[must_use]
    pub fn max_turns(mut self, turns: usize) -> Self {
        self.turns = turns;
        self
    }

    /// Sets the size in bytes beyond which the output of a turn loses its middle. Default: 10,000.
    #[must_use]
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.output_bytes = bytes;
        self
    }
}

impl<S: Signature> Module for CodeAct<S> {
    type Input = S::Input;
    type Output = S::Output;

    async fn forward(&self, input: S::Input) -> Result<Prediction<S::Output>> {
        let inputs = input.to_values()?;
        let submitted = Submitted::default();
        let accept = |values| Ok(Predict::<S>::accept(values)?.to_values()?);
        let tools = self.tools.iter().cloned().chain([submitted.tool(S::spec(), accept)]);
        let mut session = self.interpreter.open(tools.collect()).await?;
        set_all(&mut *session, &inputs).await?;
        let (step, turns, output_bytes) = (&self.codeact, self.turns, self.output_bytes);
        let repl = Repl {
            step,
            session,
            submitted,
            variables: &inputs,
            inputs: inputs.clone(),
            turns,
            output_bytes,
            guard: None,
            deadline: None,
        };
        let transcript = repl.run(|_| Some(Vec::new())).await?;
        let prediction = match transcript.outputs {
            Some(values) => Predict::<S>::accept(values)?,
            None => {
                let told = repl::told(&transcript.turns);
                self.extractor.predict.call_with(input, [(HISTORY, told)]).await?
            }
        };
        let turns = serde_json::to_value(&transcript.turns).map_err(Error::other)?;
        Ok(prediction.with_added("trajectory", turns))
    }
}

visits_fields! {
    [S: Signature] CodeAct<S>,
    [Depth: DepthOf, S: Signature] {
        codeact: Predictor => &ProgramShape::Predictor(None),
        extractor: InPredict<Predict<S>> => InPredict::<Predict<S>>::TYPED,
    }
}

impl<S> Clone for CodeAct<S> {
    fn clone(&self) -> Self {
        CodeAct {
            codeact: self.codeact.clone(),
            extractor: self.extractor.clone(),
            tools: self.tools.clone(),
            interpreter: self.interpreter.clone(),
            turns: self.turns,
            output_bytes: self.output_bytes,
        }
    }
}

impl<S> fmt::Debug for CodeAct<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<_> = self.tools.iter().map(Tool::name).collect();
        f.debug_struct("CodeAct").field("tools", &tools).field("turns", &self.turns).finish_non_exhaustive()
    }
}
