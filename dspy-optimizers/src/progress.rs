//! The progress bar of a run.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

/// One line on the terminal: what is done now, how far it is, the best score so far. Silent where there is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    best: Mutex<Option<f64>>,
}

impl Progress {
    pub(crate) fn new(on: bool) -> Self {
        let bar = if on { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let template = "{prefix}  {bar:24} {pos}/{len}  {msg}  {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress { bar: bar.with_style(style), best: Mutex::default() }
    }

    /// Begins a phase of `length` steps.
    pub(crate) fn phase(&self, name: &str, length: usize) {
        self.bar.set_length(length as u64);
        self.bar.set_position(0);
        self.bar.set_prefix(name.to_owned());
    }

    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// A candidate has this score.
    pub(crate) fn scored(&self, score: f64) {
        let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = best.map_or(score, |best| best.max(score));
        *best = Some(highest);
        self.bar.set_message(format!("best {:.1} %", highest * 100.0));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
