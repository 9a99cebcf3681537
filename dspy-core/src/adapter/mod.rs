//! Adapters: a signature and its input become messages, a reply becomes field values.
//!
//! The only room that knows both sides: signatures and language models.

mod chat;
mod children;
mod code;
mod elements;
mod error;
mod farewell;
mod headings;
mod history;
mod input_check;
mod json;
mod layout;
mod markers;
mod markup;
mod message_builder;
mod native;
mod other_formats;
mod outside;
mod sections;
mod streaming;
mod trailing_text;
mod two_step;
mod value;
mod xml;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

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

/// What does not change between the calls of one predictor.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// The signature, with the instruction and the descriptions to use.
    pub spec: &'a SignatureSpec,
    /// The demonstrations to show.
    pub demos: &'a [Demo],
}

/// Output values as a reply gives them.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Parsed {
    /// The values by field name. Optional fields that the reply leaves out are absent.
    pub values: Values,
    /// What had to be repaired to read them.
    pub report: ParseReport,
}

impl Parsed {
    /// Values that were read without repairs.
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
    /// The name, for traces and error messages.
    fn name(&self) -> &str;

    /// The messages that come before the current input: the instructions, then the demonstrations. They are made
    /// once for each state of a predictor and shared by its calls.
    fn preamble(&self, prompt: Prompt<'_>) -> Vec<Message>;

    /// The earlier turns of the conversation that the inputs hold in `History` fields, between the preamble and the
    /// current input. Nothing needs to be written for it: by default each turn is what [`input`](Self::input) and
    /// [`reply`](Self::reply) make of it.
    fn history(&self, prompt: Prompt<'_>, inputs: &Values) -> Vec<Message> {
        history::turns(prompt.spec, inputs)
            .flat_map(|turn| [self.input(prompt, turn), Message::assistant(self.reply(prompt.spec, turn))])
            .collect()
    }

    /// The message with the current input: the fields of [`SignatureSpec::shown_inputs`].
    fn input(&self, prompt: Prompt<'_>, inputs: &Values) -> Message;

    /// The shape to ask replies to have, given what the model can enforce.
    fn format(&self, spec: &SignatureSpec, capabilities: Capabilities) -> ResponseFormat {
        let _ = (spec, capabilities);
        ResponseFormat::Text
    }

    /// Reads the output values out of a reply.
    ///
    /// # Errors
    /// If a required field is missing or a value cannot be read without inventing something.
    fn parse(&self, spec: &SignatureSpec, completion: &Completion) -> Result<Parsed, ParseError>;

    /// A reader of replies that are still arriving. Without one, a stream shows nothing before the reply is complete.
    fn reader(&self, spec: &Arc<SignatureSpec>) -> Option<Box<dyn ReplyReader>> {
        let _ = spec;
        None
    }

    /// The reply that would give exactly these outputs: what demonstrations show.
    fn reply(&self, spec: &SignatureSpec, outputs: &Values) -> String;

    /// What the model is told after a reply that could not be read.
    fn feedback(&self, spec: &SignatureSpec, error: &ParseError) -> Message {
        let _ = spec;
        Message::user(error.feedback())
    }

    /// Who reads the replies, for an adapter that lets models answer in prose. With an extraction, [`parse`](Self::parse)
    /// is not called on the model's reply: the reply becomes the input of a second request. See [`TwoStepAdapter`].
    fn extraction(&self, spec: &SignatureSpec) -> Option<Extraction> {
        let _ = spec;
        None
    }
}

/// Whether replies are read as [`JsonAdapter`] reads them, by it and not by an adapter of the same name.
pub(crate) fn is_json(adapter: &dyn Adapter) -> bool {
    let adapter: &dyn Any = adapter;
    adapter.is::<JsonAdapter>()
}

/// The prose of a reply without the thoughts before it.
pub(crate) fn prose<'c>(adapter: &str, completion: &'c Completion) -> Result<&'c str, ParseError> {
    let reply = whole_reply(adapter, completion)?;
    let fail = |kind, problems| Err(ParseError::new(kind, adapter, reply, problems));
    match thoughts::answer(reply).map(|start| reply[start..].trim()) {
        Some("") => fail(ParseErrorKind::Empty, Vec::new()),
        Some(prose) => Ok(prose),
        None => fail(ParseErrorKind::Malformed, vec![FieldProblem::new("", sections::UNCLOSED)]),
    }
}

/// The reply, if there is one and nothing was cut off.
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
