use dspy::prelude::*;

sig!(Qa: "context: list[str], question -> answer");

async fn ask(context: Vec<String>) {
    let _ = Predict::<Qa>::new().call(("Why?".to_owned(), context)).await;
}

fn main() {}
