//! Events of a study, and their receivers: the stream, the progress line and the listener.

mod progress;
mod queue;
mod stream;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dspy_base::locks::MutexExt as _;
use dspy_core::error::clipped;
use dspy_core::lm::{Budget, Usage};
use serde::{Deserialize, Serialize};

use self::progress::Progress;
pub use self::stream::StudyEvents;
pub(crate) use self::stream::{Publisher, heard_by};
use crate::report::{PhaseTime, Stopped, Verification};

/// An event of a study, as [`StudyEvents`] yields it.
///
/// `study` is the path of the study inside others, such as `step-0/`; it is empty for the outermost. Rollouts
/// and proposals are reported in the order in which they end; [`Spent`](Self::Spent), [`Retry`](Self::Retry)
/// and [`Lagged`](Self::Lagged) depend on the clock, the network and the reader. All other events have the
/// order of the algorithm, regardless of the concurrency. On resume, the events of recorded effects are
/// reported again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StudyEvent {
    /// A study has begun.
    #[non_exhaustive]
    Started {
        /// The name of the optimizer.
        optimizer: String,
        /// The path of the study.
        study: String,
    },
    /// A phase, or a part of one, has begun.
    #[non_exhaustive]
    Phase {
        /// The path of the study.
        study: String,
        /// The name of the phase.
        name: String,
        /// The name of its part, such as `trial 12`; empty if the phase has no parts.
        part: String,
        /// The number of its steps, usually rollouts; 0 if it is unknown.
        steps: usize,
    },
    /// A phase has ended: the next one begins, or the study ends.
    #[non_exhaustive]
    PhaseEnded {
        /// The path of the study.
        study: String,
        /// The name of the phase.
        name: String,
    },
    /// A candidate was proposed.
    #[non_exhaustive]
    Proposed {
        /// The path of the study.
        study: String,
        /// The name of the proposal.
        name: String,
        /// The number of texts; 0 if the reply of the proposer could not be used.
        texts: usize,
    },
    /// A program was run on an example and scored.
    #[non_exhaustive]
    Rollout {
        /// The name of the rollout, which begins with the path of the study.
        name: String,
        /// The score: 0 if the program failed, `None` if the metric failed.
        score: Option<f64>,
    },
    /// A candidate was recorded as a trial.
    #[non_exhaustive]
    Trial {
        /// The path of the study.
        study: String,
        /// Its index in [`Report::trials`](crate::Report::trials).
        index: usize,
        /// Its label.
        label: String,
        /// Its mean score, if it has one.
        score: Option<f64>,
        /// The number of rows that it ran on.
        rows: usize,
        /// Whether its score is higher than all before.
        best: bool,
    },
    /// Another trial is the result so far.
    #[non_exhaustive]
    Best {
        /// The path of the study.
        study: String,
        /// The index of the trial.
        trial: usize,
        /// Its label.
        label: String,
        /// Its mean score, if it has one.
        score: Option<f64>,
    },
    /// A contestant was dropped from a race.
    #[non_exhaustive]
    Dropped {
        /// The path of the study.
        study: String,
        /// Its name.
        contestant: String,
        /// The number of rows on which it has run.
        rows: usize,
    },
    /// An effect has met an outage and is tried again.
    #[non_exhaustive]
    Retry {
        /// The path of the study.
        study: String,
        /// The name of the effect.
        name: String,
        /// The number of the retry, from 1.
        attempt: usize,
        /// The message of the outage.
        error: String,
    },
    /// The cost so far: at the end of each phase and, while calls are made, several times a second at most.
    #[non_exhaustive]
    Spent {
        /// The path of the study.
        study: String,
        /// The cost of all its calls so far, including those of earlier processes.
        spent: Usage,
        /// The remaining budget.
        left: BudgetLeft,
        /// The time since the run began, including that of earlier processes, in seconds.
        elapsed: f64,
        /// The estimated time until the run ends or its budget is exhausted, in seconds; `None` if it is
        /// unknown.
        remaining: Option<f64>,
    },
    /// The verification has ended.
    #[non_exhaustive]
    Verified {
        /// The path of the study.
        study: String,
        /// Its result.
        verification: Verification,
    },
    /// There is something to know about the run, usually a [warning](crate::Report::warnings) of the report.
    #[non_exhaustive]
    Warning {
        /// The path of the study.
        study: String,
        /// The message.
        message: String,
    },
    /// A study has ended with a result.
    #[non_exhaustive]
    Finished {
        /// The path of the study.
        study: String,
        /// The reason why it has ended.
        stopped: Stopped,
        /// The index of the trial that is the result; `None` if the result is the original program.
        best: Option<usize>,
        /// The mean score of the result, if it has one.
        score: Option<f64>,
    },
    /// A study has ended with an error.
    #[non_exhaustive]
    Failed {
        /// The path of the study.
        study: String,
        /// The message.
        error: String,
    },
    /// The reader was too slow, so earlier events were dropped. Only a [stream](StudyEvents) has this event.
    #[non_exhaustive]
    Lagged {
        /// The number of dropped events.
        events: u64,
    },
}

