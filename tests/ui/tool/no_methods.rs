use dspy::prelude::*;

struct Archive;

#[tool]
impl Archive {
    #[tool(skip)]
    fn helper(&self) {}
}

fn main() {}
