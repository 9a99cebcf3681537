//! The end of requests to a proposer whose answers are of no use.

use dspy_core::lm::Usage;

use super::{Program, Stop, Study};

/// The number of useless answers in a row after which a proposer that was of no use yet gets no further request.
pub(crate) const AT_FIRST: usize = 4;

/// The same for a proposer that was of use before.
const LATER: usize = 12;

/// The use of an answer of a proposer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Useful,
    /// This many texts that were paid for and are missing.
    Useless(usize),
    /// Neither, such as an answer that has cost nothing.
    Neutral,
}

impl Answer {
    /// Returns the use of an answer: a reply that cannot be read is useless, and so is one without content that has
    /// cost calls.
    pub(crate) fn of(useful: bool, failed: bool, usage: Usage) -> Self {
        match useful {
            true => Answer::Useful,
            false if failed || usage.requests > 0 => Answer::Useless(1),
            false => Answer::Neutral,
        }
    }
}

/// The useless answers so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    was_useful: bool,
    /// The useless texts since the last useful answer.
    in_row: usize,
}

impl Patience {
    /// Returns the number of useless texts after which there is no further request.
    fn left(&self) -> usize {
        let most = if self.was_useful { LATER } else { AT_FIRST };
        most.saturating_sub(self.in_row)
    }
}

impl<P: Program, E> Study<'_, P, E> {
    /// Returns whether the proposer is not asked any more, as its answers were of no use.
    pub(crate) fn has_given_up(&self) -> bool {
        self.found().patience.left() == 0
    }

    /// Makes requests to a proposer, [several at a time](Self::several), of up to `texts` texts each. While its answers
    /// are of no use, only a few are made at a time, and after some of them none: then there are fewer results than
    /// requests, and the report has a warning.
    ///
    /// # Errors
    /// If the search has to stop.
    pub(crate) async fn ask<T, F>(
        &self,
        requests: Vec<F>,
        texts: usize,
        answer: impl Fn(&T) -> Answer,
    ) -> Result<Vec<T>, Stop>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        let mut results = Vec::with_capacity(requests.len());
        let mut waiting = requests.into_iter();
        loop {
            let most = {
                let patience = &self.found().patience;
                let is_good = patience.was_useful && patience.in_row == 0;
                if is_good { usize::MAX } else { patience.left().div_ceil(texts.max(1)) }
            };
            let group: Vec<F> = waiting.by_ref().take(most).collect();
            if group.is_empty() {
                return Ok(results);
            }
            for result in self.several(group).await? {
                self.hear(answer(&result));
                results.push(result);
            }
        }
    }

    /// Counts an answer. Answers are counted in the order of the requests, so that a resumed run counts alike.
    pub(crate) fn hear(&self, answer: Answer) {
        let has_given_up = {
            let patience = &mut self.found().patience;
            match answer {
                Answer::Useful => (patience.was_useful, patience.in_row) = (true, 0),
                Answer::Useless(texts) => patience.in_row = patience.in_row.saturating_add(texts),
                Answer::Neutral => {}
            }
            patience.left() == 0
        };
        if has_given_up {
            self.warn(
                "the proposer was not asked again, as its last answers were of no use; check its model, or give the \
                 optimizer another one",
            );
        }
    }
}
