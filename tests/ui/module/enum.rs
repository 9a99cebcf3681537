use dspy::prelude::*;

#[module]
enum Program {
    One,
}

fn main() {}
