//! The progress line on a terminal.

use std::sync::Mutex;
use std::time::Duration;

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::Usage;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::StudyEvent;
use crate::counts::named;
use crate::report::percent;

/// A line with the phase, its progress, the best score, the number of trials, the cost and the time left.
pub(super) struct Progress {
    bar: ProgressBar,
    shown: Mutex<Shown>,
}

/// The numbers that the line shows.
#[derive(Default)]
struct Shown {
    best: Option<f64>,
    trials: usize,
    spent: Usage,
    /// The estimated time left in seconds.
    left: Option<f64>,
}

fn counted(number: u64, noun: &str) -> String {
    format!("{} {}", HumanCount(number), named(number == 1, noun))
}

impl Progress {
    /// Creates a line, which stays hidden without a terminal.
    pub(super) fn new(on: bool) -> Self {
        let bar = if on { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let template = "{prefix}  {bar:24} {pos}/{len}  {msg}  {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress { bar: bar.with_style(style), shown: Mutex::default() }
    }

    pub(super) fn is_shown(&self) -> bool {
        !self.bar.is_hidden()
    }

    pub(super) fn advance(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    pub(super) fn draw(&self, event: &StudyEvent) {
        if self.bar.is_hidden() {
            return;
        }
        match event {
            StudyEvent::Phase { name, part, steps, .. } => {
                self.bar.set_length(*steps as u64);
                self.bar.set_position(0);
                let part = if part.is_empty() { String::new() } else { format!(": {part}") };
                self.bar.set_prefix(format!("{name}{part}"));
            }
            StudyEvent::Finished { study, .. } | StudyEvent::Failed { study, .. } if study.is_empty() => {
                self.bar.finish_and_clear();
            }
            event => {
                let mut shown = self.shown.lock_any();
                if shown.look_at(event) {
                    self.bar.set_message(shown.message());
                }
            }
        }
    }
}

impl Shown {
    /// Takes the numbers of an event. Returns whether the line changes.
    fn look_at(&mut self, event: &StudyEvent) -> bool {
        match event {
            StudyEvent::Trial { score, .. } => {
                self.trials += 1;
                self.best = [self.best, *score].into_iter().flatten().max_by(f64::total_cmp);
            }
            // The cost of a nested study is a part of that of the outermost.
            StudyEvent::Spent { study, spent, remaining, .. } => {
                if study.is_empty() || self.spent.requests == 0 {
                    self.spent = *spent;
                }
                self.left = *remaining;
            }
            _ => return false,
        }
        true
    }

    fn message(&self) -> String {
        let mut parts = Vec::new();
        if let Some(best) = self.best {
            parts.push(format!("best {}", percent(best)));
        }
        if self.trials > 0 {
            parts.push(counted(self.trials as u64, "trial"));
        }
        if self.spent.requests > 0 {
            let (calls, tokens) = (self.spent.requests, self.spent.total_tokens());
            parts.push(format!("{}, {}", counted(calls, "call"), counted(tokens, "token")));
        }
        if let Some(usd) = self.spent.cost_usd {
            parts.push(format!("${usd:.2}"));
        }
        if let Some(left) = self.left {
            parts.push(format!("{} left", about(left)));
        }
        parts.join(" · ")
    }
}

/// Formats an estimated time in seconds.
fn about(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", HumanCount(seconds / 3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::BudgetLeft;

    #[test]
    fn the_line_has_what_is_known() {
        let mut shown = Shown::default();
        assert_eq!(shown.message(), "");
        let trial = |score| {
            let (study, label) = (String::new(), String::new());
            StudyEvent::Trial { study, index: 0, label, score, rows: 1, best: false }
        };
        for score in [Some(0.5), None, Some(0.25)] {
            assert!(shown.look_at(&trial(score)));
        }
        assert_eq!(shown.message(), "best 50.0 % · 3 trials");
        let spent = |study: &str, usage, remaining| {
            let (study, left) = (study.to_owned(), BudgetLeft::default());
            StudyEvent::Spent { study, spent: usage, left, elapsed: 1.0, remaining }
        };
        let mut usage = Usage::tokens(20_000, 34);
        usage.requests = 1_200;
        shown.look_at(&spent("", usage, None));
        assert_eq!(shown.message(), "best 50.0 % · 3 trials · 1,200 calls, 20,034 tokens");
        shown.look_at(&spent("", usage.at_cost(0.1), Some(130.0)));
        assert_eq!(
            shown.message(),
            "best 50.0 % · 3 trials · 1,200 calls, 20,034 tokens · $0.10 · 2 min left"
        );
        shown.look_at(&spent("step-0/", Usage::tokens(1, 1), Some(f64::INFINITY)));
        assert!(shown.message().contains("1,200 calls"), "{}", shown.message());
        for (seconds, text) in [(0.4, "0 s"), (119.9, "119 s"), (3_600.0, "60 min"), (9e4, "25 h")] {
            assert_eq!(about(seconds), text);
        }
    }
}
