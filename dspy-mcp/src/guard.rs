//! Limits on the messages of a server.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rmcp::RoleClient;
use rmcp::model::{JsonRpcMessage, ServerNotification, ServerResult};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::Notify;

use crate::outcome::with_known_content;

/// The largest number of messages in a row that answer no request: notifications, requests and lines that are not messages.
pub(crate) const MOST_UNASKED: usize = 10_000;

/// The reason why a session was ended.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A limit was exceeded.
    Limit(String),
    /// The server ended.
    Ended(String),
    /// A message cannot be read, nor which request it answers.
    Broken(String),
}

/// The state of a connection that its transport and its session share.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The data of errors that stand for answers which cannot be read. No server knows it.
    mark: String,
    fault: OnceLock<Fault>,
    ended: Notify,
    /// Requests without an answer.
    open: AtomicUsize,
    unasked: AtomicUsize,
    /// Whether the server reported that its tools have changed.
    changed: AtomicBool,
}

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        let random = || RandomState::new().hash_one(0);
        Arc::new(Watch {
            mark: format!("unreadable {:016x}{:016x}", random(), random()),
            fault: OnceLock::new(),
            ended: Notify::new(),
            open: AtomicUsize::new(0),
            unasked: AtomicUsize::new(0),
            changed: AtomicBool::new(false),
        })
    }

    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// Records the reason of the end; the first one counts.
    pub(crate) fn end(&self, fault: Fault) {
        self.fault.get_or_init(|| fault);
        self.ended.notify_waiters();
    }

    /// Waits for the end. Calls in flight end then, even while the transport is still being closed.
    pub(crate) async fn faulted(&self) {
        let mut ended = std::pin::pin!(self.ended.notified());
        ended.as_mut().enable();
        if self.fault().is_none() {
            ended.await;
        }
    }

    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.get()
    }

    pub(crate) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn sent(&self, message: &TxJsonRpcMessage<RoleClient>) {
        if matches!(message, JsonRpcMessage::Request(_)) {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts something that answers no request. Returns whether the session may go on.
    pub(crate) fn unasked(&self) -> bool {
        let going = self.unasked.fetch_add(1, Ordering::Relaxed) < MOST_UNASKED;
        if !going {
            self.end(Fault::Limit(format!("more than {MOST_UNASKED} messages in a row answered no request")));
        }
        going
    }

    /// Returns whether a message is passed on, and `None` if the session has to end.
    fn admit(&self, message: &RxJsonRpcMessage<RoleClient>) -> Option<bool> {
        match message {
            JsonRpcMessage::Error(error) if error.id.is_none() => self.unasked().then_some(false),
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {
                let open =
                    self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| open.checked_sub(1));
                match open {
                    Ok(_) => self.unasked.store(0, Ordering::Relaxed),
                    Err(_) if !self.unasked() => return None,
                    Err(_) => {}
                }
                // Those with an unknown id are dropped later.
                Some(true)
            }
            JsonRpcMessage::Request(_) => self.unasked().then_some(true),
            JsonRpcMessage::Notification(notification) => {
                if matches!(notification.notification, ServerNotification::ToolListChangedNotification(_)) {
                    self.changed.store(true, Ordering::Relaxed);
                }
                // The others have no effect on tools.
                self.unasked().then_some(false)
            }
        }
    }
}

/// A transport with these limits.
pub(crate) struct Guarded<T> {
    pub(crate) inner: T,
    pub(crate) watch: Arc<Watch>,
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Guarded<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.watch.sent(&item);
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            let message = self.inner.receive().await?;
            if self.watch.admit(&message)? {
                return Some(readable(message));
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

/// Returns a result of a tool with content of an unknown kind as one that has it as text.
fn readable(mut message: RxJsonRpcMessage<RoleClient>) -> RxJsonRpcMessage<RoleClient> {
    if let JsonRpcMessage::Response(response) = &mut message
        && let ServerResult::CustomResult(result) = &response.result
        && let Some(known) = with_known_content(&result.0)
    {
        response.result = ServerResult::CallToolResult(known);
    }
    message
}
