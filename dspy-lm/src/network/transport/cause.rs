//! The causes of a failed exchange, as stored in errors.

use std::error::Error;
use std::fmt;

use super::EXCERPT;
use super::failure::causes;
use crate::LmError;
use crate::secret::Secrets;

/// A cause and the causes below it, as text without secrets. The original errors are not kept, because they may
/// contain addresses and headers.
#[derive(Debug)]
pub(super) struct Cause {
    text: String,
    source: Option<Box<Cause>>,
    /// Whether there was no connection, so that the request was not sent.
    unconnected: bool,
}

/// Returns whether a request was certainly not sent, because there was no connection.
pub fn is_unsent(error: &LmError) -> bool {
    error.attempts == 0
        || error.source.as_deref().and_then(|source| source.downcast_ref::<Cause>()).is_some_and(|cause| {
            // Earlier attempts may have been sent.
            cause.unconnected && error.attempts == 1
        })
}

impl Cause {
    /// Returns the causes of an error, from the outermost. Its own message is not included, because it contains the
    /// address.
    pub(super) fn of(error: &reqwest::Error, secrets: &Secrets) -> Option<Self> {
        let (causes, unconnected): (Vec<_>, _) = (causes(error).collect(), error.is_connect());
        causes.into_iter().rev().fold(None, |source, cause| {
            let text = secrets.excerpt(cause.to_string().as_bytes(), EXCERPT);
            Some(Cause { text, source: source.map(Box::new), unconnected })
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
