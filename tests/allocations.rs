//! What a call in this process allocates.

#![allow(clippy::unwrap_used, missing_docs)]

use dspy::lm::{BoxFuture, LanguageModel, LmFuture, Request, Response};
use dspy::prelude::*;

/// Answer the question.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

const REPLY: &str =
    "[[ ## reasoning ## ]]\nIt is known.\n\n[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]\n";

/// Answers at once, so that only the framework is measured.
struct Instantly;

impl LanguageModel for Instantly {
    fn id(&self) -> &'static str {
        "instantly"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> LmFuture<'a> {
        Box::pin(std::future::ready(Ok(Response::text(REPLY))))
    }
}

#[test]
fn a_call_allocates_little() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let program = ChainOfThought::<Qa>::new().with_lm(Lm::custom(Instantly));
    let call = || {
        let prediction = runtime.block_on(program.call("What is the capital of France?")).unwrap();
        assert_eq!(prediction.answer, "Paris");
    };
    // The first call prepares the prompt.
    call();
    let made = allocation_counter::measure(call);
    println!("{made:?}");
    assert!(made.count_total <= 30, "{made:?}");
    // A future that holds the request or the inputs twice takes more.
    assert!(made.bytes_total <= 5_000, "{made:?}");
}

#[test]
fn a_typed_call_is_one_boxed_future() {
    let boxed = size_of::<BoxFuture<'_, ()>>();
    let input = || QaInput { question: "What is the capital of France?".into() };
    let thoughtful = ChainOfThought::<Qa>::new();
    assert_eq!(size_of_val(&thoughtful.call(input())), boxed);
    assert_eq!(size_of_val(&thoughtful.forward(input())), boxed);
    let plain = Predict::<Qa>::new();
    assert_eq!(size_of_val(&plain.call(input())), boxed);
    assert_eq!(size_of_val(&plain.forward(input())), boxed);
}

#[test]
fn samples_take_memory_in_proportion() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let peak = |samples: usize| {
        let short = |_: &QaInput, output: &QaOutput| output.answer.len() < 10;
        let mut best = BestOfN::new(ChainOfThought::<Qa>::new(), samples, short).concurrency(samples);
        best.set_lm(Lm::custom(Instantly));
        let call = || {
            let prediction = runtime.block_on(best.call("What is the capital of France?")).unwrap();
            assert_eq!(prediction.added_as::<usize>("samples").unwrap(), samples);
        };
        call();
        allocation_counter::measure(call).bytes_max
    };
    let (few, many) = (peak(8), peak(64));
    println!("{few} bytes for 8 samples, {many} for 64");
    assert!(many <= few * 9, "{few} bytes for 8 samples, {many} for 64");
    assert!(many <= 64 * 12_000, "{many} bytes for 64 samples");
}
