//! A cache of answers in memory and in a directory, which also merges identical calls in flight.

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

use crate::call::layer::Onward;
use crate::observe;
use crate::secret::hide_live;
use crate::{
    BoxFuture, Completion, DeltaSink, FinishReason, Layer, Lm, LmError, LmErrorKind, LmFuture, LmScope, Next,
    Request, Response, current_scope, with_layer,
};
use dspy_base::locks::MutexExt as _;

/// A layer that returns stored answers, and merges identical calls in flight into one.
///
/// Clones share their contents. An answer is stored under the model, its endpoint, the [tenant](Self::tenant)
/// if there is one, and everything in the request that can change the reply, including
/// [`rollout`](Request::rollout). Answers from the cache are marked [`cached`](Response::cached) and show
/// their original cost, but are not charged. Errors, empty replies and replies stopped by a content filter
/// are not stored.
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
/// Custom models in this process are distinguished only by their [`id`](crate::LanguageModel::id) and
/// [`endpoint`](crate::LanguageModel::endpoint): models that answer differently need different ids.
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

/// The calls that enclose the current work: a call that passes one cache twice must not wait for itself.
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
    /// Creates a cache of 64 MiB in memory.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Creates a cache in a directory, shared with other processes, with a cache in memory in front of it.
    ///
    /// Nothing is written until there is an answer to store.
    pub fn at(dir: impl Into<std::path::PathBuf>) -> Self {
        Self::builder().dir(dir).build()
    }

    /// Returns a builder for a cache with other sizes, a time to live or another mode.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::new()
    }

    /// Returns this cache for one tenant: memory, directory, limits and [statistics](Self::stats) are shared,
    /// but an answer for one tenant is never returned to another tenant, nor to calls without a tenant.
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
    /// [`get`](Self::get) and [`remove`](Self::remove) apply to the tenant's answers; [`clear`](Self::clear)
    /// removes the answers of all tenants. If the tenants call an endpoint through separate handles,
    /// [`Endpoint::tenant`](crate::Endpoint::tenant) also separates their cassettes and journals.
    #[must_use]
    pub fn tenant(&self, name: impl Into<Arc<str>>) -> Self {
        Cache { shared: self.shared.clone(), tenant: Some(name.into()) }
    }

    fn key(&self, lm: &Lm, request: &Request) -> Key {
        Key::of(lm, request, self.tenant.as_deref())
    }

    /// Runs `future` with all its LM calls answered from this cache if possible.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        with_layer(Arc::new(self.clone()), future)
    }

    /// Returns the statistics so far and the current contents.
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

    /// Returns the answer that `lm` would get from the cache for this request. Calls no model and counts as
    /// no call.
    pub async fn get(&self, lm: &Lm, request: &Request) -> Option<Response> {
        let key = self.key(lm, &lm.completed(request.clone()));
        let known = self.shared.at_hand(&key);
        let response = match known {
            Some(known) => known,
            None => self.shared.on_disk(key).await?,
        };
        Some(Response { cached: true, ..Response::clone(&response) })
    }

    /// Removes the answer to one request from memory and directory. Returns whether there was one.
    ///
    /// # Errors
    /// The error of the file system.
    pub async fn remove(&self, lm: &Lm, request: &Request) -> io::Result<bool> {
        let key = self.key(lm, &lm.completed(request.clone()));
        let known = self.shared.memory().remove(&key);
        let Some(disk) = self.shared.disk.clone() else { return Ok(known) };
        Ok(blocking(move || disk.remove(&key)).await?? || known)
    }

    /// Removes all answers from memory and directory. Other files in the directory are left alone.
    ///
    /// # Errors
    /// The error of the file system.
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
                // Observed as work of the first caller, whichever waiter polls it.
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

    /// Returns whether the current work is part of a call of this cache with that key.
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
    /// Prints no answers.
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

impl Lm {
    /// Adds `cache` as a layer, so that answers are taken from it if it has them. Short for [`layer`](Self::layer).
    #[must_use]
    pub fn cache(self, cache: &Cache) -> Self {
        self.layer(cache.clone())
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

/// A call that may outlive the caller that started it.
struct Call {
    shared: Arc<Shared>,
    key: Key,
    lm: Lm,
    request: Request,
    onward: Onward,
    sink: Option<DeltaSink>,
    /// The scope of the caller that started the call, in which it runs whichever waiter polls it.
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
        // The scopes apply from the first step on.
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

    /// Returns the range of valid dates. With a time to live, dates in the future are not valid, because such
    /// an answer would be valid for too long.
    fn good(&self) -> RangeInclusive<u64> {
        let Some(ttl) = self.ttl else { return 0..=u64::MAX };
        let now = now();
        now.saturating_sub(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))..=now
    }

    fn at_hand(&self, key: &Key) -> Option<Arc<Response>> {
        let good = self.good();
        self.memory().get(key, &good)
    }

    /// Returns an answer from memory, marked for the caller.
    fn hit(&self, known: &Response) -> Response {
        self.counters.memory_hits.add(1);
        Response { cached: true, ..known.clone() }
    }

    /// Returns the answer of a shared call, marked for this waiter.
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

    /// Reads an answer from the directory and stores it in memory.
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
        // The length is also the size of the answer in memory.
        let Ok(bytes) = sheet.write() else { return };
        self.put(key, Answer::new(Arc::new(kept), at, bytes.len()));
        self.counters.stores.add(1);
        // An answer that contains a credential is stored in memory only: it must not be written, and without
        // the credential it would be a different answer.
        let is_clean = || str::from_utf8(&bytes).is_ok_and(|text| hide_live(text) == text);
        if let Some(disk) = self.disk.clone().filter(|disk| disk.is_writable() && is_clean()) {
            let full = blocking(move || disk.write(&key, &bytes)).await;
            if full.unwrap_or(false) {
                self.make_room();
            }
        }
    }

    /// Starts a sweep in the background.
    fn make_room(&self) {
        let Some(disk) = self.disk.clone() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || disk.sweep())),
            Err(_) => disk.sweep(),
        }
    }
}

/// Returns whether a reply is complete as far as the request allows. A reply truncated by the request's own
/// token limit is, because the same request would be truncated again, and a higher limit is another request.
fn is_worth_keeping(response: &Response) -> bool {
    let says_something =
        |completion: &Completion| !completion.text.trim().is_empty() || !completion.tool_calls.is_empty();
    let is_whole = |completion: &Completion| {
        matches!(completion.finish, FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Length)
    };
    let completions = &response.completions;
    !completions.is_empty() && completions.iter().all(|one| says_something(one) && is_whole(one))
}

/// Returns the time in milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs work on files without blocking the runtime.
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
