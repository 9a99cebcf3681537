//! Answers that are kept: in memory, in a directory, and from a call that is under way.

mod builder;
mod disk;
mod file;
mod key;
mod memory;
mod single_flight;
mod stats;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::ready;
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

pub use builder::{CacheBuilder, CacheMode};
use disk::{Disk, Found};
use file::Sheet;
use key::Key;
use memory::{Answer, Memory};
use single_flight::{CallEnd, SingleFlight, Waiter};
pub use stats::CacheStats;
use stats::Counters;

use crate::layer::Onward;
use crate::network::secret::hide_live;
use crate::observe;
use crate::{
    BoxFuture, Completion, DeltaSink, FinishReason, Layer, Lm, LmError, LmErrorKind, LmFuture, LmScope, Next,
    Request, Response, current_scope, with_layer,
};
use dspy_base::locks::MutexExt as _;

/// A layer that answers what was asked before, and asks once what several callers ask at the same time.
///
/// Cloning shares it. An answer is kept under the model, its endpoint, the [tenant](Self::tenant) if there is one, and
/// everything in the request that can change the reply, [`rollout`](Request::rollout) included. Answers from it are marked [`cached`](Response::cached) and
/// show what they once cost, but are not charged. Errors, empty replies and replies that a content filter cut off
/// are not kept.
///
/// ```
/// use dspy_lm::{Cache, Lm};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let cache = Cache::new();
/// let lm = Lm::scripted(["Paris"]).cache(&cache); // the script has one reply
/// assert_eq!(lm.ask("Capital of France?").await?, "Paris");
/// assert_eq!(lm.ask("Capital of France?").await?, "Paris");
/// assert_eq!((cache.stats().misses, cache.stats().hits()), (1, 1));
/// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
/// ```
///
/// Models of one's own in this process are told apart by their [`id`](crate::LanguageModel::id) and
/// [`endpoint`](crate::LanguageModel::endpoint) alone: give two that answer differently different ids.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
    tenant: Option<Arc<str>>,
}

struct Shared {
    mode: CacheMode,
    ttl: Option<Duration>,
    keep_requests: bool,
    memory: Mutex<Memory>,
    disk: Option<Arc<Disk>>,
    single_flight: Arc<SingleFlight>,
    counters: Arc<Counters>,
}

/// The calls that the current work is made for: a call that passes one cache twice must not wait for itself.
#[derive(Clone)]
struct Within {
    cache: usize,
    key: Key,
    outer: Option<Arc<Within>>,
}

tokio::task_local! {
    static WITHIN: Arc<Within>;
}

impl Cache {
    /// A cache in memory of 64 MiB.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A cache in that directory, shared with other processes, with one in memory before it.
    ///
    /// Nothing is written before there is an answer to keep.
    pub fn at(dir: impl Into<std::path::PathBuf>) -> Self {
        Self::builder().dir(dir).build()
    }

