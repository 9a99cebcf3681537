//! An observed call of a module, a predictor, a model or a tool.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use dspy_lm::observe::{CallId, Frame, Observers, Scope, gen_ai, may_be_observed};
use serde_json::Value;
use tracing::Span;

use super::observer::tell;
use super::paths::{Named, PredictorRef};
use super::scope::{NamedScope, path, registered};
use super::{Event, EventKind, spans};
use crate::lm::Usage;
use crate::signature::Values;

/// A failure as it is reported to observers.
pub(crate) trait Failure: fmt::Display {
    /// Returns the class of the failure in spans, and a description that quotes no content.
    fn class(&self) -> (&'static str, String);
}

/// An observed call of a module, predictor or tool. If it is dropped before it has ended, it counts as
/// cancelled.
pub(crate) struct Operation {
    frame: Frame,
    ended: bool,
}

impl Operation {
    fn new(scope: Scope, source: Arc<str>, observers: Observers, span: Span) -> Self {
        Operation { frame: Frame::new(scope, source, observers, span), ended: false }
    }

    /// Creates a call in `scope` if it is observed or `watched`.
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

    /// Returns whether inputs and outputs are recorded.
    pub(crate) fn shows_values(&self) -> bool {
        self.frame.content || !self.frame.observers.is_empty()
    }

    /// Sends an event to observers; `kind` is called only if there are any.
    fn tell(&self, kind: impl FnOnce() -> EventKind) {
        let Frame { id, source, observers, .. } = &self.frame;
        if !observers.is_empty() {
            tell(observers, &Event::of(*id, source.clone(), kind()));
        }
    }

    fn failed(&self, error: &dyn Failure) {
        let (error_type, text) = error.class();
        self.frame.failed(error_type, &self.frame.described(error, text));
    }

    /// Runs the work of the call in its scope.
    pub(crate) fn run<'w, F: Future + 'w>(&self, work: F) -> impl Future<Output = F::Output> + use<'w, F> {
        self.frame.run(work)
    }
}

/// The start of a module call.
pub(crate) enum ModuleCall {
    /// No observer of the module. The paths of its predictors are still registered, since an observer may be
    /// set further inside.
    Unobserved(NamedScope),
    Observed(Operation),
}

/// Starts a module call, observed or `watched` or neither.
pub(crate) fn module(name: &'static str, predictors: Named<'_>, watched: bool) -> ModuleCall {
    let scope = registered(&Scope::current(), predictors);
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
    /// Records the end of a module call.
    pub(crate) fn module_ended(mut self, result: Result<Usage, &dyn Failure>) {
        self.ended = true;
        if let Err(error) = &result {
            self.failed(*error);
        }
        self.tell(|| match result {
            Ok(usage) => EventKind::ModuleFinished { usage },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }
}

/// Starts a predictor call if it is observed or `watched`. Even without an observer of the predictor,
/// observers of its model receive its path.
pub(crate) fn predictor(
    predictor: PredictorRef,
    signature: &str,
    inputs: &Values,
    watched: bool,
) -> Option<Operation> {
    if !may_be_observed() && !watched {
        return None;
    }
    let mut scope = (*Scope::current()).clone();
    let path = path(&scope, predictor);
    scope.predictor = Some(path.clone());
    let span = spans::predictor(&path, signature);
    let observers = scope.observers();
    let operation = Operation::new(scope, path, observers, span);
    if operation.frame.content {
        spans::show_values(&operation.frame.span, gen_ai::INPUTS, inputs);
    }
    operation.tell(|| EventKind::Started { inputs: inputs.clone() });
    Some(operation)
}

impl Operation {
    /// Records that a reply was refused and that the model is re-prompted.
    pub(crate) fn restarted(&self, class: &str, adapter: &str, problems: impl FnOnce() -> String) {
        spans::refused(&self.frame.span, class, adapter);
        self.tell(|| EventKind::Restarted { problems: problems() });
    }

    /// Records the end of a predictor call.
    pub(crate) fn predictor_ended(
        mut self,
        result: Result<&Values, &dyn Failure>,
        usage: Usage,
        attempts: usize,
    ) {
        self.ended = true;
        spans::attempts(&self.frame.span, attempts);
        match result {
            Ok(outputs) if self.frame.content => {
                spans::show_values(&self.frame.span, gen_ai::OUTPUTS, outputs);
            }
            Ok(_) => {}
            Err(error) => {
                self.failed(error);
            }
        }
        self.tell(|| match result {
            Ok(outputs) => EventKind::Finished { outputs: outputs.clone(), usage },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }
}

/// Starts a tool call if it is observed or `watched`.
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
    /// Records the end of a tool call.
    pub(crate) fn tool_ended(mut self, result: Result<&Value, &dyn Failure>) {
        self.ended = true;
        match result {
            Ok(value) if self.frame.content => {
                spans::show_value(&self.frame.span, gen_ai::TOOL_RESULT, value);
            }
            Ok(_) => {}
            Err(error) => {
                self.failed(error);
            }
        }
        self.tell(|| match result {
            Ok(result) => EventKind::ToolFinished { result: result.clone() },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }
}

/// Sends a progress message of the program to observers.
pub(crate) fn status(id: CallId, text: &str) {
    let observers = Scope::current().observers();
    if !observers.is_empty() {
        tell(&observers, &Event::of(id, "status".into(), EventKind::Status(text.to_owned())));
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
