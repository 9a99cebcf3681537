//! Assertions: constraints over the state of a program, and `Backtrack`, which retries what they refuse.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::predict::Prediction;
use dspy_core::program::{HasPredictors, HasShape, Module, Trace, TraceStep, hold_trace, status};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::{Error, Result};

use crate::advice::{shortened, shown, with_notes};
use crate::replay::Replay;
use crate::visit::visits_fields;

/// The number of attempts that a predictor is told of, the latest ones.
const REMEMBERED: usize = 3;

tokio::task_local! {
    /// The suggestions that no longer lead to another attempt, and those of them that failed.
    static SCOPE: Arc<Scope>;
}

#[derive(Debug, Default)]
struct Scope {
    exhausted: HashSet<Place>,
    failed: Mutex<Vec<String>>,
}

/// The place of a constraint in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    file: &'static str,
    line: u32,
    column: u32,
}

/// A constraint that must hold: if it never does, the program fails.
///
/// Write it in the `forward` of a module, about anything that is known there; checks of a signature know only the
/// outputs of one predictor. Inside a [`Backtrack`], a constraint that does not hold makes the responsible predictor try
/// again; outside, it is an error at once.
///
/// ```
/// use dspy_strategies::Assert;
///
/// fn distinct(queries: &[String]) -> dspy_core::Result<()> {
///     let [earlier @ .., latest] = queries else { return Ok(()) };
///     Assert::new(!earlier.contains(latest), "ask something that was not asked before").check()
/// }
/// assert!(distinct(&["a".into(), "a".into()]).is_err());
/// ```
///
/// Source: Singhvi et al., "DSPy Assertions: Computational Constraints for Self-Refining Language Model Pipelines"
/// (2023).
#[derive(Debug)]
#[must_use = "a constraint does nothing until `check()?`"]
pub struct Assert(Constraint);

/// A constraint that should hold: the program continues if it does not after all attempts.
///
/// The suggestions that failed are in [`Prediction::added`] of a [`Backtrack`], under `failed_suggestions`, where a metric
/// sees them. Outside of a `Backtrack` a suggestion changes nothing.
///
/// ```
/// use dspy_strategies::Suggest;
///
/// fn brief(tweet: &str) -> dspy_core::Result<()> {
///     Suggest::new(tweet.len() <= 280, "stay below 280 characters").check()
/// }
/// assert!(brief(&"!".repeat(300)).is_ok());
/// ```
#[derive(Debug)]
#[must_use = "a constraint does nothing until `check()?`"]
pub struct Suggest(Constraint);

#[derive(Debug)]
struct Constraint {
    holds: bool,
    message: String,
    place: Place,
    /// The address of the predictor that is responsible.
    responsible: Option<usize>,
}

impl Constraint {
    #[track_caller]
    fn new(holds: bool, message: String) -> Self {
        let at = Location::caller();
        let place = Place { file: at.file(), line: at.line(), column: at.column() };
        Constraint { holds, message, place, responsible: None }
    }

    fn of(mut self, module: &(impl HasPredictors + ?Sized)) -> Self {
        let mut predictors = module.named_predictors().into_iter();
        self.responsible = predictors.next().map(|(_, predictor)| std::ptr::from_ref(predictor).addr());
        self
    }

    fn refuse(self, hard: bool) -> Error {
        let Constraint { message, place, responsible, .. } = self;
        Error::other(ConstraintFailed { message, hard, place, responsible })
    }
}

impl Assert {
    /// Creates the constraint. The message tells the model what to do.
    #[track_caller]
    pub fn new(holds: bool, message: impl Into<String>) -> Self {
        Assert(Constraint::new(holds, message.into()))
    }

    /// Sets the predictor that is responsible: that of `module`, or its first. Default: the last one that ran.
    pub fn of(self, module: &(impl HasPredictors + ?Sized)) -> Self {
        Assert(self.0.of(module))
    }

    /// Checks the constraint.
    ///
    /// # Errors
    /// A [`ConstraintFailed`] if it does not hold, which [`Backtrack`] answers by another attempt: pass it on with `?`.
    pub fn check(self) -> Result<()> {
        if self.0.holds { Ok(()) } else { Err(self.0.refuse(true)) }
    }
}

impl Suggest {
    /// Creates the constraint. The message tells the model what to do.
    #[track_caller]
    pub fn new(holds: bool, message: impl Into<String>) -> Self {
        Suggest(Constraint::new(holds, message.into()))
    }

    /// Sets the predictor that is responsible: that of `module`, or its first. Default: the last one that ran.
    pub fn of(self, module: &(impl HasPredictors + ?Sized)) -> Self {
        Suggest(self.0.of(module))
    }

