//! Optimizers for `dspy` programs, which find the instructions and demonstrations that maximise a metric.
//!
//! Those who start need not choose: [`Portfolio`] runs the optimizers that suit the program and the data on one budget,
//! and combines them.
//!
//! | I have | use |
//! |---|---|
//! | twenty rows or more, a metric and a budget | [`Portfolio`]: chooses among the others, and says why |
//! | labelled rows, no metric | [`LabeledFewShot`]: rows as demonstrations; calls no model |
//! | about ten rows and a metric | [`BootstrapFewShot`]: successful runs of the program as demonstrations |
//! | fifty rows or more and a metric | [`BootstrapFewShotWithRandomSearch`]: the best of several such sets |
//! | fifty rows or more, a metric, several predictors | [`BootstrapFewShotWithTpe`]: a search over the demonstrations of each |
//! | a metric that says in words what is wrong | [`Gepa`]: instructions that evolve by reflection on runs |
//! | many labelled rows | [`KnnFewShot`]: each input is shown the nearest of them as demonstrations |
//! | several good candidates | [`Ensemble`]: one program that decides by majority, or by another [`Reducer`] |
//! | an endpoint that trains models | [`BootstrapFinetune`]: weights learnt from successful runs |
//! | several optimizers | [`BetterTogether`]: one after the other, by a strategy such as `p -> w -> p` |
//! | a program whose instructions matter | [`Copro`]: instructions from a proposer, one predictor at a time |
//! | many lessons to keep, runs with feedback while the program is in use | [`Ace`]: playbooks that grow by lessons |
//! | several predictors whose instructions matter | [`ModuleOpro`]: new instructions for all predictors in each step |
//! | labels that follow conditions | [`InferRules`]: rules that a model induces from the rows |
//! | runs that differ in how well they succeed | [`Simba`]: advice and demonstrations from comparing them |
//! | sixty rows or more, few calls, long prompts | [`Capo`]: instructions and demonstrations that evolve by races |
//! | sixty rows or more, both instructions and demonstrations matter | [`MiproV2`]: a search over combinations of both |
//! | a custom algorithm | the [`engine`] |
//!
//! All implement [`Optimizer`]: they take a program and return an [`Optimized`] one, which is a program
//! itself and has a [report](Optimized::report) of the optimization. Every optimizer that calls a model
//! guarantees:
//!
//! - **The same result** for the same seed, data and replies, at any concurrency. If the budget ends the search, the
//!   concurrency may decide which of the last calls still fit.
//! - **No reply is paid twice.** With a [`run_dir`](Options::run_dir), every reply is written to a journal
//!   before it is used. A run that was killed resumes there, and ends with the same program and report as an
//!   uninterrupted run. If the budget binds, it may end earlier: calls in flight at the kill count as paid. Changed
//!   code is noticed by its [`code_version`](Options::code_version) only.
//! - **Hard limits.** The worst-case cost of a call is reserved from the [`Budget`] before the call starts.
//!   When the budget is exhausted, the best program so far is the result.
//! - **Outages do not affect scores.** The run stops with an error that says how to resume.
//! - **An estimate** before the run: [`Optimizer::estimate`] says how many calls, tokens and US dollars it takes.
//! - **No search without headroom.** An optimizer that scores the original program ends there if no gain could be
//!   seen; see [`Headroom`].
//!
//! [`StudyEvents`] has the events of a running optimization as a stream.
//!
//! Two options are off by default: a [`Race`] drops beaten candidates before they have run on all rows, and
//! [`Verify`] returns a program only if it is not worse than the original on rows that the search did not
//! use.
//!
//! ```
//! use dspy_core::lm::Lm;
//! use dspy_core::predict::DynPredict;
//! use dspy_core::program::HasPredictors;
//! use dspy_core::signature::{Example, FieldError, Values};
//! use dspy_optimizers::{BootstrapFewShot, Budget};
//!
//! struct Row(&'static str, &'static str); // in an application: a `#[signature]` struct
//!
//! impl Example for Row {
//!     type Input = Values;
//!     fn input(&self) -> Result<Values, FieldError> {
//!         Ok(Values::from_iter([("text".to_owned(), self.0.into())]))
//!     }
//!     fn values(&self) -> Result<Values, FieldError> {
//!         let mut values = self.input()?;
//!         values.insert("mood".to_owned(), self.1.into());
//!         Ok(values)
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
//! program.set_lm(Lm::builtin());
//! let train = [Row("I love it, a good day", "good"), Row("This is awful and bad", "bad")];
//!
//! let optimized = BootstrapFewShot::builder()
//!     .metric(|row: &Row, output: &Values| output["mood"] == row.1)
//!     .budget(Budget::calls(100))
//!     .build()
//!     .compile(program, &train)
//!     .await?;
//! println!("{}", optimized.report());
//! # Ok::<(), dspy_core::Error>(()) }).unwrap();
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod ace;
mod auto;
mod better_together;
mod bootstrap_few_shot;
mod bootstrap_finetune;
mod budget;
mod builder;
mod capo;
mod component;
mod copro;
mod counts;
mod data;
mod demos;
pub mod engine;
mod ensemble;
mod error;
mod estimate;
mod events;
mod fruitless;
pub mod gepa;
mod headroom;
mod identity;
mod infer_rules;
mod journal;
mod knn_few_shot;
mod labeled_few_shot;
mod minibatch;
mod mipro_v2;
mod module_opro;
mod optimized;
mod optimizer;
mod options;
mod paired;
mod playbook;
mod portfolio;
pub mod proposer;
mod race;
mod random_search;
mod report;
mod report_html;
pub mod samplers;
mod simba;
mod strategy;
mod tpe_search;
mod verify;
mod words;

pub use ace::Ace;
pub use auto::Auto;
pub use better_together::BetterTogether;
pub use bootstrap_few_shot::BootstrapFewShot;
#[cfg(feature = "http")]
pub use bootstrap_finetune::ApiTrainer;
pub use bootstrap_finetune::{BootstrapFinetune, Trainer, TrainingJob};
pub use builder::{HasMetric, NoMetric};
pub use capo::Capo;
pub use component::{Candidate, Component, ComponentError, ComponentKind, ComponentValue};
pub use copro::Copro;
pub use data::{Data, IntoData, Row, RowSet, Rows};
pub use dspy_core::evaluate::SharedMetric;
pub use dspy_core::lm::{Budget, Limit};
pub use ensemble::{Ensemble, EnsembleOptimizer, Reducer};
pub use error::OptimizeError;
pub use estimate::{Estimate, Span};
pub use events::{BudgetLeft, StudyEvent, StudyEvents};
pub use gepa::Gepa;
pub use headroom::Headroom;
pub use infer_rules::InferRules;
pub use journal::JournalError;
pub use knn_few_shot::{KnnFewShot, NearestDemos};
pub use labeled_few_shot::LabeledFewShot;
pub use mipro_v2::MiproV2;
pub use module_opro::ModuleOpro;
pub use optimized::Optimized;
pub use optimizer::{BoxOptimizer, Optimizer};
pub use options::Options;
pub use portfolio::Portfolio;
pub use race::Race;
pub use random_search::BootstrapFewShotWithRandomSearch;
pub use report::{
    CallKind, Changes, ItemReport, Parameters, PartialScore, PhaseTime, PredictorChange, Report, RunFacts,
    Spend, SpendEntry, SpendSum, Stopped, Trial, Verification, Verified, WrittenOff,
};
pub use simba::Simba;
pub use strategy::StrategyError;
pub use tpe_search::BootstrapFewShotWithTpe;
pub use verify::Verify;
