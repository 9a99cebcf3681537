//! Replies of earlier attempts, given again to equal requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Layer, Lm, LmFuture, Next, Request, RequestDigest, Response};

type Key = (String, RequestDigest);

/// A layer that remembers the replies of a program. An attempt that makes the same requests as an earlier one, in
/// whatever order, receives the same replies; of equal requests the first the first reply, and so on.
#[derive(Default)]
pub(crate) struct Replay {
    known: Mutex<HashMap<Key, Vec<Arc<Response>>>>,
}

/// The layer of one attempt.
pub(crate) struct ReplayAttempt {
    replay: Arc<Replay>,
    asked: Mutex<HashMap<Key, usize>>,
}

impl Replay {
    /// Returns the layer for the next attempt.
    pub(crate) fn attempt(self: &Arc<Self>) -> Arc<ReplayAttempt> {
        Arc::new(ReplayAttempt { replay: self.clone(), asked: Mutex::default() })
    }
}

impl Layer for ReplayAttempt {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        let key = (lm.id().to_owned(), request.digest());
        let index = {
            let mut asked = self.asked.lock_any();
            let count = asked.entry(key.clone()).or_insert(0);
            *count += 1;
            *count - 1
        };
        let known = self.replay.known.lock_any().get(&key).and_then(|replies| replies.get(index).cloned());
        if let Some(known) = known {
            let mut response = (*known).clone();
            response.cached = true;
            return Box::pin(async move { Ok(response) });
        }
        Box::pin(async move {
            let response = next.run(lm, request).await?;
            self.replay.known.lock_any().entry(key).or_default().push(Arc::new(response.clone()));
            Ok(response)
        })
    }
}
