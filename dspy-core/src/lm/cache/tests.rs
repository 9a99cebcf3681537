//! The cache as callers see it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::UsageScope;
use super::super::{Delta, LanguageModel, Message, Reply, ScriptedLm, Usage};
use super::*;

type Respond = Box<dyn Fn(usize) -> Result<Response, LmError> + Send + Sync>;

/// A model that answers when it is let, and counts.
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

    fn complete<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move { (self.respond)(self.wait().await) })
    }

    /// One word for each permit.
    fn stream<'a>(&'a self, _: &'a Request, sink: &'a DeltaSink) -> BoxFuture<'a, Result<Response, LmError>> {
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

/// Lets everything else run as far as it gets.
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

/// The result of a stream, with all that was shown on the way.
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
        // The same limit would cut it off again.
        (cut(FinishReason::Length).into(), true),
        (cut(FinishReason::ContentFilter).into(), false),
        (cut(FinishReason::Other).into(), false),
        (" \n".into(), false),
        (Completion::new("").finished(FinishReason::Length).into(), false),
        (Completion::new("").calling([super::super::ToolCall::default()]).into(), true),
        (LmError::new(LmErrorKind::InvalidRequest, "m", "no").into(), false),
    ] {
        let lm = Lm::custom(ScriptedLm::new([reply.clone(), "again".into()])).cache(&Cache::new());
        let _ = lm.complete(ask("?")).await;
        let again = lm.complete(ask("?")).await.unwrap();
        assert_eq!(again.cached, kept, "{reply:?}");
    }
}

#[tokio::test]
async fn a_thousand_identical_calls_are_one_request() {
    let (cache, model) = (Cache::new(), Gated::echo());
    let mut calls = JoinSet::new();
    for number in 0..1_000 {
        let lm = through(&model, &cache);
        // Some want to see it arrive.
        calls.spawn(async move {
            if number % 3 == 0 {
                let (deltas, response) = streamed(&lm, ask("?")).await;
                assert_eq!(shown(&deltas), "answer 0 in a few pieces");
                response
            } else {
                lm.complete(ask("?")).await
            }
        });
    }
    settle().await;
    model.gate.add_permits(100);
    let responses: Vec<_> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(model.calls(), 1);
    assert_eq!(responses.iter().filter(|response| !response.cached).count(), 1);
    let stats = cache.stats();
    assert_eq!((stats.misses, stats.joined, stats.stores), (1, 999, 1));
    assert_eq!(cache.shared.flights.len(), 0);
}

#[tokio::test]
async fn a_call_goes_on_when_the_one_who_began_it_is_cancelled() {
    let (cache, model) = (Cache::new(), Gated::echo());
    let [first, second, third] = [(); 3].map(|()| {
        let lm = through(&model, &cache);
        tokio::spawn(async move { lm.complete(ask("?")).await })
    });
    settle().await;
    first.abort();
    settle().await;
    model.gate.add_permits(1);
    let (second, third) = (second.await.unwrap().unwrap(), third.await.unwrap().unwrap());
    assert_eq!((text(&second), model.calls()), ("answer 0 in a few pieces", 1));
    assert_ne!(second.cached, third.cached, "one of the two is charged");
}

