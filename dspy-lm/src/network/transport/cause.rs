//! The causes of a broken exchange, as errors keep them.

use std::error::Error;
use std::fmt;

use super::EXCERPT;
use super::failure::causes;
use crate::network::secret::Secrets;

/// One cause and those below it, as text without secrets. The errors themselves are not kept: they may hold addresses
/// and headers.
#[derive(Debug)]
pub(super) struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    /// The causes of an error, from the outermost; its own text names the address.
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
