use dspy::prelude::*;

sig!(Qa: "context: list[str], question -> answer");

async fn ask(context: Vec<String>) {
    let _ = Predict::<Qa>::new().call("Why?").await;
    let _ = Predict::<Qa>::new().stream(("Why?", context));
}

fn main() {}
