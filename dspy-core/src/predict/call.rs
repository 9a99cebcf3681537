//! One call of a predictor: prompt, request, reply, values, and what to do when the reply cannot be read.

use std::sync::{Arc, LazyLock};

use super::prediction::{AnyPrediction, Details, Prediction};
use super::prepared::Prepared;
use super::refusal::{Converted, Refusal, enforced};
use super::watch::{CheckField, Received, Watch};
use super::{Attempt, Predictor};
use crate::adapter::{
    self, Adapter, FieldProblem, JsonAdapter, NativeKey, ParseError, ParseErrorKind, Parsed,
};
use crate::error::{Error, RepromptError, Result};
#[cfg(feature = "http")]
use crate::lm::Completion;
use crate::lm::{Capabilities, Lm, Message, Request};
use crate::observe::{self, Operation, spans};
use crate::program::{Context, EventKind, TraceScope, TraceStep};
use crate::signature::{FieldError, FieldSpec, SignatureSpec, Values};
use crate::suggest::remedy;

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

    /// A call as something to learn from: the messages that it sends first, the tools that it offers beside them, and
    /// the completion that gives these outputs.
    #[cfg(feature = "http")]
    pub(crate) fn lesson(&self, inputs: &Values, outputs: &Values) -> Result<(Request, Completion)> {
        self.check_inputs(inputs)?;
        if let Some(missing) =
            self.spec().outputs().find(|f| !f.is_optional() && !outputs.contains_key(f.name()))
        {
            return Err(FieldError::new(missing.name(), "the output is missing").into());
        }
        let context = Context::current();
        let adapter = self.adapter().unwrap_or(context.adapter());
        let able = self.lm().or(context.lm()).map(Lm::capabilities).unwrap_or_default();
        let prepared = self.prepared(adapter, able);
        let mut request = Request::new(Vec::new());
        prepared.fill(&mut request, self.demos(), inputs, &[], able)?;
        Ok((request, prepared.view.answer(&*prepared.adapter, outputs)))
    }

    /// Calls the model and reads its reply. The checks of the signature are enforced, as they are by
    /// [`Predict`](super::Predict).
    ///
    /// # Errors
    /// If an input is missing or unknown, there is no model, it gives no answer, or no attempt gave a readable one.
    pub async fn call(&self, inputs: Values) -> Result<Prediction<Values>> {
        let enforce = self.spec().enforce();
        let convert = &mut |values: &mut Values| enforced(enforce, values);
        Prediction::recovered(self.call_as(inputs, |_, _| Ok(Vec::new()), convert).await?)
    }

    /// [`call`](Self::call) with a conversion of the values to the type of the caller, whose refusals count as those of
    /// the parser: the model is told and may try again. `check` refuses single fields of a reply that is still
    /// arriving.
    pub(crate) async fn call_as(
        &self,
        inputs: Values,
        check: CheckField,
        convert: Convert<'_>,
    ) -> Result<AnyPrediction> {
        self.check_inputs(&inputs)?;
        let context = Context::current();
        self.check_outputs(self.adapter().unwrap_or(context.adapter()))?;
        let lm = self.lm().or(context.lm()).ok_or(Error::NoLm)?;
        let operation = observe::predictor(self, &inputs, context.events.is_some()).map(Box::new);
        let watch = match (&context.events, &operation) {
            (Some(events), Some(operation)) => {
                Some(Box::new(Watch::new(self, events, operation.id(), check)))
            }
            _ => None,
        };
        if let Some(watch) = &watch {
            Box::pin(watch.say(EventKind::Started { inputs: inputs.clone() })).await;
        }
        let place = context.trace.as_ref().map(|trace| trace.start());
        let shown = operation.as_ref().is_some_and(|operation| operation.shows_values());
        let (details, keep) = (Details::default(), watch.is_some() || place.is_some() || shown);
        let observed = operation.as_deref();
        let mut call =
            Call { predictor: self, context: &context, lm, inputs: &inputs, details, watch, observed };
        let result = match &operation {
            None => call.run(convert, keep).await,
            Some(operation) => Box::pin(operation.run(call.run(convert, keep))).await,
        };
        let Call { details, watch, .. } = call;
        let outputs = result.as_ref().map(|(_, values)| values);
        if let Some(operation) = operation {
            operation.predictor_ended(outputs, details.usage, details.attempts.len());
        }
        if let Some(watch) = watch {
            Box::pin(watch.end(outputs, &details)).await;
        }
        if let (Some(trace), Some(place)) = (&context.trace, place) {
            record(trace, place, self, inputs, outputs, &details);
        }
        let (mut prediction, _) = result?;
        *prediction.details_mut() = details;
        Ok(prediction)
    }

    fn check_inputs(&self, inputs: &Values) -> Result<(), FieldError> {
        adapter::check(self.spec(), inputs)?;
        let known = || self.spec().inputs().map(FieldSpec::name);
        let mut unknown = inputs.keys().filter(|name| known().all(|input| input != *name));
        let Some(first) = unknown.next() else { return Ok(()) };
        let what = match self.spec().field(first) {
            Some(_) => "not an input of the signature".to_owned(),
            None => format!("no such input; {}", remedy(first, known())),
        };
        let others: Vec<_> = unknown.map(|name| format!("`{name}`")).collect();
        let others =
            if others.is_empty() { others.join("") } else { format!(" (nor is {})", others.join(", ")) };
        Err(FieldError::new(first, what + &others))
    }

    /// A type that no reply could be read as is the program's fault, so it is reported before a request is paid for.
    fn check_outputs(&self, adapter: &Arc<dyn Adapter>) -> Result<(), ParseError> {
        let unreadable =
            |field: &FieldSpec| Some(FieldProblem::new(field.name(), field.readable().err()?.to_string()));
        let problems: Vec<FieldProblem> = self.spec().outputs().filter_map(unreadable).collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(ParseError::new(ParseErrorKind::Schema, adapter.name(), "", problems))
    }
}

