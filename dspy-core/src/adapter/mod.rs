//! Adapters: they turn a signature and its input into messages, and a reply into field values.
//!
//! Only this module translates between signatures and language models.

mod calls;
mod chat;
mod children;
mod code;
mod demos;
mod elements;
mod error;
mod farewell;
mod headings;
mod history;
mod input_check;
mod json;
mod markers;
mod markup;
mod message_builder;
mod native;
mod other_formats;
mod outside;
mod prompt_parts;
mod sections;
mod streaming;
mod trailing_text;
mod two_step;
mod value;
mod xml;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

pub(crate) use crate::tools::Offered;
pub use chat::ChatAdapter;
pub use error::{FieldProblem, ParseError, ParseErrorKind};
pub(crate) use input_check::check;
pub use json::JsonAdapter;
pub(crate) use native::{Bare, NativeKey, View, correction};
pub use streaming::ReplyReader;
pub(crate) use streaming::grows;
pub use two_step::{Extraction, TwoStepAdapter};
pub use xml::XmlAdapter;

use crate::decode::ParseReport;
use crate::decode::thoughts;
use crate::lm::{Capabilities, Completion, FinishReason, Message, ResponseFormat};
use crate::signature::{Demo, SignatureSpec, Values};

/// The parts of a prompt that are the same for all calls of a predictor.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// The signature, with the instruction and the descriptions to use.
    pub spec: &'a SignatureSpec,
    /// The demonstrations to show.
    pub demos: &'a [Demo],
}

/// The output values of a reply.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Parsed {
    /// The values by field name. Optional fields that the reply omits are absent.
    pub values: Values,
    /// The repairs that were needed to read them.
    pub report: ParseReport,
}

impl Parsed {
    /// Wraps values that were read without repairs.
    pub fn new(values: Values) -> Self {
        Parsed { values, report: ParseReport::default() }
    }
}

/// A format of prompts and replies.
///
/// ```
/// use dspy_core::adapter::{Adapter, ChatAdapter, Prompt};
/// use dspy_core::signature::SignatureSpec;
///
/// let spec: SignatureSpec = "question -> answer".parse()?;
/// let prompt = Prompt { spec: &spec, demos: &[] };
/// let mut inputs = dspy_core::signature::Values::new();
/// inputs.insert("question".into(), "What is the capital of France?".into());
/// let message = ChatAdapter.input(prompt, &inputs);
/// assert!(message.text().starts_with("[[ ## question ## ]]\nWhat is the capital of France?"));
/// # Ok::<(), dspy_core::signature::GrammarError>(())
/// ```
pub trait Adapter: Any + Debug + Send + Sync {
    /// Returns the name, for traces and error messages.
    fn name(&self) -> &str;

    /// Returns the messages before the current input: the instructions, then the demonstrations. They are
    /// built once per state of a predictor and shared by its calls.
    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message>;

    /// Returns the earlier turns of the conversation in the `History` fields of the inputs, which are sent
    /// between the preamble and the current input. The default renders each turn with [`input`](Self::input)
    /// and [`reply`](Self::reply).
    fn history(&self, prompt: Prompt<'_>, inputs: &Values) -> Vec<Message> {
        history::turns(prompt.spec, inputs)
            .flat_map(|turn| [self.input(prompt, turn), Message::assistant(self.reply(prompt.spec, turn))])
            .collect()
    }

    /// Returns the message with the current input: the fields of [`SignatureSpec::shown_inputs`].
    fn input(&self, prompt: Prompt<'_>, inputs: &Values) -> Message;

    /// Returns the response format to request, given what the model can enforce.
    fn format(&self, spec: &SignatureSpec, capabilities: Capabilities) -> ResponseFormat {
        let _ = (spec, capabilities);
        ResponseFormat::Text
    }

    /// Parses the output values from a reply.
    ///
    /// # Errors
    /// If a required field is missing or a value cannot be read without inventing something.
    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError>;

    /// Returns a reader for replies that are still arriving. The default, `None`, makes a stream show nothing
    /// before the reply is complete.
    fn reader(&self, spec: &Arc<SignatureSpec>) -> Option<Box<dyn ReplyReader>> {
        let _ = spec;
        None
    }

    /// Returns the reply that has exactly these outputs, as shown in demonstrations.
    fn reply(&self, spec: &SignatureSpec, outputs: &Values) -> String;

    /// Returns the message that is sent after a reply that could not be read.
    fn feedback(&self, spec: &SignatureSpec, error: &ParseError) -> Message {
        let _ = spec;
        Message::user(error.feedback())
    }

    /// Returns the second request that reads the reply, for an adapter that lets models answer in prose. With
    /// an extraction, [`parse`](Self::parse) is not called on the model's reply: the reply becomes the input
    /// of the second request. Default: `None`. See [`TwoStepAdapter`].
    fn extraction(&self, spec: &SignatureSpec) -> Option<Extraction> {
        let _ = spec;
        None
    }
}

/// Returns whether `adapter` is the [`JsonAdapter`] itself, not just an adapter of the same name.
pub(crate) fn is_json(adapter: &dyn Adapter) -> bool {
    let adapter: &dyn Any = adapter;
    adapter.is::<JsonAdapter>()
}

/// Returns whether `adapter` is one of this module, which show tools and the turns of an agent as text.
pub(crate) fn shows_as_text(adapter: &dyn Adapter) -> bool {
    let adapter: &dyn Any = adapter;
    adapter.is::<ChatAdapter>() || adapter.is::<JsonAdapter>() || adapter.is::<XmlAdapter>()
}

/// Returns the prose of a reply without the reasoning blocks before it.
pub(crate) fn prose<'c>(adapter: &str, completion: &'c Completion) -> Result<&'c str, ParseError> {
    let reply = whole_reply(adapter, completion)?;
    let fail = |kind, problems| Err(ParseError::new(kind, adapter, reply, problems));
    match thoughts::answer(reply).map(|start| reply[start..].trim()) {
        Some("") => fail(ParseErrorKind::Empty, Vec::new()),
        Some(prose) => Ok(prose),
        None => fail(ParseErrorKind::Malformed, vec![FieldProblem::new("", sections::UNCLOSED)]),
    }
}

/// Returns the reply if it is not empty and not truncated.
pub(crate) fn whole_reply<'c>(adapter: &str, completion: &'c Completion) -> Result<&'c str, ParseError> {
    let reply = completion.text.as_str();
    let (kind, problem) = match completion.finish {
        FinishReason::Length => (ParseErrorKind::Truncated, None),
        FinishReason::ContentFilter => {
            (ParseErrorKind::Truncated, Some("a content filter stopped the reply"))
        }
        FinishReason::Other => (ParseErrorKind::Truncated, Some("the reply did not come to a normal end")),
        _ if reply.trim().is_empty() => (ParseErrorKind::Empty, None),
        _ => return Ok(reply),
    };
    let problems = problem.into_iter().map(|problem| FieldProblem::new("", problem));
    Err(ParseError::new(kind, adapter, reply, problems.collect()))
}
