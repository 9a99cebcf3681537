//! What has arrived of a reply that several callers wait for.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::Delta;
use dspy_base::locks::MutexExt as _;

/// The pieces of one reply. It holds as much as the reply does, and lives as long as somebody waits for that.
#[derive(Debug, Default)]
pub(crate) struct DeltaLog {
    pieces: Mutex<Vec<Delta>>,
    grown: Notify,
}

impl DeltaLog {
    pub(crate) fn push(&self, delta: Delta) {
        self.pieces.lock_any().push(delta);
        self.grown.notify_waiters();
    }

    pub(crate) fn reader(self: &Arc<Self>) -> LogReader {
        LogReader { log: self.clone(), read: 0 }
    }
}

/// One who reads along, from the start.
#[derive(Debug)]
pub(crate) struct LogReader {
    log: Arc<DeltaLog>,
    read: usize,
}

impl LogReader {
    /// What came since the last time; at least one piece. Nothing is lost if the wait is given up.
    pub(crate) async fn next(&mut self) -> Vec<Delta> {
        loop {
            let log = self.log.clone();
            let mut grown = std::pin::pin!(log.grown.notified());
            // Whatever comes from here on is heard.
            grown.as_mut().enable();
            let pieces = self.rest();
            if !pieces.is_empty() {
                return pieces;
            }
            grown.await;
        }
    }

    /// What came since the last time, if anything.
    pub(crate) fn rest(&mut self) -> Vec<Delta> {
        let pieces = self.log.pieces.lock_any();
        let new = pieces[self.read.min(pieces.len())..].to_vec();
        self.read = pieces.len();
        new
    }
}
