//! A history of the latest model calls, for inspection.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::LmCall;
use super::inspect::Inspection;
use super::observer::{Observer, bridged, unbridged};
use crate::lm::{Layer, Lm, LmError, LmFuture, Next, Request, Response};
use crate::locks::MutexExt as _;
use crate::observe::{Event, EventKind};
use dspy_lm::internal::layer_call;
use dspy_lm::observe::{Scope, observer_made, size};

/// The default size of a history in bytes.
const DEFAULT_LIMIT: usize = 16 << 20;
/// The size of a record in bytes without its strings.
const OVERHEAD: usize = 1 << 10;

/// A history of the latest model calls, up to a size in bytes: requests, responses and times.
///
/// Set it for the process or a scope with [`Settings::observe`](crate::program::Settings::observe), or bind
/// it to a handle with [`Lm::layer`]. Clones share their records. Prompt strings are shared with the program,
/// media are replaced by a short description, and keys are never recorded.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::observe::LmHistory;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let history = LmHistory::new(1 << 20);
/// let lm = Lm::scripted(["Paris"]).layer(history.clone());
/// lm.ask("Capital of France?").await?;
/// let record = &history.latest(1)[0];
/// assert_eq!(record.call.request.messages[0].text(), "Capital of France?");
/// println!("{}", history.inspect(1));
/// # Ok::<(), dspy_core::lm::LmError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct LmHistory(Arc<Shared>);

struct Shared {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    records: VecDeque<(Arc<LmRecord>, usize)>,
    bytes: usize,
    dropped: u64,
}

/// One call in an [`LmHistory`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LmRecord {
    /// The request and its model; media in it are replaced by text.
    pub call: Arc<LmCall>,
    /// The response, or the error.
    pub outcome: Result<Arc<Response>, Box<LmError>>,
    /// The time when the call ended.
    pub ended: SystemTime,
    /// The duration of the call, all attempts included.
    pub elapsed: Duration,
    /// The time until the first piece of a streamed reply.
    pub first_token: Option<Duration>,
    /// The number of retries.
    pub retries: u32,
}

impl LmHistory {
    /// Creates a history of at most `bytes` bytes. The oldest calls are dropped for new ones; a call that is
    /// larger than the whole history is not kept.
    pub fn new(bytes: usize) -> Self {
        observer_made();
        LmHistory(Arc::new(Shared { limit: bytes, kept: Mutex::default() }))
    }

    /// Returns the latest calls, at most `count`, oldest first.
    pub fn latest(&self, count: usize) -> Vec<Arc<LmRecord>> {
        let kept = self.kept();
        let skipped = kept.records.len().saturating_sub(count);
        kept.records.iter().skip(skipped).map(|(record, _)| record.clone()).collect()
    }

    /// Returns the latest calls in printable form: see [`inspect_history`].
    pub fn inspect(&self, count: usize) -> Inspection {
        Inspection::new(self.latest(count), self.dropped(), true)
    }

    /// Returns the number of calls in the history.
    pub fn len(&self) -> usize {
        self.kept().records.len()
    }

    /// Returns whether the history is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the size of the history in bytes. A string that several calls share counts in each.
    pub fn bytes(&self) -> usize {
        self.kept().bytes
    }

    /// Returns the number of calls that were dropped for newer ones or were too large.
    pub fn dropped(&self) -> u64 {
        self.kept().dropped
    }

    /// Removes all calls.
    pub fn clear(&self) {
        *self.kept() = Kept::default();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.kept.lock_any()
    }

    fn keep(&self, record: LmRecord) {
        let size = record_size(&record);
        let mut kept = self.kept();
        if size > self.0.limit {
            kept.dropped += 1;
            return;
        }
        kept.bytes += size;
        kept.records.push_back((Arc::new(record), size));
        while kept.bytes > self.0.limit
            && let Some((_, size)) = kept.records.pop_front()
        {
            kept.bytes -= size;
            kept.dropped += 1;
        }
    }
}

impl Default for LmHistory {
    /// Creates a history of 16 MiB.
    fn default() -> Self {
        LmHistory::new(DEFAULT_LIMIT)
    }
}

