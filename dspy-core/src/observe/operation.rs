//! One call that is observed: of a module, a predictor, a model or a tool.

use std::future::Future;
use std::sync::Arc;

use serde_json::Value;
use tracing::Span;

use super::observer::tell;
use super::scope::{NamedScope, path, registered};
use super::spans;
use crate::adapter::ParseError;
use crate::error::{Error, Result};
use crate::lm::Usage;
use crate::predict::Predictor;
use crate::program::{Event, EventKind, HasPredictors};
use crate::signature::Values;
use crate::tools::ToolError;
use dspy_lm::observe::spans::{lm_error_text, lm_error_type};
use dspy_lm::observe::{CallId, Frame, Observers, Scope, gen_ai, may_be_observed};

/// The event of a call that happens now.
pub(crate) fn event(id: CallId, source: Arc<str>, kind: EventKind) -> Event {
    Event { source, call: id.call, parent: id.parent, elapsed: id.elapsed(), kind }
}

/// A call of a module, predictor or tool that is observed. Dropped before it has ended, it was cancelled.
pub(crate) struct Operation {
    frame: Frame,
    ended: bool,
}

impl Operation {
    fn new(scope: Scope, source: Arc<str>, observers: Observers, span: Span) -> Self {
        Operation { frame: Frame::new(scope, source, observers, span), ended: false }
    }

    /// A call in `scope`, if it is observed or `watched`.
    fn observed(scope: Scope, source: Arc<str>, span: Span, watched: bool) -> Option<Self> {
        let observers = scope.observers();
        let alone = !watched && span.is_disabled() && observers.is_empty();
        (!alone).then(|| Operation::new(scope, source, observers, span))
    }

    pub(crate) fn id(&self) -> CallId {
        self.frame.id
    }

    pub(crate) fn source(&self) -> &Arc<str> {
        &self.frame.source
    }

    /// Whether somebody wants to see inputs and outputs.
    pub(crate) fn shows_values(&self) -> bool {
        self.frame.content || !self.frame.observers.is_empty()
    }

    /// Tells observers; what is not observed is not made.
    fn tell(&self, kind: impl FnOnce() -> EventKind) {
        let Frame { id, source, observers, .. } = &self.frame;
        if !observers.is_empty() {
            tell(observers, &event(*id, source.clone(), kind()));
        }
    }

    /// Does the work of the call.
    pub(crate) fn run<'w, F: Future + 'w>(&self, work: F) -> impl Future<Output = F::Output> + use<'w, F> {
        self.frame.run(work)
    }
}

/// What an error is called in spans, and what can be said of it without quoting anybody.
fn class(error: &Error) -> (&'static str, String) {
    match error {
        Error::Lm(error) => (lm_error_type(error.kind), lm_error_text(error)),
        Error::Parse(error) => (spans::parse_error_type(error.kind), error.kind.describe().to_owned()),
        Error::Reprompt(error) => {
            let (kind, (_, cause)) = (error.failed.kind, class(&error.source));
            (spans::parse_error_type(kind), format!("{}, and re-prompting failed: {cause}", kind.describe()))
        }
        Error::Extraction(error) => class(&error.source),
        Error::NoLm => ("no_lm", "no language model is configured".to_owned()),
        Error::Field(_) => ("field", "a value does not fit its field".to_owned()),
        Error::Check(_) => ("check_panic", "a check of the signature panicked".to_owned()),
        Error::Grammar(_) => ("grammar", String::new()),
        Error::State(_) => ("state", String::new()),
        Error::Other(_) => ("_OTHER", String::new()),
    }
}

/// A module that begins.
pub(crate) enum ModuleCall {
    /// Nobody observes it. What it calls is known by the paths of its predictors all the same: somebody may observe that
    /// who does not observe the module.
    Unobserved(NamedScope),
    Observed(Operation),
}

