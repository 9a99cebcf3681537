use dspy::prelude::*;

sig!(Qa: "question -> answer");

async fn evaluate(rows: Vec<Qa>) {
    let metric = |example: &Qa, _: &QaOutput| example.answer.clone();
    let _ = Evaluate::new(metric).run(&Predict::<Qa>::new(), &rows).await;
}

fn main() {}
