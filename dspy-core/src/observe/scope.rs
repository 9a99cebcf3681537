//! The scope of the program that a task runs in.

use std::future::Future;
use std::sync::Arc;

use super::paths::{Named, Paths, PredictorRef};
use super::watch::Watched;
use dspy_lm::observe::{Scope, may_be_observed};

/// Returns this scope with the paths of a program that is about to run. Those of an enclosing program stay.
pub(super) fn registered(scope: &Scope, predictors: Named<'_>) -> Scope {
    let mut scope = scope.clone();
    match paths(&scope) {
        Some(paths) => paths.register(predictors),
        None => {
            let paths = Paths::default();
            paths.register(predictors);
            scope.program = Some(Arc::new(paths));
        }
    }
    scope
}

pub(super) fn path(scope: &Scope, predictor: PredictorRef) -> Arc<str> {
    paths(scope).map_or_else(|| "self".into(), |paths| paths.of(predictor))
}

fn paths(scope: &Scope) -> Option<&Paths> {
    scope.program.as_deref()?.downcast_ref()
}

/// Registers the paths of a module that is a single predictor, if they are needed.
pub(crate) fn leaf(predictors: Named<'_>) -> Option<NamedScope> {
    may_be_observed().then(|| NamedScope::new(registered(&Scope::current(), predictors)))
}

/// Gives copies of predictors, made while their program runs, the paths of their originals. Each pair is an original
/// and its copy.
pub(crate) fn register_copies(pairs: &[(PredictorRef, PredictorRef)]) {
    Watched::current().register_copies(pairs);
    if let Some(paths) = paths(&Scope::current()) {
        paths.register_copies(pairs);
    }
}

/// A scope with known paths of predictors.
pub(crate) struct NamedScope(Arc<Scope>);

impl NamedScope {
    pub(super) fn new(scope: Scope) -> Self {
        NamedScope(Arc::new(scope))
    }

    pub(crate) fn enter<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        self.0.enter(future)
    }
}
