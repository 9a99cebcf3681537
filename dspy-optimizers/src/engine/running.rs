//! Effects in flight, so that two with the same name run one after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use tokio::sync::OwnedMutexGuard;

/// The names of the effects in flight.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// The right to run the effect with a name, until it is dropped.
pub(super) struct Turn<'r> {
    running: &'r Running,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Running {
    /// Waits until no other effect with this name is in flight. The result of an earlier one is then in the
    /// journal.
    pub(super) async fn turn(&self, name: &str) -> Turn<'_> {
        let lock = self.0.lock_any().entry(name.to_owned()).or_default().clone();
        // Made before it waits, so that one that gives up waiting is removed, too.
        let mut turn = Turn { running: self, name: name.to_owned(), guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut running = self.running.0.lock_any();
        self.guard = None;
        // A reference besides that of the map belongs to one that waits.
        if running.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            running.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;

    use super::*;

    #[tokio::test]
    async fn equal_names_take_turns_and_others_do_not() {
        let running = Running::default();
        let first = running.turn("a").await;
        let other = running.turn("b").await;
        let waiting = running.turn("a");
        let ((), second) = join(
            async {
                tokio::task::yield_now().await;
                drop(first);
            },
            waiting,
        )
        .await;
        drop(other);
        assert_eq!(running.0.lock_any().keys().collect::<Vec<_>>(), ["a"]);
        drop(second);
        assert!(running.0.lock_any().is_empty());
    }

    #[tokio::test]
    async fn one_that_gives_up_waiting_leaves_nothing() {
        let running = Running::default();
        let first = running.turn("a").await;
        let mut waiting = Box::pin(running.turn("a"));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(first);
        drop(waiting);
        assert!(running.0.lock_any().is_empty());
    }
}
