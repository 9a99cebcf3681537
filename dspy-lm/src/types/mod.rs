//! Requests, responses and errors of models, with usage, prices and budgets as data.

pub(crate) mod budget;
pub(crate) mod delta_log;
pub(crate) mod digest;
pub(crate) mod driven;
pub(crate) mod error;
pub(crate) mod extensions;
pub(crate) mod media;
pub(crate) mod message;
pub(crate) mod model;
pub(crate) mod params;
pub(crate) mod price;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;
pub(crate) mod tool;
pub(crate) mod usage;
