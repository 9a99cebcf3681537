//! The trait of proposers.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use dspy_core::Result;
use dspy_core::lm::BoxFuture;
use serde_json::Value;

use super::{
    AdviceRequest, CurationRequest, Delta, Diagnosis, DiagnosisRequest, Grounding, GroundingRequest,
    Proposer, TextRequest,
};
use crate::playbook::difference;

/// A source of new texts for components, usually an LM program.
///
/// An optimizer runs each method as an effect of its study: the calls of models are written to the journal and paid
/// from the budget, and the result must depend only on the request and on their replies. An async closure of a
/// [`TextRequest`] is a proposer, too.
///
/// ```
/// use dspy_optimizers::proposer::{SharedProposer, TextRequest};
///
/// // Calls no model: states the task more and more urgently.
/// let proposer = SharedProposer::new(async |request: TextRequest| {
///     Ok((1..=request.count).map(|n| format!("{}{}", request.current, "!".repeat(n))).collect())
/// });
/// ```
pub trait TextProposer: Send + Sync + 'static {
    /// Returns new texts for a component, at most [`count`](TextRequest::count). Fewer, or none, are no error.
    fn propose(&self, request: TextRequest) -> BoxFuture<'_, Result<Vec<String>>>;

    /// Describes the data and the program. By default, nothing is described.
    fn ground(&self, _request: GroundingRequest) -> BoxFuture<'_, Result<Grounding>> {
        Box::pin(async { Ok(Grounding::default()) })
    }

    /// Returns what a run teaches: the reflector of [`Ace`](crate::Ace). By default, nothing.
    fn diagnose(&self, _request: DiagnosisRequest) -> BoxFuture<'_, Result<Diagnosis>> {
        Box::pin(async { Ok(Diagnosis::default()) })
    }

    /// Returns changes of a playbook: the curator of [`Ace`](crate::Ace). By default, those that make the first
    /// [proposed](Self::propose) text of the playbook out of the present one.
    fn curate(&self, request: CurationRequest) -> BoxFuture<'_, Result<Vec<Delta>>> {
        let CurationRequest { component, signature, playbook, records, sample, .. } = request;
        let mut texts = TextRequest::new(component, signature, playbook.to_string());
        (texts.records, texts.sample) = (records, sample);
        Box::pin(async move {
            let proposed = self.propose(texts).await?;
            // A blank text proposes nothing, least of all an empty playbook.
            let text = proposed.first().filter(|text| !text.trim().is_empty());
            let revised = text.map(|text| playbook.revised(text));
            Ok(revised.map(|revised| difference(&playbook, &revised)).unwrap_or_default())
        })
    }

    /// Sums up what runs of several candidates show, as advice for later requests. By default, there is none.
    fn advise(&self, _request: AdviceRequest) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async { Ok(None) })
    }

    /// Returns what determines the texts besides the requests, for the header of the journal: a run resumes only
    /// with an equal value. By default, nothing.
    fn identity(&self) -> Value {
        Value::Null
    }
}

impl<F, Fut> TextProposer for F
where
    F: Fn(TextRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<String>>> + Send + 'static,
{
    fn propose(&self, request: TextRequest) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self(request))
    }
}

/// A shared [`TextProposer`] of any type.
#[derive(Clone)]
pub struct SharedProposer(Arc<dyn TextProposer>);

impl SharedProposer {
    /// Creates a shared proposer.
    pub fn new(proposer: impl TextProposer) -> Self {
        SharedProposer(Arc::new(proposer))
    }
}

impl Default for SharedProposer {
    /// Creates the default [`Proposer`].
    fn default() -> Self {
        SharedProposer::new(Proposer::new())
    }
}

impl std::ops::Deref for SharedProposer {
    type Target = dyn TextProposer;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SharedProposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedProposer({})", self.identity())
    }
}
