use dspy::prelude::*;

struct Source {
    url: String,
}

#[field_type]
struct Citation {
    source: Source,
}

/// Answer.
#[signature]
struct Qa {
    #[input]
    question: String,
    #[output]
    citations: Vec<Citation>,
}

fn main() {}
