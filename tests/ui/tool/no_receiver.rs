use dspy::prelude::*;

struct Archive;

#[tool]
impl Archive {
    /// Opens the archive.
    fn open() -> Self {
        Archive
    }
}

fn main() {}
