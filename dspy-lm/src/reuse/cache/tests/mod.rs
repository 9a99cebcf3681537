//! Tests of the cache through its public interface.

mod directory;
mod shared;

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::money::usage::UsageScope;
use crate::{Delta, LanguageModel, Message, Reply, ScriptedLm, Usage};

type Respond = Box<dyn Fn(usize) -> Result<Response, LmError> + Send + Sync>;

/// A model that waits for a permit before each answer, and counts calls.
struct Gated {
    id: &'static str,
    endpoint: &'static str,
    begun: AtomicUsize,
    /// Calls that were dropped before their end.
    stopped: AtomicUsize,
    gate: Semaphore,
    respond: Respond,
}

impl Gated {
    fn new(respond: impl Fn(usize) -> Result<Response, LmError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Gated {
            id: "gated",
            endpoint: "http://gated/v1",
            begun: AtomicUsize::new(0),
            stopped: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            respond: Box::new(respond),
        })
    }

    fn echo() -> Arc<Self> {
        Self::new(|number| Ok(paid(&format!("answer {number} in a few pieces"))))
    }

    fn open() -> Arc<Self> {
        let gated = Self::echo();
        gated.gate.add_permits(1_000);
        gated
    }

    fn calls(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    async fn wait(&self) -> usize {
        struct Stopped<'a>(&'a Gated, bool);
        impl Drop for Stopped<'_> {
            fn drop(&mut self) {
                if !self.1 {
                    self.0.stopped.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        let mut stopped = Stopped(self, false);
        self.gate.acquire().await.unwrap().forget();
        stopped.1 = true;
        number
    }
}

impl LanguageModel for Gated {
    fn id(&self) -> &str {
        self.id
    }

    fn endpoint(&self) -> &str {
        self.endpoint
    }

    fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
        Box::pin(async move { (self.respond)(self.wait().await) })
    }

    /// Sends one word for each permit.
    fn stream<'a>(&'a self, _: &'a Request, sink: &'a DeltaSink) -> LmFuture<'a> {
        Box::pin(async move {
            let response = (self.respond)(self.wait().await)?;
            for word in response.completions[0].text.split_inclusive(' ') {
                sink.send(Delta::Text(word.to_owned())).await;
                self.gate.acquire().await.unwrap().forget();
            }
            Ok(response)
        })
    }
}

fn paid(text: &str) -> Response {
    Response::text(text).with_usage(Usage::tokens(7, 3).at_cost(0.5))
}

fn ask(text: &str) -> Request {
    Request::new(vec![Message::user(text)])
}

fn through(model: &Arc<Gated>, cache: &Cache) -> Lm {
    Lm::shared(model.clone()).cache(cache)
}

fn text(response: &Response) -> &str {
    &response.completions[0].text
}

/// Runs all other tasks until they wait.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A directory that is removed when the test is over.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let dir = std::env::temp_dir().join(format!("dspy-cache-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Dir(dir)
    }

    fn files(&self) -> Vec<PathBuf> {
        let list = |dir: &PathBuf| {
            let entries = std::fs::read_dir(dir).into_iter().flatten();
            entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let mut files: Vec<_> = list(&self.0).iter().flat_map(list).collect();
        files.sort();
        files
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns the result of a stream with all its pieces.
async fn streamed(lm: &Lm, request: Request) -> (Vec<Delta>, Result<Response, LmError>) {
    let mut stream = lm.stream(request);
    let mut deltas = Vec::new();
    while let Some(delta) = stream.next().await {
        deltas.push(delta);
    }
    (deltas, stream.finish().await)
}

fn shown(deltas: &[Delta]) -> String {
    deltas.iter().fold(String::new(), |text, delta| match delta {
        Delta::Text(more) => text + more,
        Delta::Reasoning(_) => text,
        Delta::Restart => String::new(),
    })
}

#[tokio::test]
async fn a_hit_shows_what_it_cost_and_is_not_charged() {
    let (cache, model) = (Cache::new(), Gated::open());
    let lm = through(&model, &cache);
    let usage = Arc::new(UsageScope::below(None));
    let scope = current_scope().tracking(usage.clone());
    let calls = async { [lm.complete(ask("a")).await.unwrap(), lm.complete(ask("a")).await.unwrap()] };
    let [first, second] = scope.enter(calls).await;
    assert_eq!((first.cached, second.cached), (false, true));
    assert_eq!((text(&first), first.usage), (text(&second), second.usage));
    assert_eq!(usage.total(), Usage::tokens(7, 3).at_cost(0.5));
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.memory_hits, stats.stores, stats.entries), (1, 1, 1, 1));
    assert!(stats.bytes > 200 && stats.bytes < 2_000, "{stats:?}");
}

#[tokio::test]
async fn only_equal_requests_to_one_model_at_one_endpoint_share() {
    let cache = Cache::new();
    let model = |id, endpoint| {
        let mut model = Gated::echo();
        let inner = Arc::get_mut(&mut model).unwrap();
        (inner.id, inner.endpoint) = (id, endpoint);
        model.gate.add_permits(10);
        model
    };
    let models = [model("a", "x"), model("b", "x"), model("a", "y"), model("ax", ""), model("", "ax")];
    for _ in 0..2 {
        for model in &models {
            through(model, &cache).complete(ask("?")).await.unwrap();
        }
    }
    assert!(models.iter().all(|model| model.calls() == 1));
    let lm = through(&models[0], &cache);
    lm.clone().temperature(0.5).complete(ask("?")).await.unwrap();
    lm.clone().rollout(1).complete(ask("?")).await.unwrap();
    assert_eq!(models[0].calls(), 3);
    assert!(lm.complete(ask("?").with_rollout(1)).await.unwrap().cached);
}

#[tokio::test]
async fn a_request_is_what_the_handle_makes_of_it() {
    let (cache, model) = (Cache::new(), Gated::open());
    through(&model, &cache).temperature(0.5).complete(ask("?")).await.unwrap();
    let mut request = ask("?");
    request.params.temperature = Some(0.5);
    assert!(through(&model, &cache).complete(request.clone()).await.unwrap().cached);
    assert!(cache.get(&through(&model, &cache).temperature(0.5), &ask("?")).await.is_some());
    assert!(cache.get(&through(&model, &cache), &ask("?")).await.is_none());
}

#[tokio::test]
async fn what_is_no_answer_is_not_kept() {
    let cut = |finish| Completion::new("cut").finished(finish);
    for (reply, kept) in [
        (Reply::from("fine"), true),
        // The same limit would truncate it again.
        (cut(FinishReason::Length).into(), true),
        (cut(FinishReason::ContentFilter).into(), false),
        (cut(FinishReason::Other).into(), false),
        (" \n".into(), false),
        (Completion::new("").finished(FinishReason::Length).into(), false),
        (Completion::new("").calling([crate::ToolCall::default()]).into(), true),
        (LmError::new(LmErrorKind::InvalidRequest, "m", "no").into(), false),
    ] {
        let lm = Lm::custom(ScriptedLm::new([reply.clone(), "again".into()])).cache(&Cache::new());
        let _ = lm.complete(ask("?")).await;
        let again = lm.complete(ask("?")).await.unwrap();
        assert_eq!(again.cached, kept, "{reply:?}");
    }
}
