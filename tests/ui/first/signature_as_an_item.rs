dspy::sig!("question -> answer");

fn main() {}
