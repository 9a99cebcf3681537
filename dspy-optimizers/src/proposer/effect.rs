//! Requests to proposers as effects of a study.

use dspy_core::error::clipped;
use dspy_core::lm::Usage;

use super::{Grounding, GroundingRequest, SharedProposer, TextRequest, clean};
use crate::engine::{ExampleFor, Program, Stop, Study};

/// The largest length of a proposed text in characters, whatever the proposer.
const LONGEST: usize = 50_000;

/// The answer of a proposer.
pub(crate) struct Proposed {
    /// The texts, at most as many as requested; none if the proposer's reply could not be read.
    pub(crate) texts: Vec<String>,
    /// The cost of its calls.
    pub(crate) usage: Usage,
    /// The reason why there are no texts, if the proposer failed.
    pub(crate) problem: Option<String>,
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
        let (texts, problem) = match effect.output {
            Ok(texts) => (texts, None),
            Err(error) => (Vec::new(), Some(no_text(error)?)),
        };
        let texts = texts.iter().filter_map(|text| clean(text, LONGEST)).take(request.count.max(1));
        let texts: Vec<String> = texts.collect();
        self.proposed(name, texts.len());
        Ok(Proposed { texts, usage: effect.usage, problem })
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
                std::mem::take(&mut grounding.problems).into_iter().for_each(|problem| self.warn(problem));
                Ok(grounding)
            }
            Err(error) => {
                self.warn(format!("no grounding: {}", no_text(error)?));
                Ok(Grounding::default())
            }
        }
    }
}

/// Returns the note of a trial about a proposer that failed.
///
/// # Errors
/// If it cannot work until its configuration changes.
pub(crate) fn no_text(error: dspy_core::Error) -> Result<String, Stop> {
    if error.is_configuration() {
        return Err(error.into());
    }
    Ok(format!("the proposer failed: {}", first_line(&error)))
}

/// Returns the message of an error. That of a reply that cannot be read quotes the whole reply below its first line.
pub(super) fn first_line(error: &dspy_core::Error) -> String {
    let message = error.to_string();
    clipped(message.lines().next().unwrap_or_default())
}
