//! Network access: a request and its attempts, rate limits, and the switch that denies live requests.

pub(crate) mod live;
pub(crate) mod rate_limit;
pub(crate) mod server;
#[cfg(feature = "http")]
pub(crate) mod transport;