#[tokio::test]
async fn a_call_stops_when_nobody_waits_any_more() {
    let (cache, model) = (Cache::new(), Gated::echo());
    let calls = [(); 2].map(|()| {
        let lm = through(&model, &cache);
        tokio::spawn(async move { lm.complete(ask("?")).await })
    });
    settle().await;
    for call in calls {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    assert_eq!((model.stopped.load(Ordering::SeqCst), cache.shared.flights.len()), (1, 0));
    model.gate.add_permits(1);
    through(&model, &cache).complete(ask("?")).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_is_not_polled_holds_up_nobody() {
    let (cache, model) = (Cache::new(), Gated::echo());
    let lm = through(&model, &cache);
    let mut stalled = Box::pin(lm.complete(ask("?")));
    assert!(futures_util::poll!(&mut stalled).is_pending());
    model.gate.add_permits(1);
    let other = lm.complete(ask("?")).await.unwrap();
    let first = stalled.await.unwrap();
    assert_eq!((first.cached, other.cached, model.calls()), (false, true, 1));
}

#[tokio::test]
async fn a_reader_that_stops_reading_holds_up_nobody() {
    let many = "word ".repeat(500);
    let (cache, model) = (Cache::new(), Gated::new(move |_| Ok(paid(&many))));
    let lm = through(&model, &cache);
    let mut stalled = lm.stream(ask("?"));
    model.gate.add_permits(3);
    assert!(stalled.next().await.is_some());
    model.gate.add_permits(600);
    let whole = lm.complete(ask("?")).await.unwrap();
    assert_eq!(text(&whole).len(), 2_500);
    assert_eq!(text(&stalled.finish().await.unwrap()), text(&whole));
    assert_eq!(model.calls(), 1);
}

#[tokio::test]
async fn a_dead_endpoint_is_asked_once_for_all() {
    for kind in [LmErrorKind::Transport, LmErrorKind::Timeout, LmErrorKind::Auth, LmErrorKind::InvalidRequest]
    {
        let (cache, model) = (Cache::new(), Gated::new(move |_| Err(LmError::new(kind, "gated", "no"))));
        let mut calls = JoinSet::new();
        for _ in 0..100 {
            let lm = through(&model, &cache);
            calls.spawn(async move { lm.complete(ask("?")).await });
        }
        settle().await;
        model.gate.add_permits(1_000);
        let errors: Vec<_> =
            calls.join_all().await.into_iter().map(|result| result.unwrap_err().kind).collect();
        assert_eq!((model.calls(), errors), (1, vec![kind; 100]));
        // It is not remembered.
        assert!(through(&model, &cache).complete(ask("?")).await.is_err());
        assert_eq!((model.calls(), cache.stats().entries), (2, 0));
    }
}

#[tokio::test]
async fn the_key_of_one_handle_is_no_concern_of_another() {
    for kind in [LmErrorKind::Auth, LmErrorKind::Billing, LmErrorKind::Budget] {
        let cache = Cache::new();
        let (bad, good) = (Gated::new(move |_| Err(LmError::new(kind, "gated", "no"))), Gated::open());
        let (first, second) = (through(&bad, &cache), through(&good, &cache));
        let first = tokio::spawn(async move { first.complete(ask("?")).await });
        settle().await;
        let second = tokio::spawn(async move { second.complete(ask("?")).await });
        settle().await;
        assert_eq!(good.calls(), 0);
        bad.gate.add_permits(1);
        assert_eq!(first.await.unwrap().unwrap_err().kind, kind);
        assert!(!second.await.unwrap().unwrap().cached);
    }
}

#[tokio::test]
async fn a_budget_of_the_first_is_not_that_of_the_others() {
    let model = Gated::new(|number| match number {
        0 => Err(LmError::new(LmErrorKind::Budget, "gated", "no")),
        _ => Ok(paid("yes")),
    });
    let cache = Cache::new();
    let calls = [(); 3].map(|()| {
        let lm = through(&model, &cache);
        tokio::spawn(async move { lm.complete(ask("?")).await })
    });
    settle().await;
    model.gate.add_permits(10);
    let mut kinds = Vec::new();
    for call in calls {
        kinds.push(call.await.unwrap().map_err(|error| error.kind).map(|response| response.cached));
    }
    assert_eq!(kinds[0], Err(LmErrorKind::Budget));
    assert_eq!((kinds[1].is_ok(), kinds[2].is_ok(), kinds[1] == kinds[2]), (true, true, false));
    assert_eq!(model.calls(), 2);
}

#[tokio::test]
async fn a_panic_is_that_of_one() {
    let model = Gated::new(|number| {
        assert!(number > 0, "the first call is one too many");
        Ok(paid("yes"))
    });
    let cache = Cache::new();
    let calls = [(); 3].map(|()| {
        let lm = through(&model, &cache);
        tokio::spawn(async move { lm.complete(ask("?")).await })
    });
    settle().await;
    model.gate.add_permits(10);
    let mut panics = 0;
    for call in calls {
        match call.await {
            Ok(response) => assert_eq!(text(&response.unwrap()), "yes"),
            Err(error) => panics += usize::from(error.is_panic()),
        }
    }
    assert_eq!((panics, model.calls(), cache.shared.flights.len()), (1, 2, 0));
}

#[tokio::test]
async fn one_cache_may_be_passed_twice() {
    let (cache, model) = (Cache::new(), Gated::open());
    let lm = through(&model, &cache).cache(&cache);
    let answers = cache.scope(async { [lm.complete(ask("?")).await, lm.complete(ask("?")).await] }).await;
    assert_eq!(answers.map(|answer| answer.unwrap().cached), [false, true]);
    assert_eq!((model.calls(), cache.stats().misses), (1, 1));
}

#[tokio::test]
async fn hits_are_streamed() {
    let (cache, model) = (Cache::new(), Gated::open());
    let lm = through(&model, &cache);
    let (live, first) = streamed(&lm, ask("?")).await;
    let (again, second) = streamed(&lm, ask("?")).await;
    assert_eq!((live.len(), again.len()), (6, 1));
    assert_eq!(shown(&live), shown(&again));
    assert_eq!((first.unwrap().cached, second.unwrap().cached), (false, true));
    assert!(lm.complete(ask("?")).await.unwrap().cached);
}

#[tokio::test]
async fn all_who_stream_see_it_arrive() {
    let (cache, model) = (Cache::new(), Gated::echo());
    let lm = through(&model, &cache);
    let (mut first, mut second) = (lm.stream(ask("?")), lm.stream(ask("?")));
    model.gate.add_permits(2);
    assert_eq!(first.next().await, Some(Delta::Text("answer ".into())));
    assert_eq!(second.next().await, Some(Delta::Text("answer ".into())));
    assert_eq!(second.next().await, Some(Delta::Text("0 ".into())));
    // The other may go.
    drop(first);
    model.gate.add_permits(10);
    assert_eq!(second.next().await, Some(Delta::Text("in ".into())));
    assert!(!second.finish().await.unwrap().cached, "it is the only one left to pay");
    assert_eq!(model.calls(), 1);
}

/// Asks again if the answer is not to its liking.
struct Picky;

impl Layer for Picky {
    fn call<'a>(
        &'a self,
        lm: &'a Lm,
        request: &'a Request,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            next.run(lm, request).await?;
            next.run(lm, &request.clone().with_rollout(1)).await
        })
    }
}

