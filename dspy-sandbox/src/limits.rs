//! The limits of a session.

use std::time::Duration;

/// The limits of a session, and what it is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) wall_time: Duration,
    pub(crate) memory: usize,
    pub(crate) stdout: usize,
    pub(crate) tool_calls: usize,
    pub(crate) tool_bytes: usize,
    pub(crate) seed: u64,
    pub(crate) clock: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            wall_time: Duration::from_secs(30),
            memory: 128 << 20,
            stdout: 1_000_000,
            tool_calls: 1_000,
            tool_bytes: 1_000_000,
            seed: 0,
            clock: false,
        }
    }
}
