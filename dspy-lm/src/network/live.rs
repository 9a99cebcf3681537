//! Denial of network requests, for tests.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::LmScope;
#[cfg(feature = "http")]
use crate::{LmError, LmErrorKind, current_scope};

static DENIED: AtomicBool = AtomicBool::new(false);

/// Denies all further requests of this process over the network: each fails with the error
/// [`Denied`](crate::LmErrorKind::Denied) before anything is sent, including those to servers on this machine.
///
/// Models in this process still work, and so do answers from layers such as a cache or a recording. Call it at the
/// start of tests that must not depend on a network or cost anything. It may be called repeatedly and cannot be
/// undone. For a single test beside others that need the network, see [`without_live_requests`].
///
/// ```standalone_crate
/// # #[cfg(feature = "http")] {
/// use dspy_lm::{Lm, LmErrorKind, deny_live_requests};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// deny_live_requests();
/// let error = Lm::new("ollama/llama3.2")?.ask("Hello?").await.unwrap_err();
/// assert_eq!(error.kind, LmErrorKind::Denied);
/// assert_eq!(Lm::scripted(["Hi."]).ask("Hello?").await?, "Hi.");
/// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
/// # }
/// ```
pub fn deny_live_requests() {
    DENIED.store(true, Ordering::Relaxed);
}

/// Runs `future` and denies its requests over the network, as after [`deny_live_requests`]. This includes tasks that
/// it spawns with `dspy::spawn` or `dspy::inherit`.
///
/// ```
/// # #[cfg(feature = "http")] {
/// use dspy_lm::{Lm, LmErrorKind, without_live_requests};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let lm = Lm::new("ollama/llama3.2")?;
/// let error = without_live_requests(lm.ask("Hello?")).await.unwrap_err();
/// assert_eq!((error.kind, error.model.as_str()), (LmErrorKind::Denied, "ollama/llama3.2"));
/// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
/// # }
/// ```
pub fn without_live_requests<F: Future>(future: F) -> impl Future<Output = F::Output> {
    LmScope::enter_changed(LmScope::offline, future)
}

/// Returns an error if the current task must not send requests over the network.
#[cfg(feature = "http")]
pub(crate) fn allow(model: &str) -> Result<(), LmError> {
    if !DENIED.load(Ordering::Relaxed) && !current_scope().is_offline() {
        return Ok(());
    }
    let message = "nothing was sent; give the program a model in this process, e.g. `Lm::scripted`, or replay a \
                   recording, or do without `deny_live_requests` and `without_live_requests` here";
    Err(LmError::new(LmErrorKind::Denied, model, message))
}