impl fmt::Debug for LmHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept();
        f.debug_struct("LmHistory")
            .field("calls", &kept.records.len())
            .field("bytes", &kept.bytes)
            .field("limit", &self.0.limit)
            .finish_non_exhaustive()
    }
}

impl Observer for LmHistory {
    fn event(&self, event: &Event) {
        let (call, outcome, first_token, retries) = match &event.kind {
            EventKind::LmFinished { call, response, first_token, retries } => {
                (call, Ok(response.clone()), *first_token, *retries)
            }
            EventKind::LmFailed { call, error, retries } => (call, Err(error.clone()), None, *retries),
            _ => return,
        };
        let (call, ended, elapsed) = (call.without_media(), SystemTime::now(), event.elapsed);
        self.keep(LmRecord { call, outcome, ended, elapsed, first_token, retries });
    }
}

impl Layer for LmHistory {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        layer_call(bridged(Arc::new(self.clone())), lm, request, next)
    }
}

fn record_size(record: &LmRecord) -> usize {
    let request = &record.call.request;
    let answered = match &record.outcome {
        Ok(response) => size::response(response),
        Err(error) => error.message.len() + error.body.as_deref().map_or(0, str::len),
    };
    OVERHEAD + size::request(request) + answered
}

/// Returns the latest `count` model calls in printable form.
///
/// They are taken from the innermost [`LmHistory`] that observes the current task. If there is none, the
/// output says how to add one.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::observe::{LmHistory, inspect_history};
/// use dspy_core::program::Settings;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let settings = Settings::new().lm(Lm::scripted(["Paris"])).observe(LmHistory::default());
/// settings.scope(async {
///     let lm = dspy_core::program::current_lm().unwrap();
///     lm.ask("Capital of France?").await.unwrap();
///     println!("{}", inspect_history(1));
/// }).await;
/// # });
/// ```
#[must_use = "it is to be printed"]
pub fn inspect_history(count: usize) -> Inspection {
    let observers = Scope::current().observers();
    let history = observers.iter().find_map(|observer| {
        let observer: &dyn Any = &**unbridged(&**observer)?;
        observer.downcast_ref::<LmHistory>()
    });
    match history {
        Some(history) => history.inspect(count),
        None => Inspection::new(Vec::new(), 0, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::{Content, MediaKind, Message, Part, Reply, ScriptedLm};

    async fn ask(history: &LmHistory, texts: &[String]) {
        let lm = Lm::custom(ScriptedLm::from_fn(|_| Reply::from("yes"))).layer(history.clone());
        for text in texts {
            lm.ask(text.as_str()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_oldest_calls_make_room() {
        let history = LmHistory::new(10_000);
        let texts: Vec<_> = (0..20).map(|index| format!("{index} {}", "x".repeat(1_000))).collect();
        ask(&history, &texts).await;
        assert!(history.bytes() <= 10_000 && history.len() >= 3, "{history:?}");
        assert_eq!(history.len() as u64 + history.dropped(), 20);
        let latest = history.latest(1);
        assert!(latest[0].call.request.messages[0].text().starts_with("19 "));
        ask(&history, &["y".repeat(20_000)]).await;
        assert!(history.latest(1)[0].call.request.messages[0].text().starts_with("19 "), "too large to keep");
        history.clear();
        assert_eq!((history.len(), history.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn prompts_are_shared_and_media_left_out() {
        let history = LmHistory::default();
        let lm = Lm::scripted(["a", "b"]).layer(history.clone());
        let system = Message::system("Be brief.");
        let picture = Part::Media(crate::lm::Media::new(MediaKind::Image, "data:image/png;base64,SECRET=="));
        let parts = Content::Parts([Part::Text("What is it?".into()), picture].into());
        lm.complete(Request::new(vec![system.clone()])).await.unwrap();
        let seen = Message { role: crate::lm::Role::User, content: parts };
        lm.complete(Request::new(vec![system.clone(), seen])).await.unwrap();
        let records = history.latest(2);
        let text = |message: &Message| match &message.content {
            Content::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert!(records.iter().all(|one| Arc::ptr_eq(&text(&one.call.request.messages[0]), &text(&system))));
        let shown = history.inspect(2).to_string();
        assert!(!shown.contains("SECRET") && shown.contains("<image image/png,"), "{shown}");
        assert!(!format!("{records:?}").contains("SECRET"));
    }
}
