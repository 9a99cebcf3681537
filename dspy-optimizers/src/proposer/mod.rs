//! Proposers: programs that write new texts for the components of another program.
//!
//! Every optimizer of instructions asks a [`TextProposer`] for texts. The default is [`Proposer`], an LM program of
//! eight predictors. It can be optimized, saved and loaded as any other program, and each optimizer accepts another
//! one by its `proposer` setter: a changed `Proposer`, a closure, or a custom type.
//!
//! ```
//! use dspy_core::program::HasPredictors;
//! use dspy_optimizers::proposer::Proposer;
//!
//! let mut proposer = Proposer::new();
//! proposer.for_each_predictor(|path, predictor| {
//!     if path == "instruct" {
//!         predictor.set_instruction("Write an instruction in French for the task.");
//!     }
//! });
//! ```

mod cost;
mod effect;
pub(crate) mod fields;
mod playbook;
mod program;
mod prompts;
mod reply;
mod request;
mod shared;
mod sift;
mod view;

pub(crate) use self::cost::grounding_calls;
pub(crate) use self::effect::no_text;
pub use self::playbook::{CurationRequest, Diagnosis, DiagnosisRequest};
pub use self::program::Proposer;
pub use self::reply::clean;
pub use self::request::{AdviceRequest, Grounding, GroundingRequest, Record, ScoredText, TextRequest};
pub use self::shared::{SharedProposer, TextProposer};
pub(crate) use self::sift::sift;
pub(crate) use self::view::{Room, cut, labelled};
pub use self::view::{describe_program, describe_signature};
pub use crate::playbook::{Delta, Effect};
