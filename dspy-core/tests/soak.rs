//! Many calls through everything: nothing is lost, nothing is charged twice, and memory stays flat.
//!
//! Ten thousand calls by default; `DSPY_SOAK=1000000 cargo test --release --test soak` makes a million.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dspy_core::lm::{
    BoxFuture, Cache, Completion, Endpoint, LanguageModel, Lm, LmError, LmErrorKind, Request, Response, Usage,
};
use dspy_core::predict::DynPredict;
use dspy_core::program::{Module as _, Recovery, Settings};
use dspy_core::signature::Values;
use dspy_test_server::{Server, chat, reply};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Memory is that of the process: the tests must not run beside each other.
static ALONE: Mutex<()> = Mutex::const_new(());

fn calls() -> u64 {
    std::env::var("DSPY_SOAK").ok().and_then(|calls| calls.parse().ok()).unwrap_or(10_000)
}

/// What the process has in memory, in bytes, where that can be known.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}

/// Doubles numbers, needs a moment for it, and fails now and then.
#[derive(Default)]
struct Doubler {
    answered: AtomicU64,
    failed: AtomicU64,
}

fn doubled(request: &Request) -> u64 {
    let text = request.messages.last().unwrap().text().into_owned();
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    2 * digits.parse::<u64>().unwrap()
}

impl LanguageModel for Doubler {
    fn id(&self) -> &'static str {
        "doubler"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let twice = doubled(request);
            if twice.is_multiple_of(97)
                && self.failed.load(Ordering::Relaxed) * 97 < self.answered.load(Ordering::Relaxed)
            {
                self.failed.fetch_add(1, Ordering::Relaxed);
                return Err(LmError::new(LmErrorKind::Server, "doubler", "out of order"));
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            let text = format!("[[ ## twice ## ]]\n{twice}\n\n[[ ## completed ## ]]");
            let mut response = Response::default().with_usage(Usage::tokens(10, 2).at_cost(0.25));
            response.completions.push(Completion::new(text));
            Ok(response)
        })
    }
}

/// What the callers saw.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    answers: u64,
    errors: u64,
    charged: u64,
    tokens: u64,
}

/// Asks for the double of `number(0)`, `number(1)`, … `flight` at a time, and says what came of it and how much
/// memory grew after the first fifth.
async fn run(
    settings: &Settings,
    calls: u64,
    flight: usize,
    number: impl Fn(u64) -> u64,
) -> (Seen, Option<i64>) {
    let program = Arc::new(DynPredict::new("number: int -> twice: int".parse().unwrap()));
    let (mut seen, mut tasks, mut begun) = (Seen::default(), JoinSet::new(), 0);
    let mut warm = None;
    loop {
        while begun < calls && tasks.len() < flight {
            let (program, number) = (program.clone(), number(begun));
            let values: Values = serde_json::from_value(json!({ "number": number })).unwrap();
            let call = settings.clone().scope(async move { program.call(values).await });
            tasks.spawn(async move { (number, call.await) });
            begun += 1;
        }
        let Some(done) = tasks.join_next().await else { break };
        match done.unwrap() {
            (number, Ok(prediction)) => {
                assert_eq!(prediction["twice"], 2 * number);
                seen.answers += 1;
                seen.charged += prediction.usage().requests;
                seen.tokens += prediction.usage().total_tokens();
            }
            (_, Err(_)) => seen.errors += 1,
        }
        if seen.answers + seen.errors == calls / 5 {
            warm = resident();
        }
    }
    let grown = warm.zip(resident()).map(|(warm, end)| end.cast_signed() - warm.cast_signed());
    (seen, grown)
}

/// Half of the calls are for a few numbers, again and again; the others for ever new ones.
fn mixed(call: u64) -> u64 {
    if call.is_multiple_of(2) { call / 2 % 100 } else { 1_000 + call }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_process() {
    let _alone = ALONE.lock().await;
    let (calls, started) = (calls(), Instant::now());
    let model = Arc::new(Doubler::default());
    // Room for some hundred answers: most of what is kept has to go again.
    let cache = Cache::builder().memory_bytes(400_000).build();
    let settings = Settings::new().lm(Lm::shared(model.clone()).cache(&cache)).recovery(Recovery::NONE);
    let (seen, grown) = run(&settings, calls, 256, mixed).await;
    let stats = cache.stats();
    let (answered, failed) = (model.answered.load(Ordering::Relaxed), model.failed.load(Ordering::Relaxed));
    println!("{calls} calls in {:.1?}: {seen:?}, {stats:?}, memory grew by {grown:?}", started.elapsed());
    assert_eq!(seen.answers + seen.errors, calls);
    assert_eq!((seen.charged, seen.tokens), (answered, 12 * answered), "each answer is charged once");
    assert_eq!(stats.misses, answered + failed);
    assert_eq!(stats.memory_hits + stats.joined + stats.misses, calls);
    assert_eq!(stats.stores, answered);
    assert!(seen.errors >= failed && failed > 0);
    assert!(stats.memory_hits > calls / 3 && stats.evicted > 0 && stats.bytes <= 400_000);
    assert!(grown.is_none_or(|grown| grown < 12 << 20), "memory grew by {grown:?} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_with_a_directory() {
    let _alone = ALONE.lock().await;
    let (calls, started) = (calls() / 20, Instant::now());
    let dir = std::env::temp_dir().join(format!("dspy-soak-{}", std::process::id()));
    let server = Server::start(|number, seen| {
        if number % 10 == 3 {
            return reply(503, &[], "busy");
        }
        let text = seen.json()["messages"][1]["content"].as_str().unwrap().to_owned();
        let digits: String =
            text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        chat(&format!("[[ ## twice ## ]]\n{}\n\n[[ ## completed ## ]]", 2 * digits.parse::<u64>().unwrap()))
    })
    .await;
    let wait = Duration::from_millis(1);
    let lm = Endpoint::new(server.url()).backoff(wait, wait).model("m").unwrap();
    // Nothing in memory, so that the directory has to answer.
    let cache = Cache::builder().memory_bytes(0).dir(&dir).disk_bytes(500_000).build();
    let settings = Settings::new().lm(lm.cache(&cache)).recovery(Recovery::NONE);
    let (seen, grown) =
        run(&settings, calls, 64, |call| if call.is_multiple_of(2) { call / 2 % 30 } else { 1_000 + call })
            .await;
    let stats = cache.stats();
    let requests = server.seen();
    // The server remembers all it was asked.
    let log: usize = requests.iter().map(|request| request.head.len() + request.body.len() + 200).sum();
    println!("{calls} calls in {:.1?}: {seen:?}, {stats:?}, memory grew by {grown:?}", started.elapsed());
    let refused = requests.len() / 10 + usize::from(requests.len() % 10 > 3);
    assert_eq!((seen.answers, seen.errors), (calls, 0));
    assert_eq!((seen.charged, stats.misses), (stats.misses, (requests.len() - refused) as u64));
    assert_eq!(stats.disk_hits + stats.joined + stats.misses, calls);
    assert_eq!((stats.corrupt, stats.write_errors), (0, 0));
    assert!(stats.disk_hits + stats.joined > calls / 4, "{stats:?}");
    assert!(
        grown.is_none_or(|grown| grown < (24 << 20) + 2 * log.cast_signed() as i64),
        "memory grew by {grown:?} bytes"
    );
    std::fs::remove_dir_all(dir).unwrap();
}
