//! The way over the network: one request with its attempts, the limits before it, and the keys that are on it.

pub(crate) mod live;
pub(crate) mod rate_limit;
pub(crate) mod secret;
#[cfg(feature = "http")]
pub(crate) mod transport;
