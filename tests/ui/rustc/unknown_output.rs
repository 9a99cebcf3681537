use dspy::prelude::*;

sig!(Qa: "question -> answer");

async fn run(predict: Predict<Qa>) -> dspy::Result<String> {
    Ok(predict.call("Why?").await?.anwser.clone())
}

fn main() {}
