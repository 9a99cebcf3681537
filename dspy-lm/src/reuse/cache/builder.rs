//! The settings of a cache.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::disk::Disk;
use super::memory::Memory;
use super::stats::Counters;
use super::{Cache, Shared, SingleFlight};

const MEMORY: usize = 64 << 20;
const DISK: u64 = 1 << 30;

/// The permitted operations of a [`Cache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CacheMode {
    /// Lookup and storage: known answers are returned and new ones stored.
    #[default]
    ReadWrite,
    /// Lookup only: known answers are returned and new ones are not stored.
    ReadOnly,
    /// Lookup without a model: known answers are returned, and other requests fail with
    /// [`Unrecorded`](super::LmErrorKind::Unrecorded).
    Replay,
}

/// A builder of a [`Cache`].
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

    /// Sets the size of the cache in memory, in bytes; 64 MiB by default, 0 for none. The least recently used
    /// answers are evicted first.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Stores answers in a directory too, one file each. Several processes may use it at once. It is created
    /// with the first answer. A directory that is not writable is only read.
    ///
    /// On Unix, created directories and files are accessible to their owner only (0700 and 0600). To share a
    /// directory with other users, create it and its subdirectories `00` to `ff` beforehand, with the
    /// necessary permissions.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets the size of the directory in bytes; 1 GiB by default. The least recently used answers are evicted
    /// first. Each process evicts when its own writes exceed the limit, so that several processes together
    /// may exceed it for a while.
    #[must_use]
    pub fn disk_bytes(mut self, bytes: u64) -> Self {
        self.disk = bytes;
        self
    }

    /// Sets how long an answer is valid, from the time when it was received; forever by default. Answers with
    /// a date in the future are not valid.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the permitted operations; [`ReadWrite`](CacheMode::ReadWrite) by default.
    #[must_use]
    pub fn mode(mut self, mode: CacheMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets whether the request is stored beside its answer, for people who read the files. Off by default,
    /// because prompts may be private. Strings that look like keys are replaced by `***`.
    #[must_use]
    pub fn keep_requests(mut self, on: bool) -> Self {
        self.keep_requests = on;
        self
    }

    /// Builds the cache.
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