#[tokio::test]
async fn what_was_shown_of_a_void_reply_is_taken_back() {
    let (cache, model) = (Cache::new(), Gated::open());
    // Inside the cache, and outside of it.
    for lm in [Lm::shared(model.clone()).layer(Picky).cache(&cache), through(&model, &cache).layer(Picky)] {
        for _ in 0..2 {
            let (deltas, response) = streamed(&lm, ask("?")).await;
            assert_eq!(shown(&deltas), text(&response.unwrap()));
        }
        cache.clear().await.unwrap();
    }
}

#[tokio::test]
async fn answers_grow_old() {
    let dir = Dir::new();
    let cache = Cache::builder().dir(&dir.0).ttl(Duration::ZERO).build();
    let model = Gated::open();
    let lm = through(&model, &cache);
    lm.complete(ask("?")).await.unwrap();
    // The clock counts in milliseconds.
    let start = now();
    while now() == start {
        std::hint::spin_loop();
    }
    assert!(!lm.complete(ask("?")).await.unwrap().cached);
    assert_eq!((model.calls(), cache.stats().corrupt), (2, 0));
    let patient = Cache::builder().dir(&dir.0).ttl(Duration::from_hours(1)).build();
    assert!(through(&model, &patient).complete(ask("?")).await.unwrap().cached);
}

#[tokio::test]
async fn a_directory_outlives_the_process() {
    let (dir, model) = (Dir::new(), Gated::open());
    let (first, second) = (Cache::at(&dir.0), Cache::at(&dir.0));
    let answer = through(&model, &first).complete(ask("?")).await.unwrap();
    let lm = through(&model, &second);
    let again = lm.complete(ask("?")).await.unwrap();
    assert_eq!(again, Response { cached: true, ..answer });
    assert!(lm.complete(ask("?")).await.unwrap().cached);
    let stats = second.stats();
    assert_eq!((stats.disk_hits, stats.memory_hits, stats.misses, stats.stores), (1, 1, 0, 0));
    assert_eq!(dir.files().len(), 1);

    assert!(second.remove(&lm, &ask("?")).await.unwrap());
    assert!(!second.remove(&lm, &ask("?")).await.unwrap());
    assert!(dir.files().is_empty());
}

#[tokio::test]
async fn broken_files_are_replaced() {
    let (dir, model) = (Dir::new(), Gated::open());
    through(&model, &Cache::at(&dir.0)).complete(ask("?")).await.unwrap();
    let [file] = &dir.files()[..] else { panic!() };
    let whole = std::fs::read(file).unwrap();
    let half = &whole[..whole.len() / 2];
    let bad = [half, b"", b"{}", b"null", &[0xff; 3_000], &whole.repeat(2)];
    for (number, bytes) in bad.into_iter().enumerate() {
        std::fs::write(file, bytes).unwrap();
        let cache = Cache::at(&dir.0);
        assert!(!through(&model, &cache).complete(ask("?")).await.unwrap().cached, "{number}");
        assert_eq!(cache.stats().corrupt, 1);
        assert!(through(&model, &Cache::at(&dir.0)).complete(ask("?")).await.unwrap().cached, "{number}");
    }
    assert_eq!(dir.files().len(), 1, "nothing unfinished is left");
}

