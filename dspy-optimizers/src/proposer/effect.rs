//! Requests to proposers as effects of a study.

use dspy_base::error::clipped_to;
use dspy_core::lm::Usage;
use thiserror::Error;

use super::{Grounding, GroundingRequest, SharedProposer, TextRequest, sift};
use crate::engine::{AT_FIRST, Answer, ExampleFor, Program, Stop, Study};
use crate::error::OptimizeError;
use crate::fruitless::Fruitless;

/// The largest length of a proposed text in characters, whatever the proposer.
const LONGEST: usize = 50_000;

/// The largest length of a message about a proposer that failed, in bytes.
const LONGEST_PROBLEM: usize = 4_000;

/// The answer of a proposer.
pub(crate) struct Proposed {
    /// The texts, at most as many as requested; none if the proposer's reply could not be read.
    pub(crate) texts: Vec<String>,
    /// The cost of its calls.
    pub(crate) usage: Usage,
    /// The reason why there are no texts, if the proposer failed.
    pub(crate) problem: Option<String>,
    pub(crate) answer: Answer,
}

impl<P: Program, E> Study<'_, P, E> {
    /// Requests texts from a proposer as an effect with this name.
    ///
    /// # Errors
    /// If the search has to stop, or the proposer cannot work until its configuration changes. A reply that cannot
    /// be read is no text and no error.
    pub(crate) async fn propose(
        &self,
        name: &str,
        proposer: &SharedProposer,
        request: &TextRequest,
    ) -> Result<Proposed, Stop> {
        let effect = self.effect(name, || proposer.propose(request.clone())).await?;
        let (mut texts, fruitless, problem) = match effect.output {
            Ok(texts) => {
                let (usable, fruitless) = sift(&texts, &request.current, LONGEST);
                (usable, fruitless, None)
            }
            Err(error) => (Vec::new(), Fruitless::default(), Some(no_text(error)?)),
        };
        self.fruitless(request.component.predictor(), fruitless);
        texts.truncate(request.count.max(1));
        self.proposed(name, texts.len());
        let answer = match Answer::of(!texts.is_empty(), problem.is_some(), effect.usage) {
            // The present text again is a sign of contentment.
            _ if texts.is_empty() && fruitless.unchanged > 0 => Answer::Neutral,
            Answer::Useless(_) => Answer::Useless(request.count.max(1)),
            answer => answer,
        };
        Ok(Proposed { texts, usage: effect.usage, problem, answer })
    }
}

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Requests descriptions of data and program as an effect with this name. If there is nothing to describe, or the
    /// proposer fails, there are none. The report has a warning of the parts that are missing.
    ///
    /// # Errors
    /// If the search has to stop, or the proposer cannot work until its configuration changes.
    pub(crate) async fn ground(
        &self,
        name: &str,
        proposer: &SharedProposer,
        request: &GroundingRequest,
    ) -> Result<Grounding, Stop> {
        if request.examples.is_empty() && request.program.is_none() {
            return Ok(Grounding::default());
        }
        self.phase("grounding", 0);
        let effect = self.effect(name, || proposer.ground(request.clone())).await?;
        match effect.output {
            Ok(mut grounding) => {
                let is_blank = grounding.dataset.is_none()
                    && grounding.program.is_none()
                    && grounding.modules.is_empty();
                // Texts may be of use all the same: one more request decides.
                if is_blank {
                    let several = grounding.problems.len() > 1;
                    self.hear(Answer::Useless(if several { AT_FIRST - 1 } else { grounding.problems.len() }));
                }
                std::mem::take(&mut grounding.problems).into_iter().for_each(|problem| self.warn(problem));
                Ok(grounding)
            }
            Err(error) => {
                self.hear(Answer::Useless(1));
                self.warn(format!("no grounding: {}", no_text(error)?));
                Ok(Grounding::default())
            }
        }
    }
}

/// Returns the note of a trial about a proposer that failed, which may have several lines.
///
/// # Errors
/// If it cannot work until its configuration changes.
pub(crate) fn no_text(error: dspy_core::Error) -> Result<String, Stop> {
    if error.is_configuration() {
        return Err(OptimizeError::other(Unusable(error)).into());
    }
    Ok(failed(&error))
}

/// Returns the message of a proposer that failed. That of a reply that cannot be read quotes the reply.
pub(super) fn failed(error: &dspy_core::Error) -> String {
    format!("the proposer failed: {}", clipped_to(LONGEST_PROBLEM, error.to_string()))
}

/// A proposer that cannot work until its configuration changes.
#[derive(Debug, Error)]
#[error("the proposer's model cannot be used: {0}; check its settings, or give the optimizer another one")]
struct Unusable(#[source] dspy_core::Error);
