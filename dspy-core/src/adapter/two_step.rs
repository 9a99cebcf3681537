//! Prose first, fields second: for models that reason best without a required format.

use std::fmt::Write as _;
use std::sync::Arc;

use super::message_builder::MessageBuilder;
use super::{Adapter, ChatAdapter, ParseError, Parsed, Prompt, demos, history, value};
use crate::lm::{self, Completion, Lm, Message};
use crate::signature::{FieldSpec, Native, Role, SignatureSpec, Values};
use crate::types::Definitions;

/// A second request that extracts the fields from the prose of the first. See [`Adapter::extraction`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Extraction {
    /// The model that extracts the fields.
    pub lm: Lm,
    /// The adapter of the second request.
    pub adapter: Arc<dyn Adapter>,
    /// The signature of the second request: one input, and the requested outputs.
    pub spec: SignatureSpec,
    /// The name of the input that holds the prose.
    pub input: String,
}

impl Extraction {
    /// Creates the extraction of the outputs of `spec` from prose.
    pub fn new(spec: &SignatureSpec, lm: Lm, adapter: Arc<dyn Adapter>) -> Self {
        let mut input = "text".to_owned();
        while spec.field(&input).is_some() {
            input.insert_str(0, "answer_");
        }
        let instruction = format!(
            "`{input}` is somebody's answer to a task. Give each output field the value that the answer states. Take \
             the answer's side where you would decide otherwise, and add nothing of your own.\n\nThe task was:\n{}",
            spec.instruction()
        );
        let prose = FieldSpec::text(Role::Input, input.as_str(), "An answer in prose.");
        let outputs = spec.outputs().map(|field| match field.native() {
            // The reasoning of the first model, not that of the second.
            Some(Native::Reasoning) => FieldSpec::text(Role::Output, field.name(), field.description()),
            _ => field.clone(),
        });
        let fields = std::iter::once(prose).chain(outputs);
        let name = format!("Extract{}", spec.name());
        Extraction { lm, adapter, spec: SignatureSpec::new(name, instruction, fields), input }
    }
}

/// Adapter that requests an answer in plain prose, from which a second, cheaper model extracts the output
/// fields.
///
/// For reasoning models, which answer worse if they have to keep to a format. If the extraction cannot be
/// read, only the extraction is retried; the prose is requested once. The usage of both models counts towards
/// the prediction. A failed extraction is an [`ExtractionError`](crate::error::ExtractionError) that holds
/// the prose.
///
/// ```
/// use dspy_core::adapter::TwoStepAdapter;
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::{Module, Settings};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let thinker = Lm::scripted(["Six times seven makes forty-two."]);
/// let extractor = Lm::scripted(["[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"]);
/// let settings = Settings::new().lm(thinker).adapter(TwoStepAdapter::new(extractor));
/// let predict = DynPredict::new("question -> answer: int".parse()?);
/// let inputs = [("question".to_owned(), "What is six times seven?".into())];
/// let answer = settings.scope(predict.call(inputs.into_iter().collect::<dspy_core::signature::Values>())).await?;
/// assert_eq!(answer["answer"], 42);
/// assert_eq!(answer.usage().requests, 2);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct TwoStepAdapter {
    extractor: Lm,
    adapter: Arc<dyn Adapter>,
}

impl TwoStepAdapter {
    /// Creates an adapter whose second step runs on `extractor`, in the format of [`ChatAdapter`].
    pub fn new(extractor: Lm) -> Self {
        TwoStepAdapter { extractor, adapter: Arc::new(ChatAdapter) }
    }

    /// Sets the adapter of the second step.
    #[must_use]
    pub fn with_adapter(mut self, adapter: impl Adapter) -> Self {
        self.adapter = Arc::new(adapter);
        self
    }
}