/// The remaining amounts of a budget: neither spent nor reserved for calls in flight. `None` for amounts
/// without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BudgetLeft {
    /// The number of calls.
    pub calls: Option<u64>,
    /// The number of tokens, input and output.
    pub tokens: Option<u64>,
    /// US dollars.
    pub usd: Option<f64>,
    /// The time in seconds.
    pub seconds: Option<f64>,
}

impl From<Budget> for BudgetLeft {
    fn from(left: Budget) -> Self {
        let seconds = left.time.map(|time| time.as_secs_f64());
        BudgetLeft { calls: left.calls, tokens: left.tokens, usd: left.usd, seconds }
    }
}

/// A function that receives the events of a study.
pub(crate) type Listener = Arc<dyn Fn(&StudyEvent) + Send + Sync>;

/// The shortest time between two reports of the cost within a phase.
const SPENT_EVERY: Duration = Duration::from_millis(250);

/// The receivers of events: the progress line, the listener and the stream.
pub(crate) struct Events {
    progress: Progress,
    listener: Option<Listener>,
    /// The message of the panic of the listener, if it has panicked.
    panicked: Mutex<Option<String>>,
    publisher: Option<Publisher>,
    pace: Mutex<Pace>,
    /// The time of each phase, in the order of their ends.
    times: Mutex<Vec<PhaseTime>>,
}

/// The largest number of phases whose time is kept.
const PHASES: usize = 1_024;

/// The work of this process, from which the time left is estimated.
struct Pace {
    started: Instant,
    /// The cost of earlier processes.
    before: Usage,
    /// The number of rollouts that the search has announced.
    planned: usize,
    /// The number of rollouts so far, and that of those made by this process.
    done: usize,
    made: usize,
    /// The time of the last report of the cost.
    reported: Option<Instant>,
}

impl Events {
    /// Creates the receivers. `progress` is whether to show the progress line, which stays hidden without a
    /// terminal, and `before` the cost of earlier processes.
    pub(crate) fn new(progress: bool, listener: Option<Listener>, before: Usage) -> Self {
        let (planned, done, made) = (0, 0, 0);
        let pace = Pace { started: Instant::now(), before, planned, done, made, reported: None };
        let publisher = Publisher::current();
        let (progress, pace) = (Progress::new(progress), Mutex::new(pace));
        Events { progress, listener, panicked: Mutex::default(), publisher, pace, times: Mutex::default() }
    }

