//! Strategies that call a model several times for one output.
//!
//! Each is a [`Module`](dspy_core::program::Module) whose output is that of its signature or of the program inside, so
//! that it takes the place of a [`Predict`](dspy_core::predict::Predict) and nests in others. In `dspy` this crate is
//! `dspy::strategies`.
//!
//! | I want … | use |
//! |---|---|
//! | the best of several samples, by a reward | [`BestOfN`] |
//! | another attempt with advice about the last | [`Refine`] |
//! | constraints over the state of a program, retried where they fail | [`Assert`], [`Suggest`] in a [`Backtrack`] |
//! | another attempt that remembers what went wrong in all before | [`Reflexion`] |
//! | the answer that most samples agree on | [`SelfConsistency`], [`majority`] |
//! | one answer from several attempts | [`MultiChainComparison`] |
//! | agents that read one another's answers | [`Debate`] |
//! | several programs on one input | [`Parallel`] |
//! | an agent that calls tools | [`ReAct`] |
//! | outputs computed by code that the model writes | [`ProgramOfThought`] |
//! | an agent that acts by code | [`CodeAct`] |
//! | inputs too large for a prompt | [`Rlm`] |
//!
//! They are built on the public interface of `dspy-core` alone:
//! [`Settings::sample`](dspy_core::program::Settings::sample) draws another sample,
//! [`hold_trace`](dspy_core::program::hold_trace) keeps discarded attempts out of traces,
//! [`Predict::over`](dspy_core::predict::Predict::over) adds fields to a signature.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod account;
mod advice;
mod assertions;
mod attempts;
mod best_of_n;
mod code;
mod debate;
mod majority;
mod multi_chain;
mod parallel;
mod react;
mod refine;
mod reflexion;
mod replay;
mod reward;
mod sampling;
mod scope;
mod self_consistency;
mod text;
mod visit;

pub use assertions::{Assert, Backtrack, ConstraintFailed, Suggest};
pub use best_of_n::BestOfN;
pub use code::{
    CodeAct, CodeError, CodeTurn, Execution, Interpreter, InterpreterError, ProgramOfThought, Rlm, Session,
};
pub use debate::Debate;
pub use majority::{Majority, majority};
pub use multi_chain::{ComparedChains, MultiChainComparison};
pub use parallel::Parallel;
pub use react::{
    AgentState, ApprovalNeeded, ApprovalUnavailable, Decision, Outcome, ReAct, ResumeError, RunError,
    Termination, WaitingCall,
};
pub use refine::Refine;
pub use reflexion::Reflexion;
pub use self_consistency::SelfConsistency;
