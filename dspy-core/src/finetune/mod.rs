//! Fine-tuning: training rows from traces of programs and, with the feature `http`, jobs of the OpenAI-compatible API
//! that survive a restart.
//!
//! ```no_run
//! # async fn tune(program: dspy_core::predict::DynPredict, traces: Vec<dspy_core::program::Trace>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use dspy_core::finetune::{FineTune, FineTuning, TrainingSet};
//! use dspy_core::lm::Endpoint;
//!
//! let mut rows = TrainingSet::new();
//! for trace in &traces {
//!     rows.add_trace(&program, trace)?;
//! }
//! let tune = FineTune::new("gpt-4o-mini-2024-07-18", rows).suffix("triage").seed(1);
//! let client = FineTuning::new(Endpoint::provider("openai")?);
//! // Restarted after a crash, this resumes where it stopped.
//! let tuned = client.run(&tune, "runs/triage.json").await?;
//! let lm = tuned.lm()?;
//! # let _ = lm;
//! # Ok(()) }
//! ```

#[cfg(feature = "http")]
mod check;
#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http")]
mod error;
#[cfg(feature = "http")]
mod job;
#[cfg(feature = "http")]
mod jsonl;
#[cfg(feature = "http")]
mod multipart;
mod rows;
#[cfg(feature = "http")]
mod run;
#[cfg(feature = "http")]
mod state;

#[cfg(feature = "http")]
pub use check::{Limits, RowProblem, Summary};
#[cfg(feature = "http")]
pub use client::FineTuning;
#[cfg(feature = "http")]
pub use error::FineTuneError;
#[cfg(feature = "http")]
pub use job::{FineTune, Job, JobError, JobEvent, JobStatus, Page, UploadedFile};
pub use rows::{TrainingRow, TrainingSet};
#[cfg(feature = "http")]
pub use run::TunedModel;
