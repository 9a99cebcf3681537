//! The cost of a call over loopback HTTP, compared with a bare `reqwest` loop that sends the same body to the
//! same server and reads replies as `serde_json::Value`.
//!
//! `cargo run --release -p dspy-benches --example over_http` prints a table; an argument sets the number of rounds.
//!
//! The server, the bare loop and the loops through the library are separate processes, and one loop runs at a
//! time: the rounds are interleaved and their order rotates. If `taskset` is installed, the server and the
//! clients are pinned to one core each. CPU time is the user and system time of all threads of the client's
//! process as counted by the scheduler (`/proc/self/task/*/schedstat`, Linux only), so it excludes the
//! server. Memory is the peak resident memory of the client's process (`VmHWM`). Figures are medians of the
//! rounds; ratios are medians of each round's ratio to the bare loop.
//!
//! `over_http one KIND IN_FLIGHT REQUESTS` runs one loop, for an instruction counter. The difference between
//! two runs under `valgrind --tool=callgrind`, divided by the difference between their numbers of requests,
//! is the number of instructions per request without those of the kernel.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot run should say so loudly")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dspy::lm::{Endpoint, Message, Request};
use dspy::prelude::*;
use serde_json::{Value, json};

/// Answer in a few words, without an introduction and without a repetition of the question that was asked. Facts come
/// before opinions, and numbers come with their units. Say that you do not know where you do not know.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

/// A reply in the format of `ChainOfThought`.
const REPLY: &str = "[[ ## reasoning ## ]]\nFrance is a country in Europe.\n\n[[ ## answer ## ]]\nParis\n\n\
                     [[ ## completed ## ]]\n";
const QUESTION: &str = "What is the capital of France?";
const FLIGHTS: [usize; 3] = [1, 64, 512];
const ROUNDS: usize = 21;
/// The cores of server and clients. Without pinning, a call takes twice as long if the system moves the
/// processes.
const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";

/// The loops that are compared; the first is the baseline.
const KINDS: [(&str, &str); 3] =
    [("bare", "`reqwest`, `Value`"), ("lm", "`Lm::complete`"), ("program", "`ChainOfThought::call`")];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => table(ROUNDS),
        ["serve"] => serve(),
        ["client", kind, url] => client(kind, url),
        ["one", kind, flight, requests] => one(kind, flight.parse().unwrap(), requests.parse().unwrap()),
        [rounds] if rounds.parse::<usize>().is_ok() => table(rounds.parse().unwrap()),
        _ => eprintln!("usage: over_http [ROUNDS] | one bare|lm|program IN_FLIGHT REQUESTS"),
    }
}

/// The measurements of one loop.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    /// Wall time per call, in microseconds.
    wall: f64,
    /// Median latency of a call from its start to its reply, in microseconds.
    latency: f64,
    /// CPU time per call, in microseconds.
    cpu: f64,
    /// Peak memory, in MiB.
    resident: f64,
}

/// A copy of this program in a separate process, which exits at the end of its input.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a copy, pinned to a core if `taskset` is installed.
    fn start(core: &str, arguments: &[&str]) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let pins = cores > 1 && Command::new("taskset").arg("-V").output().is_ok();
        let this = std::env::current_exe().unwrap();
        let mut command = if pins { Command::new("taskset") } else { Command::new(&this) };
        if pins {
            command.args(["-c", core]).arg(&this);
        }
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Process { child, input, output: BufReader::new(output) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn measure(&mut self, flight: usize, requests: usize) -> Sample {
        writeln!(self.input, "{flight} {requests}").unwrap();
        let line = self.line();
        let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [wall, latency, cpu, resident] = numbers[..] else { unreachable!("the client's answer: {line}") };
        Sample { wall, latency, cpu, resident }
    }

    fn end(self) {
        let Process { mut child, input, output } = self;
        drop((input, output));
        child.wait().unwrap();
    }
}

/// Runs the server until the input ends.
fn serve() {
    println!("{}", dspy_benches::start_server(REPLY));
    std::io::stdin().lines().for_each(drop);
}

/// Runs the loops that the input requests.
fn client(kind: &str, url: &str) {
    let client = Client::new(kind, url);
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (flight, requests) = line.split_once(' ').unwrap();
        let Sample { wall, latency, cpu, resident } =
            client.run(flight.parse().unwrap(), requests.parse().unwrap());
        println!("{wall} {latency} {cpu} {resident}");
    }
}

fn one(kind: &str, flight: usize, requests: usize) {
    let mut server = Process::start(SERVER_CORE, &["serve"]);
    println!("{:.1?}", Client::new(kind, &server.line()).run(flight, requests));
    server.end();
}

