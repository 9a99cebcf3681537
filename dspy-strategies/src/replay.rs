//! The record of earlier attempts, by which a further attempt repeats neither model calls nor tools.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dspy_base::digest::Digest;
use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Layer, Lm, LmError, LmFuture, Next, Request, RequestDigest, Response, with_layer};
use dspy_core::program::RunningTrace;
use dspy_core::tools::{NextTool, Tool, ToolError, ToolFuture, ToolLayer, ToolValue, with_tool_layer};
use serde_json::Value;

use crate::scope::{Noted, passing};

/// The model and the request.
type ReplyKey = (String, RequestDigest);
type Reply = Result<Arc<Response>, LmError>;
/// A digest of the tool and the arguments.
type CallKey = [u8; 16];
/// The result, and the suggestions that were passed over inside.
type Outcome = (Result<ToolValue, ToolError>, Noted);

/// The record of all attempts of one run. Of equal calls the first is answered by the first record, and so on, in the
/// order in which they start.
#[derive(Default)]
pub(crate) struct Replay {
    replies: Record<ReplyKey, Reply>,
    tools: Arc<Calls>,
    /// The predictor that returns something else in the next attempt.
    responsible: Mutex<Option<Arc<str>>>,
}

/// The calls of tools on one level. Those that a tool makes are a record inside that of its call.
#[derive(Default)]
struct Calls {
    record: Record<CallKey, Outcome, Arc<Calls>>,
}

/// The calls of an attempt, with their results.
struct Record<K, R, I = ()> {
    slots: Mutex<HashMap<K, Slots<R, I>>>,
}

/// Equal calls, in the order in which they started.
type Slots<R, I> = Vec<Arc<Slot<R, I>>>;

impl<K, R, I> Default for Record<K, R, I> {
    fn default() -> Self {
        Record { slots: Mutex::default() }
    }
}

/// One call.
struct Slot<R, I> {
    /// The predictors that had returned before it started, on which it may depend.
    after: Arc<BTreeSet<Arc<str>>>,
    /// The result; `None` while the call is in flight, and if it was dropped.
    result: Mutex<Option<R>>,
    inside: I,
}

impl<K: Eq + Hash + Clone, R: Clone, I: Default> Record<K, R, I> {
    /// Returns the record of the next call with this key: the earlier one if it may be `reused`, otherwise a new one.
    /// The flag says which it is.
    fn next(&self, key: &K, asked: &Asked<K>, reused: bool, now: &Now) -> (Arc<Slot<R, I>>, bool) {
        let mut asked = asked.0.lock_any();
        let mut slots = self.slots.lock_any();
        let slots = slots.entry(key.clone()).or_default();
        let next = asked.entry(key.clone()).or_insert(0);
        if let Some(slot) = slots.get(*next).filter(|_| reused) {
            *next += 1;
            return (slot.clone(), true);
        }
        let slot = Arc::new(Slot { after: now.ended(), result: Mutex::default(), inside: I::default() });
        slots.push(slot.clone());
        *next = slots.len();
        (slot, false)
    }

    fn retain(&self, keep: impl Fn(&Slot<R, I>) -> bool) {
        self.slots.lock_any().values_mut().for_each(|slots| slots.retain(|slot| keep(slot)));
    }
}

/// The number of calls of one attempt by key.
struct Asked<K>(Mutex<HashMap<K, usize>>);

impl<K> Default for Asked<K> {
    fn default() -> Self {
        Asked(Mutex::default())
    }
}

/// The course of one attempt.
struct Now {
    trace: Option<RunningTrace>,
    responsible: Option<Arc<str>>,
    /// Whether a tool has run that the record does not have, before the responsible predictor returned.
    differs: AtomicBool,
}

impl Now {
    fn ended(&self) -> Arc<BTreeSet<Arc<str>>> {
        self.trace.as_ref().map(RunningTrace::ended).unwrap_or_default()
    }

    /// Returns whether the responsible predictor has returned something new, on which all further calls may depend.
    fn is_new(&self) -> bool {
        self.responsible.as_ref().is_some_and(|path| self.ended().contains(path))
    }
}

