//! The choice of the optimizers that suit a program and its data.

use dspy_core::program::HasPredictors;
use dspy_core::signature::FieldSpec;

use super::arm::Arm;
use super::feedback::Feedback;
use crate::counts::counted;
use crate::data::{Rows, label_names};
use crate::demos;
use crate::engine::Rollout;

/// The fewest rows to learn from for bootstraps.
const SOME: usize = 10;

/// The fewest rows to learn from for [`Simba`](crate::Simba), the size of its minibatches.
pub(super) const MINIBATCH: usize = 16;

/// The fewest rows to learn from and to score on for the large searches.
const MANY: usize = 60;

/// The properties of a program and its data that decide which optimizers suit.
#[expect(clippy::struct_excessive_bools, reason = "independent properties")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) predictors: usize,
    /// The number of rows to learn from.
    pub(super) learn: usize,
    /// The number of rows to compare on.
    pub(super) val: usize,
    /// Whether some predictor has labelled rows.
    labelled: bool,
    /// Whether the labels of some predictor are of a closed set.
    closed: bool,
    /// The feedback of the metric.
    feedback: Feedback,
    /// Whether some run has a score above 0.
    succeeds: bool,
    /// Whether the scores differ.
    varied: bool,
}

impl Case {
    pub(super) fn of<E>(
        program: &impl HasPredictors,
        learn: &Rows<'_, E>,
        val: &Rows<'_, E>,
        baseline: &[Rollout],
        best_score: Option<f64>,
    ) -> Self {
        let predictors = program.named_predictors();
        let with_labels = |closed: fn(&FieldSpec) -> bool| {
            predictors.iter().any(|(_, predictor)| {
                let spec = predictor.spec();
                spec.outputs().any(closed)
                    && learn.iter().any(|row| demos::labelled(row.values, spec).is_some())
            })
        };
        let scores = || baseline.iter().filter_map(|rollout| rollout.outcome.score());
        let first = scores().next();
        Case {
            predictors: predictors.len(),
            learn: learn.len(),
            val: val.len(),
            labelled: with_labels(|_| true),
            closed: with_labels(|field| !field.choices().is_empty() || field.schema()["type"] == "boolean"),
            feedback: Feedback::of(val, baseline, &label_names(program), best_score),
            succeeds: scores().any(|score| score > 0.0),
            varied: scores().any(|score| Some(score) != first),
        }
    }

    /// Returns the optimizers in the order in which they are kept if the budget is too small.
    pub(super) fn order(&self) -> [Arm; 9] {
        if self.feedback == Feedback::Words { Arm::BY_FEEDBACK } else { Arm::ALL }
    }

    /// Returns the reason why an optimizer suits, or, as an error, why it does not.
    pub(super) fn suits(&self, arm: Arm) -> Result<String, String> {
        let Case { predictors, learn, val, labelled, closed, feedback, succeeds, varied } = *self;
        let when =
            |suits: bool, yes: &str, no: &str| if suits { Ok(yes.to_owned()) } else { Err(no.to_owned()) };
        let many = || {
            let (suits, found) = (learn + val >= MANY, learn + val);
            let text = format!("{} to learn from and to score on", counted(found, "row"));
            if suits { Ok(text) } else { Err(format!("{text}, fewer than {MANY}")) }
        };
        match arm {
            Arm::Labeled => when(labelled, "the rows have labels", "the rows have no labels of a predictor"),
            Arm::Gepa => match feedback {
                Feedback::None => Err("the metric gives no feedback".to_owned()),
                Feedback::Values => Ok("the metric gives feedback".to_owned()),
                Feedback::Words => Ok("the metric gives feedback that says more than the rows".to_owned()),
            },
            Arm::RandomSearch if learn < SOME => {
                Err(format!("{} to learn from, fewer than {SOME}", counted(learn, "row")))
            }
            Arm::RandomSearch => when(
                succeeds || labelled,
                "runs can succeed on the rows",
                "no run has a score above 0, and the rows have no labels",
            ),
            Arm::Copro => when(predictors == 1, "there is one predictor", "there are several predictors"),
            Arm::ModuleOpro => {
                when(predictors > 1, "there are several predictors", "there is only one predictor")
            }
            Arm::InferRules => {
                when(closed, "the labels are of a closed set", "no predictor has labels of a closed set")
            }
            Arm::Mipro | Arm::Capo => many(),
            Arm::Simba if learn < MINIBATCH => {
                Err(format!("{} to learn from, fewer than {MINIBATCH}", counted(learn, "row")))
            }
            Arm::Simba => when(varied, "the scores differ from row to row", "all rows have the same score"),
        }
    }
}
