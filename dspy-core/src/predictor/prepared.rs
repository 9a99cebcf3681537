//! The parts that all calls of one predictor with one adapter and one kind of model share.

use std::sync::Arc;

use super::Predictor;
use crate::adapter::{
    Adapter, Bare, NativeKey, Offered, ParseError, Parsed, Prompt, ReplyReader, View, correction,
    shows_as_text,
};
use crate::error::Result;
use crate::lm::{Capabilities, Completion, Extensions, Lm, Message, Request};
use crate::recovery::Recovery;
use crate::signature::{Demo, FieldError, SignatureSpec, Values};
use crate::types::ShownTurns;
use dspy_lm::internal::SignatureName;
use serde_json::Value;

/// An adapter applied to the part of a signature that a model sees in text.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) view: View,
    /// The adapter and the signature that show the turns of histories, if they are others.
    turns: Option<(Arc<dyn Adapter>, Arc<SignatureSpec>)>,
    preamble: Arc<[Message]>,
    signature: Arc<SignatureName>,
    /// The second step, for adapters that let models answer in prose.
    pub(crate) second: Option<SecondStep>,
}

/// A request extension: the tools that its messages describe in words.
pub(crate) struct OfferedTools(pub(crate) Arc<Offered>);

/// A predictor that reads the prose of the first step.
#[derive(Debug)]
pub(crate) struct SecondStep {
    pub(super) predictor: Predictor,
    pub(super) lm: Lm,
    pub(super) input: String,
}

impl Prepared {
    pub(super) fn new(
        adapter: &Arc<dyn Adapter>,
        spec: &Arc<SignatureSpec>,
        demos: &[Demo],
        recovery: Option<Recovery>,
        key: NativeKey,
    ) -> Self {
        let view = View::new(spec, key);
        let turns = spec.turns().map(|turns| (adapter.clone(), turns.clone()));
        let adapter = if view.is_bare() { Arc::new(Bare) } else { adapter.clone() };
        let (told, native) = view.demos(&*adapter, demos);
        let mut preamble = adapter.preamble(Prompt { spec: &view.spec, demos: &told });
        preamble.extend(native);
        let second = adapter.extraction(&view.spec).map(|extraction| {
            let mut predictor = Predictor::new(extraction.spec);
            predictor.set_shared_adapter(extraction.adapter);
            if let Some(recovery) = recovery {
                predictor.set_recovery(recovery);
            }
            SecondStep { predictor, lm: extraction.lm, input: extraction.input }
        });
        let signature = Arc::new(SignatureName(view.spec.name().into()));
        Prepared { adapter, view, turns, preamble: preamble.into(), signature, second }
    }

    /// Returns the messages of a request. `turns` are those of an agent, if they are not in the inputs.
    pub(super) fn messages(
        &self,
        demos: &[Demo],
        inputs: &Values,
        turns: Option<&ShownTurns>,
        correction: &[Message],
    ) -> Vec<Message> {
        let as_text = shows_as_text(&*self.adapter);
        let log = turns.zip(self.view.shown_trajectory()).map(|(turns, field)| {
            let text = turns.text().filter(|_| as_text).map(Value::String);
            (field, text.unwrap_or_else(|| turns.to_value()))
        });
        let tools = if as_text { self.view.told_tools(inputs) } else { None };
        let tools = tools.map(|(field, text)| (field, Value::String(text)));
        let is_log_shown = log.is_some();
        let rendered: Vec<(&str, Value)> = tools.into_iter().chain(log).collect();
        let shown = (!rendered.is_empty()).then(|| {
            let is_given = |name: &str| rendered.iter().all(|(field, _)| name != *field);
            let others = inputs.iter().filter(|(name, _)| is_given(name));
            let others = others.map(|(name, value)| (name.clone(), value.clone()));
            let mut shown: Values = others.collect();
            shown.extend(rendered.into_iter().map(|(name, value)| (name.to_owned(), value)));
            shown
        });
        let inputs = shown.as_ref().unwrap_or(inputs);
        let prompt = Prompt { spec: &self.view.spec, demos };
        let history = match &self.turns {
            Some((adapter, spec)) => adapter.history(Prompt { spec, demos }, inputs),
            None => self.adapter.history(prompt, inputs),
        };
        let turns = match turns {
            Some(turns) if !is_log_shown => turns.messages(),
            _ => self.view.turns(inputs),
        };
        let count = self.preamble.len() + history.len() + 1 + turns.len() + correction.len();
        let mut messages = Vec::with_capacity(count);
        messages.extend_from_slice(&self.preamble);
        messages.extend(history);
        messages.push(self.adapter.input(prompt, inputs));
        messages.extend(turns);
        messages.extend_from_slice(correction);
        messages
    }

    /// Writes the messages, the format and the tools into `request`, in place because requests are large.
    pub(super) fn fill(
        &self,
        request: &mut Request,
        demos: &[Demo],
        (inputs, turns): (&Values, Option<&ShownTurns>),
        correction: &[Message],
        able: Capabilities,
    ) -> Result<(), FieldError> {
        request.messages = self.messages(demos, inputs, turns, correction);
        request.format = self.adapter.format(&self.view.spec, able);
        self.view.offer(inputs, request)
    }

    /// Adds extensions to a request that describe its origin.
    pub(super) fn sign(self: &Arc<Self>, inputs: &Values, extensions: &mut Extensions) -> Result<()> {
        extensions.insert_shared(self.signature.clone());
        extensions.insert_shared(self.clone());
        if self.view.tells_of_tools() {
            extensions.insert(OfferedTools(self.view.tools(inputs)?));
        }
        Ok(())
    }

    /// Returns a reader of replies that are still arriving.
    pub(super) fn reader(&self) -> Option<Box<dyn ReplyReader>> {
        self.adapter.reader(&self.view.spec)
    }

    /// Reads all outputs of a completion, native ones included.
    pub(super) fn read(&self, inputs: &Values, completion: &Completion) -> Result<Parsed, ParseError> {
        self.view.read(&*self.adapter, inputs, completion)
    }

    /// Returns the native outputs of a prose reply.
    pub(super) fn native_values(
        &self,
        inputs: &Values,
        completion: &Completion,
    ) -> Result<Parsed, ParseError> {
        self.view.native_values(self.adapter.name(), inputs, completion)
    }

    /// Checks the tool calls among the values of a second step.
    pub(super) fn check(&self, inputs: &Values, values: &mut Values) -> Result<(), ParseError> {
        let mut parsed = Parsed::new(std::mem::take(values));
        let checked = self.view.check(self.adapter.name(), inputs, &mut parsed, "");
        *values = parsed.values;
        checked
    }

    /// Returns the messages that follow a reply that cannot be read.
    pub(super) fn correction(&self, completion: Option<&Completion>, error: &ParseError) -> Vec<Message> {
        correction(completion, error, self.adapter.feedback(&self.view.spec, error))
    }
}
