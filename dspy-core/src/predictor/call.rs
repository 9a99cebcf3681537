//! One call of a predictor: prompt, request, reply, values, and recovery from replies that cannot be read.

use std::borrow::Cow;
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
use crate::lm::{Capabilities, Completion, Lm, Message, Request};
use crate::observe::{self, EventKind, Failure, Operation, TraceScope, TraceStep, Watched, spans};
use crate::recovery::{Attempts, Step};
use crate::settings::Context;
use crate::signature::{FieldError, FieldSpec, SignatureSpec, Values};
use crate::suggest::remedy;
use crate::types::ShownTurns;
use serde_json::Value;

static JSON: LazyLock<Arc<dyn Adapter>> = LazyLock::new(|| Arc::new(JsonAdapter));

impl Predictor {
    /// Returns the exact messages of the first request for these inputs. Calls no model.
    ///
    /// # Errors
    /// If an input is missing.
    pub fn render(&self, inputs: &Values) -> Result<Vec<Message>> {
        self.check_inputs(inputs)?;
        let context = Context::current();
        let adapter = self.adapter().unwrap_or(context.adapter());
        let able = self.lm().or(context.lm()).map(Lm::capabilities).unwrap_or_default();
        let inputs = self.with_tool_descriptions(Cow::Borrowed(inputs));
        Ok(self.prepared(adapter, able).messages(self.demos(), &inputs, None, &[]))
    }

