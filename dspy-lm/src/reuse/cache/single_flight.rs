//! Single flight: identical calls at the same time share one call.
//!
//! Every waiter polls the shared call. It continues when the first waiter is cancelled or not polled, and is
//! dropped with the last waiter.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};

use super::key::Key;
use crate::types::delta_log::DeltaLog;
use crate::{BoxFuture, DeltaSink, LmError, LmErrorKind, Response};
use dspy_base::locks::MutexExt as _;

type Call = Shared<BoxFuture<'static, CallEnd>>;

/// The outcome of a call.
#[derive(Clone)]
pub(super) enum CallEnd {
    Answered {
        response: Arc<Response>,
        /// Whether the answer was known, so that no model was called.
        known: bool,
    },
    Failed(Arc<LmError>),
    Panicked,
}

/// The calls in flight, by key.
#[derive(Default)]
pub(super) struct SingleFlight {
    calls: Mutex<HashMap<Key, Entry>>,
    count: AtomicU64,
}

struct Entry {
    number: u64,
    call: WeakShared<BoxFuture<'static, CallEnd>>,
    flight: Arc<SharedCall>,
}

/// The state of one call, shared by its waiters.
pub(super) struct SharedCall {
    /// The identity of the called model.
    model: usize,
    payer: AtomicU8,
    /// The pieces of a streamed reply.
    log: Option<Arc<DeltaLog>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The first waiter still exists and will be charged.
const FIRST: u8 = 0;
/// The first waiter was dropped: the next waiter to take the answer is charged.
const ANYONE: u8 = 1;
const NOBODY: u8 = 2;

/// A waiter for a shared call.
pub(super) struct Waiter {
    call: Call,
    flight: Arc<SharedCall>,
    model: usize,
    first: bool,
}

/// A guard that removes the call from the map however it ends.
struct Deregistration {
    calls: Arc<SingleFlight>,
    key: Key,
    number: u64,
}

impl SingleFlight {
    /// Joins the call for `key`. If there is none, returns the answer of `known`, if any; otherwise `call`
    /// starts one.
    pub(super) fn join<T>(
        self: &Arc<Self>,
        key: Key,
        model: usize,
        stream: bool,
        known: impl FnOnce() -> Option<T>,
        call: impl FnOnce(&Arc<SharedCall>) -> BoxFuture<'static, CallEnd>,
    ) -> Result<Waiter, T> {
        let mut calls = self.calls.lock_any();
        if let Some(entry) = calls.get(&key)
            && let Some(call) = entry.call.upgrade()
        {
            return Ok(Waiter { call, flight: entry.flight.clone(), model, first: false });
        }
        // A call that has just ended stored its answer before it was removed from the map.
        if let Some(known) = known() {
            return Err(known);
        }
        let log = stream.then(Arc::<DeltaLog>::default);
        let flight =
            Arc::new(SharedCall { model, payer: AtomicU8::new(FIRST), log, panic: Mutex::default() });
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let deregistration = Deregistration { calls: self.clone(), key, number };
        let (work, in_flight) = (call(&flight), flight.clone());
        let guarded = async move {
            let _deregistration = deregistration;
            match std::panic::AssertUnwindSafe(work).catch_unwind().await {
                Ok(end) => end,
                Err(panic) => {
                    *in_flight.panic.lock_any() = Some(panic);
                    CallEnd::Panicked
                }
            }
        };
        let call = guarded.boxed().shared();
        if let Some(weak) = call.downgrade() {
            calls.insert(key, Entry { number, call: weak, flight: flight.clone() });
        }
        Ok(Waiter { call, flight, model, first: true })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

impl SharedCall {
    pub(super) fn sink(&self) -> Option<DeltaSink> {
        self.log.clone().map(DeltaSink::to_log)
    }
}

impl Drop for Deregistration {
    fn drop(&mut self) {
        let mut calls = self.calls.calls.lock_any();
        // After the last waiter left, another call for the key may have started.
        if calls.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            calls.remove(&self.key);
        }
    }
}

impl Waiter {
    pub(super) fn is_first(&self) -> bool {
        self.first
    }

    /// Waits for the end of the call. The pieces of a streamed reply are sent to `sink` meanwhile.
    pub(super) async fn wait(&mut self, sink: Option<&DeltaSink>) -> CallEnd {
        let (Some(sink), Some(log)) = (sink, &self.flight.log) else { return (&mut self.call).await };
        let mut reader = log.reader();
        let end = loop {
            let pieces = tokio::select! {
                biased;
                end = &mut self.call => break end,
                pieces = reader.next() => pieces,
            };
            for piece in pieces {
                sink.send(piece).await;
            }
        };
        for piece in reader.rest() {
            sink.send(piece).await;
        }
        end
    }

    /// Returns whether the answer is charged to this waiter. True for exactly one of the waiters.
    pub(super) fn pays(&self) -> bool {
        let from = if self.first { FIRST } else { ANYONE };
        self.flight.payer.compare_exchange(from, NOBODY, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Returns whether an error of the call also applies to this waiter. Otherwise the waiter has to make its
    /// own call.
    pub(super) fn concerns(&self, error: &LmError) -> bool {
        use LmErrorKind::{
            Auth, Billing, Budget, CircuitOpen, Configuration, Denied, Exhausted, Other, RateLimit,
        };
        match error.kind {
            _ if self.first => true,
            // The budget and permissions of the first waiter do not apply to the others.
            Budget | Denied => false,
            // Another handle may have another key and other limits. Such refusals are fast and occur once for
            // each handle.
            Auth | Billing | CircuitOpen | Configuration | Exhausted | Other | RateLimit => {
                self.model == self.flight.model
            }
            // All other errors are about the request or the endpoint, which are the same: repeated calls, one
            // after the other, would only keep a failed endpoint busy and the waiters blocked.
            _ => true,
        }
    }

    /// Returns the panic of the model, to exactly one of the waiters.
    pub(super) fn panic(&self) -> Option<Box<dyn Any + Send>> {
        self.flight.panic.lock_any().take()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.first {
            let _ = self.flight.payer.compare_exchange(FIRST, ANYONE, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}
