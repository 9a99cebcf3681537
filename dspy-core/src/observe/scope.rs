//! The program that a task is in.

use std::future::Future;
use std::sync::Arc;

use crate::predict::Predictor;
use crate::program::{HasPredictors, Paths};
use dspy_lm::observe::{Scope, may_be_observed};

/// This scope with the paths of a program that is about to run. Those of an enclosing program stay.
pub(super) fn registered(scope: &Scope, module: &(impl HasPredictors + ?Sized)) -> Scope {
    let mut scope = scope.clone();
    match paths(&scope) {
        Some(paths) => paths.register(module),
        None => {
            let paths = Paths::default();
            paths.register(module);
            scope.program = Some(Arc::new(paths));
        }
    }
    scope
}

pub(super) fn path(scope: &Scope, predictor: &Predictor) -> Arc<str> {
    paths(scope).map_or_else(|| "self".into(), |paths| paths.of(predictor))
}

fn paths(scope: &Scope) -> Option<&Paths> {
    scope.program.as_deref()?.downcast_ref()
}

/// Learns the paths of a module that is a single predictor, where somebody wants to know them.
pub(crate) fn leaf(module: &impl HasPredictors) -> Option<NamedScope> {
    may_be_observed().then(|| NamedScope::new(registered(&Scope::current(), module)))
}

/// Where predictors run whose paths are known.
pub(crate) struct NamedScope(Arc<Scope>);

impl NamedScope {
    pub(super) fn new(scope: Scope) -> Self {
        NamedScope(Arc::new(scope))
    }

    pub(crate) fn enter<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        self.0.enter(future)
    }
}
