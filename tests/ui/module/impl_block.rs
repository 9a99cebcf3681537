use dspy::prelude::*;

struct Program;

#[module]
impl Program {
    fn new() -> Self {
        Program
    }
}

fn main() {}
