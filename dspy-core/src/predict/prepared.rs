//! What does not change between the calls of one predictor with one adapter and one kind of model.

use std::sync::Arc;

use super::Predictor;
use crate::adapter::{Adapter, Bare, NativeKey, ParseError, Parsed, Prompt, ReplyReader, View, correction};
use crate::error::Result;
use crate::lm::{Capabilities, Completion, Lm, Maker, Message, Origin, Request};
use crate::program::Recovery;
use crate::signature::{Demo, FieldError, SignatureSpec, Values};

/// An adapter applied to a signature as a model sees it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) view: View,
    preamble: Arc<[Message]>,
    /// The second step, for adapters that let models answer in prose.
    pub(crate) second: Option<SecondStep>,
}

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
        let adapter = if view.is_bare() { Arc::new(Bare) } else { adapter.clone() };
        let preamble = adapter.preamble(Prompt { spec: &view.spec, demos }).into();
        let second = adapter.extraction(&view.spec).map(|extraction| {
            let mut predictor = Predictor::new(extraction.spec);
            predictor.set_shared_adapter(extraction.adapter);
            if let Some(recovery) = recovery {
                predictor.set_recovery(recovery);
            }
            SecondStep { predictor, lm: extraction.lm, input: extraction.input }
        });
        Prepared { adapter, view, preamble, second }
    }

    pub(super) fn messages(&self, demos: &[Demo], inputs: &Values, correction: &[Message]) -> Vec<Message> {
        let prompt = Prompt { spec: &self.view.spec, demos };
        let history = self.adapter.history(prompt, inputs);
        let mut messages = Vec::with_capacity(self.preamble.len() + history.len() + 1 + correction.len());
        messages.extend_from_slice(&self.preamble);
        messages.extend(history);
        messages.push(self.adapter.input(prompt, inputs));
        messages.extend_from_slice(correction);
        messages
    }

    /// Writes what is asked into a request, in place: requests are large.
    pub(super) fn fill(
        &self,
        request: &mut Request,
        demos: &[Demo],
        inputs: &Values,
        correction: &[Message],
        able: Capabilities,
    ) -> Result<(), FieldError> {
        request.messages = self.messages(demos, inputs, correction);
        request.format = self.adapter.format(&self.view.spec, able);
        self.view.offer(inputs, request)
    }

    /// Where a request of this predictor comes from.
    pub(super) fn origin(self: &Arc<Self>, inputs: &Values) -> Result<Origin> {
        let origin = Origin::of(self.clone());
        Ok(if self.view.tells_of_tools() { origin.offering(self.view.tools(inputs)?) } else { origin })
    }

    /// A reader of replies that are still arriving.
    pub(super) fn reader(&self) -> Option<Box<dyn ReplyReader>> {
        self.adapter.reader(&self.view.spec)
    }

    /// All outputs of a completion, those that came natively included.
    pub(super) fn read(&self, inputs: &Values, completion: &Completion) -> Result<Parsed, ParseError> {
        self.view.read(&*self.adapter, inputs, completion)
    }

    /// The outputs that came natively beside a prose.
    pub(super) fn native_values(
        &self,
        inputs: &Values,
        completion: &Completion,
    ) -> Result<Parsed, ParseError> {
        self.view.native_values(self.adapter.name(), inputs, completion)
    }

    /// Checks the tool calls among the values that a second step gave.
    pub(super) fn check(&self, inputs: &Values, values: &mut Values) -> Result<(), ParseError> {
        let mut parsed = Parsed::new(std::mem::take(values));
        let checked = self.view.check(self.adapter.name(), inputs, &mut parsed, "");
        *values = parsed.values;
        checked
    }

    /// What is said after a reply that cannot be read.
    pub(super) fn correction(&self, completion: Option<&Completion>, error: &ParseError) -> Vec<Message> {
        correction(completion, error, self.adapter.feedback(&self.view.spec, error))
    }
}

impl Maker for Prepared {
    fn signature(&self) -> &str {
        self.view.spec.name()
    }
}
