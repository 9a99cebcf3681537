//! The loop of a model that writes code, sees what it prints, and submits outputs.

use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Layer, with_layer};
use dspy_core::predict::Predictor;
use dspy_core::signature::{FieldSpec, Role, SignatureSpec, Values};
use dspy_core::tools::{Tool, ToolSpec};
use dspy_core::types::{Code, language};
use dspy_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::program_of_thought::set_all;
use super::{Execution, Session};
use crate::text::clipped;

/// The function by which code submits the outputs.
pub(super) const SUBMIT: &str = "submit";

/// The sentence of prompts about the variables of a session.
pub(super) const STATE: &str = "Variables, functions and imports stay from one turn to the next.";

/// The fields of a turn beside those of the signature.
pub(super) const HISTORY: &str = "repl_history";
pub(super) const REASONING: &str = "reasoning";
pub(super) const CODE: &str = "code";

/// One turn: the code and what came of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CodeTurn {
    /// The reasoning of the model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// The code that ran.
    pub code: String,
    /// The output as the model was shown it, or the reason why nothing ran.
    pub output: String,
}

/// The outputs that code has submitted.
#[derive(Debug, Clone, Default)]
pub(super) struct Submitted(Arc<Mutex<Option<Values>>>);

impl Submitted {
    pub(super) fn take(&self) -> Option<Values> {
        self.0.lock_any().take()
    }

    /// Returns the function `submit`. Outputs that `accept` refuses, or would change, and arguments that are no outputs are
    /// an error in the code; of several submissions the last one counts.
    pub(super) fn tool(&self, spec: &SignatureSpec, accept: fn(Values) -> Result<Values>) -> Tool {
        let kept = self.0.clone();
        let about =
            "Submits the outputs and ends the task once the code has run. The last submission counts.";
        let mut outputs = (**spec.reply_schema()).clone();
        outputs[dspy_base::keyword::OUTPUTS] = true.into();
        outputs["additionalProperties"] = false.into();
        let spec = ToolSpec::new(SUBMIT, about, outputs);
        Tool::from_spec(spec, move |arguments: Value| {
            let kept = kept.clone();
            async move {
                let values: Values = arguments
                    .as_object()
                    .cloned()
                    .map(|members| members.into_iter().collect())
                    .unwrap_or_default();
                let accepted = match accept(values.clone()) {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        let problems = error.as_parse().map(dspy_core::adapter::ParseError::problems_text);
                        return Err(problems.unwrap_or_else(|| error.to_string()).into());
                    }
                };
                for (name, value) in &values {
                    if let Some(number) = accepted.get(name).and_then(|accepted| rounded(value, accepted)) {
                        let problem = "is no float exactly; submit float(…) of it if it may be rounded";
                        return Err(format!("{name}: the integer {number} {problem}").into());
                    }
                }
                *kept.lock_any() = Some(values);
                Ok(Value::Null)
            }
        })
        .without_replay()
    }
}

/// Returns the first integer that has become another number.
fn rounded<'v>(value: &'v Value, accepted: &Value) -> Option<&'v serde_json::Number> {
    match (value, accepted) {
        (Value::Number(number), Value::Number(accepted)) => {
            // Numbers of 64 bits fit both.
            let exact = number.as_i128()?;
            let float = accepted.as_f64().filter(|_| accepted.is_f64())?;
            (float as i128 != exact).then_some(number)
        }
        (Value::Array(items), Value::Array(accepted)) => {
            items.iter().zip(accepted).find_map(|(item, accepted)| rounded(item, accepted))
        }
        (Value::Object(members), Value::Object(accepted)) => {
            members.iter().find_map(|(name, member)| rounded(member, accepted.get(name)?))
        }
        _ => None,
    }
}

/// A session, and the predictor that writes code for it.
pub(super) struct Repl<'a> {
    pub(super) step: &'a Predictor,
    pub(super) session: Box<dyn Session>,
    pub(super) submitted: Submitted,
    /// The variables that the session has initially, and again once it has lost them.
    pub(super) variables: &'a Values,
    /// The inputs of every turn.
    pub(super) inputs: Values,
    pub(super) turns: usize,
    pub(super) output_bytes: usize,
    /// The layer around the calls of models that code makes.
    pub(super) guard: Option<Arc<dyn Layer>>,
    /// The time at which the turns end, whatever is in flight.
    pub(super) deadline: Option<Instant>,
}

