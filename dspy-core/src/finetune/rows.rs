//! Training rows: conversations that end in the reply that the model should give.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::lm::{Completion, Message, ToolSpec};
use crate::predictor::Predictor;
use crate::program::{HasPredictors, Trace, TraceStep, selecting_predictors};
use crate::signature::{Demo, Values};

/// A conversation, and the reply to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRow {
    pub(super) messages: Vec<Message>,
    pub(super) tools: Vec<ToolSpec>,
    /// The preferred reply.
    pub(super) reply: Message,
    /// The rejected reply, in rows of preferences.
    pub(super) worse: Option<Message>,
}

impl TrainingRow {
    /// Creates a row from a conversation and the reply that the model should give.
    pub fn new(messages: impl IntoIterator<Item = Message>, reply: Message) -> Self {
        TrainingRow { messages: messages.into_iter().collect(), tools: Vec::new(), reply, worse: None }
    }

    /// Creates a row from a predictor's prompt for these inputs and the reply that contains these outputs.
    /// The messages are exactly those of a call, with the current instruction and demonstrations, in the
    /// format of the predictor's adapter or, if it has none, of the adapter of the current settings.
    ///
    /// ```
    /// use dspy_core::finetune::TrainingRow;
    /// use dspy_core::predict::Predictor;
    /// use dspy_core::signature::{SignatureSpec, Values};
    ///
    /// let predictor = Predictor::new("question -> answer".parse::<SignatureSpec>()?);
    /// let value = |name: &str, text: &str| Values::from_iter([(name.to_owned(), text.into())]);
    /// let row = TrainingRow::of(&predictor, &value("question", "2 + 2?"), &value("answer", "4"))?;
    /// assert_eq!(row.messages().len(), 2);
    /// assert_eq!(row.reply().text(), "[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If an input or an output is missing.
    pub fn of(predictor: &Predictor, inputs: &Values, outputs: &Values) -> Result<Self> {
        let (request, completion) = predictor.lesson(inputs, outputs)?;
        Ok(TrainingRow {
            messages: request.messages,
            tools: request.tools,
            reply: reply(completion),
            worse: None,
        })
    }

    /// Creates a row from a call in a trace. `selected` says that the program selects the demonstrations of the predictor
    /// for each input, so that the row has those of the trace. Not covered by semantic versioning.
    ///
    /// # Errors
    /// As [`of`](Self::of), and if the trace has no selected demonstrations.
    #[doc(hidden)]
    pub fn of_step(predictor: &Predictor, selected: bool, step: &TraceStep) -> Result<Self> {
        if !selected {
            return Self::of(predictor, &step.inputs, &step.outputs);
        }
        let Some(demos) = &step.demos else {
            let message = format!(
                "the trace does not have the demonstrations that `{}` shows for its input; trace the program itself, \
                 whose module must show them by `Predictor::select_demos`",
                step.predictor
            );
            return Err(Error::other(message));
        };
        let mut predictor = predictor.clone();
        predictor.set_demos(demos.clone());
        Self::of(&predictor, &step.inputs, &step.outputs)
    }

    /// Returns the row as a preference: the model should prefer its reply to the one with the outputs
    /// `worse`. For direct preference optimization.
    ///
    /// # Errors
    /// The same as those of [`of`](Self::of).
    pub fn rather_than(mut self, predictor: &Predictor, inputs: &Values, worse: &Values) -> Result<Self> {
        self.worse = Some(reply(predictor.lesson(inputs, worse)?.1));
        Ok(self)
    }

    /// Returns the conversation up to the reply: the prompt, with demonstrations as earlier turns.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Returns the tools that are offered with the prompt.
    pub fn tools(&self) -> &[ToolSpec] {
        &self.tools
    }

    /// Returns the reply to learn, which is the only part of the row that is trained on.
    pub fn reply(&self) -> &Message {
        &self.reply
    }

    /// Returns the reply that the other one is preferred to, in rows of preferences.
    pub fn rejected(&self) -> Option<&Message> {
        self.worse.as_ref()
    }
}

/// Converts the completion to a message of the conversation.
fn reply(completion: Completion) -> Message {
    if completion.tool_calls.is_empty() {
        return Message::assistant(completion.text);
    }
    let calls = completion.tool_calls.into_iter().enumerate().map(|(index, call)| {
        let id = call.id.clone().unwrap_or_else(|| format!("call_{index}"));
        call.with_id(id)
    });
    Message::calls(completion.text, calls.collect::<Vec<_>>())
}

/// The rows of a training or validation file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrainingSet {
    rows: Vec<TrainingRow>,
}

impl TrainingSet {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the rows.
    pub fn rows(&self) -> &[TrainingRow] {
        &self.rows
    }

    /// Adds a row.
    pub fn push(&mut self, row: TrainingRow) {
        self.rows.push(row);
    }

    /// Adds a row for each call of a trace that returned outputs, and returns the number of rows. The
    /// selection of good runs is up to the caller: trace them, score them, and add the traces of the best.
    ///
    /// A row has the demonstrations of the predictor. If the program selects them for each input, as `NearestDemos` does,
    /// it has those that were selected in the traced run, without the ones about the input itself.
    ///
    /// # Errors
    /// If the trace is of a program with other predictors, or of one that has not selected demonstrations where this
    /// program does.
    pub fn add_trace(&mut self, program: &impl HasPredictors, trace: &Trace) -> Result<usize> {
        let predictors = selecting_predictors(program);
        let mut rows = Vec::new();
        for step in trace.steps.iter().filter(|step| step.error.is_none() && !step.outputs.is_empty()) {
            let Some((_, predictor, selects)) = predictors.iter().find(|(path, ..)| *path == step.predictor)
            else {
                let message =
                    format!("the trace has a call of `{}`, which the program lacks", step.predictor);
                return Err(Error::other(message));
            };
            rows.push(TrainingRow::of_step(predictor, selects.is_some(), step)?);
        }
        let count = rows.len();
        self.rows.extend(rows);
        Ok(count)
    }

    /// Adds a row for each demonstration of a predictor.
    ///
    /// # Errors
    /// If an example lacks an input or an output.
    pub fn add_demos(&mut self, predictor: &Predictor, demos: &[Demo]) -> Result<()> {
        for Demo { values, .. } in demos {
            let of = |output: bool| -> Values {
                let spec = predictor.spec();
                let is_output = |name: &String| spec.outputs().any(|field| field.name() == name);
                values.iter().filter(|(name, _)| is_output(name) == output).map(own).collect()
            };
            self.rows.push(TrainingRow::of(predictor, &of(false), &of(true))?);
        }
        Ok(())
    }
}

fn own((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

impl FromIterator<TrainingRow> for TrainingSet {
    fn from_iter<I: IntoIterator<Item = TrainingRow>>(rows: I) -> Self {
        TrainingSet { rows: rows.into_iter().collect() }
    }
}

impl Extend<TrainingRow> for TrainingSet {
    fn extend<I: IntoIterator<Item = TrainingRow>>(&mut self, rows: I) {
        self.rows.extend(rows);
    }
}
