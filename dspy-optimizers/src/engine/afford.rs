//! The number of new programs that a budget pays for and compares.

use dspy_core::lm::{Budget, Limit, Usage};

use super::{Program, Stop, Study};
use crate::counts::counted;
use crate::race::Race;

/// The cost of new programs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// The calls that write them.
    pub(crate) calls: usize,
    /// The runs that compare them.
    pub(crate) runs: usize,
}

/// The number of new programs to ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Afforded {
    pub(crate) count: usize,
    /// The limit that more of them would exceed, if more were wanted.
    pub(crate) limit: Option<Limit>,
}

impl<P: Program, E> Study<'_, P, E> {
    /// Returns the number of new programs to ask for: those that are wanted, or as many as the remaining budget pays for
    /// and compares. A run costs as much as the most expensive one so far; for limits in tokens or US dollars, so does a
    /// call.
    ///
    /// The number is written to the journal under this name, so a resumed run asks for the same. With a larger budget it
    /// may ask for more.
    pub(crate) fn affordable(
        &self,
        name: &str,
        wanted: usize,
        needs: impl Fn(usize) -> Needs,
    ) -> Result<Afforded, Stop> {
        let name = self.effect_name(&format!("{name}/count"));
        let recorded: Option<usize> = self.journal.done(&name)?;
        if recorded.is_some_and(|count| count >= wanted) {
            return Ok(Afforded { count: wanted, limit: None });
        }
        let peak_cost = self.found().peak_cost;
        let lacks = |count: usize| {
            let Needs { calls, runs } = needs(count);
            self.ledger.lacks(&|left| peak_cost.exceeds(runs, calls, left))
        };
        let limit = lacks(wanted);
        let mut count = wanted;
        if limit.is_some() {
            // All that is in the journal counts as spent from the start of a resumed run, so what was recorded is more
            // than the same budget affords now.
            let mut too_many = wanted;
            count = recorded.unwrap_or_default();
            while too_many - count > 1 {
                let middle = usize::midpoint(count, too_many);
                if lacks(middle).is_some() { too_many = middle } else { count = middle }
            }
        }
        if recorded != Some(count) {
            self.journal.finish(&name, &count)?;
        }
        Ok(Afforded { count, limit })
    }

    /// Returns numbers that depend on what is known so far, as they were when they were first asked for: those of a
    /// resumed run would depend on what was made later. They are written to the journal under this name.
    pub(crate) fn as_before(
        &self,
        name: &str,
        numbers: impl FnOnce() -> Vec<usize>,
    ) -> Result<Vec<usize>, Stop> {
        let name = self.effect_name(&format!("{name}/numbers"));
        if let Some(recorded) = self.journal.done(&name)? {
            return Ok(recorded);
        }
        let numbers = numbers();
        self.journal.finish(&name, &numbers)?;
        Ok(numbers)
    }

    /// Returns whether the budget of this study or of an enclosing one limits its calls, tokens or US dollars.
    pub(crate) fn is_limited(&self) -> bool {
        let left = self.ledger.remaining();
        left.calls.is_some() || left.tokens.is_some() || left.usd.is_some()
    }

    /// Warns that not one new program was asked for, as the budget does not compare it.
    pub(crate) fn warn_unaffordable(&self, race: &Race, rows: usize) {
        let block = race.first_block(rows);
        self.warn(format!(
            "the budget ended before a new program could be compared, which needs {} on the first {}, so none was asked \
             for; raise it",
            counted(block, "run"),
            counted(block, "row")
        ));
    }

    /// Checks that the rest of the budget covers work with this name: it pays for new programs and compares them on
    /// `rows`. The answer is written to the journal.
    ///
    /// # Errors
    /// If it does not. If no new program was compared before, the report has a warning.
    pub(crate) fn check_affordable(&self, name: &str, needs: Needs, rows: usize) -> Result<(), Stop> {
        self.or_warn(self.covers(name, needs), rows)
    }

    /// Checks the same without a warning.
    ///
    /// # Errors
    /// If the rest of the budget does not cover the work.
    pub(crate) fn covers(&self, name: &str, needs: Needs) -> Result<(), Stop> {
        let none = Needs { calls: 0, runs: 0 };
        let afforded = self.affordable(name, 1, |count| if count == 0 { none } else { needs })?;
        afforded.limit.filter(|_| afforded.count == 0).map_or(Ok(()), |limit| Err(Stop::Budget(limit)))
    }

    /// Warns if the budget ended the work on a new program before one was compared on `rows`.
    pub(crate) fn or_warn<T>(&self, made: Result<T, Stop>, rows: usize) -> Result<T, Stop> {
        if matches!(made, Err(Stop::Budget(_))) && self.found().trials.len() <= 1 {
            self.warn_nothing_compared(rows);
        }
        made
    }

    /// Returns the part of the remaining budget that a nested study of this name may spend, so that this many runs are
    /// left after it. It is written to the journal; with a larger budget of a resumed run it may be more.
    pub(crate) fn all_but(&self, name: &str, runs: usize) -> Result<Budget, Stop> {
        self.share(name, runs, 1)
    }

    /// Returns an equal part of what [`all_but`](Self::all_but) returns, for the first of this many nested studies that
    /// are left.
    pub(crate) fn share(&self, name: &str, runs: usize, studies: usize) -> Result<Budget, Stop> {
        let nested = self.effect_name(name);
        let name = format!("{nested}/budget");
        let recorded: Option<[Option<f64>; 3]> = self.journal.done(&name)?;
        let peak_cost = self.found().peak_cost;
        let limits = peak_cost.left_after(runs, self.ledger.remaining());
        // What a resumed study has spent already is a part of its budget.
        let spent: Usage = self.journal.total(&format!("{nested}/")).usage();
        let spent = [spent.requests as f64, spent.total_tokens() as f64, spent.cost_usd.unwrap_or_default()];
        let limits = [0, 1, 2].map(|at| limits[at].map(|left| (left + spent[at]) / studies.max(1) as f64));
        let larger = |at: usize| match recorded.map(|recorded| recorded[at]) {
            Some(before) => before.zip(limits[at]).map(|(before, now)| before.max(now)),
            None => limits[at],
        };
        let limits = [larger(0), larger(1), larger(2)];
        if recorded != Some(limits) {
            self.journal.finish(&name, &limits)?;
        }
        let mut budget = Budget::UNLIMITED;
        (budget.calls, budget.tokens) =
            (limits[0].map(|calls| calls as u64), limits[1].map(|all| all as u64));
        budget.usd = limits[2];
        Ok(budget)
    }

    /// Counts runs of longer prompts from now on: at this many times the tokens and the price of the most expensive run so
    /// far.
    pub(crate) fn expect_longer_runs(&self, factor: f64) {
        let mut found = self.found();
        found.peak_cost = found.peak_cost.times(factor.max(1.0));
    }

    /// Warns that the budget does not cover a comparison of a new program on this many rows.
    pub(crate) fn warn_nothing_compared(&self, rows: usize) {
        self.warn(format!(
            "the budget ended before a new program could be compared on {}, so none was asked for; raise it",
            counted(rows, "row")
        ));
    }

    /// Notes that fewer new programs were asked for than wanted.
    pub(crate) fn note_afforded(&self, what: &str, wanted: usize, afforded: Afforded) {
        if afforded.limit.is_some() {
            self.decide(format!(
                "asked for {} of {wanted} {what}: the rest of the budget cannot compare more",
                afforded.count
            ));
        }
    }
}
