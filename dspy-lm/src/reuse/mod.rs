//! Reuse of answers: caches for later runs, and cassettes for tests.

pub(crate) mod cache;
pub(crate) mod cassette;
mod form;