/// A module that begins, observed or `watched` or neither.
pub(crate) fn module(
    name: &'static str,
    module: &(impl HasPredictors + ?Sized),
    watched: bool,
) -> ModuleCall {
    let scope = registered(&Scope::current(), module);
    if !may_be_observed() && !watched {
        return ModuleCall::Unobserved(NamedScope::new(scope));
    }
    let span = spans::module(name);
    let observers = scope.observers();
    if !watched && span.is_disabled() && observers.is_empty() {
        return ModuleCall::Unobserved(NamedScope::new(scope));
    }
    let operation = Operation::new(scope, name.into(), observers, span);
    operation.tell(|| EventKind::ModuleStarted);
    ModuleCall::Observed(operation)
}

impl Operation {
    /// Notes how a module has ended.
    pub(crate) fn module_ended(mut self, result: Result<Usage, &Error>) {
        self.ended = true;
        if let Err(error) = &result {
            let (error_type, text) = class(error);
            self.frame.failed(error_type, &self.frame.described(error, text));
        }
        self.tell(|| match result {
            Ok(usage) => EventKind::ModuleFinished { usage },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }
}

/// A predictor that is called, where it may be observed or is `watched`. Even if nobody observes the predictor, those
/// that observe its model are told its path.
pub(crate) fn predictor(predictor: &Predictor, inputs: &Values, watched: bool) -> Option<Operation> {
    if !may_be_observed() && !watched {
        return None;
    }
    let mut scope = (*Scope::current()).clone();
    let path = path(&scope, predictor);
    scope.predictor = Some(path.clone());
    let span = spans::predictor(&path, predictor.spec().name());
    let observers = scope.observers();
    let operation = Operation::new(scope, path, observers, span);
    if operation.frame.content {
        spans::show_values(&operation.frame.span, gen_ai::INPUTS, inputs);
    }
    operation.tell(|| EventKind::Started { inputs: inputs.clone() });
    Some(operation)
}

impl Operation {
    /// Notes that a reply was refused, and that the model is asked again.
    pub(crate) fn restarted(&self, error: &ParseError) {
        spans::refused(&self.frame.span, error.kind, &error.adapter);
        self.tell(|| EventKind::Restarted { problems: error.problems_text() });
    }

    /// Notes how a predictor has ended.
    pub(crate) fn predictor_ended(mut self, result: Result<&Values, &Error>, usage: Usage, attempts: usize) {
        self.ended = true;
        spans::attempts(&self.frame.span, attempts);
        match result {
            Ok(outputs) if self.frame.content => {
                spans::show_values(&self.frame.span, gen_ai::OUTPUTS, outputs);
            }
            Ok(_) => {}
            Err(error) => {
                let (error_type, text) = class(error);
                self.frame.failed(error_type, &self.frame.described(error, text));
            }
        }
        self.tell(|| match result {
            Ok(outputs) => EventKind::Finished { outputs: outputs.clone(), usage },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }
}

/// A tool that is called, where it is observed or `watched`.
pub(crate) fn tool(name: &str, arguments: &Value, watched: bool) -> Option<Operation> {
    if !may_be_observed() && !watched {
        return None;
    }
    let scope = (*Scope::current()).clone();
    let operation = Operation::observed(scope, name.into(), spans::tool(name), watched)?;
    if operation.frame.content {
        spans::show_value(&operation.frame.span, gen_ai::TOOL_ARGUMENTS, arguments);
    }
    operation.tell(|| EventKind::ToolStarted { arguments: arguments.clone() });
    Some(operation)
}

impl Operation {
    /// Notes how a tool has ended.
    pub(crate) fn tool_ended(mut self, result: Result<&Value, &ToolError>) {
        self.ended = true;
        match result {
            Ok(value) if self.frame.content => {
                spans::show_value(&self.frame.span, gen_ai::TOOL_RESULT, value);
            }
            Ok(_) => {}
            Err(error) => {
                let (error_type, text) = spans::tool_error(error);
                self.frame.failed(error_type, &self.frame.described(error, text.to_owned()));
            }
        }
        self.tell(|| match result {
            Ok(result) => EventKind::ToolFinished { result: result.clone() },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }
}

/// Tells observers what a program says of its progress.
pub(crate) fn status(id: CallId, text: &str) {
    let observers = Scope::current().observers();
    if !observers.is_empty() {
        tell(&observers, &event(id, "status".into(), EventKind::Status(text.to_owned())));
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.ended {
            self.frame.cancelled();
            self.tell(|| EventKind::Cancelled);
        }
    }
}
