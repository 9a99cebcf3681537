//! Network access: a request and its attempts, rate limits, and the protection of keys.

pub(crate) mod live;
pub(crate) mod rate_limit;
pub(crate) mod secret;
#[cfg(feature = "http")]
pub(crate) mod transport;
