//! Fine-tuning with the OpenAI-compatible API: training rows from traces of programs, and jobs that survive a
//! restart.
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

mod check;
mod client;
mod error;
mod job;
mod multipart;
mod rows;
mod run;
mod state;

pub use check::{Limits, RowProblem, Summary};
pub use client::FineTuning;
pub use error::FineTuneError;
pub use job::{FineTune, Job, JobError, JobEvent, JobStatus, Page, UploadedFile};
pub use rows::{TrainingRow, TrainingSet};
pub use run::TunedModel;