pub(super) struct Call<'a> {
    pub(super) predictor: &'a Predictor,
    pub(super) context: &'a Context,
    pub(super) lm: &'a Lm,
    pub(super) inputs: &'a Values,
    pub(super) details: Details,
    pub(super) watch: Option<Box<Watch>>,
    pub(super) observed: Option<&'a Operation>,
}

pub(super) type Convert<'c> = &'c mut (dyn FnMut(&mut Values) -> Result<Converted, Refusal> + Send);

/// What came of a call: the prediction, and its values if someone wants them.
pub(super) type Outcome = Result<(AnyPrediction, Values)>;

/// What one attempt asks.
struct Question<'q> {
    prepared: &'q Arc<Prepared>,
    able: Capabilities,
    /// The replies that could not be read, each with what was wrong with it.
    correction: &'q [Message],
    /// The token limit, where an earlier one was too low.
    limit: Option<u32>,
    abort_early: bool,
}

impl Question<'_> {
    /// The request that asks it.
    fn request(&self, predictor: &Predictor, context: &Context, inputs: &Values) -> Result<Request> {
        let Question { prepared, able, correction, limit, .. } = *self;
        let mut request = Request::new(Vec::new());
        let rendering = spans::render(prepared.adapter.name());
        let fill = || prepared.fill(&mut request, predictor.demos(), inputs, correction, able);
        rendering.in_scope(fill)?;
        request.params.clone_from(predictor.params());
        request.params.max_tokens = limit.or(request.params.max_tokens);
        request.rollout = context.rollout();
        request.origin = prepared.origin(inputs)?;
        Ok(request)
    }
}

