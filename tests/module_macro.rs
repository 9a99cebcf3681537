//! `#[module]`, as a user writes and uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]
#![deny(warnings, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;

use dspy::predict::Predictor;
use dspy::prelude::*;
use dspy::program::{Visitor, VisitorMut};
use dspy::signature::SignatureSpec;

/// A strategy of a user's: the one thing that implements `HasPredictors` by hand.
#[derive(Clone, Debug)]
pub struct Leaf(Predictor);

impl HasPredictors for Leaf {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.predictor(&self.0);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.predictor(&mut self.0);
    }
}

fn predictor() -> Leaf {
    Leaf(Predictor::new("question -> answer".parse::<SignatureSpec>().expect("a signature")))
}

/// A predictor under a name.
#[module]
#[derive(Debug)]
pub struct Step {
    predict: Leaf,
}

impl Step {
    fn new() -> Self {
        Step { predict: predictor() }
    }
}

/// All that can hold predictors.
#[module]
struct Program {
    first: Step,
    #[cfg(any())]
    absent: Step,
    #[module(name = "renamed")]
    second: Step,
    r#loop: Vec<Step>,
    maybe: Option<Box<Step>>,
    none: Option<Step>,
    by_kind: BTreeMap<String, Step>,
    pair: [Arc<Step>; 2],
    #[module(skip)]
    corpus: Arc<str>,
}

fn paths(program: &impl HasPredictors) -> Vec<String> {
    program.named_predictors().into_iter().map(|(path, _)| path).collect()
}

fn program() -> Program {
    Program {
        first: Step::new(),
        second: Step::new(),
        r#loop: vec![Step::new(), Step::new()],
        maybe: Some(Box::new(Step::new())),
        none: None,
        by_kind: BTreeMap::from([("refund".to_owned(), Step::new())]),
        pair: [Arc::new(Step::new()), Arc::new(Step::new())],
        corpus: "corpus".into(),
    }
}

#[test]
fn paths_are_those_of_python() {
    let mut program = program();
    let expected = [
        "first.predict",
        "renamed.predict",
        "loop[0].predict",
        "loop[1].predict",
        "maybe.predict",
        "by_kind['refund'].predict",
        "pair[0].predict",
        "pair[1].predict",
    ];
    assert_eq!(paths(&program), expected);
    let mut changed = Vec::new();
    program.for_each_predictor(|path, _| changed.push(path.to_owned()));
    assert_eq!(changed, expected);
    assert_eq!(paths(&program.clone()), expected);
    assert_eq!(&*program.corpus, "corpus");
}

/// Generic over its parts, without a bound of its own.
#[module]
struct Both<A, B: Clone, const N: usize>
where
    A: Clone,
{
    left: A,
    right: [B; N],
    #[module(skip)]
    threshold: f64,
}

#[test]
fn parts_can_be_generic() {
    let both = Both { left: Step::new(), right: [predictor(), predictor()], threshold: 0.5 };
    assert_eq!(paths(&both), ["left.predict", "right[0]", "right[1]"]);
    assert!(both.clone().threshold > 0.0);
}

/// It clones in its own way.
#[module(no_clone)]
struct Counted {
    step: Step,
    #[module(skip)]
    clones: u32,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Counted { step: self.step.clone(), clones: self.clones + 1 }
    }
}

/// Nothing to optimize.
#[module]
#[derive(Clone, Debug, Default)]
struct Echo;

#[test]
fn clone_is_derived_only_when_wanted() {
    let counted = Counted { step: Step::new(), clones: 0 };
    assert_eq!(counted.clone().clones, 1);
    assert_eq!(paths(&counted), ["step.predict"]);
    assert!(paths(&Echo.clone()).is_empty());
}
