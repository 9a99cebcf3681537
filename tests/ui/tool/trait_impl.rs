use dspy::prelude::*;

struct Archive;

#[tool]
impl Drop for Archive {
    /// Drops.
    fn drop(self: &std::sync::Arc<Self>) {}
}

fn main() {}
