//! A server as data: its address, credentials, retry policy and limits.

use std::time::Duration;

use crate::{Limits, Secret};

/// The settings of a server that every request to it needs.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) base_url: String,
    pub(crate) key: Option<Secret>,
    /// The variable that the key was read from, named in the error if the key is refused.
    pub(crate) key_var: Option<&'static str>,
    pub(crate) headers: Vec<(String, Secret)>,
    /// Headers set by [`vary_by_header`](crate::Endpoint::vary_by_header), in addition to those recognized by name.
    pub(crate) varying: Vec<String>,
    /// The tenant that requests are sent for.
    pub(crate) tenant: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Duration,
    pub(crate) retries: u32,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) limits: Limits,
}

impl Server {
    /// Creates the settings of the server at `base_url`, without a key.
    pub(crate) fn new(base_url: String) -> Self {
        Server {
            base_url,
            key: None,
            key_var: None,
            headers: Vec::new(),
            varying: Vec::new(),
            tenant: None,
            timeout: Duration::from_mins(5),
            deadline: Duration::from_mins(10),
            retries: 4,
            backoff: (Duration::from_millis(500), Duration::from_secs(30)),
            idle_timeout: None,
            limits: Limits::new(),
        }
    }
}
