use dspy::prelude::*;

sig!(Qa: "question -> answer");

fn main() {
    let mut predict = Predict::<Qa>::new().with_lm("openai/gpt-4o-mini");
    predict.set_lm("openai/gpt-4o-mini");
    dspy::configure("openai/gpt-4o-mini");
}