impl Adapter for TwoStepAdapter {
    fn name(&self) -> &'static str {
        "two-step"
    }

    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message> {
        let spec = prompt.spec;
        let mut system = format!("{}\n", spec.instruction());
        push_fields(&mut system, "\nYou are given:\n", spec.shown_inputs());
        push_fields(&mut system, "\nYour answer makes clear:\n", spec.outputs());
        push_definitions(&mut system, spec);
        system.push_str("\nAnswer in plain prose, in whatever form suits it.");
        let demos = demos::demo_turns(
            prompt,
            |out, values| push_inputs(out, spec, values),
            |values, absent| lines(spec.outputs(), values, absent),
        );
        std::iter::once(Message::system(system)).chain(demos).collect()
    }

    fn input(&self, prompt: Prompt<'_>, inputs: &Values) -> Message {
        let mut canvas = MessageBuilder::default();
        push_inputs(&mut canvas, prompt.spec, inputs);
        canvas.into_message(lm::Role::User)
    }

    fn history(&self, prompt: Prompt<'_>, inputs: &Values) -> Vec<Message> {
        let question = |out: &mut MessageBuilder, turn: &Values| push_inputs(out, prompt.spec, turn);
        history::history_turns(prompt, inputs, question, |turn| lines(prompt.spec.outputs(), turn, None))
    }

    /// Parses a reply of the second model.
    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError> {
        self.adapter.parse(spec, completion)
    }

    fn reply(&self, spec: &SignatureSpec, outputs: &Values) -> String {
        lines(spec.outputs(), outputs, None)
    }

    fn extraction(&self, spec: &SignatureSpec) -> Option<Extraction> {
        Some(Extraction::new(spec, self.extractor.clone(), self.adapter.clone()))
    }
}

fn push_fields<'a>(out: &mut String, title: &str, fields: impl Iterator<Item = &'a FieldSpec>) {
    for (index, field) in fields.enumerate() {
        if index == 0 {
            out.push_str(title);
        }
        let text = field.type_text();
        let _ = write!(out, "- {}", field.name());
        if !field.is_text() {
            let _ = write!(out, " ({})", text.notation);
        }
        if !field.description().is_empty() {
            let _ = write!(out, ": {}", field.description().replace('\n', "\n  "));
        }
        out.push('\n');
        if !text.constraints.is_empty() {
            let _ = writeln!(out, "  It must be: {}", text.constraints.join("; "));
        }
        for (choice, description) in &text.choices {
            let _ = writeln!(out, "  - {choice}: {description}");
        }
    }
}

fn push_definitions(out: &mut String, spec: &SignatureSpec) {
    let fields = spec.inputs().chain(spec.outputs());
    let Definitions { common, own } = Definitions::of(fields.map(|field| (field.name(), field.type_text())));
    out.push_str(if common.is_empty() { "" } else { "\nwhere\n" });
    for (name, text) in common {
        let _ = writeln!(out, "{name} = {text}");
    }
    for (field, texts) in own {
        let _ = writeln!(out, "\nwhere, in `{field}`,");
        for (name, text) in texts {
            let _ = writeln!(out, "{name} = {text}");
        }
    }
}

/// Appends the inputs as `name: value`, one per line, with media in place.
fn push_inputs(out: &mut MessageBuilder, spec: &SignatureSpec, values: &Values) {
    for field in spec.shown_inputs() {
        let Some(value) = values.get(field.name()) else { continue };
        let _ = write!(out.text, "{}{}: ", if out.is_empty() { "" } else { "\n" }, field.name());
        let shown = out.push_media(field, value, |text| text.to_owned().into())
            || out.push_turns(field, value, |text| text.to_owned().into());
        if !shown {
            out.text.push_str(&value::plain(field, value));
        }
    }
}

/// Returns the values as `name: value`, one per line.
fn lines<'a>(fields: impl Iterator<Item = &'a FieldSpec>, values: &Values, absent: Option<&str>) -> String {
    let mut out = String::new();
    for field in fields {
        let text = match (values.get(field.name()), absent) {
            (Some(value), _) => value::plain(field, value),
            (None, Some(absent)) => absent.into(),
            (None, None) => continue,
        };
        let _ = write!(out, "{}{}: {text}", if out.is_empty() { "" } else { "\n" }, field.name());
    }
    out
}
