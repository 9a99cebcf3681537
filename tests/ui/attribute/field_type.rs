#[dspy::field_type]
fn verdict() {}

#[dspy::field_type(rename)]
enum Verdict {
    Yes,
}

fn main() {}
