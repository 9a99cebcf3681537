//! The causes of a failed exchange, as stored in errors.

use std::error::Error;
use std::fmt;

use super::EXCERPT;
use super::failure::causes;
use crate::secret::Secrets;

/// A cause and the causes below it, as text without secrets. The original errors are not kept, because they may
/// contain addresses and headers.
#[derive(Debug)]
pub(super) struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    /// Returns the causes of an error, from the outermost. Its own message is not included, because it contains the
    /// address.
    pub(super) fn of(error: &reqwest::Error, secrets: &Secrets) -> Option<Self> {
        let causes: Vec<_> = causes(error).collect();
        causes.into_iter().rev().fold(None, |source, cause| {
            let text = secrets.excerpt(cause.to_string().as_bytes(), EXCERPT);
            Some(Cause { text, source: source.map(Box::new) })
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
