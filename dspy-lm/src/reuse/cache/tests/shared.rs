//! Tests of shared calls, and of streams of known and arriving answers.

use super::*;

#[tokio::test]
async fn a_thousand_identical_calls_are_one_request() {
    let (cache, model) = (Cache::new(), Gated::echo());
    let mut calls = JoinSet::new();
    for number in 0..1_000 {
        let lm = through(&model, &cache);
        // Some callers stream the reply.
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
    assert_eq!(cache.shared.single_flight.len(), 0);
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
    assert_eq!((model.stopped.load(Ordering::SeqCst), cache.shared.single_flight.len()), (1, 0));
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
        // The error is not stored.
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
    assert_eq!((panics, model.calls(), cache.shared.single_flight.len()), (1, 2, 0));
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
    // The other waiter may go.
    drop(first);
    model.gate.add_permits(10);
    assert_eq!(second.next().await, Some(Delta::Text("in ".into())));
    assert!(!second.finish().await.unwrap().cached, "it is the only one left to pay");
    assert_eq!(model.calls(), 1);
}

/// A layer that repeats the call if it rejects the answer.
struct Picky;

impl Layer for Picky {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
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
