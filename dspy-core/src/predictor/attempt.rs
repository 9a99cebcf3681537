//! The requests that one prediction took.

use std::sync::Arc;

use crate::adapter::{Adapter, ParseError};
use crate::lm::{Completion, Response, Usage};

/// One request of a predictor and what came of it.
#[derive(Debug, Clone)]
pub struct Attempt {
    adapter: Arc<dyn Adapter>,
    pub(super) completions: Vec<Completion>,
    usage: Option<Usage>,
    cached: bool,
    error: Option<ParseError>,
}

impl Attempt {
    pub(super) fn answered(adapter: Arc<dyn Adapter>, response: Response) -> Self {
        let Response { completions, usage, cached, .. } = response;
        Attempt { adapter, completions, usage: Some(usage), cached, error: None }
    }

    pub(super) fn broken_off(adapter: Arc<dyn Adapter>) -> Self {
        Attempt { adapter, completions: Vec::new(), usage: None, cached: false, error: None }
    }

    pub(super) fn refused(&mut self, error: &ParseError) {
        self.error = Some(error.clone());
    }

    /// The name of the adapter that asked.
    pub fn adapter(&self) -> &str {
        self.adapter.name()
    }

    /// The replies, as the model wrote them; empty if a stream was broken off.
    pub fn completions(&self) -> &[Completion] {
        &self.completions
    }

    /// What the request cost; unknown if a stream was broken off, because the endpoint says so at its end.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Whether the answer came from a cache or a journal and was not charged.
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// Why the reply was refused, unless it is the one that the prediction was read from.
    pub fn error(&self) -> Option<&ParseError> {
        self.error.as_ref()
    }
}
