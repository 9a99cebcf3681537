//! The knobs of a cache.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::disk::Disk;
use super::memory::Memory;
use super::stats::Counters;
use super::{Cache, Shared, SingleFlight};

const MEMORY: usize = 64 << 20;
const DISK: u64 = 1 << 30;

/// What a [`Cache`] may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CacheMode {
    /// Answers what is known, and keeps what is new.
    #[default]
    ReadWrite,
    /// Answers what is known, and keeps nothing.
    ReadOnly,
    /// Answers what is known and never asks a model: anything else is the error
    /// [`Unrecorded`](super::LmErrorKind::Unrecorded).
    Replay,
}

/// Describes a [`Cache`].
///
/// ```
/// use std::time::Duration;
/// use dspy_lm::Cache;
///
/// let cache = Cache::builder()
///     .memory_bytes(16 << 20)
///     .dir("/var/cache/my-service/answers")
///     .disk_bytes(10 << 30)
///     .ttl(Duration::from_hours(24))
///     .build();
/// # let _ = cache;
/// ```
#[derive(Debug, Clone)]
pub struct CacheBuilder {
    memory: usize,
    dir: Option<PathBuf>,
    disk: u64,
    ttl: Option<Duration>,
    mode: CacheMode,
    keep_requests: bool,
}

impl CacheBuilder {
    pub(super) fn new() -> Self {
        CacheBuilder {
            memory: MEMORY,
            dir: None,
            disk: DISK,
            ttl: None,
            mode: CacheMode::default(),
            keep_requests: false,
        }
    }

    /// Sets how many bytes of answers are kept in memory; 64 MiB at first, 0 for none. Those that were not used for
    /// the longest go first.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Keeps answers in a directory too, one file each. Any number of processes may use it at once. It is made when
    /// there is something to write. One that cannot be written to is read from.
    ///
    /// On Unix, the directories and files that are made are for their owner alone (0700 and 0600). Let others use a
    /// directory by making it, and its parts `00` to `ff`, beforehand, with the permissions that they need.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets how many bytes the directory may take; 1 GiB at first. What was not used for the longest goes first.
    /// Each process makes room when what it has written itself leads past the limit, so that many processes together
    /// may be over it for a while.
    #[must_use]
    pub fn disk_bytes(mut self, bytes: u64) -> Self {
        self.disk = bytes;
        self
    }

    /// Sets how long an answer is good for, from the moment it was given. Forever at first. One that claims to be from
    /// the future is not good at all.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets what the cache may do.
    #[must_use]
    pub fn mode(mut self, mode: CacheMode) -> Self {
        self.mode = mode;
        self
    }

    /// Writes the request beside its answer, for people who look into the directory. Off at first, because prompts
    /// may be private. What looks like a key is left out.
    #[must_use]
    pub fn keep_requests(mut self, on: bool) -> Self {
        self.keep_requests = on;
        self
    }

    /// The cache.
    pub fn build(self) -> Cache {
        let CacheBuilder { memory, dir, disk, ttl, mode, keep_requests } = self;
        let counters = Arc::new(Counters::default());
        let writable = mode == CacheMode::ReadWrite;
        let disk = dir.map(|dir| Arc::new(Disk::new(dir, disk, ttl, writable, counters.clone())));
        let memory = Mutex::new(Memory::new(memory));
        let single_flight = Arc::new(SingleFlight::default());
        let shared = Shared { mode, ttl, keep_requests, memory, disk, single_flight, counters };
        Cache { shared: Arc::new(shared), tenant: None }
    }
}
