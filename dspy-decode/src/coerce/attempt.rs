//! Tentative readings, and the choice between several.

use serde_json::Value;

use super::super::error::{Problem, ProblemKind};
use super::super::path::Path;
use super::super::plan::NodeId;
use super::super::report::Repair;
use super::super::text::snippet;
use super::super::tree::Tree;
use super::Coercion;

/// A value with the repairs that reading it required, not yet recorded.
#[derive(Debug)]
pub(in super::super) struct Attempt {
    pub(in super::super) value: Value,
    pub(in super::super) repairs: Vec<Repair>,
    pub(in super::super) cost: u64,
}

impl Coercion<'_> {
    /// Runs a reader without recording its result.
    pub(in super::super) fn attempt(
        &mut self,
        reader: impl FnOnce(&mut Self) -> Option<Value>,
    ) -> Result<Attempt, Vec<Problem>> {
        let (repairs, problems) = (self.repairs.len(), self.problems.len());
        let value = reader(self);
        let own_problems = self.problems.split_off(problems);
        let repairs = self.repairs.split_off(repairs);
        match value {
            Some(value) => {
                let cost = repairs.iter().map(|r| u64::from(r.cost)).sum();
                Ok(Attempt { value, repairs, cost })
            }
            None => Err(own_problems),
        }
    }

    pub(super) fn commit(&mut self, attempt: Attempt) -> Value {
        self.repairs.extend(attempt.repairs);
        attempt.value
    }

    /// Records the cheapest of several readings; different values at the same cost are an ambiguity.
    pub(super) fn cheapest(
        &mut self,
        id: NodeId,
        attempts: Vec<Attempt>,
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> Option<Value> {
        let mut best: Option<Attempt> = None;
        let mut rival: Option<Value> = None;
        for attempt in attempts {
            match &best {
                Some(b) if attempt.cost > b.cost => self.alternatives += 1,
                Some(b) if attempt.cost == b.cost => {
                    self.alternatives += 1;
                    if !super::super::plan::same(&b.value, &attempt.value) {
                        rival = Some(attempt.value);
                    }
                }
                other => {
                    self.alternatives += usize::from(other.is_some());
                    best = Some(attempt);
                    rival = None;
                }
            }
        }
        let best = best?;
        if let Some(rival) = rival {
            let found = format!(
                "a text that could mean `{}` or `{}`",
                snippet(&best.value.to_string()),
                snippet(&rival.to_string())
            );
            self.problem(ProblemKind::Ambiguous, path, id, found, tree.span);
            return None;
        }
        Some(self.commit(best))
    }

    /// Runs a reader inside a level that does not exist in the text.
    pub(super) fn imply(&mut self, reader: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        self.implied += 1;
        let value = reader(self);
        self.implied -= 1;
        value
    }
}
