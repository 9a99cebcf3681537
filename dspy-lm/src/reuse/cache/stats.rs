//! What a cache has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`Cache`](super::Cache) has done so far, all its clones together, and what it holds.
///
/// Every call through a cache is one of the first four: `memory_hits + disk_hits + joined + misses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Calls answered from memory.
    pub memory_hits: u64,
    /// Calls answered from the directory.
    pub disk_hits: u64,
    /// Calls that waited for the same call of somebody else instead of being sent.
    pub joined: u64,
    /// Calls that nothing was known for: sent, or refused by [`Replay`](super::CacheMode::Replay).
    pub misses: u64,
    /// Answers that were kept.
    pub stores: u64,
    /// Answers that had to go from memory for lack of room.
    pub evicted: u64,
    /// Answers that had to go from the directory for lack of room.
    pub disk_evicted: u64,
    /// Files that were no whole answers of this version, and were passed over.
    pub corrupt: u64,
    /// Answers that could not be written to the directory.
    pub write_errors: u64,
    /// Answers in memory now.
    pub entries: u64,
    /// What they take, in bytes.
    pub bytes: u64,
}

impl CacheStats {
    /// Calls answered without a call of their own.
    pub fn hits(&self) -> u64 {
        self.memory_hits + self.disk_hits + self.joined
    }
}

/// The counters behind [`CacheStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) memory_hits: Counter,
    pub(super) disk_hits: Counter,
    pub(super) joined: Counter,
    pub(super) misses: Counter,
    pub(super) stores: Counter,
    pub(super) evicted: Counter,
    pub(super) disk_evicted: Counter,
    pub(super) corrupt: Counter,
    pub(super) write_errors: Counter,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// The count before.
    pub(super) fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed)
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
