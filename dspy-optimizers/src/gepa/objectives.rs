//! The objectives of candidates.

use std::collections::BTreeMap;

use crate::engine::{Outcome, Rollout};

/// The values of a candidate by objective and row.
pub(super) type Objectives = BTreeMap<String, BTreeMap<usize, f64>>;

/// The lowest values of all objectives so far, at most 0.
#[derive(Debug, Default)]
pub(super) struct Lowest(BTreeMap<String, f64>);

impl Lowest {
    /// Returns the values of a candidate in its runs, by row. A failure of the program has the lowest value so far in
    /// each objective, at most 0: on a scale below 0, such as that of a negative cost, 0 would be a good one.
    pub(super) fn values(&mut self, runs: &[(usize, Rollout)]) -> Objectives {
        for (_, run) in runs {
            let Outcome::Scored(score) = &run.outcome else { continue };
            for (name, value) in &score.objectives {
                let lowest = self.0.entry(name.clone()).or_default();
                *lowest = lowest.min(*value);
            }
        }
        let mut values = Objectives::new();
        for (row, run) in runs {
            let own = match &run.outcome {
                Outcome::Scored(score) => &score.objectives,
                Outcome::Failed(_) => &self.0,
                Outcome::Unscored(_) => continue,
            };
            for (name, value) in own {
                values.entry(name.clone()).or_default().insert(*row, *value);
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use dspy_core::lm::Usage;
    use serde_json::{Value, json};

    use super::*;

    fn run(outcome: &Value) -> Rollout {
        serde_json::from_value(json!({"outcome": outcome, "usage": Usage::default()})).unwrap()
    }

    fn scored(objectives: &Value) -> Rollout {
        run(&json!({"scored": {"value": 0.5, "objectives": objectives}}))
    }

    #[test]
    fn a_failure_is_never_the_best() {
        let mut lowest = Lowest::default();
        let failed = run(&json!({"failed": "no answer"}));
        assert!(lowest.values(&[(0, failed.clone())]).is_empty(), "no objective is known yet");
        let runs = [
            (3, scored(&json!({"right": 1.0, "cost": -5.0}))),
            (4, failed.clone()),
            (5, scored(&json!({"right": 0.5}))),
            (6, run(&json!({"unscored": "no opinion"}))),
        ];
        let values = lowest.values(&runs);
        assert_eq!(values["right"], BTreeMap::from([(3, 1.0), (4, 0.0), (5, 0.5)]));
        assert_eq!(values["cost"], BTreeMap::from([(3, -5.0), (4, -5.0)]), "not stated for row 5");
    }
}
