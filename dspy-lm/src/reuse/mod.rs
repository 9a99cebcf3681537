//! Answers that are kept: for the next run, and for tests.

pub(crate) mod cache;
pub(crate) mod cassette;
mod form;
