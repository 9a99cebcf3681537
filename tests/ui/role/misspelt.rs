use dspy::prelude::*;

/// Answer.
#[signature]
struct Qa {
    #[inptu]
    question: String,
    #[outptu]
    answer: String,
}

fn main() {
    let input = QaInput::from("Why?");
    let _ = input.question;
}
