//! The bounded queue between a search and the reader of its events.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use dspy_base::locks::MutexExt as _;

use super::StudyEvent;

/// The largest number of events that wait for the reader.
pub(super) const CAPACITY: usize = 1_024;

/// Events that wait for the reader. A writer never waits: when the queue is full, it drops the least important
/// ones.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    events: VecDeque<StudyEvent>,
    /// The number of events dropped since the reader was last told.
    lost: u64,
    reader: Option<Waker>,
    /// Whether the run has ended.
    closed: bool,
    /// Whether the reader is gone.
    unread: bool,
}

impl Queue {
    pub(super) fn push(&self, event: &StudyEvent) {
        let waker = {
            let mut state = self.0.lock_any();
            if state.closed || state.unread {
                return;
            }
            if state.events.len() >= CAPACITY {
                state.make_room();
            }
            state.events.push_back(event.clone());
            state.reader.take()
        };
        // Woken without the lock, as the waker is not our code.
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends the stream after the waiting events.
    pub(super) fn close(&self) {
        let waker = {
            let mut state = self.0.lock_any();
            state.closed = true;
            state.reader.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Drops all events, now and later.
    pub(super) fn stop_reading(&self) {
        let mut state = self.0.lock_any();
        *state = State { unread: true, ..State::default() };
    }

    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<StudyEvent>> {
        let mut state = self.0.lock_any();
        if state.lost > 0 {
            let events = std::mem::take(&mut state.lost);
            return Poll::Ready(Some(StudyEvent::Lagged { events }));
        }
        match state.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl State {
    /// Drops events: first all that only show that work goes on, then the oldest others, and events that say
    /// what the result is only if newer ones supersede them.
    fn make_room(&mut self) {
        let before = self.events.len();
        self.events.retain(|event| importance(event) > Importance::Tick);
        // Many at once, so that a reader that never reads costs little per event.
        let mut surplus = self.events.len().saturating_sub(CAPACITY / 2);
        if self.events.len() >= CAPACITY * 3 / 4 {
            self.events.retain(|event| {
                let kept = surplus == 0 || importance(event) > Importance::Step;
                surplus -= usize::from(!kept);
                kept
            });
        }
        if self.events.len() >= CAPACITY * 3 / 4 {
            self.drop_superseded();
        }
        if self.events.len() >= CAPACITY {
            // Only ends of runs and the latest results of a thousand studies are left.
            self.events.pop_front();
        }
        self.lost += (before - self.events.len()) as u64;
    }

    /// Keeps only the latest result of each study.
    fn drop_superseded(&mut self) {
        let mut studies = HashSet::new();
        let mut kept: VecDeque<StudyEvent> = VecDeque::with_capacity(self.events.len());
        while let Some(event) = self.events.pop_back() {
            let superseded = match &event {
                StudyEvent::Best { study, .. } => !studies.insert(study.clone()),
                _ => false,
            };
            if !superseded {
                kept.push_front(event);
            }
        }
        self.events = kept;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Importance {
    /// Work goes on.
    Tick,
    /// A step of the algorithm.
    Step,
    /// The result so far, or the end.
    Result,
}

fn importance(event: &StudyEvent) -> Importance {
    match event {
        StudyEvent::Rollout { .. } | StudyEvent::Spent { .. } => Importance::Tick,
        StudyEvent::Best { .. } => Importance::Result,
        StudyEvent::Started { study, .. }
        | StudyEvent::Verified { study, .. }
        | StudyEvent::Finished { study, .. }
        | StudyEvent::Failed { study, .. }
            if study.is_empty() =>
        {
            Importance::Result
        }
        _ => Importance::Step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Stopped;

    fn rollout() -> StudyEvent {
        StudyEvent::Rollout { name: "r".into(), score: Some(1.0) }
    }

    fn trial(index: usize) -> StudyEvent {
        let (study, label) = (String::new(), String::new());
        StudyEvent::Trial { study, index, label, score: None, rows: 0, best: false }
    }

    fn best(trial: usize, study: &str) -> StudyEvent {
        StudyEvent::Best { study: study.into(), trial, label: String::new(), score: None }
    }

    fn read(queue: &Queue) -> Vec<StudyEvent> {
        let context = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        while let Poll::Ready(Some(event)) = queue.poll(&context) {
            all.push(event);
        }
        all
    }

    #[test]
    fn a_full_queue_drops_ticks_first_and_says_so() {
        let queue = Queue::default();
        queue.push(&trial(0));
        (0..CAPACITY).for_each(|_| queue.push(&rollout()));
        queue.push(&best(0, ""));
        let read = read(&queue);
        assert_eq!(read[0], StudyEvent::Lagged { events: CAPACITY as u64 - 1 });
        assert_eq!(read[1..], [trial(0), rollout(), best(0, "")]);
    }

    #[test]
    fn the_latest_result_and_the_end_are_never_dropped() {
        let queue = Queue::default();
        for index in 0..100_000 {
            queue.push(&trial(index));
            queue.push(&best(index, if index % 3 == 0 { "step-0/" } else { "" }));
            assert!(queue.0.lock_any().events.len() <= CAPACITY);
        }
        let end = StudyEvent::Finished {
            study: String::new(),
            stopped: Stopped::Finished,
            best: Some(99_999),
            score: None,
        };
        queue.push(&end);
        (0..3 * CAPACITY).for_each(|_| queue.push(&rollout()));
        queue.close();
        queue.push(&rollout());
        let read = read(&queue);
        assert!(matches!(read[0], StudyEvent::Lagged { events: 190_000.. }));
        for latest in [best(99_998, ""), best(99_999, "step-0/"), end] {
            assert!(read.contains(&latest), "{latest:?}");
        }
    }

    #[test]
    fn any_number_of_studies_fits() {
        let queue = Queue::default();
        for index in 0..5 * CAPACITY {
            queue.push(&best(0, &format!("step-{index}/")));
            assert!(queue.0.lock_any().events.len() <= CAPACITY);
        }
        queue.stop_reading();
        queue.push(&rollout());
        assert!(read(&queue).is_empty());
    }
}