/// The turns of a loop, and the outputs if they were submitted.
#[derive(Default)]
pub(super) struct Transcript {
    pub(super) turns: Vec<CodeTurn>,
    pub(super) outputs: Option<Values>,
}

impl Repl<'_> {
    /// Runs turns until outputs are submitted or the turns are used up. `more` returns further inputs of a turn, or
    /// `None` to end the loop.
    pub(super) async fn run(
        mut self,
        more: impl Fn(usize) -> Option<Vec<(&'static str, Value)>> + Send,
    ) -> Result<Transcript> {
        let mut transcript = Transcript::default();
        let mut lost = false;
        for turn in 0..self.turns {
            let Some(more) = more(turn) else { break };
            let mut inputs = self.inputs.clone();
            inputs.insert(HISTORY.to_owned(), told(&transcript.turns).into());
            inputs.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
            let Some(written) = until(self.deadline, self.step.call(inputs)).await else { break };
            let values = match written {
                Ok(prediction) => prediction.into_output(),
                Err(Error::Parse(error)) => {
                    let output = format!("(the last reply could not be read: {})", error.problems_text());
                    transcript.turns.push(CodeTurn {
                        output: clipped(&output, self.output_bytes),
                        ..CodeTurn::default()
                    });
                    continue;
                }
                Err(error) => return Err(error),
            };
            let text = |name: &str| values.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (reasoning, code) = (text(REASONING), text(CODE));
            if std::mem::take(&mut lost) {
                set_all(&mut *self.session, self.variables).await?;
            }
            let run = self.session.run(&code);
            let run = match &self.guard {
                Some(guard) => until(self.deadline, with_layer(guard.clone(), run)).await,
                None => until(self.deadline, run).await,
            };
            let output = match run {
                Some(execution) => {
                    lost = execution.state_lost;
                    clipped(&output_of(&execution), self.output_bytes)
                }
                None => "(stopped, because the time is over)".to_owned(),
            };
            transcript.turns.push(CodeTurn { reasoning, code, output });
            if let Some(outputs) = self.submitted.take() {
                transcript.outputs = Some(outputs);
                break;
            }
        }
        Ok(transcript)
    }
}

/// Awaits a future, at most until the deadline.
async fn until<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// Returns the inputs and outputs of a turn, beside those of the signature.
pub(super) fn turn_fields() -> [FieldSpec; 3] {
    [
        FieldSpec::text(Role::Input, HISTORY, "The code that ran so far, and what it printed."),
        FieldSpec::text(
            Role::Output,
            REASONING,
            "What is known, and what the next code is to find out or do.",
        ),
        FieldSpec::of::<Code<language::Python>>(Role::Output, CODE, "The code to run next."),
    ]
}

/// Returns the result of code as the model reads it.
pub(super) fn output_of(execution: &Execution) -> String {
    let mut text = execution.stdout.clone();
    let mut line = |line: &str| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
    };
    match &execution.outcome {
        Ok(Value::Null) => {}
        Ok(Value::String(value)) => line(value),
        Ok(value) => line(&value.to_string()),
        Err(error) => line(&error.to_string()),
    }
    if let Some(note) = &execution.note {
        line(&format!("({note})"));
    }
    if execution.state_lost {
        line(
            "(the session was replaced: the variables, functions and imports of the code are lost, the inputs are there)",
        );
    }
    // The line end of the last line is no part of it.
    if text.ends_with('\n') {
        text.pop();
    }
    if text.is_empty() { "(no output)".to_owned() } else { text }
}

/// Returns the turns as the model reads them.
pub(super) fn told(turns: &[CodeTurn]) -> String {
    if turns.is_empty() {
        return "(nothing yet)".to_owned();
    }
    let mut text = String::new();
    for (index, CodeTurn { reasoning, code, output }) in turns.iter().enumerate() {
        text.push_str(&format!("Turn {}\n", index + 1));
        if !reasoning.is_empty() {
            text.push_str(&format!("{reasoning}\n"));
        }
        if !code.is_empty() {
            let fence = fence_for(code);
            text.push_str(&format!("{fence}python\n{}\n{fence}\n", code.trim_end()));
        }
        // Printed text could look like further turns.
        let fence = fence_for(output);
        text.push_str(&format!("Output:\n{fence}\n{}\n{fence}\n\n", output.trim_end_matches('\n')));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Returns a fence of backticks that the text does not contain.
fn fence_for(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}
