use dspy::prelude::*;

struct Archive;

#[tool]
impl Archive {
    fn helper(&self) {}
}

fn main() {}
