//! The procedural macros of `dspy`.
