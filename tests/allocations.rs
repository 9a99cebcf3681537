//! What a call in this process allocates.

#![allow(clippy::unwrap_used, missing_docs)]

use dspy::lm::{LanguageModel, LmFuture, Request, Response};
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
    assert!(made.count_total <= 40, "{made:?}");
}