impl Call<'_> {
    /// Attempts with the chosen adapter, then with JSON. Also returns the values, if someone wants them.
    pub(super) async fn run(&mut self, convert: Convert<'_>, keep: bool) -> Outcome {
        let recovery = self.predictor.recovery().unwrap_or(self.context.recovery());
        let chosen = self.predictor.adapter().unwrap_or(self.context.adapter());
        let mut failed: Vec<ParseError> = Vec::new();
        let mut limit = None;
        let (mut adapter, mut able, mut left) = (chosen, self.lm.capabilities(), recovery.reasks);
        let mut fallen_back = false;
        loop {
            let prepared = &self.predictor.prepared(adapter, able);
            let mut correction = Vec::new();
            loop {
                let (correction_now, abort_early) = (&correction, recovery.abort_early);
                let question = Question { prepared, able, correction: correction_now, limit, abort_early };
                let error = match self.attempt(question, convert, keep).await {
                    Ok(Ok(done)) => return Ok(done),
                    Ok(Err(error)) => error,
                    Err(cause) => {
                        return Err(match ParseError::of_attempts(failed) {
                            Some(failed) => RepromptError::new(failed, cause).into(),
                            None => cause,
                        });
                    }
                };
                let truncated = error.kind == ParseErrorKind::Truncated;
                let longer = if truncated { self.longer(limit, recovery.longer) } else { None };
                // Asking again cannot mend these: the same limit cuts again, the same type fails again.
                let hopeless = longer.is_none() && (truncated || error.kind == ParseErrorKind::Schema);
                let again = longer.is_some() || (!hopeless && left > 0);
                if longer.is_some() {
                    limit = longer;
                } else if again {
                    left -= 1;
                    correction.extend(prepared.correction(self.details.completions().first(), &error));
                }
                if let Some(operation) = self.observed.filter(|_| !hopeless) {
                    operation.restarted(&error);
                }
                if let Some(watch) = self.watch.as_mut().filter(|_| !hopeless) {
                    Box::pin(watch.restart(error.problems_text())).await;
                }
                failed.push(error);
                if hopeless {
                    return Err(last(failed));
                }
                if !again {
                    break;
                }
            }
            let native = NativeKey::new(self.predictor.spec(), able) != NativeKey::default();
            if fallen_back || !recovery.json_fallback || !native && adapter::is_json(&**chosen) {
                return Err(last(failed));
            }
            // The fallback asks for everything in the text, whatever the model could do natively.
            (adapter, able, left) = (&*JSON, able.tools(false).reasoning(false), 0);
            fallen_back = true;
        }
    }

    /// A higher token limit than the one that cut the reply off, if the policy has one.
    fn longer(&self, limit: Option<u32>, most: Option<u32>) -> Option<u32> {
        let most = most?;
        let tried = limit.or(self.predictor.params().max_tokens).or(self.lm.params().max_tokens);
        let next = tried.map_or(most, |tried| tried.saturating_mul(2).min(most));
        (tried.is_none_or(|tried| next > tried)).then_some(next)
    }

    async fn attempt(
        &mut self,
        question: Question<'_>,
        convert: Convert<'_>,
        keep: bool,
    ) -> Result<Result<(AnyPrediction, Values), ParseError>> {
        let Question { prepared, abort_early, .. } = question;
        // The request is moved on at once, so that the future does not hold it twice.
        let received = match &mut self.watch {
            None => match question.request(self.predictor, self.context, self.inputs) {
                Ok(request) => Received::Answer(self.lm.complete(request).await?),
                Err(error) => return Err(error),
            },
            Some(watch) => {
                let request = question.request(self.predictor, self.context, self.inputs);
                // Boxed, like all that few calls need, so that the others stay small.
                Box::pin(watch.attempt(self.lm.stream(request?), prepared, abort_early)).await?
            }
        };
        let mut read = match received {
            Received::Refused(error) => {
                self.details.push(Attempt::broken_off(prepared.adapter.clone()));
                Err(error)
            }
            Received::Answer(response) => {
                if !response.cached {
                    self.details.usage += response.usage;
                }
                let refusal = response.refusal(self.lm.id());
                self.details.push(Attempt::answered(prepared.adapter.clone(), response));
                // A model that refuses, or a filter, is not argued with.
                if let Some(refusal) = refusal {
                    return Err(refusal.into());
                }
                match &prepared.second {
                    Some(second) => Box::pin(self.extract(prepared, second, convert, keep)).await?,
                    None => self.read(prepared, convert, keep)?,
                }
            }
        };
        if let (Err(error), Some(attempt)) = (&mut read, self.details.latest()) {
            error.set_usage(attempt.usage());
            attempt.refused(error);
        }
        Ok(read)
    }

    /// The first of the completions that can be read. A fault of the program ends the search.
    fn read(
        &mut self,
        prepared: &Prepared,
        convert: Convert<'_>,
        keep: bool,
    ) -> Result<Result<(AnyPrediction, Values), ParseError>> {
        let adapter = &prepared.adapter;
        let mut first_error = None;
        for completion in self.details.completions() {
            let parsing = spans::parse(adapter.name());
            let read = parsing.in_scope(|| prepared.read(self.inputs, completion));
            spans::parsed(&parsing, read.as_ref().map(|read| read.report.repairs.len()).map_err(|e| e.kind));
            let read = read.map_err(Error::from);
            let read = read.and_then(|Parsed { mut values, report }| {
                let kept = if keep { values.clone() } else { Values::new() };
                let converted = convert(&mut values);
                let converted = converted.map_err(|refusal| refusal.of(adapter.name(), &completion.text))?;
                Ok((converted, kept, values, report))
            });
            match read {
                Ok(((prediction, failed_checks), kept, added, report)) => {
                    self.details.report = report;
                    self.details.added = added;
                    self.details.failed_checks = failed_checks;
                    return Ok(Ok((prediction, kept)));
                }
                Err(Error::Parse(error)) => first_error = first_error.or(Some(*error)),
                Err(fault) => return Err(fault),
            }
        }
        let none = || ParseError::new(ParseErrorKind::Empty, adapter.name(), "", Vec::new());
        Ok(Err(first_error.unwrap_or_else(none)))
    }
}