impl Replay {
    /// Runs an attempt, which repeats nothing that the record has.
    pub(crate) async fn attempt<F: Future>(self: &Arc<Self>, attempt: F) -> F::Output {
        let responsible = self.responsible.lock_any().clone();
        let now = Now { trace: RunningTrace::current(), responsible, differs: AtomicBool::new(false) };
        let now = Arc::new(now);
        let replies = ReplyLayer { replay: self.clone(), asked: Asked::default(), now: now.clone() };
        let tools = CallLayer { calls: self.tools.clone(), asked: Asked::default(), now };
        with_layer(Arc::new(replies), with_tool_layer(Arc::new(tools), attempt)).await
    }

    /// Sets the predictor that returns something else in the next attempt. Whatever depends on it is no longer in the
    /// record; replies of models stay, since an equal request may well have the same reply.
    pub(crate) fn blame(&self, path: Option<&str>) {
        let path: Option<Arc<str>> = path.map(Into::into);
        if let Some(path) = &path {
            self.replies
                .retain(|slot| !slot.after.contains(path) || matches!(&*slot.result.lock_any(), Some(Ok(_))));
            self.tools.forget_after(path);
        }
        *self.responsible.lock_any() = path;
    }
}

impl Calls {
    fn forget_after(&self, path: &Arc<str>) {
        self.record.retain(|slot| {
            slot.inside.forget_after(path);
            !slot.after.contains(path)
        });
    }
}

/// The layer around model calls of one attempt.
struct ReplyLayer {
    replay: Arc<Replay>,
    asked: Asked<ReplyKey>,
    now: Arc<Now>,
}

impl Layer for ReplyLayer {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        let key = (lm.id().to_owned(), request.digest());
        let (slot, _) = self.replay.replies.next(&key, &self.asked, true, &self.now);
        let known = slot.result.lock_any().clone();
        if let Some(known) = known {
            let known = known.map(|response| {
                let mut response = (*response).clone();
                response.cached = true;
                response
            });
            return Box::pin(async move { known });
        }
        Box::pin(async move {
            let result = next.run(lm, request).await;
            *slot.result.lock_any() = Some(result.clone().map(Arc::new));
            result
        })
    }
}

/// The layer around tools of one attempt, or around those that a tool of it calls.
struct CallLayer {
    calls: Arc<Calls>,
    asked: Asked<CallKey>,
    now: Arc<Now>,
}

impl ToolLayer for CallLayer {
    fn call<'a>(&'a self, tool: &'a Tool, arguments: &'a Value, next: NextTool<'a>) -> ToolFuture<'a> {
        if tool.always_runs() {
            return Box::pin(async move { noted(passing(async move { next.run().await }).await) });
        }
        let is_new = self.now.is_new();
        let reused = !is_new && !self.now.differs.load(Ordering::Acquire);
        let (slot, known) = self.calls.record.next(&key(tool, arguments), &self.asked, reused, &self.now);
        let result = slot.result.lock_any().clone();
        if let Some(result) = result {
            return Box::pin(async move { noted(result) });
        }
        // A call that was dropped before it ended runs again, without a difference.
        if !known && !is_new {
            self.now.differs.store(true, Ordering::Release);
        }
        let calls = slot.inside.clone();
        let inside = CallLayer { calls, asked: Asked::default(), now: self.now.clone() };
        Box::pin(async move {
            // The call takes what it belongs to when it begins.
            let outcome = passing(async move { next.run_under(Arc::new(inside)).await }).await;
            *slot.result.lock_any() = Some(outcome.clone());
            noted(outcome)
        })
    }
}

/// Returns the result of a tool. What was noted inside is noted of the program that called it.
fn noted((result, noted): Outcome) -> Result<ToolValue, ToolError> {
    noted.keep();
    result
}

/// Distinguishes tools by all that models know of them, since different agents may have tools of one name.
fn key(tool: &Tool, arguments: &Value) -> CallKey {
    let spec = tool.spec();
    let mut digest = Digest::new();
    digest.add_text(&spec.name).add_text(&spec.description).add_value(&spec.parameters).add_value(arguments);
    digest.bytes()
}
