//! `Backtrack`: further attempts of a program whose constraints do not hold.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use dspy_core::predict::Prediction;
use dspy_core::program::{HasPredictors, HasShape, Module, Trace, TraceStep, hold_trace, status};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::{Error, Result};

use super::constraint::ConstraintFailed;
use crate::advice::{shortened, shown, with_notes};
use crate::react::lacks_approval;
use crate::replay::Replay;
use crate::scope::{Around, Noted, Noticed, Place, Refused, Scope, passing};
use crate::visit::visits_fields;

/// The number of attempts that a predictor is told of, the latest ones.
const REMEMBERED: usize = 3;

/// A strategy that runs a program with constraints and backtracks when one does not hold: the responsible predictor is
/// told what it returned and what was wrong with it, and tries again.
///
/// Calls that another attempt would repeat are not made again: their replies are those of the attempt before. Tools that
/// were called before the responsible predictor returned are not run again either, whoever called them; their results
/// and errors are those of the attempt before. So what came before the responsible predictor costs nothing and has no
/// effect twice. Tools that are called later run again in each attempt: put constraints before effects. A tool that was
/// stopped before it ended, such as by a time limit, runs again, too.
///
/// After the last attempt an [`Assert`](super::Assert) that does not hold is the error of the call, and a
/// [`Suggest`](super::Suggest) is passed over. So it is if a further attempt ends with another error, such as an unreadable
/// reply, but not if that is an outage or the end of a budget. Only the returned attempt is in traces; an error of an assertion is that
/// of a failed program, so that optimizers neither demonstrate nor prefer it.
///
/// The samples of a strategy and the programs of a [`Parallel`](crate::Parallel) inside have results of their own: each
/// is attempted again by itself, as often as is set here. A tool is not: inside, a suggestion is passed over, and the
/// error of an assertion is what the agent reads, unless the program of the tool has a `Backtrack` of its own.
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::lm::Lm;
/// use dspy::predict::{DynPredict, Prediction};
/// use dspy::program::{HasPredictors, Module, Visitor, VisitorMut};
/// use dspy::signature::Values;
/// use dspy_strategies::{Assert, Backtrack};
///
/// #[derive(Clone)]
/// struct Tweet(DynPredict);
///
/// impl Module for Tweet {
///     type Input = Values;
///     type Output = Values;
///     async fn forward(&self, input: Values) -> dspy::Result<Prediction<Values>> {
///         let tweet = self.0.call(input).await?;
///         let brief = tweet["tweet"].as_str().is_some_and(|text| text.len() <= 20);
///         Assert::new(brief, "stay within 20 characters").of(&self.0).check()?;
///         Ok(tweet)
///     }
/// }
/// # impl HasPredictors for Tweet {
/// #     fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) { self.0.visit(visitor); }
/// #     fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) { self.0.visit_mut(visitor); }
/// # }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let replies = ["[[ ## tweet ## ]]\nRust is a language with a compiler.", "[[ ## tweet ## ]]\nRust compiles."];
/// let tweet = Tweet(DynPredict::new("topic -> tweet".parse()?).with_lm(Lm::scripted(replies)));
/// let topic = Values::from_iter([("topic".to_owned(), "Rust".into())]);
/// let output = Backtrack::new(tweet).call(topic).await?;
/// assert_eq!(output["tweet"], "Rust compiles.");
/// # Ok::<(), dspy::Error>(()) }).unwrap();
/// ```
///
/// [`Prediction::added`] has the number of `backtracks` and the messages of `failed_suggestions`.
///
/// Source: Singhvi et al., "DSPy Assertions: Computational Constraints for Self-Refining Language Model Pipelines"
/// (2023).
#[derive(Debug, Clone)]
pub struct Backtrack<M> {
    module: M,
    backtracks: usize,
}

impl<M: Module> Backtrack<M> {
    /// Creates the strategy.
    pub fn new(module: M) -> Self {
        Backtrack { module, backtracks: 2 }
    }

    /// Sets the number of further attempts that each constraint is given. Default: 2.
    #[must_use]
    pub fn max_backtracks(mut self, attempts: usize) -> Self {
        self.backtracks = attempts;
        self
    }
}

impl<M> Module for Backtrack<M>
where
    M: Module<Input: Clone + Sync> + Clone,
{
    type Input = M::Input;
    type Output = M::Output;

    async fn forward(&self, input: M::Input) -> Result<Prediction<M::Output>> {
        let (result, noted) = backtracking(&self.module, input, self.backtracks).await;
        let prediction = result.map(|prediction| {
            let (backtracks, failed) = (noted.backtracks, noted.messages());
            let prediction = prediction.with_added("backtracks", backtracks);
            prediction.with_added("failed_suggestions", failed)
        });
        noted.keep();
        prediction
    }
}

/// Runs a program whose result is one of several, each of which stands for itself, such as a sample or a row. Inside a
/// `Backtrack` its constraints are retried here, where the program is, as often as there.
pub(crate) async fn on_its_own<M>(program: &M, input: M::Input) -> (Result<Prediction<M::Output>>, Noted)
where
    M: Module<Input: Clone + Sync> + Clone,
{
    match Around::current() {
        Around::Nothing => (program.call(input).await, Noted::default()),
        Around::Passes => passing(program.call(input)).await,
        Around::Retries(backtracks) => Box::pin(backtracking(program, input, backtracks)).await,
    }
}

