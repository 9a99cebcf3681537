//! The engine of all optimizers, built-in and custom.
//!
//! An optimizer is an algorithm over named effects. A [`Study`] executes them:
//!
//! | effect | method |
//! |---|---|
//! | a program on a row, scored, optionally traced | [`rollout`](Study::rollout), [`rollouts`](Study::rollouts) |
//! | a program on many rows | [`evaluate`](Study::evaluate) |
//! | a [`Candidate`] on the valset, as a trial of the report | [`score`](Study::score) |
//! | several programs on rows, until the worse ones are beaten | [`race`](Study::race) |
//! | other calls of models, such as those of a proposer | [`effect`](Study::effect) |
//! | another optimizer, on the same journal and budget | [`nested`](Study::nested) |
//!
//! It also reports what the algorithm does, to the [stream of events](crate::StudyEvents), the progress line
//! and the report:
//!
//! | fact | method |
//! |---|---|
//! | a phase, or a part of one, has begun | [`phase`](Study::phase), [`part`](Study::part) |
//! | steps of it are done; rollouts count by themselves | [`advance`](Study::advance) |
//! | the number of rollouts to expect | [`plan`](Study::plan) |
//! | a candidate was proposed, scored, is the result | [`proposed`](Study::proposed), [`record`](Study::record), [`choose`](Study::choose) |
//! | something to know about the result | [`warn`](Study::warn) |
//!
//! The result of an effect is written to the journal under its name before it is used. A call starts only if
//! its worst-case cost fits the budget. After an outage the effect is retried; if it persists, the study ends
//! with an error. If the algorithm follows two rules, its result does not depend on the concurrency, and a
//! killed study resumes exactly:
//!
//! 1. **Names are unique and depend only on the decisions of the algorithm.** An effect is executed once per
//!    study; the same name returns the recorded result at no cost, and waits for one in flight.
//! 2. **Every random decision draws from a [branch](dspy_core::Seed) of [`Study::seed`]** that is named after
//!    it, and never depends on the clock, the order in which effects end, or the iteration order of a hash
//!    map.
//!
//! A complete optimizer, which tries instructions from a list:
//!
//! ```
//! use dspy_optimizers::engine::{ExampleFor, Program, Stop, Study};
//! use dspy_optimizers::{
//!     Candidate, IntoData, OptimizeError, Optimized, Optimizer, Options, SharedMetric, Stopped,
//! };
//!
//! /// An optimizer that tries each text as the instruction of every predictor.
//! struct PickInstruction<E, O> {
//!     texts: Vec<String>,
//!     metric: SharedMetric<E, O>,
//!     options: Options,
//! }
//!
//! impl<P: Program, E: ExampleFor<P>> Optimizer<P, E> for PickInstruction<E, P::Output> {
//!     async fn compile<D>(&self, program: P, data: D) -> Result<Optimized<P>, OptimizeError>
//!     where
//!         D: IntoData<P, E>,
//!     {
//!         let data = data.into_data();
//!         let study = Study::builder("PickInstruction", program, &data)
//!             .settings(&self.texts)
//!             .options(&self.options)
//!             .start(&self.metric)?;
//!         let searched = self.search(&study).await;
//!         study.finish(searched).await
//!     }
//! }
//!
//! impl<E, O> PickInstruction<E, O> {
//!     async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
//!     where
//!         P: Program<Output = O>,
//!         E: ExampleFor<P>,
//!     {
//!         study.score("original program", &Candidate::new()).await?;
//!         for text in &self.texts {
//!             let paths = study.program().named_predictors();
//!             let instruct = |candidate: Candidate, (path, _)| candidate.instruction(path, text);
//!             let candidate = paths.into_iter().fold(Candidate::new(), instruct);
//!             study.score(text, &candidate).await?;
//!         }
//!         Ok(Stopped::Finished)
//!     }
//! }
//! # use dspy_core::lm::Lm;
//! # use dspy_core::predict::DynPredict;
//! # use dspy_core::signature::{Example, FieldError, Values};
//! # use dspy_core::program::HasPredictors;
//! # struct Row(&'static str, &'static str);
//! # impl Example for Row {
//! #     type Input = Values;
//! #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
//! #     fn values(&self) -> Result<Values, FieldError> { self.input() }
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
//! # program.set_lm(Lm::builtin());
//! let optimizer = PickInstruction {
//!     texts: vec!["Love is good, rain is bad.".into(), "Say how the writer feels.".into()],
//!     metric: SharedMetric::new(|row: &Row, output: &Values| output["mood"] == row.1),
//!     options: Options::default(),
//! };
//! let rows = [Row("I love it", "good"), Row("Again this rain", "bad")];
//! let optimized = optimizer.compile(program, &rows).await?;
//! assert_eq!(optimized.report().score(), Some(1.0));
//! assert_eq!(optimized.predictor().instruction(), "Love is good, rain is bad.");
//! # Ok::<(), dspy_core::Error>(()) }).unwrap();
//! ```

mod afford;
mod call;
mod constant;
mod effect;
mod embedding;
mod evaluate;
mod failures;
mod finish;
mod found;
mod gain;
mod headroom;
mod nested;
mod patience;
mod phase;
mod race;
mod rollout;
mod running;
mod start;
mod stop;
mod study;
mod teacher;
mod verification;

use dspy_core::program::Module;
use dspy_core::signature::Example;

pub(crate) use self::afford::{Afforded, Needs};
pub(crate) use self::call::guarded;
pub use self::effect::Effect;
pub(crate) use self::embedding::{embed, in_study};
pub(crate) use self::failures::on_row;
pub(crate) use self::headroom::check_best_score;
pub(crate) use self::nested::inherit;
pub(crate) use self::patience::{AT_FIRST, Answer};
pub use self::rollout::{Outcome, Rollout, Task};
pub(crate) use self::start::Splits;
pub use self::start::StudyBuilder;
pub use self::stop::Stop;
pub use self::study::Study;
pub(crate) use self::teacher::check_teacher;
pub(crate) use self::verification::too_small;
#[doc(no_inline)]
pub use crate::component::{Candidate, Component, ComponentKind, ComponentValue};
pub use crate::race::{Contestant, Dropped, Raced, Standing};
pub use crate::report::Scores;

/// A program that can be optimized: a [`Module`] that is `Clone`, with an output that is `Sync`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be optimized",
    label = "not a program that can be optimized",
    note = "an optimizer tries its candidates on copies: a program is a `Module` that is `Clone` and `'static`"
)]
pub trait Program: Module<Output: Sync> + Clone + 'static {}

impl<P: Module<Output: Sync> + Clone + 'static> Program for P {}

/// An example with an input that converts into the input of the program.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an example for the program `{P}`",
    note = "the input of the example must be, or convert into, the `Input` of the program"
)]
pub trait ExampleFor<P: Module>: Example<Input: Into<P::Input>> {}

impl<P: Module, E: Example<Input: Into<P::Input>>> ExampleFor<P> for E {}