    /// A cache with other sizes, a time to live or another mode.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::new()
    }

    /// The same cache for one tenant: memory, directory, limits and [statistics](Self::stats) are shared, and no answer
    /// that was given to one tenant is ever given to another, or to calls without a tenant.
    ///
    /// ```
    /// use dspy_lm::{Cache, Lm};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let cache = Cache::new();
    /// let lm = Lm::scripted(["for acme", "for zenith"]);
    /// let acme = lm.clone().cache(&cache.tenant("acme"));
    /// let zenith = lm.cache(&cache.tenant("zenith"));
    /// assert_eq!(acme.ask("?").await?, "for acme");
    /// assert_eq!(zenith.ask("?").await?, "for zenith");
    /// assert_eq!(acme.ask("?").await?, "for acme");
    /// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
    /// ```
    ///
    /// [`get`](Self::get) and [`remove`](Self::remove) see the tenant's answers; [`clear`](Self::clear) forgets those of
    /// all. Where the tenants ask an endpoint by handles of their own,
    /// [`Endpoint::tenant`](crate::Endpoint::tenant) keeps their cassettes and journals apart, too.
    #[must_use]
    pub fn tenant(&self, name: impl Into<Arc<str>>) -> Self {
        Cache { shared: self.shared.clone(), tenant: Some(name.into()) }
    }

    fn key(&self, lm: &Lm, request: &Request) -> Key {
        Key::of(lm, request, self.tenant.as_deref())
    }

    /// Runs `future` so that all its LM calls are answered from here where that is possible.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        with_layer(Arc::new(self.clone()), future)
    }

    /// What it has done so far, and what it holds.
    pub fn stats(&self) -> CacheStats {
        let counters = &self.shared.counters;
        let (entries, bytes) = {
            let memory = self.shared.memory();
            (memory.len() as u64, memory.bytes() as u64)
        };
        CacheStats {
            memory_hits: counters.memory_hits.get(),
            disk_hits: counters.disk_hits.get(),
            joined: counters.joined.get(),
            misses: counters.misses.get(),
            stores: counters.stores.get(),
            evicted: counters.evicted.get(),
            disk_evicted: counters.disk_evicted.get(),
            corrupt: counters.corrupt.get(),
            write_errors: counters.write_errors.get(),
            entries,
            bytes,
        }
    }

    /// The answer that `lm` would be given for this request, without asking it. Counts as no call.
    pub async fn get(&self, lm: &Lm, request: &Request) -> Option<Response> {
        let key = self.key(lm, &lm.completed(request.clone()));
        let known = self.shared.at_hand(&key);
        let response = match known {
            Some(known) => known,
            None => self.shared.on_disk(key).await?,
        };
        Some(Response { cached: true, ..Response::clone(&response) })
    }

    /// Forgets the answer to one request, in memory and in the directory. Says whether there was one.
    ///
    /// # Errors
    /// What the file system reports.
    pub async fn remove(&self, lm: &Lm, request: &Request) -> io::Result<bool> {
        let key = self.key(lm, &lm.completed(request.clone()));
        let known = self.shared.memory().remove(&key);
        let Some(disk) = self.shared.disk.clone() else { return Ok(known) };
        Ok(blocking(move || disk.remove(&key)).await?? || known)
    }

    /// Forgets all answers, in memory and in the directory. Files that are not of a cache are left alone.
    ///
    /// # Errors
    /// What the file system reports.
    pub async fn clear(&self) -> io::Result<()> {
        self.shared.memory().clear();
        let Some(disk) = self.shared.disk.clone() else { return Ok(()) };
        blocking(move || disk.clear()).await?
    }

    async fn fetch(&self, key: Key, lm: &Lm, request: &Request, next: Next<'_>) -> Result<Response, LmError> {
        let shared = &self.shared;
        let model = std::ptr::from_ref(lm.model()).addr();
        loop {
            if let Some(sink) = next.sink {
                sink.begin().await;
            }
            let begin = |flight: &Arc<single_flight::SharedCall>| -> BoxFuture<'static, CallEnd> {
                let within =
                    Arc::new(Within { cache: self.id(), key, outer: WITHIN.try_with(Arc::clone).ok() });
                let call = Call {
                    shared: shared.clone(),
                    key,
                    lm: lm.clone(),
                    request: request.clone(),
                    onward: Onward::of(&next),
                    sink: flight.sink(),
                    scope: current_scope(),
                    within,
                };
                // What it does belongs to the caller who came first, whoever drives it on.
                Box::pin(observe::inherit(call.run()))
            };
            let stream = next.sink.is_some();
            let mut waiter =
                match shared.single_flight.join(key, model, stream, || shared.at_hand(&key), begin) {
                    Ok(waiter) => waiter,
                    Err(known) => return Ok(shared.hit(&known)),
                };
            match waiter.wait(next.sink).await {
                CallEnd::Answered { response, known } => return Ok(shared.take(&waiter, &response, known)),
                CallEnd::Failed(error) if waiter.concerns(&error) => {
                    if !waiter.is_first() {
                        shared.counters.joined.add(1);
                    }
                    return Err(LmError::clone(&error));
                }
                CallEnd::Failed(_) => {}
                CallEnd::Panicked => {
                    if let Some(panic) = waiter.panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
    }

    fn id(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// Whether the current work is done for a call of this cache with that key.
    fn is_within(&self, key: &Key) -> bool {
        WITHIN
            .try_with(|within| {
                let mut within = Some(within);
                while let Some(call) = within {
                    if call.cache == self.id() && call.key == *key {
                        return true;
                    }
                    within = call.outer.as_ref();
                }
                false
            })
            .unwrap_or(false)
    }
}

impl fmt::Debug for Cache {
    /// Nothing of the answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("mode", &self.shared.mode)
            .field("dir", &self.shared.disk.as_ref().map(|disk| disk.dir()))
            .field("ttl", &self.shared.ttl)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for Cache {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        let key = self.key(lm, request);
        if let Some(known) = self.shared.at_hand(&key) {
            let response = Ok(self.shared.hit(&known));
            return match next.sink {
                None => Box::pin(ready(response)),
                Some(sink) => Box::pin(async move {
                    sink.begin().await;
                    response
                }),
            };
        }
        if self.is_within(&key) {
            return next.run(lm, request);
        }
        Box::pin(self.fetch(key, lm, request, next))
    }
}

/// A call that may outlive the one who began it.
struct Call {
    shared: Arc<Shared>,
    key: Key,
    lm: Lm,
    request: Request,
    onward: Onward,
    sink: Option<DeltaSink>,
    /// The scope of the one who began: whoever drives the call, it is made there.
    scope: LmScope,
    within: Arc<Within>,
}

impl Call {
    async fn run(self) -> CallEnd {
        let Call { shared, key, lm, request, onward, sink, scope, within } = self;
        if let Some(response) = shared.on_disk(key).await {
            return CallEnd::Answered { response, known: true };
        }
        if shared.mode == CacheMode::Replay {
            shared.counters.misses.add(1);
            return CallEnd::Failed(Arc::new(unrecorded(&lm, &request, key)));
        }
        shared.counters.misses.add(1);
        // Within the scopes from its first step on.
        let ask = async { onward.next(sink.as_ref()).run(&lm, &request).await };
        match scope.enter(WITHIN.scope(within, ask)).await {
            Err(error) => CallEnd::Failed(Arc::new(error)),
            Ok(response) => {
                let response = Arc::new(response);
                shared.keep(key, &lm, &request, &response).await;
                CallEnd::Answered { response, known: false }
            }
        }
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock_any()
    }

    /// The dates that an answer may have. Where its age counts, none may be from the future: it would be good for
    /// longer than it should.
    fn good(&self) -> RangeInclusive<u64> {
        let Some(ttl) = self.ttl else { return 0..=u64::MAX };
        let now = now();
        now.saturating_sub(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))..=now
    }

    fn at_hand(&self, key: &Key) -> Option<Arc<Response>> {
        let good = self.good();
        self.memory().get(key, &good)
    }

    /// An answer from memory, as the caller gets it.
    fn hit(&self, known: &Response) -> Response {
        self.counters.memory_hits.add(1);
        Response { cached: true, ..known.clone() }
    }

    /// The answer of a call, as one of those who waited gets it.
    fn take(&self, waiter: &Waiter, response: &Response, known: bool) -> Response {
        let mut response = response.clone();
        if known {
            self.counters.disk_hits.add(1);
        } else if !waiter.is_first() {
            self.counters.joined.add(1);
        }
        response.cached |= known || !waiter.pays();
        response
    }

    /// What the directory has; from then on it is at hand.
    async fn on_disk(&self, key: Key) -> Option<Arc<Response>> {
        let (disk, good) = (self.disk.clone()?, self.good());
        let Found { response, at, size } = blocking(move || disk.read(&key, &good)).await.ok()??;
        let response = Arc::new(response);
        self.put(key, Answer::new(response.clone(), at, size));
        Some(response)
    }

    fn put(&self, key: Key, answer: Answer) {
        let gone = self.memory().put(key, answer);
        self.counters.evicted.add(gone);
    }

    async fn keep(&self, key: Key, lm: &Lm, request: &Request, response: &Arc<Response>) {
        if self.mode != CacheMode::ReadWrite || !is_worth_keeping(response) {
            return;
        }
        let at = now();
        let mut kept = Response::clone(response);
        kept.cached = false;
        let endpoint = lm.deployment();
        let asked =
            self.keep_requests.then(|| crate::reuse::cassette::scrubbed(super::form::request(request)));
        let sheet =
            Sheet::new(key, lm.id(), &endpoint, request.digest().to_string(), &kept, at).asking(asked);
        // It also tells how much room the answer takes.
        let Ok(bytes) = sheet.write() else { return };
        self.put(key, Answer::new(Arc::new(kept), at, bytes.len()));
        self.counters.stores.add(1);
        // An answer that says a credential stays in memory: as it is it must not be written, and otherwise it is another.
        let is_clean = || str::from_utf8(&bytes).is_ok_and(|text| hide_live(text) == text);
        if let Some(disk) = self.disk.clone().filter(|disk| disk.is_writable() && is_clean()) {
            let full = blocking(move || disk.write(&key, &bytes)).await;
            if full.unwrap_or(false) {
                self.make_room();
            }
        }
    }

    /// Nobody waits for it.
    fn make_room(&self) {
        let Some(disk) = self.disk.clone() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || disk.sweep())),
            Err(_) => disk.sweep(),
        }
    }
}

/// Whether a reply is complete as far as the request allows: one that the request's own token limit cut off is,
/// because the same request would be cut off again, and a higher limit is another request.
fn is_worth_keeping(response: &Response) -> bool {
    let says_something =
        |completion: &Completion| !completion.text.trim().is_empty() || !completion.tool_calls.is_empty();
    let is_whole = |completion: &Completion| {
        matches!(completion.finish, FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Length)
    };
    let completions = &response.completions;
    !completions.is_empty() && completions.iter().all(|one| says_something(one) && is_whole(one))
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs work on files where it stops nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.map_err(io::Error::other),
        Err(_) => Ok(work()),
    }
}

fn unrecorded(lm: &Lm, request: &Request, key: Key) -> LmError {
    let last = request.messages.last().map(|message| message.text().into_owned()).unwrap_or_default();
    let last = crate::reuse::cassette::scrubbed_text(&last);
    let start: String = last.chars().take(80).collect();
    let more = if start.len() < last.len() { "…" } else { "" };
    let message = format!(
        "the cache only replays and has no answer under {key} for this request of {} messages, the last of which \
         is {start:?}{more}",
        request.messages.len(),
    );
    LmError::new(LmErrorKind::Unrecorded, lm.id(), message)
}