fn table(rounds: usize) {
    let mut server = Process::start(SERVER_CORE, &["serve"]);
    let url = server.line();
    println!(
        "| loop | in flight | time per call | median latency | calls per second | CPU per call | resident |"
    );
    println!("|---|---|---|---|---|---|---|");
    for flight in FLIGHTS {
        // New processes, so that each peak of memory belongs to one number of requests in flight.
        let mut clients = KINDS.map(|(kind, _)| Process::start(CLIENT_CORE, &["client", kind, &url]));
        let requests = if flight == 1 { 2_000 } else { 8_192 };
        for client in &mut clients {
            let _warm_up = client.measure(flight, requests);
        }
        let mut samples = vec![[Sample::default(); KINDS.len()]; rounds];
        for (round, of_round) in samples.iter_mut().enumerate() {
            for turn in 0..KINDS.len() {
                let kind = (round + turn) % KINDS.len();
                of_round[kind] = clients[kind].measure(flight, requests);
            }
        }
        clients.into_iter().for_each(Process::end);
        for (kind, (_, name)) in KINDS.iter().enumerate() {
            let figure = |of: fn(&Sample) -> f64| median(samples.iter().map(|round| of(&round[kind])));
            let ratio = |of: fn(&Sample) -> f64| {
                let ratio = median(samples.iter().map(|round| of(&round[kind]) / of(&round[0])));
                if kind == 0 { String::new() } else { format!(" ({ratio:.2})") }
            };
            let more = median(samples.iter().map(|round| round[kind].resident - round[0].resident));
            println!(
                "| {name} | {flight} | {:.1} µs{} | {:.0} µs{} | {:.0}{} | {:.1} µs{} | {:.1} MiB{} |",
                figure(|sample| sample.wall),
                ratio(|sample| sample.wall),
                figure(|sample| sample.latency),
                ratio(|sample| sample.latency),
                figure(|sample| 1e6 / sample.wall),
                ratio(|sample| 1e6 / sample.wall),
                figure(|sample| sample.cpu),
                ratio(|sample| sample.cpu),
                figure(|sample| sample.resident),
                if kind == 0 { String::new() } else { format!(" ({more:+.1})") },
            );
        }
    }
    server.end();
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A kind of loop.
enum Loop {
    Bare { client: reqwest::Client, url: String, messages: Vec<Message> },
    Lm { lm: Box<Lm>, messages: Vec<Message> },
    Program(Box<ChainOfThought<Qa>>),
}

impl Loop {
    async fn call(&self) {
        match self {
            Loop::Bare { client, url, messages } => {
                let turn = |m: &Message| json!({"role": m.role.as_str(), "content": m.text()});
                let body =
                    json!({"model": "bench", "messages": messages.iter().map(turn).collect::<Vec<_>>()});
                let post = client.post(format!("{url}/v1/chat/completions")).json(&body);
                let reply: Value = post.send().await.unwrap().json().await.unwrap();
                assert_eq!(reply["choices"][0]["message"]["content"], REPLY);
            }
            Loop::Lm { lm, messages } => {
                let response = lm.complete(Request::new(messages.clone())).await.unwrap();
                assert_eq!(response.completions[0].text, REPLY);
            }
            Loop::Program(program) => {
                let prediction = program.call(QUESTION).await.unwrap();
                assert_eq!(prediction.answer, "Paris");
            }
        }
    }
}

/// A loop and its single-threaded runtime.
struct Client {
    runtime: tokio::runtime::Runtime,
    calls: Arc<Loop>,
}

impl Client {
    fn new(kind: &str, url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let messages = ChainOfThought::<Qa>::new().render(QUESTION).unwrap();
        let lm = || Endpoint::new(format!("{url}/v1")).model("bench").unwrap();
        let calls = match kind {
            "bare" => Loop::Bare { client: dspy_benches::bare_client(), url: url.to_owned(), messages },
            "lm" => Loop::Lm { lm: Box::new(lm()), messages },
            _ => Loop::Program(Box::new(ChainOfThought::new().with_lm(lm()))),
        };
        Client { runtime, calls: Arc::new(calls) }
    }

    /// Makes `requests` calls, `flight` at a time.
    fn run(&self, flight: usize, requests: usize) -> Sample {
        let left = Arc::new(AtomicUsize::new(requests));
        let (cpu, started) = (cpu_time(), Instant::now());
        let mut latencies: Vec<Duration> = self.runtime.block_on(async {
            let mut workers = tokio::task::JoinSet::new();
            for _ in 0..flight {
                let (calls, left) = (self.calls.clone(), left.clone());
                workers.spawn(async move {
                    let mut latencies = Vec::with_capacity(2 * requests / flight);
                    let next = |left: usize| left.checked_sub(1);
                    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
                        let started = Instant::now();
                        calls.call().await;
                        latencies.push(started.elapsed());
                    }
                    latencies
                });
            }
            workers.join_all().await.concat()
        });
        let (wall, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
        let per_call = |time: Duration| time.as_secs_f64() * 1e6 / requests as f64;
        let middle = latencies.len() / 2;
        let (_, latency, _) = latencies.select_nth_unstable(middle);
        Sample {
            wall: per_call(wall),
            latency: latency.as_secs_f64() * 1e6,
            cpu: per_call(cpu),
            resident: resident(),
        }
    }
}

/// Returns the user and system time of all threads of this process; zero if the system does not provide it.
fn cpu_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Returns the peak resident memory of this process, in MiB; zero if the system does not provide it.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or_default() / 1024.0
}
