//! Statistics of a cache.

use std::sync::atomic::{AtomicU64, Ordering};

/// The statistics of a [`Cache`](super::Cache), including all its clones, and its current contents.
///
/// Every call through a cache counts as one of the first four: `memory_hits + disk_hits + joined + misses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Calls answered from memory.
    pub memory_hits: u64,
    /// Calls answered from the directory.
    pub disk_hits: u64,
    /// Calls that waited for an identical call in flight instead of being sent.
    pub joined: u64,
    /// Calls without a known answer: sent, or refused by [`Replay`](super::CacheMode::Replay).
    pub misses: u64,
    /// Answers that were stored.
    pub stores: u64,
    /// Answers evicted from memory to make room.
    pub evicted: u64,
    /// Answers evicted from the directory to make room.
    pub disk_evicted: u64,
    /// Files that were skipped, because they were damaged or of another version.
    pub corrupt: u64,
    /// Answers that could not be written to the directory.
    pub write_errors: u64,
    /// Answers currently in memory.
    pub entries: u64,
    /// The size of the answers in memory, in bytes.
    pub bytes: u64,
}

impl CacheStats {
    /// Returns the number of calls answered without a request of their own: hits in memory and directory, and
    /// joined calls.
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
    /// Adds to the counter and returns its previous value.
    pub(super) fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed)
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