/// Attempts a program until its constraints hold or have had their further attempts.
async fn backtracking<M>(
    module: &M,
    input: M::Input,
    backtracks: usize,
) -> (Result<Prediction<M::Output>>, Noted)
where
    M: Module<Input: Clone + Sync> + Clone,
{
    let replay = Arc::new(Replay::default());
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // The last suggestion that was retried, and what was told before.
    let mut retried: Option<(Place, BTreeMap<String, Vec<String>>)> = None;
    let mut tries = Tries { backtracks, made: 0, of_each: BTreeMap::new(), exhausted: HashSet::new() };
    loop {
        let advised = (!told.is_empty())
            .then(|| with_notes(module, |path| told.get(path).map(|attempts| notes(attempts))));
        let program = advised.as_ref().unwrap_or(module);
        let scope = Scope::attempt(program, backtracks, tries.exhausted.clone());
        let call = scope.enter(program.call(input.clone()));
        let (result, held) = hold_trace(replay.attempt(call)).await;
        if result.as_ref().is_err_and(is_of_attempt)
            && let Some((place, before)) = retried.take()
        {
            // The attempt before had got as far as the suggestion, which is passed over now.
            tries.exhausted.insert(place);
            told = before;
            replay.blame(None);
            continue;
        }
        match tries.next(result.as_ref().err(), scope.noticed()) {
            Next::End => {
                held.keep();
                let mut noted = scope.noted();
                noted.backtracks += tries.made;
                return (result, noted);
            }
            Next::PassOver => replay.blame(None),
            Next::Retry(noticed) => {
                let Refused { message, place, hard, .. } = &noticed.refused;
                retried = (!hard).then(|| (*place, told.clone()));
                status(format!("backtracking: {message}")).await;
                let trace = held.trace();
                let path = path(&noticed, program, &trace);
                replay.blame(path.as_deref());
                if let Some(path) = path {
                    let last = trace.steps.iter().rev().find(|step| step.predictor == path);
                    let attempts = told.entry(path).or_default();
                    attempts.push(note(last, message));
                    if attempts.len() > REMEMBERED {
                        attempts.remove(0);
                    }
                }
            }
        }
    }
}

/// Returns whether an error is that of one attempt: neither that of a constraint nor one that another attempt would meet,
/// too.
fn is_of_attempt(error: &Error) -> bool {
    ConstraintFailed::of(error).is_none() && !ends_all(error)
}

fn ends_all(error: &Error) -> bool {
    error.is_outage() || error.is_configuration() || lacks_approval(error)
}

/// The further attempts so far.
struct Tries {
    /// The number that each constraint is given.
    backtracks: usize,
    made: usize,
    of_each: BTreeMap<Place, usize>,
    /// The suggestions that are passed over from now on.
    exhausted: HashSet<Place>,
}

enum Next {
    End,
    /// The same attempt, in which one more suggestion is passed over.
    PassOver,
    Retry(Noticed),
}

impl Tries {
    /// Decides what follows an attempt: about the constraint that is its error, or else about those whose errors something
    /// in the program has handled.
    fn next(&mut self, error: Option<&Error>, noticed: Vec<Noticed>) -> Next {
        if error.is_some_and(ends_all) {
            return Next::End;
        }
        let reached = error.and_then(ConstraintFailed::of);
        let reached =
            reached.map(|ConstraintFailed(refused)| Noticed { refused: refused.clone(), latest: None });
        for noticed in reached.into_iter().chain(noticed) {
            let Refused { place, hard, .. } = noticed.refused;
            let tries = self.of_each.entry(place).or_insert(0);
            if *tries < self.backtracks {
                *tries += 1;
                self.made += 1;
                return Next::Retry(noticed);
            }
            if !hard && self.exhausted.insert(place) {
                return Next::PassOver;
            }
        }
        Next::End
    }
}

/// Returns the path of the responsible predictor in `program`, whose trace this is.
fn path(noticed: &Noticed, program: &impl HasPredictors, trace: &Trace) -> Option<String> {
    let named = program.named_predictors();
    let responsible = noticed.refused.responsible;
    let own = named.iter().find(|(_, predictor)| Some(std::ptr::from_ref(*predictor).addr()) == responsible);
    let last = || match &noticed.latest {
        Some(path) => Some(path.to_string()),
        None => trace.steps.last().map(|step| step.predictor.clone()),
    };
    own.map(|(path, _)| path.clone()).or_else(last)
}

fn note(last: Option<&TraceStep>, message: &str) -> String {
    let message = shortened(message);
    match last {
        Some(step) => format!("You returned\n{}\nwhich was refused: {message}", shown(&step.outputs)),
        None => format!("An attempt was refused: {message}"),
    }
}

fn notes(attempts: &[String]) -> String {
    format!("Earlier attempts on this input, not to be repeated:\n{}", attempts.join("\n"))
}

visits_fields! { [M: HasPredictors] Backtrack<M>, [Depth: DepthOf, M: HasShape<Depth>] { module: M => M::SHAPE } }
