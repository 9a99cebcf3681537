use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    answer: String,
}

/// Answer again.
#[signature(output = QaOutput)]
struct Again {
    #[input]
    question: String,
    #[output]
    answer: bool,
}

/// Answer more.
#[signature(output = QaOutput)]
struct More {
    #[input]
    question: String,
    #[output]
    answer: String,
    #[output]
    why: String,
}

fn main() {}
