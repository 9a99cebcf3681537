//! Events of a study.

use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::report::Verification;

/// An event of a study; see [`Options::on_event`](crate::Options::on_event).
///
/// Rollouts are reported in the order in which they end, all other events in the order of the algorithm,
/// regardless of the concurrency. On resume, the events of recorded effects are reported again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StudyEvent {
    /// A study has begun.
    Started {
        /// The name of the optimizer.
        optimizer: String,
        /// The name of the study inside another; empty for the outermost.
        study: String,
    },
    /// A phase has begun.
    Phase {
        /// Its name.
        name: String,
        /// The number of its steps, usually rollouts.
        steps: usize,
    },
    /// A program was run on an example and scored.
    Rollout {
        /// The name of the rollout.
        name: String,
        /// The score: 0 if the program failed, `None` if the metric failed.
        score: Option<f64>,
    },
    /// A candidate was recorded as a trial.
    Trial {
        /// Its index in [`Report::trials`](crate::Report::trials).
        index: usize,
        /// Its label.
        label: String,
        /// Its mean score, if it has one.
        score: Option<f64>,
    },
    /// A contestant was dropped from a race.
    Dropped {
        /// Its name.
        contestant: String,
        /// The number of rows on which it has run.
        rows: usize,
    },
    /// The verification has ended.
    Verified {
        /// Its result.
        verification: Verification,
    },
    /// A study has ended.
    Finished {
        /// The name of the study inside another; empty for the outermost.
        study: String,
    },
}

/// A function that receives the events of a study.
pub(crate) type Listener = Arc<dyn Fn(&StudyEvent) + Send + Sync>;

/// The receivers of events: the progress bar and the listener.
pub(crate) struct Events {
    bar: ProgressBar,
    best: Mutex<Option<f64>>,
    listener: Option<Listener>,
}

impl Events {
    /// Creates the receivers. `progress` is whether to show the bar, which stays hidden without a terminal.
    pub(crate) fn new(progress: bool, listener: Option<Listener>) -> Self {
        let bar = if progress { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let template = "{prefix}  {bar:24} {pos}/{len}  {msg}  {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Events { bar: bar.with_style(style), best: Mutex::default(), listener }
    }

    pub(crate) fn emit(&self, event: &StudyEvent) {
        self.draw(event);
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }

    /// Advances the progress bar by one step.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Updates the progress bar, which shows the phase, its progress and the best score so far.
    fn draw(&self, event: &StudyEvent) {
        match event {
            StudyEvent::Phase { name, steps } => {
                self.bar.set_length(*steps as u64);
                self.bar.set_position(0);
                self.bar.set_prefix(name.clone());
            }
            StudyEvent::Trial { score: Some(score), .. } => {
                let mut best = self.best.lock_any();
                let highest = best.map_or(*score, |best| best.max(*score));
                *best = Some(highest);
                self.bar.set_message(format!("best {:.1} %", highest * 100.0));
            }
            StudyEvent::Finished { study } if study.is_empty() => self.bar.finish_and_clear(),
            _ => {}
        }
    }
}