fn last(failed: Vec<ParseError>) -> Error {
    let none = || ParseError::new(ParseErrorKind::Empty, "", "", Vec::new());
    ParseError::of_attempts(failed).unwrap_or_else(none).into()
}

fn record(
    trace: &TraceScope,
    place: u64,
    predictor: &Predictor,
    inputs: Values,
    result: Result<&Values, &Error>,
    details: &Details,
) {
    let step = TraceStep {
        predictor: String::new(),
        inputs,
        outputs: result.cloned().unwrap_or_default(),
        reply: details.completions().first().map(|completion| completion.text.clone()).unwrap_or_default(),
        usage: details.usage,
        error: result.err().map(ToString::to_string),
    };
    trace.record(place, predictor, step);
}

/// Takes the values of a signature's own outputs out of `values`, leaving those that a strategy added to make `whole`.
pub(super) fn split_outputs(values: &mut Values, own: &SignatureSpec, whole: &SignatureSpec) -> Values {
    let is_own = |name: &str| own.outputs().any(|field| field.name() == name);
    let mut taken = std::mem::take(values);
    if taken.len() > own.outputs().count() {
        *values = Values::with_capacity(1);
    }
    for added in whole.outputs().filter(|field| !is_own(field.name())) {
        if let Some((name, value)) = taken.shift_remove_entry(added.name()) {
            values.insert(name, value);
        }
    }
    // An adapter may return more than it was asked for.
    if !taken.keys().all(|name| is_own(name)) {
        taken.retain(|name, value| {
            let stays = is_own(name);
            if !stays {
                values.insert(name.clone(), value.take());
            }
            stays
        });
    }
    taken
}
