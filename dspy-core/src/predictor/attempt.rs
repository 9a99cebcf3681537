//! The requests of one prediction.

use std::sync::Arc;

use crate::adapter::{Adapter, ParseError};
use crate::lm::{Completion, Response, Usage};

/// One request of a predictor and its result.
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

    /// Returns the name of the adapter of the request.
    pub fn adapter(&self) -> &str {
        self.adapter.name()
    }

    /// Returns the replies as the model wrote them; empty if a stream was aborted.
    pub fn completions(&self) -> &[Completion] {
        &self.completions
    }

    /// Returns the usage of the request; `None` for an aborted stream, because endpoints report it last.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Returns whether the reply came from a cache or a journal and was not charged.
    pub fn is_cached(&self) -> bool {
        self.cached
    }

    /// Returns the reason why the reply was refused; `None` if the prediction was read from it.
    pub fn error(&self) -> Option<&ParseError> {
        self.error.as_ref()
    }
}
