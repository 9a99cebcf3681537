use dspy::prelude::*;

/// Answer.
#[signature]
#[serde(deny_unknown_fields)]
struct Qa {
    #[input]
    #[serde(skip)]
    question: String,
    #[output]
    #[serde(with = "module")]
    answer: String,
    #[output]
    #[serde(flatten)]
    more: std::collections::HashMap<String, String>,
    #[output]
    #[serde(renam = "z")]
    last: String,
}

fn main() {}
