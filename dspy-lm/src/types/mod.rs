//! Requests, responses and errors of models.

pub(crate) mod delta_log;
pub(crate) mod driven;
pub(crate) mod error;
pub(crate) mod extensions;
pub(crate) mod media;
pub(crate) mod message;
pub(crate) mod model;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
pub(crate) mod tool;
