use dspy::prelude::*;

fn main() {
    let _ = Predict::new("question -> answer");
    let _ = ChainOfThought::new("question -> answer");
}