    pub(crate) fn emit(&self, event: &StudyEvent) {
        self.progress.draw(event);
        if let Some(publisher) = &self.publisher {
            publisher.publish(event);
        }
        let Some(listener) = self.listener.as_ref().filter(|_| self.listener_panic().is_none()) else {
            return;
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(event))) {
            let message = clipped(dspy_base::panics::message(&*panic).unwrap_or("without a message"));
            tracing::warn!(message, "the function of `on_event` panicked, so it receives no further events");
            self.panicked.lock_any().get_or_insert(message);
        }
    }

    /// Returns the message of the panic of the listener, which receives no events after it.
    pub(crate) fn listener_panic(&self) -> Option<String> {
        self.panicked.lock_any().clone()
    }

    /// Advances the progress line by this many steps.
    pub(crate) fn advance(&self, steps: usize) {
        self.progress.advance(steps);
    }

    /// Adds to the number of rollouts that the search will make at most.
    pub(crate) fn plan(&self, rollouts: usize) {
        let mut pace = self.pace.lock_any();
        pace.planned = pace.planned.saturating_add(rollouts);
    }

    /// Counts a rollout. `made` is whether this process has made it.
    pub(crate) fn count(&self, made: bool) {
        let mut pace = self.pace.lock_any();
        pace.done += 1;
        pace.made += usize::from(made);
    }

    /// Returns whether the cost is to be reported: there is a receiver, and it was not reported just before.
    pub(crate) fn is_due(&self) -> bool {
        let due = |last: Instant| last.elapsed() >= SPENT_EVERY;
        self.is_received() && self.pace.lock_any().reported.is_none_or(due)
    }

    /// Adds to the time of a phase.
    pub(crate) fn timed(&self, study: &str, phase: &str, time: Duration) {
        let (mut times, seconds) = (self.times.lock_any(), time.as_secs_f64());
        if let Some(known) = times.iter_mut().find(|known| known.study == study && known.phase == phase) {
            known.seconds += seconds;
        } else if times.len() < PHASES {
            times.push(PhaseTime { study: study.to_owned(), phase: phase.to_owned(), seconds });
        }
    }

    /// Returns the time of the phases of a study and of the studies nested in it.
    pub(crate) fn times(&self, study: &str) -> Vec<PhaseTime> {
        let times = self.times.lock_any();
        let inner = |time: &PhaseTime| {
            let inner = time.study.strip_prefix(study)?.to_owned();
            Some(PhaseTime { study: inner, phase: time.phase.clone(), seconds: time.seconds })
        };
        times.iter().filter_map(inner).collect()
    }

    /// Returns whether there is a receiver.
    pub(crate) fn is_received(&self) -> bool {
        self.listener.is_some() || self.publisher.is_some() || self.progress.is_shown()
    }

    /// Reports the cost so far.
    pub(crate) fn spent(&self, study: &str, spent: Usage, left: Budget, elapsed: Duration) {
        let remaining = {
            let mut pace = self.pace.lock_any();
            pace.reported = Some(Instant::now());
            pace.remaining(&spent, left)
        };
        let (study, elapsed) = (study.to_owned(), elapsed.as_secs_f64());
        self.emit(&StudyEvent::Spent { study, spent, left: left.into(), elapsed, remaining });
    }
}

impl Pace {
    /// Returns the estimated time in seconds until the announced work is done or a limit is reached, whichever
    /// is earlier.
    fn remaining(&self, spent: &Usage, left: Budget) -> Option<f64> {
        let passed = self.started.elapsed().as_secs_f64();
        let at_rate = |done: f64, left: f64| (done > 0.0 && passed > 0.0).then(|| left * passed / done);
        let amount = |now: u64, before: u64| now.saturating_sub(before) as f64;
        let usd = |usage: &Usage| usage.cost_usd.unwrap_or_default();
        let before = &self.before;
        let by_limit = [
            left.calls.and_then(|left| at_rate(amount(spent.requests, before.requests), left as f64)),
            left.tokens
                .and_then(|left| at_rate(amount(spent.total_tokens(), before.total_tokens()), left as f64)),
            left.usd.and_then(|left| at_rate(usd(spent) - usd(before), left)),
            left.time.map(|left| left.as_secs_f64()),
            at_rate(self.made as f64, self.planned.saturating_sub(self.done) as f64)
                .filter(|_| self.planned > self.done),
        ];
        by_limit.into_iter().flatten().min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(planned: usize, done: usize, made: usize) -> Pace {
        let started = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        Pace { started, before: Usage::default(), planned, done, made, reported: None }
    }

    #[test]
    fn the_time_left_is_that_of_the_plan_or_of_the_budget() {
        let mut spent = Usage::default();
        spent.requests = 10;
        let about = |seconds: f64| move |found: Option<f64>| (found.unwrap() - seconds).abs() < 0.5;
        assert_eq!(pace(0, 5, 5).remaining(&spent, Budget::UNLIMITED), None);
        assert!(about(30.0)(pace(20, 5, 5).remaining(&spent, Budget::UNLIMITED)));
        // Rollouts of earlier processes took no time in this one.
        assert!(about(30.0)(pace(115, 100, 5).remaining(&spent, Budget::UNLIMITED)));
        // Ten calls in ten seconds.
        assert!(about(7.0)(pace(20, 5, 5).remaining(&spent, Budget::calls(7))));
        assert!(about(30.0)(pace(20, 5, 5).remaining(&spent, Budget::calls(700))));
        let time = Budget::UNLIMITED.time(Duration::from_secs(3));
        assert!(about(3.0)(pace(0, 0, 0).remaining(&spent, time)));
        assert_eq!(pace(20, 20, 20).remaining(&spent, Budget::UNLIMITED), None, "more than announced");
    }
}
