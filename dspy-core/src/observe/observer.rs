//! Observers of programs.

use std::any::Any;
use std::sync::Arc;

use crate::observe::{Event, EventKind};
use dspy_lm::observe::{CallEvent, CallEventKind, CallObserver, Observers};

/// A receiver of events: each call of a module, predictor, model or tool, when it starts and when it ends.
///
/// Functions of an [`Event`] are observers. Set one with
/// [`Settings::observe`](crate::program::Settings::observe) for the process or a scope.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::program::{Event, EventKind, Settings};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let tokens = Arc::new(AtomicU64::new(0));
/// let sum = tokens.clone();
/// let settings = Settings::new().observe(move |event: &Event| {
///     if let EventKind::LmFinished { response, .. } = &event.kind {
///         sum.fetch_add(response.usage.total_tokens(), Ordering::Relaxed);
///     }
/// });
/// settings.scope(async { Lm::scripted(["Paris"]).ask("Capital of France?").await }).await?;
/// assert!(tokens.load(Ordering::Relaxed) > 0);
/// # Ok::<(), dspy_core::lm::LmError>(()) }).unwrap();
/// ```
///
/// Observers are called synchronously, one after another: a slow one delays the program. A panic in an
/// observer is caught and logged.
pub trait Observer: Any + Send + Sync {
    /// Receives one event.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// An adapter of a program observer to the observers of model calls.
struct Bridge(Arc<dyn Observer>);

impl CallObserver for Bridge {
    fn event(&self, event: CallEvent) {
        self.0.event(&event.into());
    }
}

/// Wraps the observer as an observer of model calls.
pub(crate) fn bridged(observer: Arc<dyn Observer>) -> Arc<dyn CallObserver> {
    Arc::new(Bridge(observer))
}

/// Returns the program observer that `observer` wraps, if any.
pub(super) fn unbridged(observer: &dyn CallObserver) -> Option<&Arc<dyn Observer>> {
    let observer: &dyn Any = observer;
    observer.downcast_ref().map(|Bridge(observer)| observer)
}

/// Sends the event to all observers.
pub(super) fn tell(observers: &Observers, event: &Event) {
    observers.each(|observer| {
        if let Some(observer) = unbridged(observer) {
            observer.event(event);
        }
    });
}

impl From<CallEvent> for Event {
    fn from(event: CallEvent) -> Self {
        let CallEvent { source, call, parent, elapsed, what, kind } = event;
        let kind = match kind {
            CallEventKind::Started => EventKind::LmStarted { call: what },
            CallEventKind::Retried { error, wait } => EventKind::LmRetried { call: what, error, wait },
            CallEventKind::Finished { response, first_token, retries } => {
                EventKind::LmFinished { call: what, response, first_token, retries }
            }
            CallEventKind::Failed { error, retries } => EventKind::LmFailed { call: what, error, retries },
            CallEventKind::Cancelled => EventKind::LmCancelled { call: what },
        };
        Event { source, call, parent, elapsed, kind }
    }
}
