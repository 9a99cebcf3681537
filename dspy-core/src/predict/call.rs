//! One call of a predictor: prompt, request, reply, values, and what to do when the reply cannot be read.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::Predictor;
use super::prediction::{Details, Prediction};
use super::prepared::Prepared;
use crate::adapter::{Adapter, FieldProblem, JsonAdapter, NativeKey, ParseError, ParseErrorKind, Parsed};
use crate::error::{Error, Result};
use crate::lm::{Completion, Lm, Message, Response};
use crate::program::{Context, TraceScope, TraceStep};
use crate::signature::{FieldError, Values};

static JSON: LazyLock<Arc<dyn Adapter>> = LazyLock::new(|| Arc::new(JsonAdapter));

impl Predictor {
    /// The exact messages that a call with these inputs would send first. Calls no model.
    ///
    /// # Errors
    /// If an input is missing.
    pub fn render(&self, inputs: &Values) -> Result<Vec<Message>> {
        self.check_inputs(inputs)?;
        let context = Context::current();
        let adapter = self.adapter().unwrap_or(context.adapter());
        let able = self.lm().or(context.lm()).map(Lm::capabilities).unwrap_or_default();
        Ok(self.prepared(adapter, able).messages(self.demos(), inputs, &[]))
    }

    /// Calls the model and reads its reply.
    ///
    /// # Errors
    /// If there is no model, it gives no answer, or no attempt gave a readable one.
    pub async fn call(&self, inputs: Values) -> Result<Prediction<Values>> {
        self.call_as(inputs, &mut |values| Ok(values.clone())).await
    }

    /// [`call`](Self::call) with a conversion of the values to `T`, whose refusals count as those of the parser: the
    /// model is told and may try again.
    pub(crate) async fn call_as<T>(
        &self,
        inputs: Values,
        convert: &mut (dyn FnMut(&mut Values) -> Result<T, FieldError> + Send),
    ) -> Result<Prediction<T>> {
        self.check_inputs(&inputs)?;
        let context = Context::current();
        let lm = self.lm().or(context.lm()).ok_or(Error::NoLm)?;
        let mut call =
            Call { predictor: self, context: &context, lm, inputs: &inputs, details: Details::default() };
        let Some(trace) = &context.trace else {
            let (output, _) = call.run(convert, false).await?;
            return Ok(Prediction::with_details(output, call.details));
        };
        let place = trace.start();
        let result = call.run(convert, true).await;
        let details = call.details;
        record(trace, place, self, inputs, &result, &details);
        result.map(|(output, _)| Prediction::with_details(output, details))
    }

    fn check_inputs(&self, inputs: &Values) -> Result<(), FieldError> {
        for field in self.spec().inputs() {
            if !field.is_optional() && !inputs.contains_key(field.name()) {
                return Err(FieldError::new(field.name(), "the input is missing"));
            }
        }
        Ok(())
    }
}

pub(super) struct Call<'a> {
    pub(super) predictor: &'a Predictor,
    pub(super) context: &'a Context,
    pub(super) lm: &'a Lm,
    pub(super) inputs: &'a Values,
    pub(super) details: Details,
}

pub(super) type Convert<'c, T> = &'c mut (dyn FnMut(&mut Values) -> Result<T, FieldError> + Send);

