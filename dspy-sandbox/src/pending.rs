//! The call of a tool that code waits for.
//!
//! The tool runs beside the code, not inside of it: code that waits needs no turn, and a tool that runs code itself has one
//! although all turns belong to others. It is polled in the task of the code and dropped with it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use dspy_core::lm::BoxFuture;

/// The reply of a tool, in the form that the interpreter reads.
pub(crate) type Reply = Vec<u8>;

/// The place of the call, shared by the code and those who poll it.
#[derive(Clone, Default)]
pub(crate) struct Pending(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    call: Option<BoxFuture<'static, Reply>>,
    reply: Option<Reply>,
    /// The code that waits for the reply.
    waker: Option<Waker>,
}

impl Pending {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reply of a call, which is polled once and then beside the code.
    pub(crate) fn reply(
        &self,
        call: BoxFuture<'static, Reply>,
    ) -> impl Future<Output = Reply> + Send + use<> {
        Waiting { pending: self.clone(), call: Some(call) }
    }

    /// Polls the call, if there is one, and wakes the code when it has its reply.
    pub(crate) fn poll(&self, context: &mut Context<'_>) {
        // Not under the lock, as the call is any code.
        let Some(mut call) = self.state().call.take() else { return };
        match call.as_mut().poll(context) {
            Poll::Pending => self.state().call = Some(call),
            Poll::Ready(reply) => {
                let waker = {
                    let mut state = self.state();
                    state.reply = Some(reply);
                    state.waker.take()
                };
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }

    /// Drops the call, whose reply nothing waits for.
    pub(crate) fn clear(&self) {
        let call = std::mem::take(&mut *self.state());
        drop(call);
    }
}

/// The wait of the code.
struct Waiting {
    pending: Pending,
    /// The call until it is polled for the first time.
    call: Option<BoxFuture<'static, Reply>>,
}

impl Future for Waiting {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        if let Some(mut call) = self.call.take() {
            // Most tools answer at once.
            match call.as_mut().poll(context) {
                Poll::Ready(reply) => return Poll::Ready(reply),
                Poll::Pending => self.pending.state().call = Some(call),
            }
        }
        let mut state = self.pending.state();
        if let Some(reply) = state.reply.take() {
            return Poll::Ready(reply);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pending.clear();
    }
}