    /// Returns a call as training data: the messages of its first request, the tools offered with them, and
    /// the completion that has these outputs.
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
        let inputs = self.with_tool_descriptions(Cow::Borrowed(inputs));
        prepared.fill(&mut request, self.demos(), (&inputs, None), &[], able)?;
        Ok((request, prepared.view.answer(&*prepared.adapter, outputs)))
    }

    /// Calls the model and reads its reply. The checks of the signature are enforced, as by
    /// [`Predict`](crate::predict::Predict).
    ///
    /// # Errors
    /// If an input is missing or unknown, there is no model, the model call fails, or no attempt returned a
    /// readable reply.
    pub async fn call(&self, inputs: Values) -> Result<Prediction<Values>> {
        let enforce = self.spec().enforce();
        let convert = &mut |values: &mut Values| enforced(enforce, values);
        Prediction::recovered(self.call_as(&inputs, |_, _| Ok(Vec::new()), convert).await?)
    }

    /// Does the same as [`call`](Self::call) for the step of an agent. The turns are the input `field`, which `inputs`
    /// receives here; they are rendered once for all steps that show them.
    ///
    /// # Errors
    /// Those of [`call`](Self::call).
    #[doc(hidden)]
    pub async fn call_showing(
        &self,
        inputs: &mut Values,
        field: &str,
        turns: &ShownTurns,
    ) -> Result<Prediction<Values>> {
        let watched = Watched::current();
        let is_read = observe::may_be_observed() || watched.events.is_some() || watched.trace.is_some();
        let value = if is_read { turns.to_value() } else { Value::Null };
        match inputs.get_mut(field) {
            Some(known) => *known = value,
            None => drop(inputs.insert(field.to_owned(), value)),
        }
        let enforce = self.spec().enforce();
        let convert = &mut |values: &mut Values| enforced(enforce, values);
        let check: CheckField = |_, _| Ok(Vec::new());
        Prediction::recovered(self.call_with_turns(inputs, Some(turns), check, convert).await?)
    }

    /// Does the work of [`call`](Self::call), with a conversion of the values to the caller's type. Refusals
    /// by the conversion are treated like parse errors: the model is re-prompted. `check` refuses single
    /// fields of a reply that is still arriving.
    pub(crate) async fn call_as(
        &self,
        inputs: &Values,
        check: CheckField,
        convert: Convert<'_>,
    ) -> Result<AnyPrediction> {
        self.call_with_turns(inputs, None, check, convert).await
    }

    async fn call_with_turns(
        &self,
        inputs: &Values,
        turns: Option<&ShownTurns>,
        check: CheckField,
        convert: Convert<'_>,
    ) -> Result<AnyPrediction> {
        self.check_inputs(inputs)?;
        let inputs = self.with_tool_descriptions(Cow::Borrowed(inputs));
        let inputs = &*inputs;
        let context = Context::current();
        self.check_outputs(self.adapter().unwrap_or(context.adapter()))?;
        let lm = self.lm().or(context.lm()).ok_or(Error::NoLm)?;
        let watched = Watched::current();
        let operation =
            observe::predictor(self.reference(), self.spec().name(), inputs, watched.events.is_some())
                .map(Box::new);
        let mut watch = match (&watched.events, &operation) {
            (Some(events), Some(operation)) => {
                Some(Box::new(Watch::new(self, events, operation.id(), check)))
            }
            _ => None,
        };
        if let Some(watch) = &watch {
            Box::pin(watch.say(EventKind::Started { inputs: inputs.clone() })).await;
        }
        let place = watched.trace.as_ref().map(|trace| trace.start());
        let shown = operation.as_ref().is_some_and(|operation| operation.shows_values());
        let keep = watch.is_some() || place.is_some() || shown;
        let mut details = Details::default();
        let mut call = Call {
            predictor: self,
            context: &context,
            lm,
            inputs,
            turns,
            details: &mut details,
            watch: watch.as_deref_mut(),
            observed: operation.as_deref(),
        };
        let result = match &operation {
            None => call.run(convert, keep).await,
            Some(operation) => Box::pin(operation.run(call.run(convert, keep))).await,
        };
        let outputs = result.as_ref().map(|(_, values)| values);
        if let Some(operation) = operation {
            let outputs = outputs.map_err(|error| error as &dyn Failure);
            operation.predictor_ended(outputs, details.usage, details.attempts.len());
        }
        if let Some(watch) = watch {
            Box::pin(watch.end(outputs, &details)).await;
        }
        if let (Some(trace), Some(place)) = (&watched.trace, place) {
            record(trace, place, self, inputs.clone(), outputs, &details);
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

    /// Reports a type that no reply could be read as, which is an error in the program, before the first paid
    /// request.
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
    /// The turns of an agent, if they are not in the inputs.
    pub(super) turns: Option<&'a ShownTurns>,
    pub(super) details: &'a mut Details,
    pub(super) watch: Option<&'a mut Watch>,
    pub(super) observed: Option<&'a Operation>,
}

pub(super) type Convert<'c> = &'c mut (dyn FnMut(&mut Values) -> Result<Converted, Refusal> + Send);

/// A reply that was read: the prediction, and its values if they are kept.
pub(super) type Done = (AnyPrediction, Values);

/// The outcome of one attempt that received a reply.
pub(super) enum Outcome {
    Read(Done),
    /// The reply cannot be read, or fails checks.
    Refused(ParseError),
}

/// The content of one attempt.
struct Question {
    prepared: Arc<Prepared>,
    able: Capabilities,
    /// The unreadable replies, each with its problems.
    correction: Vec<Message>,
    /// The token limit, if an earlier one was too low.
    limit: Option<u32>,
    abort_early: bool,
}

impl Question {
    /// Builds the request and passes it to `send`. Not async, so that only the future of the answer holds the
    /// request.
    fn send<T>(
        &self,
        predictor: &Predictor,
        context: &Context,
        inputs: (&Values, Option<&ShownTurns>),
        send: impl FnOnce(Request) -> T,
    ) -> Result<T> {
        let mut request = Request::default();
        self.fill(&mut request, predictor, context, inputs)?;
        Ok(send(request))
    }

    /// Writes the request, in place because requests are large.
    fn fill(
        &self,
        request: &mut Request,
        predictor: &Predictor,
        context: &Context,
        inputs: (&Values, Option<&ShownTurns>),
    ) -> Result<()> {
        let Question { prepared, able, correction, limit, .. } = self;
        let rendering = spans::render(prepared.adapter.name());
        rendering.in_scope(|| prepared.fill(request, predictor.demos(), inputs, correction, *able))?;
        request.params.clone_from(predictor.params());
        request.params.max_tokens = limit.or(request.params.max_tokens);
        request.params.temperature = context.temperature().or(request.params.temperature);
        request.rollout = context.rollout();
        prepared.sign(inputs.0, &mut request.extensions)
    }
}

impl Call<'_> {
    /// Makes attempts with the chosen adapter, then with JSON, as the policy says.
    pub(super) async fn run(&mut self, convert: Convert<'_>, keep: bool) -> Result<Done> {
        let policy = self.predictor.recovery().unwrap_or(self.context.recovery());
        let chosen = self.predictor.adapter().unwrap_or(self.context.adapter());
        let able = self.lm.capabilities();
        let first_limit = self.predictor.params().max_tokens.or(self.lm.params().max_tokens);
        let mut attempts = Attempts::new(policy, first_limit);
        // The fallback requests the reasoning in the text. Calls stay native: the text of a model that calls tools natively
        // is never a call.
        let fallback = able.reasoning(false);
        let first = self.predictor.prepared(chosen, able);
        let spec = self.predictor.spec();
        let other_form = || {
            NativeKey::new(spec, able) != NativeKey::new(spec, fallback)
                || !first.view.is_bare() && !adapter::is_json(&**chosen)
        };
        let mut question = Question {
            prepared: first.clone(),
            able,
            correction: Vec::new(),
            limit: None,
            abort_early: policy.abort_early,
        };
        let mut failed: Vec<ParseError> = Vec::new();
        loop {
            let error = match self.attempt(&question, convert, keep).await {
                Ok(Outcome::Read(done)) => return Ok(done),
                Ok(Outcome::Refused(error)) => error,
                Err(cause) => {
                    return Err(match ParseError::of_attempts(failed) {
                        Some(failed) => RepromptError::new(failed, cause).into(),
                        None => cause,
                    });
                }
            };
            let step = attempts.after(error.kind, other_form);
            match step {
                Step::RaiseLimit(limit) => question.limit = Some(limit),
                Step::Reprompt => {
                    let reply = self.details.completions().first();
                    question.correction.extend(question.prepared.correction(reply, &error));
                }
                Step::JsonFallback => {
                    question.able = fallback;
                    question.prepared = self.predictor.prepared(&JSON, question.able);
                    question.correction.clear();
                }
                Step::GiveUp => {
                    failed.push(error);
                    return Err(last(failed));
                }
            }
            if let Some(operation) = self.observed {
                operation.restarted(error.kind.class(), &error.adapter, || error.problems_text());
            }
            if let Some(watch) = &mut self.watch {
                Box::pin(watch.restart(error.problems_text())).await;
            }
            failed.push(error);
        }
    }

    async fn attempt(&mut self, question: &Question, convert: Convert<'_>, keep: bool) -> Result<Outcome> {
        let Question { prepared, abort_early, .. } = question;
        let Call { predictor, context, lm, inputs, turns, .. } = *self;
        let inputs = (inputs, turns);
        let received = match &mut self.watch {
            None => {
                let answer = question.send(predictor, context, inputs, |request| lm.complete(request))?;
                Received::Answer(answer.await?)
            }
            Some(watch) => {
                let stream = question.send(predictor, context, inputs, |request| lm.stream(request))?;
                // Boxed, like everything that few calls need, to keep the other calls small.
                Box::pin(watch.attempt(stream, prepared, *abort_early)).await?
            }
        };
        let mut outcome = match received {
            Received::Refused(error) => {
                self.details.push(Attempt::broken_off(prepared.adapter.clone()));
                Outcome::Refused(error)
            }
            Received::Answer(response) => {
                if !response.cached {
                    self.details.usage += response.usage;
                }
                let refusal = response.refusal(self.lm.id());
                self.details.push(Attempt::answered(prepared.adapter.clone(), response));
                // A refusal by the model or a filter is not re-prompted.
                if let Some(refusal) = refusal {
                    return Err(refusal.into());
                }
                match &prepared.second {
                    Some(second) => Box::pin(self.extract(prepared, second, convert, keep)).await?,
                    None => self.read(prepared, convert, keep)?,
                }
            }
        };
        if let (Outcome::Refused(error), Some(attempt)) = (&mut outcome, self.details.latest()) {
            error.set_usage(attempt.usage());
            attempt.refused(error);
        }
        Ok(outcome)
    }

    /// Returns the first of the completions that can be read. An error in the program ends the search.
    fn read(&mut self, prepared: &Prepared, convert: Convert<'_>, keep: bool) -> Result<Outcome> {
        let adapter = &prepared.adapter;
        let mut first_error = None;
        for completion in self.details.completions() {
            let parsing = spans::parse(adapter.name());
            let read = parsing.in_scope(|| prepared.read(self.inputs, completion));
            spans::parsed(
                &parsing,
                read.as_ref().map(|read| read.report.repairs.len()).map_err(|e| e.kind.class()),
            );
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
                    return Ok(Outcome::Read((prediction, kept)));
                }
                Err(Error::Parse(error)) => first_error = first_error.or(Some(*error)),
                Err(fault) => return Err(fault),
            }
        }
        let none = || ParseError::new(ParseErrorKind::Empty, adapter.name(), "", Vec::new());
        Ok(Outcome::Refused(first_error.unwrap_or_else(none)))
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
        demos: predictor.lesson_demos().map(<[_]>::to_vec),
        outputs: result.cloned().unwrap_or_default(),
        reply: details.completions().first().map(|completion| completion.text.clone()).unwrap_or_default(),
        usage: details.usage,
        error: result.err().map(ToString::to_string),
    };
    trace.record(place, predictor.reference(), step);
}

/// Takes the values of a signature's own outputs from `values`; those that a strategy added to make `whole` stay.
pub(crate) fn split_outputs(values: &mut Values, own: &SignatureSpec, whole: &SignatureSpec) -> Values {
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
