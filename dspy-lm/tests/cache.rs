//! One directory, several processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dspy_lm::{Cache, Lm, Message, Request, Response, ScriptedLm};

/// Names the directory in a child process, which uses it until it is done or killed.
const DIR: &str = "DSPY_TEST_CACHE_DIR";
/// What a child says when it writes; the harness may put something before it.
const WRITES: &str = "it writes";
/// How many rounds a child makes.
const ROUNDS: &str = "DSPY_TEST_CACHE_ROUNDS";
const REQUESTS: usize = 60;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("dspy-caches-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// What every process is told; long enough for a write to take a while.
fn answer(question: &str) -> String {
    format!("{question} ").repeat(400)
}

fn lm(cache: &Cache) -> Lm {
    Lm::custom(ScriptedLm::from_fn(|request| answer(&request.messages[0].text()))).cache(cache)
}

fn ask(number: usize) -> Request {
    Request::new(vec![Message::user(format!("question {number}"))])
}

fn check(number: usize, response: &Response) {
    assert_eq!(response.completions[0].text, answer(&format!("question {number}")));
}

/// The child: with no directory named there is nothing to do.
#[tokio::test]
async fn child_that_uses_the_directory() {
    let (Ok(dir), Ok(rounds)) = (std::env::var(DIR), std::env::var(ROUNDS)) else { return };
    let mut begun = false;
    for round in 0..rounds.parse().unwrap() {
        // Nothing in memory, and room for half of the answers, so that files come and go.
        let cache = Cache::builder().dir(&dir).memory_bytes(0).disk_bytes(200_000).build();
        let lm = lm(&cache);
        for number in 0..REQUESTS {
            let number = (number * 7 + round) % REQUESTS;
            check(number, &lm.complete(ask(number)).await.unwrap());
            if !begun && std::fs::read_dir(&dir).unwrap().count() >= 5 {
                begun = true;
                println!("{WRITES}");
            }
        }
        let stats = cache.stats();
        assert_eq!((stats.corrupt, stats.write_errors), (0, 0), "{stats:?}");
        assert_eq!(stats.misses + stats.disk_hits, REQUESTS as u64);
    }
}

fn child(dir: &Path, rounds: usize) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["child_that_uses_the_directory", "--exact", "--test-threads=1", "--nocapture"]);
    child.env(DIR, dir).env(ROUNDS, rounds.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    child.spawn().unwrap()
}

#[tokio::test]
async fn processes_share_a_directory() {
    let dir = folder("shared");
    let children = [(); 4].map(|()| child(&dir, 4));
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let cache = Cache::at(&dir);
    let mut known = 0;
    for number in 0..REQUESTS {
        if let Some(response) = cache.get(&lm(&cache), &ask(number)).await {
            check(number, &response);
            known += 1;
        }
    }
    assert!(known > REQUESTS / 4, "{known}");
    assert_eq!(cache.stats().corrupt, 0);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_killed_process_leaves_nothing_that_misleads() {
    let dir = folder("killed");
    for _ in 0..6 {
        let mut child = child(&dir, 10_000);
        // As soon as it writes.
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let writes = said.map_while(Result::ok).any(|line| line.contains(WRITES));
        assert!(writes, "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let cache = Cache::at(&dir);
        let lm = lm(&cache);
        for number in 0..REQUESTS {
            check(number, &lm.complete(ask(number)).await.unwrap());
        }
        assert_eq!(cache.stats().corrupt, 0);
        cache.clear().await.unwrap();
        let left = std::fs::read_dir(&dir).unwrap().map(|shard| shard.unwrap().path());
        assert_eq!(left.flat_map(|shard| std::fs::read_dir(shard).unwrap()).count(), 0);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