impl Call<'_> {
    /// Attempts with the chosen adapter, then with JSON. Also returns the values, if a trace wants them.
    pub(super) async fn run<T>(&mut self, convert: Convert<'_, T>, keep: bool) -> Result<(T, Values)> {
        let recovery = self.predictor.recovery().unwrap_or(self.context.recovery());
        let chosen = self.predictor.adapter().unwrap_or(self.context.adapter());
        let mut failed: Vec<ParseError> = Vec::new();
        // The fallback asks for everything in the text, whatever the model could do natively.
        let able = self.lm.capabilities();
        let textual = able.tools(false).reasoning(false);
        let native = NativeKey::new(self.predictor.spec(), able) != NativeKey::default();
        let fallback = recovery.json_fallback && (native || chosen.name() != JSON.name());
        let attempts = [(chosen, able, recovery.reasks), (&*JSON, textual, 0)];
        for (adapter, able, reasks) in attempts.into_iter().take(1 + usize::from(fallback)) {
            let prepared = self.predictor.prepared(adapter, able);
            let mut correction = Vec::new();
            for _ in 0..=reasks {
                let error = match self.attempt(&prepared, &correction, convert, keep).await? {
                    Ok(done) => return Ok(done),
                    Err(error) => error,
                };
                // Asking again cannot mend these: the same limit cuts again, the same type fails again.
                let hopeless = matches!(error.kind, ParseErrorKind::Truncated | ParseErrorKind::Schema);
                if !hopeless {
                    correction.extend(prepared.correction(self.details.completions.first(), &error));
                }
                failed.push(error);
                if hopeless {
                    return Err(last(failed));
                }
            }
        }
        Err(last(failed))
    }

    async fn attempt<T>(
        &mut self,
        prepared: &Prepared,
        correction: &[Message],
        convert: Convert<'_, T>,
        keep: bool,
    ) -> Result<Result<(T, Values), ParseError>> {
        let able = self.lm.capabilities();
        let mut request = prepared.request(self.predictor.demos(), self.inputs, correction, able)?;
        request.params.clone_from(self.predictor.params());
        request.rollout = self.context.rollout();
        let response = self.lm.complete(request).await?;
        self.details.attempts += 1;
        let Response { completions, usage, cached, .. } = response;
        if !cached {
            self.details.usage += usage;
        }
        self.details.completions = completions;
        match &prepared.second {
            Some(second) => self.extract(prepared, second, convert, keep).await,
            None => Ok(self.read(prepared, convert, keep)),
        }
    }

    /// The first of the completions that can be read.
    fn read<T>(
        &mut self,
        prepared: &Prepared,
        convert: Convert<'_, T>,
        keep: bool,
    ) -> Result<(T, Values), ParseError> {
        let adapter = &prepared.adapter;
        let mut first_error = None;
        for completion in &self.details.completions {
            let read = prepared.read(self.inputs, completion).and_then(|Parsed { mut values, report }| {
                let kept = if keep { values.clone() } else { Values::new() };
                let output = convert(&mut values).map_err(|error| refused(adapter, completion, &error))?;
                Ok((output, kept, values, report))
            });
            match read {
                Ok((output, kept, added, report)) => {
                    self.details.report = report;
                    self.details.added = added;
                    return Ok((output, kept));
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        let none = || ParseError::new(ParseErrorKind::Empty, adapter.name(), "", Vec::new());
        Err(first_error.unwrap_or_else(none))
    }
}

fn refused(adapter: &Arc<dyn Adapter>, completion: &Completion, error: &FieldError) -> ParseError {
    let problem = FieldProblem::new(error.field(), error.message());
    ParseError::new(ParseErrorKind::Malformed, adapter.name(), completion.text.as_str(), vec![problem])
}

fn last(mut failed: Vec<ParseError>) -> Error {
    match failed.pop() {
        Some(mut error) => {
            error.earlier = failed;
            error.into()
        }
        None => ParseError::new(ParseErrorKind::Empty, "", "", Vec::new()).into(),
    }
}

fn record<T>(
    trace: &TraceScope,
    place: u64,
    predictor: &Predictor,
    inputs: Values,
    result: &Result<(T, Values)>,
    details: &Details,
) {
    let step = TraceStep {
        predictor: String::new(),
        inputs,
        outputs: result.as_ref().map(|(_, values)| values.clone()).unwrap_or_default(),
        reply: details.completions.first().map(|completion| completion.text.clone()).unwrap_or_default(),
        usage: details.usage,
        error: result.as_ref().err().map(ToString::to_string),
    };
    trace.record(place, predictor, step);
}

/// Takes the values of a signature's own outputs out of `values`, leaving those that a strategy added.
pub(super) fn split_outputs(values: &mut Values, own: &crate::signature::SignatureSpec) -> Values {
    let mut taken = Values::with_capacity(values.len());
    for field in own.outputs() {
        if let Some(value) = values.get_mut(field.name()).map(Value::take) {
            taken.insert(field.name().to_owned(), value);
        }
    }
    values.retain(|name, _| !taken.contains_key(name));
    taken
}
