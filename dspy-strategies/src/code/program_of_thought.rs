//! `ProgramOfThought`: the outputs are computed by code that the model writes.

use std::fmt;
use std::sync::Arc;

use dspy_core::predict::{Predict, Prediction, Predictor};
use dspy_core::program::{Module, Settings};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::signature::{FieldError, FieldSpec, Fields as _, Role, Signature, SignatureSpec, Values};
use dspy_core::types::{Code, language};
use dspy_core::{Error, Result};
use serde_json::Value;

use super::repl::{self, REASONING, SUBMIT, Submitted};
use super::{Execution, Interpreter, check_fields};
use crate::text::clipped;
use crate::visit::{InPredict, visits_fields};

const GENERATED: &str = "generated_code";
const PREVIOUS: &str = "previous_code";
const ERROR: &str = "error";
const FINAL: &str = "final_generated_code";
const OUTPUT: &str = "code_output";

/// A strategy in which the model writes code that computes the outputs; an [`Interpreter`] runs it.
///
/// Code that fails is written again, with its error. Code may call `submit` with the outputs by name; they are checked
/// against the signature like a reply, and no further call is made. Otherwise the model reads the outputs from what the
/// code printed.
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::program::Module;
/// use dspy::signature::Signature;
/// use dspy_strategies::{Interpreter, ProgramOfThought};
///
/// async fn compute<S: Signature>(input: S::Input, python: impl Interpreter) -> dspy::Result<S::Output> {
///     Ok(ProgramOfThought::<S>::new(python)?.call(input).await?.into_output())
/// }
/// ```
///
/// [`Prediction::added`] has the `code` and its `code_output`.
///
/// Source: Chen et al., "Program of Thoughts Prompting: Disentangling Computation from Reasoning for Numerical Reasoning
/// Tasks" (2022).
pub struct ProgramOfThought<S> {
    code_generate: InPredict<Predictor>,
    code_regenerate: InPredict<Predictor>,
    generate_output: InPredict<Predict<S>>,
    interpreter: Arc<dyn Interpreter>,
    attempts: usize,
    output_bytes: usize,
}

impl<S: Signature> ProgramOfThought<S> {
    /// Creates the strategy.
    ///
    /// # Errors
    /// If the signature has a field with the name of one that the strategy adds: `generated_code`, `previous_code`,
    /// `error`, `final_generated_code`, `code_output`, `reasoning`. If a field is named like a keyword of Python.
    pub fn new(interpreter: impl Interpreter) -> Result<Self, FieldError> {
        let spec = S::spec();
        let interpreter: Arc<dyn Interpreter> = Arc::new(interpreter);
        check_fields(spec, &[GENERATED, PREVIOUS, ERROR, FINAL, OUTPUT, REASONING])?;
        let answer = spec
            .as_ref()
            .clone()
            .append(FieldSpec::of::<Code<language::Python>>(
                Role::Input,
                FINAL,
                "Code that was written for the task.",
            ))
            .append(FieldSpec::text(Role::Input, OUTPUT, "What the code printed."))
            .prepend(FieldSpec::text(
                Role::Output,
                REASONING,
                "The steps from the output of the code to the outputs.",
            ));
        Ok(ProgramOfThought {
            code_generate: InPredict { predict: Predictor::new(writing(spec, &*interpreter, false)) },
            code_regenerate: InPredict { predict: Predictor::new(writing(spec, &*interpreter, true)) },
            generate_output: InPredict { predict: Predict::over(answer)? },
            interpreter,
            attempts: 3,
            output_bytes: 10_000,
        })
    }
}

impl<S> ProgramOfThought<S> {
    /// Sets the maximum number of times that code is written, at least one. Default: 3.
    #[must_use]
    pub fn max_attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets the size in bytes beyond which the output of code loses its middle. Default: 10,000.
    #[must_use]
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.output_bytes = bytes;
        self
    }
}

