//! The phases of a study, as they are reported.

use std::sync::Arc;
use std::time::Instant;

use dspy_base::locks::MutexExt as _;

use super::{Program, Study};
use crate::events::StudyEvent;

/// The phase of a study.
#[derive(Default)]
pub(super) struct CurrentPhase(Option<(Arc<str>, Instant)>);

impl<P: Program, E> Study<'_, P, E> {
    /// Reports the start of a phase of this many steps, such as rollouts; 0 if their number is unknown. The calls
    /// after it, up to the next phase, count as of this phase in [`Report::spend`](crate::Report::spend).
    ///
    /// A study has a few phases, such as `bootstrap` and `search`; a [part](Self::part) is, for example, one
    /// candidate.
    pub fn phase(&self, name: &str, steps: usize) {
        self.part(name, "", steps);
    }

    /// Reports the start of a part of a phase, and of the phase if it is not the present one. [`phase`](Self::phase)
    /// has the meaning of the other arguments.
    pub fn part(&self, phase: &str, part: &str, steps: usize) {
        let is_same = |current: &CurrentPhase| current.0.as_ref().is_some_and(|(name, _)| **name == *phase);
        if !is_same(&self.phase.lock_any()) {
            self.end_phase();
            self.phase.lock_any().0 = Some((phase.into(), Instant::now()));
        }
        let (study, name, part) = (self.name.clone(), phase.to_owned(), part.to_owned());
        self.events.emit(&StudyEvent::Phase { study, name, part, steps });
    }

    /// Reports that this many steps of the phase are done. [`rollouts`](Self::rollouts), and what is built on it, does
    /// so for each rollout.
    pub fn advance(&self, steps: usize) {
        self.events.advance(steps);
    }

    /// Announces that the search will run at most this many rollouts, in addition to those announced before. The time
    /// left is estimated from it. Announcements of nested studies have no effect.
    pub fn plan(&self, rollouts: usize) {
        if self.name.is_empty() {
            self.events.plan(rollouts);
        }
    }

    /// Reports that a candidate was proposed: the name of the proposal and the number of usable texts.
    pub fn proposed(&self, name: &str, texts: usize) {
        let (study, name) = (self.name.clone(), name.to_owned());
        self.events.emit(&StudyEvent::Proposed { study, name, texts });
    }

    /// Ends the present phase, if there is one.
    pub(super) fn end_phase(&self) {
        let ended = self.phase.lock_any().0.take();
        if let Some((name, since)) = ended {
            self.events.timed(&self.name, &name, since.elapsed());
            if self.events.is_received() {
                self.emit_cost();
            }
            let (study, name) = (self.name.clone(), name.to_string());
            self.events.emit(&StudyEvent::PhaseEnded { study, name });
        }
    }

    /// Returns the name of the present phase; empty if there is none.
    pub(super) fn phase_name(&self) -> Arc<str> {
        self.phase.lock_any().0.as_ref().map_or_else(|| "".into(), |(name, _)| name.clone())
    }

    /// Reports the cost so far, unless it was reported just before.
    pub(super) fn report_cost(&self) {
        if self.events.is_due() {
            self.emit_cost();
        }
    }

    fn emit_cost(&self) {
        let (spent, left) = (self.tally().usage(), self.ledger.remaining());
        self.events.spent(&self.name, spent, left, self.journal.elapsed());
    }

    /// Reports that an effect is tried again.
    pub(super) fn retried(&self, name: &str, attempt: usize, error: &dyn std::fmt::Display) {
        let (study, name) = (self.name.clone(), name.to_owned());
        let error = dspy_core::error::clipped(error.to_string());
        self.events.emit(&StudyEvent::Retry { study, name, attempt, error });
    }
}
