//! Watched calls: the reply is streamed and reported as it arrives.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Predictor;
use super::prediction::Details;
use serde_json::Value;

use super::prepared::Prepared;
use super::refusal::Refusal;
use crate::adapter::{self, FieldProblem, ParseError, ParseErrorKind};
use crate::error::{Error, Result};
use crate::lm::{Delta, LmStream, Response};
use crate::observe::{EventKind, EventScope};
use crate::signature::{CheckFailure, CheckPanic, FieldChange, FieldUpdate, Values};
use dspy_lm::observe::CallId;

/// The function [`Signature::check_field`](crate::signature::Signature::check_field) of a signature.
pub(crate) type CheckField = fn(&str, &Value) -> Result<Vec<CheckFailure>, CheckPanic>;

/// The watcher of one call.
pub(super) struct Watch {
    events: Arc<EventScope>,
    /// The paths by which the watchers know the predictor.
    sources: Vec<Arc<str>>,
    call: CallId,
    check: CheckField,
    /// The fields that have been reported completely.
    complete: HashSet<Arc<str>>,
    /// The reported value of each field.
    shown: HashMap<Arc<str>, Value>,
}

/// The end of a streamed attempt.
pub(super) enum Received {
    Answer(Response),
    /// The stream was aborted because a field failed a check.
    Refused(ParseError),
}

impl Watch {
    pub(super) fn new(
        predictor: &Predictor,
        events: &Arc<EventScope>,
        call: CallId,
        check: CheckField,
    ) -> Self {
        let sources = events.sources(predictor.reference());
        Watch {
            events: events.clone(),
            sources,
            call,
            check,
            complete: HashSet::new(),
            shown: HashMap::new(),
        }
    }

    pub(super) async fn say(&self, kind: EventKind) {
        self.events.predictor(self.call, &self.sources, kind).await;
    }

    /// Reports that the part of the reply reported so far is void.
    pub(super) async fn restart(&mut self, problems: String) {
        self.complete.clear();
        self.shown.clear();
        self.say(EventKind::Restarted { problems }).await;
    }

    async fn field(&mut self, change: FieldChange) {
        match &change.update {
            FieldUpdate::More(more) => match self.shown.get_mut(&change.field) {
                Some(Value::String(text)) => text.push_str(more),
                _ => drop(self.shown.insert(change.field.clone(), more.clone().into())),
            },
            FieldUpdate::SoFar(value) => drop(self.shown.insert(change.field.clone(), value.clone())),
            FieldUpdate::Complete(value) => {
                self.complete.insert(change.field.clone());
                self.shown.insert(change.field.clone(), value.clone());
            }
            FieldUpdate::Refused(_) => {}
        }
        self.say(EventKind::Field(change)).await;
    }

    /// Returns the definite error of a field in a partial reply, if it has one.
    fn refusal(&self, change: &FieldChange, adapter: &str, reply: &str) -> Result<Option<ParseError>> {
        let failed = match &change.update {
            FieldUpdate::Complete(value) => (self.check)(&change.field, value)?,
            FieldUpdate::Refused(message) => {
                let problem = FieldProblem::new(&*change.field, message);
                return Ok(Some(ParseError::new(ParseErrorKind::Malformed, adapter, reply, vec![problem])));
            }
            _ => Vec::new(),
        };
        if failed.is_empty() {
            return Ok(None);
        }
        match Refusal::Checks(failed).of(adapter, reply) {
            Error::Parse(error) => Ok(Some(*error)),
            error => Err(error),
        }
    }

    /// Reports a reply as it arrives. With `abort_early` the first field that fails a check ends the stream.
    pub(super) async fn attempt(
        &mut self,
        mut stream: LmStream<'_>,
        prepared: &Prepared,
        abort_early: bool,
    ) -> Result<Received> {
        let mut reader = prepared.reader();
        let mut changes = Vec::new();
        let mut reply = String::new();
        while let Some(delta) = stream.next().await {
            match delta {
                Delta::Text(text) => {
                    if let Some(reader) = &mut reader {
                        reader.push(&text, &mut changes);
                    }
                    if abort_early {
                        reply.push_str(&text);
                    }
                    for change in changes.drain(..) {
                        let refusal = if abort_early {
                            self.refusal(&change, prepared.adapter.name(), &reply)?
                        } else {
                            None
                        };
                        self.field(change).await;
                        if let Some(error) = refusal {
                            return Ok(Received::Refused(error));
                        }
                    }
                }
                Delta::Reasoning(text) => self.say(EventKind::Reasoning(text)).await,
                Delta::Restart => {
                    reader = prepared.reader();
                    reply.clear();
                    self.restart(String::new()).await;
                }
                // Kinds of chunks that no stream sends yet.
                _ => {}
            }
        }
        Ok(Received::Answer(stream.finish().await?))
    }

    /// Returns a field whose reported part does not belong to its final value: damage further on can change
    /// the meaning of a reply.
    fn contradicted(&self, outputs: &Values) -> Option<&str> {
        let mut shown = self.shown.iter();
        let stands = |field: &Arc<str>, seen: &Value| match outputs.get(&**field) {
            Some(value) if self.complete.contains(field) => seen == value,
            Some(value) => adapter::grows(seen, value),
            None => false,
        };
        shown.find(|(field, seen)| !stands(field, seen)).map(|(field, _)| &**field)
    }

    /// Reports the end of the call, with the fields that were not reported completely before.
    pub(super) async fn end(mut self, result: Result<&Values, &Error>, details: &Details) {
        let outputs = match result {
            Ok(outputs) => outputs,
            Err(error) => return self.say(EventKind::Failed { error: error.to_string() }).await,
        };
        if let Some(field) = self.contradicted(outputs) {
            self.restart(format!(
                "`{field}`: the reply as a whole reads otherwise than what had arrived of it"
            ))
            .await;
        }
        for (name, value) in outputs {
            if !self.complete.contains(name.as_str()) {
                self.field(FieldChange::new(name.as_str(), FieldUpdate::Complete(value.clone()))).await;
            }
        }
        self.say(EventKind::Finished { outputs: outputs.clone(), usage: details.usage }).await;
    }
}