fn writing(spec: &SignatureSpec, interpreter: &dyn Interpreter, again: bool) -> SignatureSpec {
    let names = |fields: &mut dyn Iterator<Item = &FieldSpec>| {
        fields.map(|field| format!("`{}`", field.name())).collect::<Vec<_>>().join(", ")
    };
    let (inputs, outputs) = (names(&mut spec.inputs()), names(&mut spec.outputs()));
    let repair = if again {
        " Earlier code failed; correct it and write all of it: nothing that it has defined is left."
    } else {
        ""
    };
    let instruction = format!(
        "{}\n\nWrite Python code that computes the outputs: {outputs}.{repair} The inputs are variables: {inputs}. End with \
         `{SUBMIT}(…)`, with the outputs as arguments by name.\n{}",
        spec.instruction(),
        interpreter.guide()
    );
    let code = |role, name, about| FieldSpec::of::<Code<language::Python>>(role, name, about);
    let mut fields: Vec<FieldSpec> = spec.inputs().cloned().collect();
    if again {
        fields.push(code(Role::Input, PREVIOUS, "The code that failed."));
        fields.push(FieldSpec::text(Role::Input, ERROR, "Its error."));
    }
    fields.push(FieldSpec::text(Role::Output, REASONING, "How the outputs can be computed."));
    fields.push(code(Role::Output, GENERATED, "The code."));
    SignatureSpec::new(spec.name(), instruction, fields).with_turns_of(spec)
}

impl<S: Signature> Module for ProgramOfThought<S> {
    type Input = S::Input;
    type Output = S::Output;

    async fn forward(&self, input: S::Input) -> Result<Prediction<S::Output>> {
        let inputs = input.to_values()?;
        let mut failed: Option<(String, Execution)> = None;
        for attempt in 0..self.attempts as u64 {
            let mut given = inputs.clone();
            let step = match &failed {
                None => &self.code_generate,
                Some((code, execution)) => {
                    given.insert(PREVIOUS.to_owned(), code.as_str().into());
                    let error = clipped(&repl::output_of(execution), self.output_bytes);
                    given.insert(ERROR.to_owned(), error.into());
                    &self.code_regenerate
                }
            };
            // Code that fails as before is asked about as before; the answer is to be another one.
            let settings = Settings::new().sample(attempt.saturating_sub(1));
            let written = settings.scope(step.predict.call(given)).await?.into_output();
            let code = written.get(GENERATED).and_then(Value::as_str).unwrap_or_default().to_owned();
            let submitted = Submitted::default();
            let accept = |values| Ok(Predict::<S>::accept(values)?.to_values()?);
            let mut session = self.interpreter.open(vec![submitted.tool(S::spec(), accept)]).await?;
            set_all(&mut *session, &inputs).await?;
            let execution = session.run(&code).await;
            let output = clipped(&repl::output_of(&execution), self.output_bytes);
            let with_code = |prediction: Prediction<S::Output>| {
                prediction.with_added("code", code.as_str()).with_added(OUTPUT, output.as_str())
            };
            if let Some(values) = submitted.take() {
                return Ok(with_code(Predict::<S>::accept(values)?));
            }
            if execution.outcome.is_ok() {
                let added = [(FINAL, code.as_str()), (OUTPUT, output.as_str())];
                return Ok(with_code(self.generate_output.predict.call_with(input, added).await?));
            }
            failed = Some((code, execution));
        }
        let error = match failed.map(|(_, execution)| execution.outcome) {
            Some(Err(error)) => error.to_string(),
            _ => "there was no attempt".to_owned(),
        };
        Err(Error::other(format!(
            "no code of {} attempts ran to its end; the last error was: {error}",
            self.attempts
        )))
    }
}

/// Returns the values as variables of a session.
pub(super) async fn set_all(session: &mut dyn super::Session, values: &Values) -> Result<()> {
    for (name, value) in values {
        session.set(name, value.clone()).await?;
    }
    Ok(())
}

visits_fields! {
    [S: Signature] ProgramOfThought<S>,
    [Depth: DepthOf, S: Signature] {
        code_generate: InPredict<Predictor> => InPredict::<Predictor>::SHAPE,
        code_regenerate: InPredict<Predictor> => InPredict::<Predictor>::SHAPE,
        generate_output: InPredict<Predict<S>> => InPredict::<Predict<S>>::TYPED,
    }
}

impl<S> Clone for ProgramOfThought<S> {
    fn clone(&self) -> Self {
        ProgramOfThought {
            code_generate: self.code_generate.clone(),
            code_regenerate: self.code_regenerate.clone(),
            generate_output: self.generate_output.clone(),
            interpreter: self.interpreter.clone(),
            attempts: self.attempts,
            output_bytes: self.output_bytes,
        }
    }
}

impl<S> fmt::Debug for ProgramOfThought<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgramOfThought")
            .field("attempts", &self.attempts)
            .field("interpreter", &self.interpreter)
            .finish_non_exhaustive()
    }
}