    /// Checks the constraint.
    ///
    /// # Errors
    /// A [`ConstraintFailed`] if it does not hold and a [`Backtrack`] makes another attempt: pass it on with `?`.
    pub fn check(self) -> Result<()> {
        if self.0.holds {
            return Ok(());
        }
        let Ok(scope) = SCOPE.try_with(Arc::clone) else { return Ok(()) };
        if !scope.exhausted.contains(&self.0.place) {
            return Err(self.0.refuse(false));
        }
        let mut failed = scope.failed.lock_any();
        if !failed.contains(&self.0.message) {
            failed.push(self.0.message);
        }
        Ok(())
    }
}

/// A constraint that does not hold.
#[derive(Debug)]
pub struct ConstraintFailed {
    message: String,
    hard: bool,
    place: Place,
    responsible: Option<usize>,
}

impl ConstraintFailed {
    /// Returns the constraint that an error of a program is about.
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Other(source) => source.downcast_ref(),
            _ => None,
        }
    }

    /// Returns the message of the constraint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the path of the responsible predictor in `program`, whose trace this is.
    fn path(&self, program: &impl HasPredictors, trace: &Trace) -> Option<String> {
        let named = program.named_predictors();
        let own = |predictor: &dspy_core::predict::Predictor| {
            Some(std::ptr::from_ref(predictor).addr()) == self.responsible
        };
        let named = named.into_iter().find(|(_, predictor)| own(predictor)).map(|(path, _)| path);
        named.or_else(|| trace.steps.last().map(|step| step.predictor.clone()))
    }
}

impl fmt::Display for ConstraintFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { file, line, .. } = self.place;
        write!(f, "a constraint does not hold: {} ({file}:{line})", self.message)
    }
}

impl std::error::Error for ConstraintFailed {}

/// A strategy that runs a program with constraints and backtracks when one does not hold: the responsible predictor is
/// told what it returned and what was wrong with it, and tries again.
///
/// Calls that another attempt would repeat are not made again: their replies are those of the attempt before. Tools that
/// were called before the responsible predictor returned are not run again either, whoever called them; their results
/// and errors are those of the attempt before. So what came before the responsible predictor costs nothing and has no
/// effect twice. Tools that are called later run again in each attempt: put constraints before effects. A tool that was
/// stopped before it ended, such as by a time limit, runs again, too. After the last attempt an [`Assert`] that does not hold is the
/// error of the call, and a [`Suggest`] is passed over. Only the returned attempt is in traces; an error of an
/// assertion is that of a failed program, so that optimizers neither demonstrate nor prefer it.
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
        let replay = Arc::new(Replay::default());
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut tried: BTreeMap<(&str, u32, u32), usize> = BTreeMap::new();
        let mut exhausted: HashSet<Place> = HashSet::new();
        let mut made = 0;
        loop {
            let advised = (!told.is_empty())
                .then(|| with_notes(&self.module, |path| told.get(path).map(|attempts| notes(attempts))));
            let program = advised.as_ref().unwrap_or(&self.module);
            let scope = Arc::new(Scope { exhausted: exhausted.clone(), failed: Mutex::default() });
            let call = SCOPE.scope(scope.clone(), program.call(input.clone()));
            let (result, held) = hold_trace(replay.attempt(call)).await;
            let error = match result {
                Ok(prediction) => {
                    held.keep();
                    let failed = std::mem::take(&mut *scope.failed.lock_any());
                    return Ok(prediction
                        .with_added("backtracks", made)
                        .with_added("failed_suggestions", failed));
                }
                Err(error) => error,
            };
            let Some(failed) = ConstraintFailed::of(&error) else {
                held.keep();
                return Err(error);
            };
            let Place { file, line, column } = failed.place;
            let tries = tried.entry((file, line, column)).or_insert(0);
            if *tries < self.backtracks {
                *tries += 1;
                made += 1;
                status(format!("backtracking: {}", failed.message)).await;
                let trace = held.trace();
                let path = failed.path(program, &trace);
                replay.blame(path.as_deref());
                if let Some(path) = path {
                    let last = trace.steps.iter().rev().find(|step| step.predictor == path);
                    let attempts = told.entry(path).or_default();
                    attempts.push(note(last, &failed.message));
                    if attempts.len() > REMEMBERED {
                        attempts.remove(0);
                    }
                }
            } else if failed.hard {
                held.keep();
                return Err(error);
            } else {
                replay.blame(None);
                exhausted.insert(failed.place);
            }
        }
    }
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
