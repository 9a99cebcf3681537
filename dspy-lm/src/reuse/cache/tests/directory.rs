//! Tests of answers in a directory and of their age.

use super::*;

#[tokio::test]
async fn answers_grow_old() {
    let (dir, model) = (Dir::new(), Gated::open());
    let patient = || Cache::builder().dir(&dir.0).ttl(Duration::from_hours(1)).build();
    through(&model, &patient()).complete(ask("?")).await.unwrap();
    // The clock counts in milliseconds.
    let tick = || {
        let start = now();
        while now() == start {
            std::hint::spin_loop();
        }
    };
    tick();
    assert!(through(&model, &patient()).complete(ask("?")).await.unwrap().cached);
    // The cache with a time to live of zero comes last, because it also removes expired files.
    let cache = Cache::builder().dir(&dir.0).ttl(Duration::ZERO).build();
    let lm = through(&model, &cache);
    for calls in [2, 3] {
        assert!(!lm.complete(ask("?")).await.unwrap().cached);
        assert_eq!((model.calls(), cache.stats().corrupt), (calls, 0));
        tick();
    }
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
        // Used repeatedly, so never the oldest.
        lm.complete(ask("0")).await.unwrap();
        if number % 10 == 9 {
            disk.sweep();
        }
    }
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |meta| meta.len());
    let mut total = u64::MAX;
    // The cache's own sweep may be running, and then this one does nothing.
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
    // A file named like an answer, in the wrong subdirectory.
    let astray = if shard.ends_with("ff") { "0" } else { "f" }.repeat(64) + ".json";
    let foreign = ["notes.json", "x.tmp", &astray].map(|name| shard.join(name));
    std::fs::write(dir.0.join("notes.json"), "mine").unwrap();
    foreign.iter().for_each(|path| std::fs::write(path, "mine").unwrap());
    // Files left by a crash are removed with the rest.
    std::fs::write(shard.join("0123456789abcdef-7.tmp"), "half").unwrap();
    cache.clear().await.unwrap();
    assert!(!lm.complete(ask("?")).await.unwrap().cached);
    cache.clear().await.unwrap();
    let mut foreign = foreign.to_vec();
    foreign.sort();
    assert_eq!(dir.files(), foreign);
    assert!(dir.0.join("notes.json").exists());
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
