//! The pieces of a reply that several callers wait for.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::Delta;
use dspy_base::locks::MutexExt as _;

/// The log of the pieces of one reply. Its size is that of the reply; it is dropped with the last waiting
/// caller.
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

/// A reader of the log, from its start.
#[derive(Debug)]
pub(crate) struct LogReader {
    log: Arc<DeltaLog>,
    read: usize,
}

impl LogReader {
    /// Waits for pieces that this reader has not seen, at least one. Cancelling the wait loses none.
    pub(crate) async fn next(&mut self) -> Vec<Delta> {
        loop {
            let log = self.log.clone();
            let mut grown = std::pin::pin!(log.grown.notified());
            // Notifications are received from here on.
            grown.as_mut().enable();
            let pieces = self.rest();
            if !pieces.is_empty() {
                return pieces;
            }
            grown.await;
        }
    }

    /// Returns the pieces that this reader has not seen.
    pub(crate) fn rest(&mut self) -> Vec<Delta> {
        let pieces = self.log.pieces.lock_any();
        let new = pieces[self.read.min(pieces.len())..].to_vec();
        self.read = pieces.len();
        new
    }
}