#[tokio::test]
async fn modes() {
    let (dir, model) = (Dir::new(), Gated::open());
    through(&model, &Cache::at(&dir.0)).complete(ask("known")).await.unwrap();
    let reader = Cache::builder().dir(&dir.0).mode(CacheMode::ReadOnly).build();
    let lm = through(&model, &reader);
    assert!(lm.complete(ask("known")).await.unwrap().cached);
    assert!(!lm.complete(ask("new")).await.unwrap().cached);
    assert!(!lm.complete(ask("new")).await.unwrap().cached);
    assert_eq!((dir.files().len(), model.calls()), (1, 3));

    let replay = Cache::builder().dir(&dir.0).mode(CacheMode::Replay).build();
    let lm = through(&model, &replay);
    assert!(lm.complete(ask("known")).await.unwrap().cached);
    let error = lm.complete(ask("something else")).await.unwrap_err();
    assert_eq!((error.kind, error.is_retryable(), model.calls()), (LmErrorKind::Unrecorded, false, 3));
    assert!(error.message.contains("\"something else\""), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_to_is_no_failure() {
    let (dir, model) = (Dir::new(), Gated::open());
    std::fs::create_dir_all(&dir.0).unwrap();
    let file = dir.0.join("file");
    std::fs::write(&file, "mine").unwrap();
    let cache = Cache::at(file.join("below a file"));
    let lm = through(&model, &cache);
    assert!(!lm.complete(ask("?")).await.unwrap().cached);
    assert!(lm.complete(ask("?")).await.unwrap().cached, "there is memory still");
    assert_eq!(cache.stats().write_errors, 1);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "mine");
}

#[tokio::test]
async fn a_directory_stays_within_its_size() {
    let (dir, model) = (Dir::new(), Gated::open());
    let cache = Cache::builder().dir(&dir.0).memory_bytes(0).disk_bytes(20_000).build();
    let lm = through(&model, &cache);
    let disk = cache.shared.disk.clone().unwrap();
    for number in 0..100 {
        lm.complete(ask(&number.to_string())).await.unwrap();
        // Used again and again, so never the oldest.
        lm.complete(ask("0")).await.unwrap();
        if number % 10 == 9 {
            disk.sweep();
        }
    }
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |meta| meta.len());
    let mut total = u64::MAX;
    // A sweep of the cache's own may be under way, and then this one does nothing.
    while total > 20_000 {
        disk.sweep();
        total = dir.files().iter().map(size).sum();
        tokio::task::yield_now().await;
    }
    assert!(total > 10_000, "{total}");
    assert!(cache.get(&lm, &ask("0")).await.is_some());
    assert!(cache.get(&lm, &ask("1")).await.is_none());
    assert!(cache.get(&lm, &ask("99")).await.is_some());
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let (dir, model) = (Dir::new(), Gated::open());
    let cache = Cache::at(&dir.0);
    let lm = through(&model, &cache);
    lm.complete(ask("?")).await.unwrap();
    let shard = dir.files()[0].parent().unwrap().to_owned();
    let foreign = [dir.0.join("notes.json"), shard.join("notes.json"), shard.join("x.tmp")];
    foreign.iter().for_each(|path| std::fs::write(path, "mine").unwrap());
    // What a crash has left goes with the rest.
    std::fs::write(shard.join("0123456789abcdef-7.tmp"), "half").unwrap();
    cache.clear().await.unwrap();
    assert!(!lm.complete(ask("?")).await.unwrap().cached);
    cache.clear().await.unwrap();
    assert_eq!(dir.files(), [&shard.join("notes.json"), &shard.join("x.tmp")].map(Clone::clone));
    assert!(foreign.iter().all(|path| path.exists()));
    assert_eq!(cache.stats().entries, 0);
}

#[tokio::test]
async fn prompts_are_written_only_if_asked_for() {
    let model = Gated::open();
    let request = || {
        let mut request = ask("a private prompt with sk-abcdefghijklmnop0123456789");
        request.params.extra.insert("api_key".into(), "short".into());
        request
    };
    for keep in [false, true] {
        let dir = Dir::new();
        let cache = Cache::builder().dir(&dir.0).keep_requests(keep).build();
        through(&model, &cache).complete(request()).await.unwrap();
        let file = std::fs::read_to_string(&dir.files()[0]).unwrap();
        assert_eq!(file.contains("a private prompt with ***"), keep);
        assert!(file.contains("\"model\": \"gated\"") && file.contains(&request().digest().to_string()));
        assert!(!file.contains("sk-abc") && !file.contains("short"), "{file}");
    }
}

#[test]
fn no_runtime_is_needed() {
    let dir = Dir::new();
    let lm = Lm::scripted(["once"]).cache(&Cache::at(&dir.0));
    let mut calls = Box::pin(async {
        lm.ask("?").await.unwrap();
        lm.ask("?").await.unwrap();
        Cache::at(&dir.0).get(&lm, &ask("?")).await.unwrap()
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(known) = calls.as_mut().poll(&mut context) else { panic!("it waits for something") };
    assert_eq!(text(&known), "once");
}
